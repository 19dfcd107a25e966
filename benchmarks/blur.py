"""Speed of the blur, its adjoint and total variation: ``python3 run.py bench blur``.

In the same run they are compared with those of the first edition. Its blur was one ``conv2d`` for
all images, which did the padding of the adjoint too: for one kernel per channel many times slower.
Its package comes from the history of the project, so the solver is the whole one of then.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ippy.operators import Blurring

ROOT = Path(__file__).parents[1]
SIZE, KERNELS, BATCHES = 256, (3, 9, 21, 31), (1, 8)
FIRST_EDITION = "1af76d97544e8add38ff9ef499e05b929b77bb92"
#: Total variation on the book's blur, by the package in the folder that is named first.
SOLVE = """
import sys, time
package, batch, n_iter, size, image = sys.argv[1:]
sys.path.insert(0, package)
import torch
from ippy import classical
from ippy.operators import Blurring
assert classical.__file__.startswith(package), classical.__file__
K = Blurring((int(size),) * 2, kernel_type="motion", kernel_size=9, motion_angle=20.0)
generator = torch.Generator().manual_seed(1)
y = K(torch.rand(int(batch), 1, int(size), int(size), generator=generator))
classical.total_variation(K, y, 1e-3, n_iter=3)
start = time.perf_counter()
x = classical.total_variation(K, y, 1e-3, n_iter=int(n_iter))
print(time.perf_counter() - start)
torch.save(x, image)
"""


class PaddedByConv(Blurring):
    """The same blur with zeros outside, as the first edition computed it."""

    def _conv2d(self, x: Tensor, kernel: Tensor, padding: list[int]) -> Tensor:
        n, c, h, w = x.shape
        weight = kernel.expand(n * c, 1, -1, -1)
        y = F.conv2d(x.reshape(1, n * c, h, w), weight, padding=padding, groups=n * c)
        return y.reshape(n, c, *y.shape[-2:])

    def _forward(self, x: Tensor) -> Tensor:
        ph, pw = self.margin
        return self._conv2d(F.pad(x, (pw, pw, ph, ph)), self.kernel.flip(0, 1), [0, 0])

    def _adjoint(self, y: Tensor) -> Tensor:
        (ph, pw), (h, w) = self.margin, y.shape[-2:]
        x = self._conv2d(y, self.kernel, [2 * ph, 2 * pw])
        return x[..., ph : ph + h, pw : pw + w]


def _ways(kernel: int, batch: int) -> dict[str, Callable[[], Tensor]]:
    K = Blurring((SIZE, SIZE), kernel_type="motion", kernel_size=kernel, motion_angle=20.0)
    old = PaddedByConv((SIZE, SIZE), kernel=K.kernel)
    x = torch.rand(batch, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return {
        "forward": lambda: K(x),
        "forward, padded by conv2d": lambda: old(x),
        "adjoint": lambda: K.adjoint(x),
        "adjoint, padded by conv2d": lambda: old.adjoint(x),
    }


def run(alternate: Callable[[dict, int], dict], rounds: int = 9, n_iter: int = 50) -> dict:
    """Seconds of every turn: operators for each kernel and batch, and total variation."""
    torch.empty(32_000_000, dtype=torch.uint8)  # as solvers do: no turn pays for another's memory
    operators = []
    for kernel in KERNELS:
        for batch in BATCHES:
            ways = _ways(kernel, batch)
            results = [ways[name]() for name in ("adjoint", "adjoint, padded by conv2d")]
            difference = (results[0] - results[1]).abs().max().item()
            facts = {"kernel": kernel, "batch": batch, "difference": difference}
            operators.append({**facts, "seconds": alternate(ways, rounds)})
    with tempfile.TemporaryDirectory() as folder:
        before = _first_edition(Path(folder))
        solver = [_solver(alternate, before, batch, n_iter) for batch in BATCHES]
    return {"operators": operators, "solver": solver}


def _first_edition(folder: Path) -> Path:
    """Unpack the package as it was before the blur and its solver became faster."""
    archive = ["git", "-C", str(ROOT), "archive", FIRST_EDITION, "ippy"]
    done = subprocess.run(archive, capture_output=True)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        raise RuntimeError(f"the history lacks {FIRST_EDITION[:7]} ({reason}); fetch it whole")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as packed:
        packed.extractall(folder, filter="data")
    return folder


def _solver(alternate: Callable, before: Path, batch: int, n_iter: int) -> dict:
    """Total variation now and then, each in its own process."""
    images = {name: before / f"{name}.pt" for name in ("now", "then")}
    solve = {
        "total variation": lambda: _seconds(ROOT, batch, n_iter, images["now"]),
        "total variation, first edition": lambda: _seconds(before, batch, n_iter, images["then"]),
    }
    seconds = alternate(solve, 5)
    now, then = (torch.load(path, weights_only=True) for path in images.values())
    difference = (now - then).abs().max().item()
    return {"batch": batch, "iterations": n_iter, "difference": difference, "seconds": seconds}


def _seconds(package: Path, batch: int, n_iter: int, image: Path) -> float:
    """Seconds of one total variation by the package in a folder; keeps its result."""
    command = [sys.executable, "-c", SOLVE, package, batch, n_iter, SIZE, image]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout)
