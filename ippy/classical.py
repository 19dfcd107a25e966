r"""Classical reconstructions, the baselines of every network: Tikhonov and total variation.

Both work on batches and for any :class:`~ippy.operators.Operator`, with the boundary that the
operator has. Every image is treated on its own: its result does not depend on its batch mates.
Numbers of 16 bits are computed with 32. No gradient passes through: differentiate an unrolled loop.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ippy.operators import Gradient, Operator, operator_norm
from ippy.operators.base import check_input

__all__ = ["tikhonov", "total_variation"]


@torch.no_grad()
def tikhonov(
    K: Operator,
    y: Tensor,
    lam: float,
    *,
    regulariser: Operator | None = None,
    n_iter: int = 100,
    tol: float = 1e-6,
) -> Tensor:
    r"""Minimise :math:`\|Kx - y\|^2 + \lambda \|Lx\|^2` by conjugate gradients.

    They solve :math:`(K^TK + \lambda L^TL)\,x = K^Ty` and start at 0.

    Args:
        K: Forward operator.
        y: Measurements ``(N, C, *K.out_shape)``.
        lam: Weight :math:`\lambda \ge 0`.
        regulariser: L; by default the identity. ``Gradient(K.img_shape, boundary="reflect")``
            penalises edges instead of grey levels and is mostly better for images.
        n_iter: Largest number of iterations.
        tol: An image is finished when its residual is below ``tol`` times the first one; less than
            rounding allows counts as that.

    Returns:
        Images ``(N, C, *K.img_shape)``.

    Raises:
        ValueError: If ``lam`` or ``tol`` is negative or not finite, ``n_iter`` is not positive, or
            the measurements have NaN or infinite values.
    """
    if not 0 <= lam < float("inf"):
        raise ValueError(f"lam must be a finite number >= 0, got {lam}; try 1e-3")
    if not 0 <= tol < float("inf"):
        raise ValueError(f"tol must be a finite number >= 0, got {tol}; try 1e-6")
    kind, y = y.dtype, _checked(K, y, n_iter)
    scale = _power_of_two(y)  # squares of very small or large numbers would leave the range
    _keep_freed_memory()
    r = K.adjoint(y / scale)
    x, p, rr = torch.zeros_like(r), r, _dot(r, r)
    # Beyond rounding the residual that is updated goes on to fall, down to 0 / 0; x gains nothing.
    stop = max(tol, torch.finfo(r.dtype).eps) ** 2 * rr  # (N, 1, 1, 1)
    for _ in range(n_iter):
        active = rr > stop
        if not active.any():
            break
        penalty = p if regulariser is None else regulariser.adjoint(regulariser(p))
        Ap = K.adjoint(K(p)) + lam * penalty
        step = torch.where(active, rr / _dot(p, Ap), 0)  # 0: a finished image stays as it is
        x, r = x + step * p, r - step * Ap
        rr, rr_old = _dot(r, r), rr
        p = r + torch.where(active, rr / rr_old, 0) * p
    return (x * scale).to(kind)


@torch.no_grad()
def total_variation(
    K: Operator,
    y: Tensor,
    lam: float,
    *,
    n_iter: int = 200,
    bounds: tuple[float, float] | None = None,
) -> Tensor:
    r"""Minimise :math:`\tfrac12\|Kx - y\|^2 + \lambda\,\mathrm{TV}(x)` (Chambolle and Pock 2011).

    :math:`\mathrm{TV}(x) = \sum_{i,j} |(\nabla x)_{i,j}|_2` is isotropic, every channel on its
    own. Both terms are dualised (Algorithm 1 of the paper for the stacked operator
    :math:`(K, \nabla)`), so nothing is inverted; every step is over-relaxed by 1.9 (Condat 2013).
    The dual step of the gradient is proportional to :math:`\lambda`, for images of about [0, 1].

    Args:
        K: Forward operator.
        y: Measurements ``(N, C, *K.out_shape)``.
        lam: Weight :math:`\lambda > 0`.
        n_iter: Number of iterations. 200 end within 0.1 % of the least objective for the book's
            blur; weaker noise or a stronger blur needs more, tomography from few views 1,000.
        bounds: Smallest and largest grey level, for instance (0, 1); by default none.

    Returns:
        Images ``(N, C, *K.img_shape)``.

    Raises:
        ValueError: If ``lam`` is not positive and finite, the bounds are not increasing,
            ``n_iter`` is not positive, or the measurements have NaN or infinite values.
    """
    if not 0 < lam < float("inf"):
        raise ValueError(f"lam must be a finite number > 0, got {lam}; try 1e-3")
    if bounds is not None and not bounds[0] < bounds[1]:
        raise ValueError(f"bounds must be (smallest, largest) grey level like (0, 1), got {bounds}")
    kind, y = y.dtype, _checked(K, y, n_iter)
    grad = Gradient(K.img_shape, boundary="reflect")
    z = K.adjoint(y)
    # Power iteration stops below the norm, hence 5 % more; the gradient's norm is at most sqrt(8).
    norm = 1.05 * operator_norm(K, channels=z.shape[1], n_iter=20, device=y.device)
    sigma_p, sigma_q = 0.1, 10 * lam
    tau = 1 / (sigma_p * norm**2 + sigma_q * 8)
    x = z / max(norm, 1e-30) ** 2
    p, q = K(x) - y, torch.zeros_like(grad(x))
    _keep_freed_memory()
    # Few passes over memory: with the blur as fast as it is, they cost most of the time. Every step
    # is over-relaxed, old + 1.9 (new - old), which is written into the formulas of x and p.
    relax, keep = 1.9, 1 / (1 + sigma_p)
    for _ in range(n_iter):
        z = torch.sub(x, grad.adjoint(q).add_(K.adjoint(p)), alpha=tau)
        z = z if bounds is None else z.clamp_(*bounds)
        ahead = torch.lerp(x, z, 2.0)  # 2 z - x
        # the dual variable of the data: the minimum of a parabola, (p + sigma r) / (1 + sigma)
        r = K(ahead) - y  # not in place: it may be a view of the image
        p.mul_(1 - relax + relax * keep).add_(r, alpha=relax * keep * sigma_p)
        # that of the gradient: projected onto the discs |q| <= lam
        q_new = grad(ahead).mul_(sigma_q).add_(q)
        v, h = q_new.chunk(2, dim=1)  # 2 x (N, C, H, W), views
        shrink = torch.addcmul(v * v, h, h).clamp_(min=lam**2).rsqrt_().mul_(lam)
        v.mul_(shrink), h.mul_(shrink)
        x.lerp_(z, relax), q.lerp_(q_new, relax)
    return z.to(kind)


def _checked(K: Operator, y: Tensor, n_iter: int) -> Tensor:
    """Measurements to compute with: finite, of this operator, and with 32 bits at least.

    Raises ValueError for others and for a number of iterations that gives nothing.
    """
    if n_iter < 1:
        raise ValueError(f"n_iter is {n_iter}, expected at least one iteration; try 100")
    check_input(y, K.out_shape)
    if not bool(y.isfinite().all()):
        raise ValueError("the measurements y have NaN or infinite values; look for their source")
    return y.float() if y.dtype in (torch.float16, torch.bfloat16) else y


def _keep_freed_memory() -> None:
    """Let iterations use again what the last one freed: up to half of their time on Linux.

    The GNU C library returns freed memory to the system once it is twice the largest block that
    was freed before, at most 64 MB. One block that is freed unused, of 32 MB, sets that limit.
    """
    torch.empty(32_000_000, dtype=torch.uint8)


def _power_of_two(y: Tensor) -> Tensor:
    """For every image a number near its largest, (N, 1, 1, 1): dividing by it is exact."""
    largest = y.abs().flatten(1).amax(1).tolist()
    powers = [2.0 ** max(-100, min(100, math.frexp(value)[1])) for value in largest]
    return y.new_tensor(powers).reshape(-1, 1, 1, 1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of every image of the batch, shape (N, 1, 1, 1)."""
    return (a * b).sum(dim=(1, 2, 3), keepdim=True)
