"""Checkpoints: one file that holds a run, and knows which run it belongs to."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ippy.files import atomic_write
from ippy.networks import Recipe
from ippy.training.batches import Batch

__all__ = ["identity", "read", "write"]


def _hash(*parts: str | Tensor) -> str:
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode())
        else:
            digest.update(part.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()[:16]


def identity(
    recipe: Recipe,
    batch: Batch,
    validation: tuple[Tensor, Tensor] | None,
    loss: Callable[[Tensor, Tensor], Tensor],
) -> dict[str, str]:
    """What makes a run this one, under the names that a message uses.

    Batches say it themselves by a method ``identity()``; those of any other function are known by
    the first two. A loss is known by its values, so that a lambda is told from another.
    """
    own = getattr(batch, "identity", None)
    batches = own() if own else _hash(*batch(0), *batch(1))
    x = torch.linspace(0, 1, 64).reshape(1, 1, 8, 8)
    losses = [loss(x * factor + 0.1, x).reshape(-1) for factor in (1.0, 0.5, -2.0)]
    return {
        "recipe": _hash(json.dumps({**recipe.as_dict(), "task": ""}, sort_keys=True)),
        "task": recipe.task,
        "images or forward model": batches,
        "validation set": _hash(*validation) if validation else "none",
        "loss": _hash(*losses),
    }


def write(path: Path, state: dict) -> None:
    """Store a run: plain data and tensors, atomically."""
    file = io.BytesIO()
    torch.save(state, file)
    atomic_write({path: file.getvalue()})


def read(path: Path, run: dict[str, str], fast: dict) -> dict:
    """The stored state of this run.

    Args:
        path: File that :func:`write` wrote.
        run: What :func:`identity` says of the run that wants to go on.
        fast: Precision and memory format of that run.

    Raises:
        ValueError: If the file cannot be read, or belongs to another run; the message says what
            differs.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        found, made = dict(saved["run"]), saved["fast"]
    except Exception as error:  # torch's own text would advise to switch its safety off
        raise ValueError(
            f"checkpoint {path} cannot be read: it is torn, of an earlier version, or no "
            "checkpoint; delete it"
        ) from error
    if other := [name for name, value in run.items() if found.get(name) != value]:
        raise ValueError(
            f"checkpoint {path} belongs to a run with another {', '.join(other)}; delete it or "
            "train without --resume"
        )
    if made != fast:
        raise ValueError(
            f"checkpoint {path} was made with {made}, not {fast}; set IPPY_PRECISION to continue "
            "it, or delete it"
        )
    return saved
