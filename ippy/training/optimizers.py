"""The optimiser of a recipe, and its learning rate from step to step."""

import inspect
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ippy.networks import Recipe

__all__ = ["optimizer_for", "restore", "set_rate"]

#: Inputs per output of a 3 x 3 layer of 32 channels: with fewer, a layer learns at the full rate.
FAN_IN = 288


def optimizer_for(model: nn.Module, recipe: Recipe) -> Optimizer:
    """The optimiser that a recipe names, for all parameters of a network.

    On a GPU its learning rate is a tensor, so that a recorded step reads what it is now.

    Raises:
        ValueError: If neither ``torch.optim`` nor ``pytorch_optimizer`` has one of this name.
    """
    name = recipe.optimizer
    made = getattr(torch.optim, name, None)
    if made is None:
        import pytorch_optimizer  # takes most of a second, and most programs train nothing

        made = getattr(pytorch_optimizer, name, None)
    if not (isinstance(made, type) and issubclass(made, Optimizer)):
        raise ValueError(
            f"neither torch.optim nor pytorch_optimizer has an optimiser {name!r}; 'Adam' is one"
        )
    known, device = inspect.signature(made).parameters, next(model.parameters()).device
    options: dict[str, Any] = {"fused": True} if "fused" in known else {}
    if device.type == "cuda" and "capturable" in known:
        options["capturable"] = True
    shares: dict[float, list[nn.Parameter]] = {}
    found: set[nn.Parameter] = set()  # layers may share parameters
    for module in model.modules():
        share = _share(module) if recipe.rate_by_fan_in else 1.0
        own = [p for p in module.parameters(recurse=False) if p not in found]
        shares.setdefault(share, []).extend(own)
        found.update(own)
    groups = []
    for share, parameters in shares.items():
        if not parameters:
            continue
        rate = recipe.lr * share
        lr = torch.tensor(rate, device=device) if "capturable" in options else rate
        groups.append({"params": parameters, "lr": lr, "share": share})
    return made(groups, **options, **recipe.optimizer_args)


def _share(module: nn.Module) -> float:
    """Part of the learning rate for a layer, by the number of its inputs per output."""
    if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return 1.0
    weight = module.weight
    inputs = weight.shape[0] if isinstance(module, nn.ConvTranspose2d) else weight[0].numel()
    return min(1.0, FAN_IN / inputs)


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        if torch.is_tensor(group["lr"]):
            group["lr"].fill_(rate * group.get("share", 1.0))
        else:
            group["lr"] = rate * group.get("share", 1.0)


def restore(optimizer: Optimizer, state: dict) -> None:
    """Load a stored state; learning rates stay what they are on this machine."""
    rates = [group["lr"] for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
