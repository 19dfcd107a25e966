"""What all forward models have in common."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Operator", "operator_norm"]


class Operator(nn.Module):
    r"""Linear forward model :math:`y = Kx`; subclasses define ``_forward`` and ``_adjoint``.

    Args:
        img_shape: Height and width (H, W) of the images, in pixels.
        out_shape: Size of the measurements; by default that of the images.
    """

    def __init__(self, img_shape: Sequence[int], out_shape: Sequence[int] | None = None) -> None:
        super().__init__()
        self.img_shape = check_shape(img_shape)
        self.out_shape = self.img_shape if out_shape is None else check_shape(out_shape)

    def _forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no forward: define _forward(x)")

    def _adjoint(self, y: Tensor) -> Tensor:
        raise NotImplementedError(
            f"{type(self).__name__} has no adjoint: define _adjoint(y), the transpose of _forward"
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply :math:`K` to images x ``(N, C, *img_shape)``; returns ``(N, C', *out_shape)``.

        Raises TypeError unless x is a real float tensor, ValueError for another rank or size.
        """
        check_input(x, self.img_shape)
        with torch.autocast(x.device.type, enabled=False):  # measurements keep their precision
            return self._forward(x)

    def adjoint(self, y: Tensor) -> Tensor:
        r"""Apply :math:`K^T`, defined by :math:`\langle Kx, y\rangle = \langle x, K^Ty\rangle`.

        Maps y ``(N, C', *out_shape)`` to ``(N, C, *img_shape)``; raises as ``forward`` does.
        """
        check_input(y, self.out_shape)
        with torch.autocast(y.device.type, enabled=False):
            return self._adjoint(y)

    @property
    def T(self) -> Operator:
        """The adjoint as an operator; ``K.T(y)`` is ``K.adjoint(y)``, and ``K.T.T`` is ``K``."""
        return _Transposed(self)

    def __matmul__(self, x: Tensor) -> Tensor:
        return self(x)


class _Transposed(Operator):
    def __init__(self, K: Operator) -> None:
        super().__init__(K.out_shape, K.img_shape)
        self.K = K

    def _forward(self, x: Tensor) -> Tensor:
        return self.K._adjoint(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.K._forward(y)

    @property
    def T(self) -> Operator:
        return self.K


@torch.no_grad()
def operator_norm(
    K: Operator, *, channels: int = 1, n_iter: int = 50, device: torch.device | str = "cpu"
) -> float:
    r"""Largest singular value of K, by power iteration on :math:`K^TK`, always the same start.

    The estimate approaches the norm from below; ``channels`` are those of the images.
    """
    x = torch.rand(1, channels, *K.img_shape, generator=torch.Generator().manual_seed(0))
    x = x.to(device)
    for _ in range(n_iter):
        x = K.adjoint(K(x / x.norm().clamp(min=1e-30)))
    return float(x.norm().sqrt())  # x = K^T K v with |v| = 1


def check_input(x: Tensor, shape: tuple[int, int]) -> None:
    expected = f"expected a float tensor (N, C, {shape[0]}, {shape[1]})"
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = getattr(x, "dtype", type(x).__name__)
        raise TypeError(f"{expected}, got {kind}; convert with torch.as_tensor(x).float()")
    if x.ndim != 4 or tuple(x.shape[-2:]) != shape:
        raise ValueError(f"{expected}, got shape {tuple(x.shape)}; resize or build a new operator")


def check_shape(shape: Sequence[int]) -> tuple[int, int]:
    try:
        height, width = shape
        whole = (int(height), int(width))
        if min(whole) >= 1 and whole == (height, width):
            return whole
    except (TypeError, ValueError):
        pass
    raise ValueError(f"a shape must be two positive integers (H, W), got {shape!r}")


def check_choice(name: str, value: str | None, allowed: tuple[str, ...]) -> str:
    if value is None or value not in allowed:
        raise ValueError(f"unknown {name} {value!r}: use one of {', '.join(map(repr, allowed))}")
    return value
