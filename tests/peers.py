"""Referees of other houses: operators, solvers and metrics beside those of well-known libraries.

Values, objectives at equal weight and times, measured in one run and printed as one table. Not a
part of 'run.py test': it takes minutes and packages that nobody else needs. In an environment of
its own:

    pip install -e ".[peers,test]"
    python tests/peers.py [--json FILE] [--only WORD]

A row fails where the difference is larger than its bound, which is what the two methods must agree
to: rounding, or how differently they sample. Times are the processor's, of one thread, the least of
several taken in turn, so that other work on the machine does not tell.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import astra
import deepinv
import numpy as np
import torch
from scipy import ndimage
from scipy.sparse.linalg import LinearOperator, cg
from skimage import metrics as sk_metrics
from skimage.restoration import denoise_tv_chambolle
from skimage.transform import iradon, radon
from torch import Tensor

from ippy import classical, metrics
from ippy.images import sample_image
from ippy.operators import Blurring, CTProjector, Gradient, operator_norm
from ippy.tasks import measure

ANGLES = np.arange(90) * np.pi / 90  # half a turn, in radians


class Row(NamedTuple):
    """One comparison; ``ratio`` is our time divided by theirs."""

    what: str
    peer: str
    theirs: str
    ours: str
    difference: float
    bound: float
    ratio: float | None = None

    @property
    def good(self) -> bool:
        return self.difference <= self.bound


def times(ours: Callable, theirs: Callable, repeats: int = 5) -> float:
    """Our least time divided by theirs, measured in turn."""
    least = [float("inf"), float("inf")]
    for _ in range(repeats):
        for i, function in enumerate((ours, theirs)):
            start = time.process_time()
            function()
            least[i] = min(least[i], time.process_time() - start)
    return least[0] / least[1]


def norm_of_difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def array(x: Tensor) -> np.ndarray:
    return x.squeeze().numpy()


def phantom(side: int = 127) -> Tensor:
    """The thorax, black outside the inscribed circle; an odd side has a middle pixel."""
    return sample_image("thorax", side) * phantom_circle(side)


def phantom_circle(side: int) -> Tensor:
    places = torch.arange(side) - side // 2
    return places[:, None] ** 2 + places**2 < (side // 2 - 1) ** 2


# --- operators ---


def blurs() -> Iterator[Row]:
    """Values and times of a small and of a large blur, forwards and backwards."""
    book = {"kernel_type": "motion", "kernel_size": 9, "motion_angle": 20.0}
    K, x = Blurring((256, 256), **book), torch.rand(8, 1, 256, 256)
    wide = {"kernel_type": "gaussian", "kernel_size": 31, "kernel_variance": 25.0}
    L, z = Blurring((512, 512), **wide), torch.rand(1, 1, 512, 512)
    one = x[:1].double()
    scipy = ndimage.convolve(array(one), K.kernel.double().numpy(), mode="constant")
    exact = float(np.abs(array(K(one)) - scipy).max())
    ratio = times(
        lambda: K(x[:1]),
        lambda: ndimage.convolve(array(x[:1]), K.kernel.numpy(), mode="constant"),
    )
    yield Row("blur 9 × 9, 256², float64", "SciPy", "", "", exact, 1e-7, ratio)
    filters = {"filter": K.kernel[None, None], "padding": "constant"}
    peer = deepinv.physics.Blur(**filters)
    difference = norm_of_difference(K(x), peer.A(x))
    ratio = times(lambda: K(x), lambda: peer.A(x))
    yield Row("blur 9 × 9, 8 × 256²", "deepinv Blur", "", "", difference, 1e-5, ratio)
    difference = norm_of_difference(K.T(x), peer.A_adjoint(x))
    ratio = times(lambda: K.T(x), lambda: peer.A_adjoint(x))
    yield Row("its adjoint", "deepinv Blur", "", "", difference, 1e-5, ratio)
    wrap = Blurring((512, 512), **wide, boundary="circular")
    fft = deepinv.physics.BlurFFT((1, 512, 512), filter=L.kernel[None, None])
    difference = norm_of_difference(wrap(z), fft.A(z))
    ratio = times(lambda: wrap(z), lambda: fft.A(z))
    yield Row("blur 31 × 31, 512², circular", "deepinv BlurFFT", "", "", difference, 1e-5, ratio)


def projectors() -> Iterator[Row]:
    """Sinograms and filtered backprojections of a thorax."""
    x = phantom()
    side = x.shape[-1]
    K, degrees = CTProjector((side, side), ANGLES), np.rad2deg(ANGLES)
    y = K(x)
    volume = astra.create_vol_geom(side, side)
    geometry = astra.create_proj_geom("parallel", 1.0, side, ANGLES)
    strips = astra.OpTomo(astra.create_projector("strip", geometry, volume))
    flat = array(x).ravel()

    def with_astra() -> Tensor:
        return torch.from_numpy((strips @ flat).reshape(len(ANGLES), side).T)[None, None]

    difference = norm_of_difference(y, with_astra())
    ratio = times(lambda: K(x), with_astra)
    yield Row("sinogram 127², 90 views", "astra strip", "", "", difference, 1e-3, ratio)
    rows = y.mT.numpy().ravel()
    back = torch.from_numpy((strips.T @ rows).reshape(side, side))[None, None]
    difference = norm_of_difference(K.T(y), back)
    ratio = times(lambda: K.T(y), lambda: strips.T @ rows)
    yield Row("its adjoint", "astra strip", "", "", difference, 1e-3, ratio)
    other = torch.from_numpy(radon(array(x), degrees))[None, None]
    ratio = times(lambda: K(x), lambda: radon(array(x), degrees), 2)
    difference = norm_of_difference(y, other)
    yield Row("sinogram 127², 90 views", "scikit-image", "", "", difference, 2e-2, ratio)
    peer = deepinv.physics.Tomography(
        torch.from_numpy(degrees).float(), side, circle=True, normalize=False
    )
    difference = norm_of_difference(y, peer.A(x))
    ratio = times(lambda: K(x), lambda: peer.A(x), 3)
    yield Row("sinogram 127², 90 views", "deepinv", "", "", difference, 2e-2, ratio)
    # two of the three leave the corners black, so only the circle is looked at
    body = phantom_circle(side)
    ours = metrics.psnr(K.fbp(y), x, mask=body).item()
    answers = {
        "scikit-image": lambda: torch.from_numpy(iradon(array(y), degrees))[None, None],
        "astra": lambda: torch.from_numpy(strips.reconstruct("FBP", array(y).T))[None, None],
        "deepinv": lambda: peer.fbp(y),
    }
    for name, answer in answers.items():
        theirs = metrics.psnr(answer().float(), x, mask=body).item()
        ratio = times(lambda: K.fbp(y), answer, 2)
        shown = (f"{theirs:.2f} dB", f"{ours:.2f} dB")
        yield Row("FBP, 90 views", name, *shown, max(0.0, theirs - ours), 0.3, ratio)


# --- solvers ---


def tikhonov() -> Iterator[Row]:
    """The minimum of a parabola, in float64."""
    K = Blurring((128, 128), kernel_type="motion", kernel_size=9, motion_angle=20)
    y = measure(sample_image("camera", 128).double(), K)
    gradient, lam, n = Gradient(K.img_shape, boundary="reflect"), 1e-3, 128 * 128

    def normal(flat: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(flat.reshape(1, 1, 128, 128))
        return (K.T(K(x)) + lam * gradient.T(gradient(x))).numpy().ravel()

    def with_scipy() -> np.ndarray:
        right = K.T(y).numpy().ravel()
        return cg(LinearOperator((n, n), normal, dtype=np.float64), right, rtol=1e-8, maxiter=2000)[
            0
        ]

    def with_ours() -> Tensor:
        return classical.tikhonov(K, y, lam, regulariser=gradient, n_iter=2000, tol=1e-8)

    peer = torch.from_numpy(with_scipy()).reshape(1, 1, 128, 128)
    ratio = times(with_ours, with_scipy, 3)
    difference = norm_of_difference(with_ours(), peer)
    yield Row("Tikhonov, gradient, float64", "SciPy cg", "", "", difference, 1e-6, ratio)


def objective(K: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, lam: float) -> float:
    r"""Half the squared misfit plus ``lam`` times the total variation, in float64."""
    x, y = x.double(), y.double()
    slope = Gradient(x.shape[-2:], boundary="reflect")(x)
    return float((K(x) - y).square().sum() / 2 + lam * slope.square().sum(1).sqrt().sum())


def excess(x: float, least: float) -> str:
    return f"{x / least - 1:+.1e}"


def denoising() -> Iterator[Row]:
    """Objective of total variation above the least one, and time, on denoising."""
    x, lam = sample_image("camera", 128), 0.1
    y = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    K = Blurring((128, 128), [[1.0]])
    solvers = {
        "ours": lambda n: classical.total_variation(K, y, lam, n_iter=n),
        "scikit-image": lambda n: torch.from_numpy(
            denoise_tv_chambolle(array(y), weight=lam, eps=0, max_num_iter=n)
        )[None, None],
        "deepinv": lambda n: deepinv.models.TVDenoiser(crit=0, n_it_max=n)(y, lam),
    }
    least = objective(K, classical.total_variation(K, y.double(), lam, n_iter=2000), y, lam)

    def needed(solve: Callable[[int], Tensor]) -> int:
        """Iterations to within 0.1 % of the least objective, by halving."""
        low, high = 1, 1024
        while high - low > 5:
            middle = (low + high) // 2
            enough = objective(K, solve(middle), y, lam) <= 1.001 * least
            low, high = (low, middle) if enough else (middle, high)
        return high

    counts = {name: needed(solve) for name, solve in solvers.items()}
    for name in ("scikit-image", "deepinv"):
        ratio = times(
            lambda: solvers["ours"](counts["ours"]),
            lambda: solvers[name](counts[name]),  # noqa: B023  (called at once)
            3,
        )
        gap = objective(K, solvers["ours"](500), y, lam) / objective(K, solvers[name](2000), y, lam)
        shown = (f"{counts[name]} steps", f"{counts['ours']} steps")
        yield Row("TV denoising to 0.1 %", name, *shown, gap - 1, 1e-4, ratio)


def fista(K: Callable, y: Tensor, lam: float, norm: float, n_iter: int) -> Tensor:
    """Accelerated proximal gradient with scikit-image's denoiser inside (Beck and Teboulle)."""
    x = z = K.T(y) / norm**2
    t = 1.0
    for _ in range(n_iter):
        step = array(z - K.T(K(z) - y) / norm**2)
        denoised = denoise_tv_chambolle(step, weight=lam / norm**2, eps=0, max_num_iter=40)
        new = torch.from_numpy(denoised)[None, None]
        t, before = (1 + (1 + 4 * t**2) ** 0.5) / 2, t
        x, z = new, new + (before - 1) / t * (new - x)
    return x


def deblurring_and_tomography() -> Iterator[Row]:
    """Objective of total variation beside another algorithm, at the iterations of the book."""
    blur = Blurring((64, 64), kernel_type="motion", kernel_size=9, motion_angle=20)
    views = CTProjector((64, 64), ANGLES[::3], 93)
    cases = {  # operator, weight, our iterations and those of the peer
        "TV, the book's blur, 200 steps": (blur, 3e-4, 200, 200),
        "TV, 30 views, 1,000 steps": (views, 3e-2, 1000, 800),
    }
    for name, (K, lam, n_iter, outer) in cases.items():
        y, norm = measure(sample_image("thorax", 64), K), 1.02 * operator_norm(K)
        ours = objective(K, classical.total_variation(K, y, lam, n_iter=n_iter), y, lam)
        theirs = objective(K, fista(K, y, lam, norm, outer), y, lam)
        ratio = times(
            lambda: classical.total_variation(K, y, lam, n_iter=n_iter),  # noqa: B023
            lambda: fista(K, y, lam, norm, outer),  # noqa: B023
            1,
        )
        best = min(ours, theirs)
        shown = (excess(theirs, best), excess(ours, best))
        yield Row(name, "FISTA, scikit-image", *shown, ours / best - 1, 2e-3, ratio)


# --- metrics ---


def measures() -> Iterator[Row]:
    """PSNR and SSIM of a noisy image."""
    x = sample_image("camera", 256).double()
    y = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    a, b = array(x), array(y)
    ours, theirs = metrics.psnr(y, x).item(), sk_metrics.peak_signal_noise_ratio(a, b, data_range=1)
    yield Row("PSNR", "scikit-image", f"{theirs:.4f}", f"{ours:.4f}", abs(ours - theirs), 1e-9)
    theirs = deepinv.metric.PSNR()(y, x).item()
    yield Row("PSNR", "deepinv", f"{theirs:.4f}", f"{ours:.4f}", abs(ours - theirs), 1e-4)
    options = {"data_range": 1, "gaussian_weights": True, "sigma": 1.5, "full": True}
    cut, whole = sk_metrics.structural_similarity(a, b, use_sample_covariance=False, **options)
    ours = metrics.ssim(y, x).item()
    shown = (f"{whole.mean():.4f}", f"{ours:.4f}")
    yield Row("SSIM", "scikit-image, all", *shown, abs(ours - whole.mean()), 1e-3)
    ratio = times(
        lambda: metrics.ssim(y, x), lambda: sk_metrics.structural_similarity(a, b, **options)
    )
    shown = (f"{cut:.4f}", f"{ours:.4f}")
    yield Row("SSIM", "scikit-image, cut", *shown, abs(ours - cut), 2e-2, ratio)
    theirs = deepinv.metric.SSIM()(y, x).item()
    yield Row("SSIM", "deepinv", f"{theirs:.4f}", f"{ours:.4f}", abs(ours - theirs), 2e-2)


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| Compared | Peer | Theirs | Ours | Difference | Bound | Our time / theirs |  |"]
    lines.append("|" + "---|" * 8)
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        numbers = [f"{row.difference:.1e}", f"{row.bound:.0e}", ratio]
        verdict = "" if row.good else "**differs**"
        lines.append(f"| {' | '.join([*row[:4], *numbers, verdict])} |")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Run all comparisons whose name contains a word; print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file for the rows")
    parser.add_argument("--only", default="", help="part of the name of a group")
    options = parser.parse_args(argv)
    from peers_networks import fields
    from peers_physics import physics

    groups = [physics, blurs, projectors, tikhonov, denoising, deblurring_and_tomography, measures]
    rows: list[Row] = []
    for group in [*groups, fields]:
        if options.only in group.__name__:
            print(f"{group.__name__} …", file=sys.stderr, flush=True)
            rows += [row if isinstance(row, Row) else Row(*row) for row in group()]
    print(table(rows))
    if options.json:
        data = [{**row._asdict(), "good": row.good} for row in rows]
        options.json.write_text(json.dumps(data, indent=1, ensure_ascii=False), "utf-8")
    return int(not all(row.good for row in rows))


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    sys.exit(main(sys.argv[1:]))
