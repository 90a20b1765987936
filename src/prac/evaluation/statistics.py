"""What a few runs tell: means, spreads, intervals, and a paired test. Plain numbers, no tensors.

SciPy is imported where a distribution is asked for, so that importing this costs nothing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

ROUNDING = 1e-12
"""Differences below this share of the numbers compared are those of floating point."""

RELIABLE = 0.05
"""With a p-value below this, one is reliably worse than the other."""


def mean(values: Sequence[float]) -> float:
    """Return the mean of at least one number.

    >>> mean([0.5, 1.0])
    0.75
    """
    return statistics.fmean(values)


def deviation(values: Sequence[float]) -> float | None:
    """Return the sample's standard deviation (divided by n - 1); None for fewer than two numbers.

    >>> round(deviation([0.8, 0.9]), 4), deviation([0.8])
    (0.0707, None)
    """
    return statistics.stdev(values) if len(values) > 1 else None


def half_width(values: Sequence[float], confidence: float = 0.95) -> float | None:
    """Return how far the mean's confidence interval reaches to either side, by Student's t.

    Args:
        values: Independent measurements.
        confidence: Share of such intervals that hold the true mean, if measurements are normal.

    Returns:
        In the unit of the values; None for fewer than two, which have no interval.

    >>> round(half_width([0.8, 0.9]), 4)
    0.6353
    """
    spread = deviation(values)
    if spread is None:
        return None
    from scipy.special import stdtrit

    n = len(values)
    return float(stdtrit(n - 1, (1 + confidence) / 2)) * spread / math.sqrt(n)


def binomial_half_width(share: float, n: int, confidence: float = 0.95) -> float:
    """Return half the width of the confidence interval of a share of `n` trials (Wilson 1927).

    >>> round(binomial_half_width(0.9, 10_000), 4), round(binomial_half_width(0.9, 100), 4)
    (0.0059, 0.0596)
    """
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    return z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)


def binomial_tail(successes: int, n: int, chance: float) -> float:
    """Return how probable so many successes in `n` trials, or more, are by chance.

    >>> round(binomial_tail(60, 100, 0.5), 4), binomial_tail(0, 100, 0.5)
    (0.0284, 1.0)
    """
    if successes <= 0:
        return 1.0
    from scipy.special import bdtrc

    return float(bdtrc(successes - 1, n, chance))


def worse(
    values: Sequence[float], baseline: Sequence[float], *, higher_is_better: bool = True
) -> float | None:
    """Return the p-value of a paired, one-sided t test: how well chance explains a worse mean.

    The null hypothesis is that `values` are on average no worse than `baseline`. Where all values
    are those of the baseline, p is 0.5. Where they differ from it, and all by the same, as few
    runs on a small test set may, nothing is known of how far differences spread, and so no p.

    Args:
        values: One measurement a pair.
        baseline: The other of each pair, in the same order.
        higher_is_better: Which way is better.

    Returns:
        p, from 0 to 1; None for fewer than two pairs, or differences without a spread, which tell
        nothing.

    Raises:
        ValueError: If there are not as many of the one as of the other.

    >>> round(worse([0.80, 0.81, 0.79], [0.90, 0.92, 0.91]), 4)
    0.0014
    >>> worse([0.8, 0.7], [0.9, 0.8]), worse([0.8, 0.7], [0.8, 0.7]), worse([0.8], [0.9])
    (None, 0.5, None)
    >>> round(worse([12.0, 13.5], [10.0, 11.0], higher_is_better=False), 4)
    0.0352
    """
    differences = [value - other for value, other in zip(values, baseline, strict=True)]
    if not higher_is_better:
        differences = [-of for of in differences]
    spread = deviation(differences)
    if spread is None:
        return None
    centre = mean(differences)
    rounding = ROUNDING * max(map(abs, (*values, *baseline)))
    if spread <= rounding:
        return 0.5 if abs(centre) <= rounding else None
    from scipy.special import stdtr

    n = len(differences)
    return float(stdtr(n - 1, centre / (spread / math.sqrt(n))))
