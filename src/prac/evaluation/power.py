"""How many seeds a verdict needs: the power of its paired, one-sided t test. No tensors.

SciPy is imported where a distribution is asked for, so that importing this costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from prac.evaluation.statistics import RELIABLE, ROUNDING, deviation

POWER = 0.8
"""How often a test is to tell a difference that there is; Cohen's convention (1988)."""

SURE = 0.8
"""Of ten bounds on a deviation so many hold, which few runs tell but roughly."""

DENSE_ALIKE = 0.5
"""Correlation of two tickets' differences from the same dense runs, if all runs spread alike."""


def detectable(deviation: float, n: int, *, alpha: float = RELIABLE, power: float = POWER) -> float:
    """Return the smallest true difference that the paired, one-sided t test tells with n pairs.

    It is told where the test, at the level `alpha`, finds it with the probability `power`: under a
    true difference the statistic follows the noncentral t distribution (Cohen 1988).

    Args:
        deviation: Standard deviation of the pairs' differences, in any unit.
        n: Pairs, two or more.
        alpha: Probability that the test finds a difference where there is none.
        power: Probability that it finds one that there is; greater than alpha.

    Returns:
        In the unit of the deviation.

    Raises:
        ValueError: If there are fewer than two pairs, or a number is out of range.

    >>> [round(detectable(1.0, n), 2) for n in (2, 3, 5, 10, 27)]
    [5.79, 2.3, 1.36, 0.85, 0.49]
    """
    if n < 2 or not 0 <= deviation < math.inf or not 0 < alpha < power < 1:
        raise ValueError(f"no test: deviation {deviation}, n {n}, alpha {alpha}, power {power}")
    from scipy.special import nctdtr, stdtrit

    critical = float(stdtrit(n - 1, 1 - alpha))

    def is_told(shift: float) -> bool:
        return 1 - float(nctdtr(n - 1, shift, critical)) >= power

    high = 1.0
    while not is_told(high):
        high *= 2
    low = 0.0
    for _ in range(60):  # To the last digits of a double.
        middle = (low + high) / 2
        low, high = (low, middle) if is_told(middle) else (middle, high)
    return deviation * high / math.sqrt(n)


def seeds_needed(
    deviation: float, difference: float, *, alpha: float = RELIABLE, power: float = POWER
) -> int:
    """Return with how many pairs the paired, one-sided t test tells a true difference.

    Args:
        deviation: Standard deviation of the pairs' differences.
        difference: The smallest that is to be told, above 0, in the same unit.
        alpha: As for `detectable`.
        power: Likewise.

    Returns:
        The fewest, 2 or more, with which `detectable` is no larger than the difference; no more
        than 2**60, which nobody trains.

    Raises:
        ValueError: If a number is out of range.

    >>> seeds_needed(1.0, 0.5), seeds_needed(1.0, 1.0), seeds_needed(0.0, 1.0)
    (27, 8, 2)
    """
    if not 0 < difference < math.inf:
        raise ValueError(f"no difference to tell: {difference}")

    def tells(n: int) -> bool:
        return detectable(deviation, n, alpha=alpha, power=power) <= difference

    few, many = 1, 2
    while many < 2**60 and not tells(many):
        few, many = many, 2 * many
    return _first(tells, few, many)


def _first(tells: Callable[[int], bool], few: int, many: int) -> int:
    """Return the smallest number above `few` that tells; `many` does."""
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if tells(middle) else (middle, many)
    return many


def pooled_deviation(groups: Sequence[Sequence[float]]) -> float:
    """Return the standard deviation that groups of differences have in common.

    It is the root of the mean of their variances, each weighted by its degrees of freedom, n - 1.
    Differences that differ by rounding only have the deviation 0.

    >>> round(pooled_deviation([[0.0, 0.02], [0.01, 0.05, 0.03]]), 4)
    0.0183
    >>> pooled_deviation([[0.9 - 0.8, 0.8 - 0.7]])
    0.0
    """
    degrees = [len(group) - 1 for group in groups]
    spreads = [deviation(group) or 0.0 for group in groups]
    squares = math.fsum(d * s * s for d, s in zip(degrees, spreads, strict=True))
    found = math.sqrt(squares / sum(degrees))
    largest = max(abs(value) for group in groups for value in group)
    # Differences of shares and of their like: what they were taken of is of the order of 1.
    return 0.0 if found <= ROUNDING * max(1.0, largest) else found


def degrees_of_freedom(counts: Sequence[int], *, correlation: float = 0.0) -> float:
    """Return how many degrees of freedom a pooled variance has, if groups are correlated.

    Of k groups of equal size whose measurements are correlated by r, sample variances are
    correlated by r squared; a chi-square of the same variance as their mean's has
    k (n - 1) / (1 + (k - 1) r r) degrees (Satterthwaite 1946).

    Args:
        counts: Measurements in each group, two or more.
        correlation: Of measurements of two groups, from 0 to 1.

    >>> degrees_of_freedom([2, 2, 2]), degrees_of_freedom([2, 2, 2], correlation=0.5)
    (3.0, 2.0)
    """
    return sum(n - 1 for n in counts) / (1 + (len(counts) - 1) * correlation**2)


def at_most(deviation: float, degrees: float, confidence: float = SURE) -> float:
    """Return an upper confidence bound of a standard deviation, by the chi-square distribution.

    Args:
        deviation: As found.
        degrees: Degrees of freedom that it was found with.
        confidence: Share of such bounds that lie above the true deviation, if differences are
            normal.

    >>> round(at_most(1.0, 1), 2), round(at_most(1.0, 2), 2), round(at_most(1.0, 9), 2)
    (3.95, 2.12, 1.29)
    """
    from scipy.special import chdtri

    return deviation * math.sqrt(degrees / float(chdtri(degrees, confidence)))
