"""Speed of the blur, its adjoint and total variation: ``python3 run.py bench blur``.

In the same run the adjoint is compared with itself as it was before, with the padding done by
``conv2d``, which is many times slower for one kernel per channel.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ippy import classical
from ippy.operators import Blurring

SIZE, KERNELS, BATCHES = 256, (3, 9, 21, 31), (1, 8)


class PaddedByConv(Blurring):
    """The same blur with zeros outside, whose adjoint lets ``conv2d`` do the padding."""

    def _adjoint(self, y: Tensor) -> Tensor:
        n, c, h, w = y.shape
        weight = self.kernel.expand(n * c, 1, -1, -1)
        full = [2 * margin for margin in self.margin]
        x = F.conv2d(y.reshape(1, n * c, h, w), weight, padding=full, groups=n * c)
        ph, pw = self.margin
        return x.reshape(n, c, *x.shape[-2:])[..., ph : ph + h, pw : pw + w]


def _ways(kernel: int, batch: int) -> dict[str, Callable[[], Tensor]]:
    K = Blurring((SIZE, SIZE), kernel_type="motion", kernel_size=kernel, motion_angle=20.0)
    old = PaddedByConv((SIZE, SIZE), kernel=K.kernel)
    x = torch.rand(batch, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return {
        "forward": lambda: K(x),
        "adjoint": lambda: K.adjoint(x),
        "adjoint, padded by conv2d": lambda: old.adjoint(x),
    }


def run(alternate: Callable[[dict, int], dict], rounds: int = 9, n_iter: int = 50) -> dict:
    """Seconds of every turn: operators for each kernel and batch, and total variation."""
    operators = []
    for kernel in KERNELS:
        for batch in BATCHES:
            ways = _ways(kernel, batch)
            results = [ways[name]() for name in ("adjoint", "adjoint, padded by conv2d")]
            difference = (results[0] - results[1]).abs().max().item()
            facts = {"kernel": kernel, "batch": batch, "difference": difference}
            operators.append({**facts, "seconds": alternate(ways, rounds)})
    K = Blurring((SIZE, SIZE), kernel_type="motion", kernel_size=9, motion_angle=20.0)
    old = PaddedByConv((SIZE, SIZE), kernel=K.kernel)
    solver = [_solver(alternate, K, old, batch, n_iter) for batch in BATCHES]
    return {"operators": operators, "solver": solver}


def _solver(alternate: Callable, K: Blurring, old: Blurring, batch: int, n_iter: int) -> dict:
    """Total variation with both adjoints, on the book's blur."""
    y = K(torch.rand(batch, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1)))
    solve = {
        "total variation": lambda: classical.total_variation(K, y, 1e-3, n_iter=n_iter),
        "total variation, padded by conv2d": lambda: classical.total_variation(
            old, y, 1e-3, n_iter=n_iter
        ),
    }
    results = [way() for way in solve.values()]
    difference = (results[0] - results[1]).abs().max().item()
    facts = {"batch": batch, "iterations": n_iter, "difference": difference}
    return {**facts, "seconds": alternate(solve, 3)}
