"""Modules that the first edition had under other names, so that code written for it runs.

Each old module is made when it is imported, and its names are looked up where they stand today.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["MOVED", "RENAMED", "find", "install", "method"]

#: Old module -> the modules that hold its names today.
MOVED = {
    "ippy.data": ("ippy.datasets", "ippy.images", "ippy.paths"),
    "ippy.live": ("ippy.training.live",),
    "ippy.phantoms": ("ippy.datasets.phantoms",),
    "ippy.reach": ("ippy.receptive_field.rules",),
    "ippy.recipes": ("ippy.networks", "ippy.tasks", "ippy.models"),
    "ippy.studies.family": (
        "ippy.studies.measures", "ippy.studies.comparison", "ippy.studies.robustness",
        "ippy.studies.skips", "ippy.studies.variants", "ippy.studies.cost",
    ),
    "ippy.studies.networks": ("ippy.studies.trained",),
    "ippy.studies.residual": (
        "ippy.studies.chains", "ippy.studies.baselines", "ippy.studies.skip_and_start",
        "ippy.studies.generalisation", "ippy.studies.depth",
    ),
    "ippy.studies.width": ("ippy.studies.fields", "ippy.studies.linear"),
}  # fmt: skip


def _names() -> tuple[str, ...]:
    return tuple(importlib.import_module("ippy.images").SAMPLES)


def _builders() -> dict[str, Callable[[], object]]:
    trained = importlib.import_module("ippy.studies.trained")
    names = [*importlib.import_module("ippy.networks").NETWORKS, *trained.VARIANTS]
    return {name: trained.variant(name).build for name in names}


def method(name: str, seed: int | str = 0) -> object:
    """The network or classical method of a run of the first edition; measures have it today.

    Args:
        name: Name of a network, ``"Tikhonov"``, ``"TV"`` or ``"measurement"``.
        seed: Seed of a short training, or ``"shipped"`` for the weights of the book.
    """
    measures = importlib.import_module("ippy.studies.measures")
    if name in ("measurement", *measures.CLASSICAL):
        return measures.classical(name).load()[0]
    subject = measures.shipped(name) if seed == "shipped" else measures.short(name, seed)
    return subject.load()[0]


def _fields() -> ModuleType:
    return importlib.import_module("ippy.studies.fields")


def _dilations() -> dict[int, tuple[int, ...]]:
    return {field: dilations for field, (dilations, _) in _fields().CHAINS.items()}


def _linear_psnr(task: str, widths: Sequence[int]) -> dict[int, float]:
    """Mean PSNR (dB) on a task of the study of fields of the best linear filter of each width."""
    found = {width: _fields().filtered(task, width) for width in widths}
    return {width: sum(values) / len(values) for width, values in found.items()}


def _steps() -> int:
    return importlib.import_module("ippy.studies.trained").recipe_of("UNet", 0).steps


def _correction() -> Callable:
    return importlib.import_module("ippy.studies.chains").correction


#: Names that are called otherwise today, or hold something else: old module, name -> how to get it.
RENAMED: dict[tuple[str, str], Callable[[], object]] = {
    ("ippy.data", "SAMPLE_IMAGES"): _names,
    ("ippy.weights", "readme"): lambda: importlib.import_module("ippy.report").weights_table,
    ("ippy.studies.family", "method"): lambda: method,
    ("ippy.studies.networks", "BUILDERS"): _builders,
    ("ippy.studies.networks", "RATES"): lambda: (3e-4, 1e-3, 3e-3),
    ("ippy.studies.networks", "STEPS"): _steps,
    ("ippy.studies.width", "Corrector"): _correction,
    ("ippy.studies.width", "DILATIONS"): _dilations,
    ("ippy.studies.width", "linear_psnr"): lambda: _linear_psnr,
}


def find(module: str, name: str) -> object:
    """What ``name`` of a module of the first edition is today.

    Raises:
        AttributeError: If the first edition had no such name.
    """
    if (module, name) in RENAMED:
        return RENAMED[module, name]()
    # what Python itself asks of any module must not import others
    for new in MOVED.get(module, ()) if not name.startswith("__") else ():
        found = importlib.import_module(new)
        if hasattr(found, name):
            return getattr(found, name)
    raise AttributeError(f"module {module!r} has no attribute {name!r}")


class _Finder(MetaPathFinder, Loader):
    """Gives ``import ippy.data`` a module whose names are looked up elsewhere."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return ModuleType(spec.name, f"Now in {' and '.join(MOVED[spec.name])}.")

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__getattr__"] = partial(find, module.__name__)


def install() -> None:
    """Let Python find the old modules, after all others."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
