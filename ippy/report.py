"""Tables made from cards."""

from pathlib import Path

from ippy import paths
from ippy.networks import NETWORKS
from ippy.tasks import TASKS
from ippy.weights import read_card, task_of

__all__ = ["weights_table"]

_README = """\
<!-- Written by python -m ippy weights table: do not edit. -->
# Trained weights

The networks of the book, each trained for one task:

{tasks}

Every `.pth` file is a plain state dict. The card of the same name, a `.json` file, holds what this
table shows and more: all settings of the recipe, the loss curve, the errors on the test images, the
versions used. `weights.load("UNet")` builds the network of a card, checks the file against its
SHA-256 and loads it; `python -m ippy weights verify` checks all files, and `python -m ippy train
UNet` trains a network again.

| Network | Key | Task | Parameters | PSNR (dB) | Training (min) | SHA-256 |
|---|---|---|---|---|---|---|
{rows}
{missing}
PSNR is the mean over the procedural test images, with the standard deviation *between images*: it
says how much the images differ, and not how well the mean is known. The time is that of one run:

{made}
"""


def weights_table(weights_dir: Path | None = None) -> str:
    """The text of ``weights/README.md``, rendered from the cards.

    The table has one row per weight file, in the order of :data:`ippy.networks.NETWORKS`; files
    under other keys follow. Networks without weights are named below it.

    Raises:
        FileNotFoundError: If a weight file has no card.
        ValueError: If its card is not one.
    """
    files = {path.stem: path for path in sorted((weights_dir or paths.WEIGHTS).glob("*.pth"))}
    cards = {k: read_card(files[k]) for k in sorted(files, key=_place)}
    made: dict[str, list[str]] = {}
    for key, card in cards.items():
        other = f" (a `{card['model']}`)" if card["model"] != key else ""
        made.setdefault(_how(card), []).append(f"`{key}`{other}")
    used = {task_of(card): None for card in cards.values()}
    absent = ", ".join(f"`{key}`" for key in NETWORKS if key not in cards)
    return _README.format(
        tasks="\n".join(f"- `{task}`: {TASKS[task].title}." for task in used),
        rows="\n".join(_row(files[key], card) for key, card in cards.items()),
        missing=f"\nNot trained yet: {absent}.\n" if absent else "",
        made="\n".join(f"- {', '.join(keys)}: {how}." for how, keys in made.items()),
    )


def _place(key: str) -> tuple[int, str]:
    """Where a weight file stands in the table."""
    return (list(NETWORKS).index(key) if key in NETWORKS else len(NETWORKS)), key


def _row(path: Path, card: dict) -> str:
    """The row of one weight file."""
    key, nothing = path.stem, "–"  # a card made by weights.save holds what its caller knew
    psnr = card.get("metrics", {}).get("network", {}).get("psnr")
    seconds = card.get("history", {}).get("seconds")
    cells = [
        NETWORKS[key].title if key in NETWORKS else key,
        f"`{key}`",
        f"`{task_of(card)}`",
        f"{card['parameters']:,}",
        f"{psnr[0]:.2f}\u00a0±\u00a0{psnr[1]:.2f}" if psnr else nothing,
        f"{seconds / 60:.0f}" if seconds else nothing,
        f"`{card['sha256'][:8]}`",
    ]
    return f"| {' | '.join(cells)} |"


def _how(card: dict) -> str:
    """Recipe and machine of one run, in words."""
    if not {"recipe", "data", "history"} <= set(card):
        return "made elsewhere"
    recipe, by = card["recipe"], card["machine"]
    side, number = recipe["crop"], recipe["batch_size"]
    each = f"crops of {side} × {side} pixels" if side else f"whole image{'s' * (number > 1)}"
    return (
        f"{recipe['steps']:,} steps of {number} {each}, start: {recipe['init']}, "
        f"data: {card['data']}; {by['accelerator'] or by['processor']}, "
        f"{by['threads']} thread{'s' * (by['threads'] > 1)}, {card['history']['precision']}"
    )
