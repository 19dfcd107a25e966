"""Tables made from cards."""

from pathlib import Path

from ippy import paths
from ippy.weights import read_card

__all__ = ["weights_table"]

_README = """\
<!-- Written by python -m ippy weights table: do not edit. -->
# Trained weights

The networks of the book, trained for its task: a motion blur of 9 pixels and one percent of noise.
Every `.pth` file is a plain state dict. The card of the same name, a `.json` file, holds what this
table shows and more: all settings of the recipe, the loss curve, the errors on the test images, the
versions used. `weights.load("UNet")` builds the network of a card, checks the file against its
SHA-256 and loads it; `python -m ippy weights verify` checks all files, and `python -m ippy train
UNet` trains a network again.

| Key | Parameters | PSNR (dB) | Training (min) | Size (MB) | SHA-256 |
|---|---|---|---|---|---|
{rows}

PSNR is the mean over the procedural test images, with the standard deviation *between images*: it
says how much the images differ, and not how well the mean is known. The time is that of one run:

{made}
"""


def weights_table(weights_dir: Path | None = None) -> str:
    """The text of ``weights/README.md``: one table row per weight file, rendered from the cards.

    Raises:
        FileNotFoundError: If a weight file has no card.
        ValueError: If its card is not one.
    """
    cards = {path: read_card(path) for path in sorted((weights_dir or paths.WEIGHTS).glob("*.pth"))}
    rows: list[str] = []
    made: dict[str, list[str]] = {}
    for path, card in sorted(cards.items(), key=lambda item: item[1]["parameters"]):
        recipe, history, by = card["recipe"], card["history"], card["machine"]
        mean, deviation = card["metrics"]["network"]["psnr"]
        cells = [
            f"`{card['key']}`",
            f"{card['parameters']:,}",
            f"{mean:.2f}\u00a0±\u00a0{deviation:.2f}",
            f"{history['seconds'] / 60:.0f}",
            f"{path.stat().st_size / 1e6:.2f}",
            f"`{card['sha256'][:8]}`",
        ]
        rows.append(f"| {' | '.join(cells)} |")
        side = recipe["crop"]
        crop = f"crops of {side} × {side} pixels" if side else "images"
        how = (
            f"{recipe['steps']:,} steps of {recipe['batch_size']} {crop}, start: {recipe['init']}, "
            f"data: {card['data']}; {by['accelerator'] or by['processor']}, "
            f"{by['threads']} thread{'s' * (by['threads'] > 1)}, {history['precision']}"
        )
        other = f" (a `{card['model']}`)" if card["model"] != card["key"] else ""
        made.setdefault(how, []).append(f"`{card['key']}`{other}")
    lines = [f"- {', '.join(keys)}: {how}." for how, keys in made.items()]
    return _README.format(rows="\n".join(rows), made="\n".join(lines))
