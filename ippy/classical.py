r"""Classical reconstructions, the baselines of every network: Tikhonov and total variation.

Both work on batches and for any :class:`~ippy.operators.Operator`, with the boundary that the
operator has. Every image is treated on its own: its result does not depend on its batch mates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ippy.operators import Gradient, Operator, operator_norm

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
        tol: An image is finished when its residual is below ``tol`` times the first one.

    Returns:
        Images ``(N, C, *K.img_shape)``.

    Raises:
        ValueError: If ``lam`` is negative or not finite.
    """
    if not 0 <= lam < float("inf"):
        raise ValueError(f"lam must be a finite number >= 0, got {lam}; try 1e-3")
    r = K.adjoint(y)
    x, p, rr = torch.zeros_like(r), r, _dot(r, r)
    stop = tol**2 * rr  # (N, 1, 1, 1)
    for _ in range(n_iter):
        active = ~(rr <= stop)  # also true for NaN, which must not pass for a solution
        if not active.any():
            break
        penalty = p if regulariser is None else regulariser.adjoint(regulariser(p))
        Ap = K.adjoint(K(p)) + lam * penalty
        step = torch.where(active, rr / _dot(p, Ap), 0)  # 0: a finished image stays as it is
        x, r = x + step * p, r - step * Ap
        rr, rr_old = _dot(r, r), rr
        p = r + torch.where(active, rr / rr_old, 0) * p
    return x


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
        n_iter: Number of iterations; weaker noise or a stronger blur needs more.
        bounds: Smallest and largest grey level, for instance (0, 1); by default none.

    Returns:
        Images ``(N, C, *K.img_shape)``.

    Raises:
        ValueError: If ``lam`` is not positive and finite or the bounds are not increasing.
    """
    if not 0 < lam < float("inf"):
        raise ValueError(f"lam must be a finite number > 0, got {lam}; try 1e-3")
    if bounds is not None and not bounds[0] < bounds[1]:
        raise ValueError(f"bounds must be (smallest, largest) grey level like (0, 1), got {bounds}")
    grad = Gradient(K.img_shape, boundary="reflect")
    z = K.adjoint(y)
    # Power iteration stops below the norm, hence 5 % more; the gradient's norm is at most sqrt(8).
    norm = 1.05 * operator_norm(K, channels=z.shape[1], n_iter=20, device=y.device)
    sigma_p, sigma_q = 0.1, 10 * lam
    tau = 1 / (sigma_p * norm**2 + sigma_q * 8)
    x = z / max(norm, 1e-30) ** 2
    p, q = K(x) - y, torch.zeros_like(grad(x))
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
    return z


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of every image of the batch, shape (N, 1, 1, 1)."""
    return (a * b).sum(dim=(1, 2, 3), keepdim=True)
