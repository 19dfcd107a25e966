"""Weight files: saved atomically, described by a JSON card, verified before they are used."""

import hashlib
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from ippy import first_edition, models, paths
from ippy.files import atomic_write, turn
from ippy.host import machine

__all__ = ["WEIGHTS_DIR", "load", "read_card", "save", "task_of", "verify"]

#: Folder of the weight files that come with the book.
WEIGHTS_DIR = paths.WEIGHTS
#: What is an ending; other points belong to the name, as that of ``lr0.001``.
_ENDINGS = (".pth", ".pt", ".json")

if not TYPE_CHECKING:  # the table of the weights, once ``weights.readme``, stands in ippy.report

    def __getattr__(name: str) -> object:
        return first_edition.find(__name__, name)


def save(model: nn.Module, path: str | os.PathLike, card: dict) -> dict:
    """Save the state dict of ``model`` to ``path`` and its card to the ``.json`` beside it.

    Args:
        model: A network; its parameters are stored as contiguous float32 on the CPU.
        path: The ``.pth`` or ``.pt`` file; a name with neither gets ``.pth``, also one with a point
            in it: ``lr0.001`` becomes ``lr0.001.pth``.
        card: What to remember: at least ``model``, the name of a class of :mod:`ippy.models`, and
            ``model_args``; the key, SHA-256, number of parameters and machine are added.

    Returns:
        The complete card.

    Raises:
        OSError: If the disk is full or the folder read-only; the old files are unchanged.
        ValueError: If the card does not say which network to build, or ``path`` is that of a card.
    """
    path, file = _locate(Path(path).absolute(), None), io.BytesIO()
    if path.suffix == ".json":
        raise ValueError(f"{path.name} is the name of a card; store weights as {path.stem}.pth")
    if problem := _problem(card):
        raise ValueError(
            f"with this card nobody could load {path.name} ({problem}); for a network of your own "
            "use torch.save(model.state_dict(), path)"
        )
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    torch.save({k: v.float() if v.is_floating_point() else v for k, v in state.items()}, file)
    card = {
        "key": path.stem,
        **card,
        "parameters": sum(p.numel() for p in model.parameters()),
        "sha256": hashlib.sha256(file.getvalue()).hexdigest(),
        "machine": machine(),
    }
    text = json.dumps(card, indent=1) + "\n"
    atomic_write({path: file.getvalue(), path.with_suffix(".json"): text.encode()})
    return card


def read_card(key_or_path: str | os.PathLike, weights_dir: Path | None = None) -> dict:
    """The JSON card of a weight file, given by its key (``"UNet"``) or path.

    Raises:
        FileNotFoundError: If there is no card.
        ValueError: If it is not a card.
    """
    file = _find(key_or_path, weights_dir)
    path = file.with_suffix(".json")
    if not path.is_file():
        weights = file if file != path else path.with_suffix(".pth")
        raise FileNotFoundError(
            f"{path.name} is missing, so nothing says which network {weights.name} belongs to: "
            f"{paths.restore()}, or pass the network: weights.load(path, model)"
        )
    try:
        card = json.loads(path.read_text("utf-8"))
        if problem := _problem(card) or ("" if card["sha256"] else "no SHA-256"):
            raise ValueError(problem)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path.name} is not the card of a weight file ({error!r}); {paths.restore()}"
        ) from error
    return card


def _problem(card: dict) -> str:
    """Why no network can be built from a card; nothing if it can, its arguments apart."""
    for name in ("model", "model_args"):
        if name not in card:
            return f"it has no {name!r}"
    if not _is_network(card["model"]):
        return f"unknown network {card['model']!r}"
    if not isinstance(card["model_args"], dict):
        return f"model_args is {card['model_args']!r}, not a dictionary"
    return ""


def _is_network(name: object) -> bool:
    found = getattr(models, name, None) if isinstance(name, str) else None
    return isinstance(found, type) and issubclass(found, nn.Module)


def task_of(card: dict) -> str:
    """Key of the task of a card; those of the first edition do not name it: there was one."""
    return card.get("recipe", {}).get("task", "deblurring")


def _locate(key_or_path: str | os.PathLike, weights_dir: Path | None) -> Path:
    path = Path(key_or_path)
    if not path.name:
        name = str(key_or_path)
        raise ValueError(f"{name!r} is neither a key like 'UNet' nor the path of a .pth file")
    if path.suffix in _ENDINGS:
        return path
    if path.name == str(key_or_path):  # a key, not a path
        return Path(weights_dir) / f"{path}.pth" if weights_dir else paths.weight_file(str(path))
    return path.with_name(f"{path.name}.pth")


def _find(key_or_path: str | os.PathLike, weights_dir: Path | None) -> Path:
    """The file to read; one that somebody else wrote may have another ending, as ``net.ckpt``."""
    path, file = Path(key_or_path), _locate(key_or_path, weights_dir)
    return path if path.suffix and path.is_file() and not file.is_file() else file


def load(
    key_or_path: str | os.PathLike,
    model: nn.Module | None = None,
    *,
    weights_dir: Path | None = None,
) -> nn.Module:
    """Load verified weights into ``model``, or into a new network built from the card.

    Args:
        key_or_path: A key such as ``"UNet"`` or the path of a ``.pth`` or ``.pt`` file; ``.pth``
            may be left out.
        model: The network to fill, of the file's dtype; with None the card beside the file says
            which to build. A file without a card needs it.
        weights_dir: Where keys are looked up; if None, the book's ``weights`` folder and, away from
            its source, a folder ``weights`` here for what it has not.

    Returns:
        The network in evaluation mode, on the CPU if it was built here.

    Raises:
        FileNotFoundError: If the file, or the card that is needed, is missing.
        ValueError: If the file does not match its card, is truncated, contains code, or holds
            the weights of another architecture or dtype.

    >>> type(load("ResCNN")).__name__
    'ResCNN'
    """
    path = _find(key_or_path, weights_dir)
    if not path.is_file():
        raise FileNotFoundError(
            f"no weights at {path.name}; train them with 'python -m ippy train {path.stem}', or "
            f"{paths.restore()}"
        )
    has_card = model is None or path.with_suffix(".json").is_file()
    with turn(path):
        card, content = read_card(path) if has_card else {}, path.read_bytes()
    if card and hashlib.sha256(content).hexdigest() != card["sha256"]:
        raise ValueError(
            f"{path.name} is not the file its card describes (SHA-256 differs): it is truncated or "
            f"was altered; {paths.restore()}, or delete it and train again"
        )
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch raises on foreign bytes
        if "unsupported global" in str(error).lower():
            raise ValueError(
                f"{path.name} is refused: it holds more than tensors (possibly code that would run "
                "on loading); save a state dict with torch.save(model.state_dict(), path)"
            ) from error
        raise ValueError(
            f"{path.name} cannot be read, it may be truncated or no weight file at all; "
            f"{paths.restore()}, or delete it and train again"
        ) from error
    if model is None:
        try:
            model = getattr(models, card["model"])(**card["model_args"])
        except Exception as error:  # whatever a network raises for foreign arguments
            raise ValueError(
                f"{path.with_suffix('.json').name} does not fit {card['model']} ({error}); "
                f"{paths.restore()}"
            ) from error
    _check_types(path.name, state, model)
    try:
        model.load_state_dict(state, strict=True)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{path.name} holds the weights of another architecture than {type(model).__name__}: "
            f"{str(error).splitlines()[-1].strip()}"
        ) from error
    return model.eval()


def _check_types(file: str, state: object, model: nn.Module) -> None:
    """Refuse weights of another dtype than the network's, before any of them is filled in."""
    if not isinstance(state, dict):
        return  # no state dict at all, as load says
    for name, own in model.state_dict().items():
        found = state.get(name)
        if not torch.is_tensor(found) or found.shape != own.shape or found.dtype == own.dtype:
            continue
        network, advice = type(model).__name__, "save a copy with model.float().state_dict()"
        if found.dtype == torch.float32:
            advice = f"load them into a float32 network, and convert it then with .to({own.dtype})"
        raise ValueError(
            f"{file} holds {found.dtype} where {network} has {own.dtype} ({name}): {advice}"
        )


def verify(weights_dir: Path | None = None) -> dict[str, str]:
    """Check every weight file: key -> ``"ok"`` or the sentence that says what is wrong.

    The key of a ``.pt`` file is its whole name.
    """
    folder = Path(weights_dir or WEIGHTS_DIR)
    files = {path for ending in (".pth", ".pt") for path in folder.glob(f"*{ending}")}
    described = {path.with_suffix(".json") for path in files}
    alone = {path for path in folder.glob("*.json") if path not in described}
    report = {}
    for path in sorted(files | {card.with_suffix(".pth") for card in alone}):
        key = path.stem if path.suffix == ".pth" else path.name
        try:
            load(path)
            report[key] = "ok"
        except (FileNotFoundError, ValueError) as error:
            report[key] = str(error)
    return report
