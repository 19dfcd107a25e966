"""Whether a study has been trained until its answer stands still.

The error of a network falls to the last step when the learning rate goes to zero, so the errors
themselves never settle. What a study reports is a difference between networks, and that can.
"""

import math
from collections.abc import Mapping, Sequence

from ippy.studies.statistics import paired_interval

__all__ = ["FRACTIONS", "settled", "validations"]

#: Parts of the training after which groups are compared.
FRACTIONS = (2 / 3, 5 / 6, 1.0)
_VALIDATIONS = 12


def validations(steps: int) -> int:
    """Steps between validations, so that there is one at each of :data:`FRACTIONS`."""
    return max(1, steps // _VALIDATIONS)


def settled(groups: Mapping[str, Sequence[dict]], reference: str) -> list[dict]:
    """How the difference of each group of runs to a reference moves at the end of training.

    Args:
        groups: Name -> runs, one for each seed. A run has its ``seed``, and its learning curve as
            ``val_step`` and ``val_mse``; one without a curve has diverged.
        reference: The group that the others are compared with.

    Returns:
        One entry for each other group: ``difference``, its PSNR (dB) minus the reference's, the
        mean over seeds after each of :data:`FRACTIONS`; ``interval``, half of Student's interval of
        the last one; ``spread``, the standard deviation of the last one over seeds; ``moved``, how
        far it went in the last third; and ``settled``, whether that is less than the spread.
        Runs are compared seed by seed; a group that shares fewer than two curves with the
        reference is left out.
    """
    table, others = [], _curves(groups.get(reference, []))
    for name, runs in groups.items():
        mine = _curves(runs)
        pairs = [(mine[seed], others[seed]) for seed in mine if seed in others]
        if name == reference or len(pairs) < 2:
            continue
        curves = [
            [_psnr(run, part) - _psnr(other, part) for run, other in pairs] for part in FRACTIONS
        ]
        means = [sum(values) / len(values) for values in curves]
        half = paired_interval(curves[-1], [0.0] * len(pairs))[1]
        spread = (sum((v - means[-1]) ** 2 for v in curves[-1]) / (len(pairs) - 1)) ** 0.5
        moved = abs(means[-1] - means[0])
        found = {"difference": [round(mean, 3) for mean in means], "interval": round(half, 3)}
        found |= {"spread": round(spread, 3), "moved": round(moved, 3)}
        entry = {"group": name, "reference": reference, **found}
        table.append(entry | {"seeds": len(pairs), "settled": moved < spread})
    return table


def _curves(runs: Sequence[dict]) -> dict[int, dict]:
    """The runs that have a learning curve, by their seeds."""
    return {run["seed"]: run for run in runs if run["val_mse"]}


def _psnr(run: dict, part: float) -> float:
    """PSNR (dB) on validation images after this part of the training, at the nearest validation."""
    wanted = part * run["val_step"][-1]
    nearest = min(range(len(run["val_step"])), key=lambda i: abs(run["val_step"][i] - wanted))
    return -10 * math.log10(run["val_mse"][nearest])
