r"""Classical reconstructions, the baselines of every network: Tikhonov and total variation.

Both work for any :class:`~ippy.operators.Operator`, on batches, and treat every image on its own:
its result does not depend on the others in the batch.
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

    Solves :math:`(K^TK + \lambda L^TL)\,x = K^Ty` with the boundary that K has.

    Args:
        K: Forward operator.
        y: Measurements ``(N, C, *K.out_shape)``.
        lam: Weight :math:`\lambda \ge 0`.
        regulariser: L, for instance ``Gradient(K.img_shape, boundary="reflect")``; by default
            the identity.
        n_iter: Largest number of iterations.
        tol: An image is finished when its residual is below ``tol`` times the first one.

    Returns:
        Images ``(N, C, *K.img_shape)``.

    Raises:
        ValueError: If ``lam`` is negative or not finite.
    """
    _check_weight(lam)

    def normal(x: Tensor) -> Tensor:
        Lx = x if regulariser is None else regulariser.adjoint(regulariser(x))
        return K.adjoint(K(x)) + lam * Lx

    r = K.adjoint(y)
    x, p, rr = torch.zeros_like(r), r, _dot(r, r)
    stop = tol**2 * rr  # (N, 1, 1, 1)
    for _ in range(n_iter):
        active = rr > stop
        if not active.any():
            break
        Ap = normal(p)
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
    n_iter: int = 300,
    bounds: tuple[float, float] | None = None,
    ratio: tuple[float, float] = (1., 1.), relax=1., x0=None, callback=None, norm=None
) -> Tensor:
    _check_weight(lam)
    x = K.adjoint(y) if x0 is None else x0
    D = Gradient(K.img_shape, boundary="reflect")
    norm = norm or operator_norm(K, channels=x.shape[1], device=y.device)
    sk, sd = ratio   # sigma = s * something
    tau = 1.0 / (sk * norm**2 + sd * 8.0) 
    p, q = (K(x)-y), torch.zeros_like(D(x))
    for i in range(n_iter):
        z = x - tau * (K.adjoint(p) + D.adjoint(q))
        if bounds: z = z.clamp(*bounds)
        xb = 2*z - x
        pn = (p + sk * (K(xb) - y)) / (1 + sk)
        v = q + sd * D(xb)
        a, b = v.chunk(2, dim=1)
        n = (a * a + b * b).sqrt_().clamp_(min=lam).reciprocal_() * lam
        qn = torch.cat([a * n, b * n], dim=1)
        x = x + relax * (z - x); p = p + relax*(pn-p); q = q + relax*(qn-q)
        if callback: callback(i, z)
    return z


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of every image of a batch, shape (N, 1, 1, 1)."""
    return (a * b).sum(dim=(1, 2, 3), keepdim=True)


def _check_weight(lam: float) -> None:
    if not 0 <= lam < float("inf"):
        raise ValueError(f"lam must be a finite number >= 0, got {lam}")
