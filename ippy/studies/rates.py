"""Each network after short trainings with several learning rates."""

from ippy.networks import taught
from ippy.studies.measures import Subject, facts, short
from ippy.studies.runner import Run

__all__ = ["RATES"]

#: Largest learning rates of the sweep.
RATES = (3e-4, 1e-3, 3e-3)


def _validation(subject: Subject) -> dict:
    return facts(*subject.load())


def runs() -> list[Run]:
    """Every network with every rate, seed 0."""
    return [short(name, 0, lr).run(_validation) for name in taught() for lr in RATES]
