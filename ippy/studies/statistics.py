"""How sure a mean is: Student's t, paired differences, the spread pooled over groups.

Seeds are few, so intervals are Student's and not 1.96 standard errors; networks that are compared
saw the same images, so their differences are taken image by image or seed by seed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import torch
from torch import Tensor

__all__ = [
    "interval",
    "paired_interval",
    "pooled_interval",
    "pooled_std",
    "student_t",
    "verdict",
]

#: Numbers, one for each image or seed.
Values = Tensor | Sequence[float]


@cache
def student_t(df: int, level: float = 0.95) -> float:
    r"""The t that Student's distribution exceeds in absolute value with probability 1 - ``level``.

    It solves $I_{d/(d+t^2)}(d/2, 1/2) = 1 - \text{level}$ by bisection, with $I$ the regularised
    incomplete beta function (Abramowitz and Stegun, 26.5.27).

    Args:
        df: Degrees of freedom d, at least 1: one less than the number of values.
        level: Probability inside, in (0, 1).

    Raises:
        ValueError: If ``df`` or ``level`` is outside its range.

    >>> round(student_t(2), 3)
    4.303
    """
    if df < 1 or not 0 < level < 1:
        raise ValueError(
            f"df is {df} and level {level}; expected at least 1 degree of freedom (two values), "
            "and a level between 0 and 1 such as 0.95"
        )
    return _root(lambda t: _incomplete_beta(df / (df + t * t), df / 2, 0.5) - (1 - level))


def interval(values: Values, level: float = 0.95) -> tuple[float, float]:
    """Mean of independent values and half the width of Student's interval around it.

    Args:
        values: At least two numbers.
        level: Probability that the interval holds the true mean.

    Raises:
        ValueError: For fewer than two values.
    """
    x = _tensor(values)
    half = student_t(len(x) - 1, level) * (x.std() / len(x) ** 0.5)
    return x.mean().item(), half.item()


def paired_interval(a: Values, b: Values, level: float = 0.95) -> tuple[float, float]:
    """Mean of the differences ``a - b`` of values that belong together, and half its interval.

    Args:
        a, b: Values of the same images or seeds, in the same order, at least two.
        level: As in :func:`interval`.

    Raises:
        ValueError: If they are not equally many, or fewer than two.

    >>> paired_interval([2.0, 4.0], [1.0, 3.0])
    (1.0, 0.0)
    """
    if len(a) != len(b):
        raise ValueError(f"{len(a)} values cannot be paired with {len(b)}; give as many of both")
    return interval(_tensor(a) - _tensor(b), level)


def pooled_std(groups: Sequence[Values]) -> tuple[float, int]:
    r"""Standard deviation inside groups that are taken to spread alike, and its degrees of freedom.

    The root of $\sum_g \sum_i (x_{gi} - \bar x_g)^2 / \sum_g (n_g - 1)$: three seeds of one network
    say little about the spread of seeds, three seeds of six networks say more.

    Raises:
        ValueError: If no group has two values.
    """
    tensors = [_tensor(group) for group in groups]
    df = sum(len(x) - 1 for x in tensors)
    if df < 1:
        raise ValueError("no group has two values, so there is no spread to pool; give more seeds")
    squares = sum((x - x.mean()).square().sum().item() for x in tensors)
    return (squares / df) ** 0.5, df


def pooled_interval(
    groups: Mapping[str, Values], level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Mean of each group, and half its interval from the spread pooled over all groups."""
    std, df = pooled_std(list(groups.values()))
    t = student_t(df, level)
    return {name: (_tensor(x).mean().item(), t * std / len(x) ** 0.5) for name, x in groups.items()}


def verdict(difference: tuple[float, float], digits: int = 1, unit: str = "dB") -> str:
    """Who is ahead, in words: a sentence on a page follows the numbers, also when they change.

    Args:
        difference: Mean and half the width of its interval, as :func:`paired_interval` gives them.
        digits: Digits after the point.
        unit: Unit of both.

    >>> verdict((0.71, 0.2)), verdict((-0.71, 0.2))
    ('0.7 ± 0.2 dB ahead', '0.7 ± 0.2 dB behind')
    >>> verdict((-0.1, 0.2))
    'not to be told apart (−0.1 ± 0.2 dB)'
    """
    mean, half = difference
    if abs(mean) <= half:
        return f"not to be told apart ({mean:+.{digits}f} ± {half:.{digits}f} {unit})".replace(
            "-", "−"
        )
    side = "ahead" if mean > 0 else "behind"
    return f"{abs(mean):.{digits}f} ± {half:.{digits}f} {unit} {side}"


def _tensor(values: Values) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def _root(falling: Callable[[float], float]) -> float:
    """Where a falling function of t > 0 is zero."""
    low, high = 0.0, 1.0
    while falling(high) > 0:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function: the continued fraction 26.5.8, evaluated backwards."""
    if not 0 < x < 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the fraction converges quickly on the other side only
        return 1 - _incomplete_beta(1 - x, b, a)
    fraction = 1.0
    for m in range(200, 0, -1):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m - 1) * (a + b + m - 1) * x / ((a + 2 * m - 2) * (a + 2 * m - 1))
        fraction = 1 + odd / (1 + even / fraction)
    log = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    log += a * math.log(x) + b * math.log1p(-x)
    return math.exp(log) / (a * fraction)
