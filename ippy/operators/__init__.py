r"""Linear forward models :math:`K` with exact adjoints.

Every image and channel of a batch ``(N, C, H, W)`` is treated separately: ``y = K(x)`` or
``K @ x``, and back with ``K.T(y)`` or ``K.adjoint(y)``. The result has the argument's dtype and
device; autograd passes through.
"""

from ippy.operators.base import Operator, operator_norm
from ippy.operators.filters import (
    Blurring,
    DownScaling,
    Gradient,
    course_motion_kernel,
    gaussian_kernel,
    motion_kernel,
)
from ippy.operators.noise import gaussian_noise
from ippy.operators.tomography import CTProjector

__all__ = ["Blurring", "CTProjector", "DownScaling", "Gradient", "Operator"]
__all__ += [
    "course_motion_kernel",
    "gaussian_kernel",
    "gaussian_noise",
    "motion_kernel",
    "operator_norm",
]
