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


def _hash(*parts: str) -> str:
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


def _seen(images: Tensor) -> str:
    """What is seen of a tensor in five digits: another processor gives the same."""
    values = images.detach().cpu().double().flatten()
    places = torch.linspace(1, 2, len(values), dtype=torch.float64)
    return f"{tuple(images.shape)} {values.norm():.4e} {values.abs() @ places:.4e}"


def identity(
    recipe: Recipe,
    batch: Batch,
    validation: tuple[Tensor, Tensor] | None,
    loss: Callable[[Tensor, Tensor], Tensor],
) -> dict[str, str]:
    """What makes a run this one, under the names that a message uses.

    Batches say it themselves by a method ``identity()``, a dictionary like the result; those of any
    other function are known by the first two. A loss is known by its values, so that a lambda is
    told from another.
    """
    own = getattr(batch, "identity", None)
    batches = own() if own else {"batch function": _hash(*map(_seen, (*batch(0), *batch(1))))}
    x = torch.linspace(0, 1, 32 * 32).reshape(1, 1, 32, 32)
    losses = [loss(x * factor + 0.1, x) for factor in (1.0, 0.5, -2.0)]
    return {
        "recipe": _hash(json.dumps({**recipe.as_dict(), "task": ""}, sort_keys=True)),
        "task": recipe.task,
        **batches,
        "validation set": _hash(*map(_seen, validation)) if validation else "none",
        "loss": _hash(*map(_seen, losses)),
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
    if other := [name for name in {**run, **found} if run.get(name) != found.get(name)]:
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
