"""Weight files: saved atomically, described by a JSON card, verified before they are used."""

import hashlib
import json
import os
import pickle
import platform
import tempfile
from pathlib import Path
from zipfile import BadZipFile

import torch
from torch import nn

from ippy import models

__all__ = ["WEIGHTS_DIR", "atomic_write", "load", "machine", "read_card", "save", "verify"]

WEIGHTS_DIR = Path(__file__).resolve().parent.parent / "weights"


def atomic_write(path: Path, write) -> None:
    """Call ``write(file)`` on a temporary file, flush it and rename it to ``path``.

    Whatever happens on the way (a full disk, a kill), the old file stays as it was.

    Raises:
        OSError: If the folder cannot be written or the disk is full; says what to do.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        # torch reports a failed write of its zip file as a RuntimeError without errno
        if isinstance(error, OSError) or "PytorchStreamWriter" in str(error):
            raise OSError(
                getattr(error, "errno", None),
                f"could not write {path.name} ({error}); the previous file is unchanged: "
                "free some disk space or choose a folder that can be written",
            ) from error
        raise


def machine() -> dict:
    """Processor, cores, system and versions, as recorded beside every measured result."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [row for row in cpuinfo.read_text().splitlines() if row.startswith("model name")]
        processor = names[0].split(":", 1)[1].strip() if names else processor
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": processor,
        "threads": torch.get_num_threads(),
        "accelerator": accelerator,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save(model: nn.Module, path: str | os.PathLike, card: dict) -> dict:
    """Save the state dict of ``model`` to ``path`` and its card to the ``.json`` beside it.

    Args:
        model: A network; its parameters are stored as contiguous float32 on the CPU.
        path: The ``.pth`` file.
        card: What to remember: at least ``model`` and ``model_args``; the key, SHA-256, number
            of parameters and machine are added.

    Returns:
        The complete card.

    Raises:
        OSError: If the disk is full or the folder read-only; the old files are unchanged.
    """
    path = Path(path)
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    atomic_write(path, lambda file: torch.save(state, file))
    card = {
        "key": path.stem,
        **card,
        "parameters": sum(p.numel() for p in model.parameters()),
        "sha256": _sha256(path),
        "machine": machine(),
    }
    text = json.dumps(card, indent=1) + "\n"
    atomic_write(path.with_suffix(".json"), lambda file: file.write(text.encode()))
    return card


def read_card(key_or_path: str | os.PathLike, weights_dir: Path | None = None) -> dict:
    """The JSON card of a weight file, given by its key (``"UNet"``) or path."""
    return json.loads(_locate(key_or_path, weights_dir).with_suffix(".json").read_text("utf-8"))


def _locate(key_or_path: str | os.PathLike, weights_dir: Path | None) -> Path:
    path = Path(key_or_path)
    return path if path.suffix else (weights_dir or WEIGHTS_DIR) / f"{path.name}.pth"


def load(
    key_or_path: str | os.PathLike,
    model: nn.Module | None = None,
    *,
    weights_dir: Path | None = None,
) -> nn.Module:
    """Load verified weights into ``model``, or into a new network built from the card.

    Args:
        key_or_path: A key such as ``"UNet"`` or the path of a ``.pth`` file.
        model: The network to fill; with None the card beside the file says which to build. A
            file without a card needs it.
        weights_dir: Where keys are looked up; the book's ``weights`` folder if None.

    Returns:
        The network in evaluation mode, on the CPU if it was built here.

    Raises:
        FileNotFoundError: If the file, or the card that is needed, is missing.
        ValueError: If the file does not match its card, is truncated, contains code, or holds
            the weights of another architecture.

    >>> type(load("ResCNN")).__name__
    'ResCNN'
    """
    path = _locate(key_or_path, weights_dir)
    if not path.is_file():
        raise FileNotFoundError(
            f"no weights at {path.name}; train them with 'python -m ippy train {path.stem}' or "
            "restore the file with 'git checkout weights'"
        )
    card_path = path.with_suffix(".json")
    card = json.loads(card_path.read_text("utf-8")) if card_path.is_file() else None
    if card is None and model is None:
        raise FileNotFoundError(
            f"{card_path.name} is missing, so nothing says which network {path.name} belongs to; "
            "restore it or pass the network: weights.load(path, model)"
        )
    if card is not None and _sha256(path) != card["sha256"]:
        raise ValueError(
            f"{path.name} is not the file its card describes (SHA-256 differs): it is truncated or "
            f"was altered; restore it with 'git checkout weights' or delete it and train again"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path.name} is refused: it holds more than tensors (possibly code that would run on "
            "loading); save a plain state dict with torch.save(model.state_dict(), path)"
        ) from error
    except (RuntimeError, EOFError, BadZipFile, OSError) as error:
        raise ValueError(f"{path.name} cannot be read, it may be truncated: {error}") from error
    if model is None:
        model = getattr(models, card["model"])(**card["model_args"])
    try:
        model.load_state_dict(state, strict=True)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{path.name} holds the weights of another architecture than {type(model).__name__}: "
            f"{str(error).splitlines()[-1].strip()}"
        ) from error
    return model.eval()


def verify(weights_dir: Path | None = None) -> dict[str, str]:
    """Check every weight file: key -> ``"ok"`` or the sentence that says what is wrong."""
    folder = Path(weights_dir or WEIGHTS_DIR)
    report = {}
    for path in sorted(
        {p.with_suffix(".pth") for p in folder.glob("*.*") if p.suffix in (".pth", ".json")}
    ):
        try:
            load(path)
            report[path.stem] = "ok"
        except (FileNotFoundError, ValueError) as error:
            report[path.stem] = str(error)
    return report
