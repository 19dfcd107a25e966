"""What four starts of the same UNet make of its levels: reach, live channels, error.

PyTorch's own initialisation lets the signal shrink from level to level, so that a fresh network
seems to look at a few pixels only, and its deepest channels die in the first steps.
"""

import torch
from torch import Tensor, nn

from ippy import training
from ippy.receptive_field import effective
from ippy.studies import trained
from ippy.studies.channels import LEVELS
from ippy.studies.measures import SEEDS, Subject, facts, quality, short
from ippy.studies.runner import Run
from ippy.studies.settled import settled
from ippy.studies.shared import once
from ippy.tasks import SHAPE, task_operator

__all__ = ["BUDGET", "N_FIELD", "SHARE_INSIDE", "STARTS", "radii", "runs", "summarise"]

QUESTION = "What four starts of the same UNet make of its levels: reach, live channels, error"

#: Key of :data:`ippy.studies.trained.BUDGETS`.
BUDGET = "short"
#: What is compared, the network of the book last.
STARTS = ("UNet, default start", "UNet, He start", "UNet, old start", "UNet")
#: Images over which the effective field is averaged, and the share of it inside the radius.
N_FIELD, SHARE_INSIDE = 8, 0.95


@once
def _measured(version: int) -> Tensor:
    """Measurements of validation images."""
    recipe = trained.recipe_of("UNet", 0)
    data = {"kind": "mixed", "version": version}
    images = trained.images("val", N_FIELD, data)
    return training.validation_pairs(images, task_operator(), recipe)[0]


def radii(model: nn.Module, images: Tensor) -> dict[str, float | None]:
    """Radius (pixels) that holds 95 % of the effective field of the output, and of the correction.

    None where the gradient is zero, as that of the correction of a network that is the identity.
    """
    found: dict[str, float | None] = {}
    for name, correction in (("output", False), ("correction", True)):
        try:
            inside = effective(model, images, correction=correction, shares=(SHARE_INSIDE,))[1]
            found[name] = round(inside[SHARE_INSIDE], 3)
        except ValueError:
            found[name] = None
    return found


def _measure(subject: Subject) -> dict:
    name, seed = subject.fields["network"], subject.fields["seed"]
    fresh = trained.build(name, seed).to(trained.training_device()).eval()
    model, history = subject.load()
    assert isinstance(model, nn.Module) and history is not None
    images = _measured(trained.version_of(name))
    return {
        **facts(model, history),
        **quality(model),
        "radius_before": radii(fresh, images),
        "radius_after": radii(model, images),
        "active": history["active"],
    }


def runs() -> list[Run]:
    """Every start with every seed."""
    subjects = [short(name, seed, BUDGET) for seed in SEEDS for name in STARTS]
    return [subject.run(_measure, SHAPE, N_FIELD, SHARE_INSIDE) for subject in subjects]


def summarise(runs: list[dict]) -> dict:
    """Means over seeds for each start, and whether its distance to the book's has settled."""
    groups = {name: [run for run in runs if run["network"] == name] for name in STARTS}
    table = {name: _means(found) for name, found in groups.items() if found}
    return {"table": table, "settled": settled(groups, STARTS[-1])}


def _means(runs: list[dict]) -> dict:
    """Reach before and after, active channels before and after, PSNR: means over the seeds."""
    found: dict[str, float | None] = {}
    for when in ("before", "after"):
        for what in ("output", "correction"):
            values = [run[f"radius_{when}"][what] for run in runs]
            found[f"{what}_{when}"] = None if None in values else _mean(values)
    for level in LEVELS:
        for when, entry in (("before", 0), ("after", -1)):
            found[f"{level}_{when}"] = _mean([run["active"][entry][level] for run in runs])
    return found | {"psnr": _mean([torch.tensor(run["psnr"]).mean().item() for run in runs])}


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 4)
