"""Checkpoints: one file that holds a run, and knows which run it belongs to."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ippy.files import atomic_write
from ippy.networks import Recipe
from ippy.training.batches import Batch

__all__ = ["identity", "made_of", "read", "write"]

#: What depends on the machine, or changes in a run.
_PASSING = ("lr", "foreach", "fused", "capturable", "differentiable")


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


def made_of(model: nn.Module, optimizer: Optimizer) -> dict[str, str]:
    """Network and optimiser of a run, named as in :func:`identity`."""
    shapes = [(name, tuple(value.shape)) for name, value in model.state_dict().items()]
    plain = (int, float, str, tuple, type(None))
    settings = {
        name: value
        for name, value in optimizer.defaults.items()
        if name not in _PASSING and isinstance(value, plain)
    }
    return {
        "network": _hash(type(model).__qualname__, repr(shapes)),
        "optimiser": _hash(type(optimizer).__qualname__, repr(sorted(settings.items()))),
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
        run: What :func:`identity` and :func:`made_of` say of the run that wants to go on.
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
    new = {"network", "optimiser"} - found.keys()  # files of earlier versions do not name them
    names = [name for name in {**run, **found} if name not in new]
    if other := [name for name in names if run.get(name) != found.get(name)]:
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
