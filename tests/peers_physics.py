"""The tests that deepinv ships for its own operators, run on ours through an adapter."""

import contextlib
import importlib
import io
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import deepinv
import pytest
import torch
from deepinv.physics import LinearPhysics
from torch import Tensor

from ippy.operators import Gradient, Operator

#: Tests of any linear operator, and their variants. That of several scales is left out: it needs an
#: operator for every size of image. ``clone`` only knows deepinv's own.
TESTS: dict[str, list[dict]] = {
    "test_operators_adjointness": [{}],
    "test_operators_norm": [{"verbose": True}, {"verbose": False}],
    "test_pseudo_inverse": [{"implicit_backward_solver": value} for value in (True, False)],
    "test_concatenation": [{}],
    "test_operators_differentiability": [{}],
    "test_adjoint_autograd": [{}],
    "test_physics_state_dict": [{}],
    "test_operator_cropper": [{}],
    "test_decomposable": [{}],
}


def adapted(K: Operator, channels: int) -> LinearPhysics:
    """One of our operators as deepinv's."""
    return LinearPhysics(
        A=lambda x, **_: K(x),
        A_adjoint=lambda y, **_: K.adjoint(y),
        img_size=(channels, *K.img_shape),
    )


def squared_norm(K: Operator, channels: int) -> float:
    """Largest eigenvalue of the dense matrix, which no iteration has estimated."""
    n = channels * K.img_shape[0] * K.img_shape[1]
    columns = torch.eye(n, dtype=torch.float64).reshape(n, channels, *K.img_shape)
    return torch.linalg.matrix_norm(K(columns).flatten(1), 2).item() ** 2


def deepinvs_tests() -> ModuleType:
    folder = str(Path(deepinv.__file__).parent / "tests")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("test_physics")
    finally:
        sys.path.remove(folder)


def run(tests: ModuleType, name: str, options: dict, K: Operator) -> str:
    """Run one test on one operator; what went wrong, or nothing."""
    channels = 2 if isinstance(K.T, Gradient) else 1  # the transpose takes pairs of channels

    def find(_: str, device: torch.device, imsize: Tensor = None, get_physics_param: bool = False):
        shape = (channels, *K.img_shape)
        found = (adapted(K, channels), shape, squared_norm(K, channels), torch.float32)
        return (*found, {}) if get_physics_param else found

    tests.find_operator = find
    test = getattr(tests, name)
    wanted = test.__code__.co_varnames[: test.__code__.co_argcount]
    given = {"name": "ours", "device": torch.device("cpu"), **options}
    if "rng" in wanted:
        given["rng"] = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            test(**given)
    except pytest.skip.Exception as skipped:
        return f"skipped: {skipped}"
    except Exception as error:  # whatever a test raises is its verdict
        return f"{type(error).__name__}: {error}"
    return ""


def physics() -> Iterator[tuple]:
    """A row per test of deepinv: on how many of our operators it passes."""
    from test_operators import BUILDERS

    tests, operators = deepinvs_tests(), {name: make((16, 16)) for name, make in BUILDERS.items()}
    for name, variants in TESTS.items():
        said = {
            f"{which} {options}": run(tests, name, options, K)
            for options in variants
            for which, K in operators.items()
        }
        wrong = {where: text for where, text in said.items() if text}
        for where, text in wrong.items():
            print(f"{name} of {where}: {text}", file=sys.stderr)
        passed = f"{len(said) - len(wrong)} of {len(said)}"
        yield name.removeprefix("test_"), "deepinv's test", "", passed, len(wrong), 0
