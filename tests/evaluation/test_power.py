"""How many seeds a test needs: known values, what must hold of all, and what draws show."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from prac.evaluation.power import (
    DENSE_ALIKE,
    POWER,
    at_most,
    degrees_of_freedom,
    detectable,
    pooled_deviation,
    seeds_needed,
)

DEVIATIONS = st.floats(1e-3, 10)
DIFFERENCES = st.floats(1e-2, 10)


@pytest.mark.parametrize(
    ("effect", "power", "seeds"),
    # Of one-sided, paired tests at 5 %, as Cohen's tables (1988) and G*Power have them.
    [(0.2, 0.8, 156), (0.5, 0.8, 27), (0.8, 0.8, 12), (1.0, 0.8, 8), (0.5, 0.95, 45)],
)
def test_seeds_are_those_of_published_tables(effect, power, seeds):
    assert seeds_needed(1.0, effect, power=power) == seeds


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_a_difference_that_is_told_is_found_as_often_as_said(n):
    difference = detectable(1.0, n)
    drawn = np.random.default_rng(0).normal(-difference, 1.0, (20_000, n))
    found = stats.ttest_1samp(drawn, 0.0, axis=1, alternative="less").pvalue < 0.05
    assert found.mean() == pytest.approx(POWER, abs=0.01)


@given(DEVIATIONS, st.integers(2, 200))
def test_more_seeds_tell_smaller_differences(deviation, n):
    assert 0 < detectable(deviation, n + 1) < detectable(deviation, n)
    assert detectable(2 * deviation, n) == pytest.approx(2 * detectable(deviation, n))


@given(DEVIATIONS, DIFFERENCES)
def test_seeds_are_enough_and_not_one_too_many(deviation, difference):
    needed = seeds_needed(deviation, difference)
    assert detectable(deviation, needed) <= difference
    assert needed == 2 or detectable(deviation, needed - 1) > difference
    assert seeds_needed(deviation, 2 * difference) <= needed
    assert seeds_needed(2 * deviation, difference) >= needed


def test_there_is_an_end_to_seeds():
    assert seeds_needed(1.0, 1e-300) == 2**60


def test_what_does_not_vary_is_told_by_any_seeds():
    assert (detectable(0.0, 2), seeds_needed(0.0, 0.1)) == (0.0, 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda: detectable(1.0, 1),
        lambda: detectable(-1.0, 2),
        lambda: detectable(math.inf, 2),
        lambda: detectable(1.0, 2, alpha=0.8, power=0.8),
        lambda: seeds_needed(1.0, 0.0),
        lambda: seeds_needed(1.0, math.nan),
        lambda: seeds_needed(math.nan, 1.0),
    ],
)
def test_what_is_no_test_is_refused(call):
    with pytest.raises(ValueError, match=r"no test|no difference"):
        call()


def test_variances_are_pooled_by_their_degrees_of_freedom():
    # Variances 2 and 1, of 1 and 2 degrees: (2 + 2) / 3.
    assert pooled_deviation([[0.0, 2.0], [0.0, 1.0, 2.0]]) == pytest.approx(math.sqrt(4 / 3))
    # Differences of 0.1 that floating point has made two.
    assert pooled_deviation([[0.9 - 0.8, 0.8 - 0.7], [0.0, 0.0]]) == 0.0


@pytest.mark.parametrize(("levels", "n"), [(1, 3), (4, 2), (8, 3)])
def test_levels_that_share_dense_runs_are_worth_fewer_degrees(levels, n):
    draw = np.random.default_rng(0)
    differences = draw.normal(size=(50_000, levels, n)) - draw.normal(size=(50_000, 1, n))
    pooled = differences.var(axis=2, ddof=1).mean(axis=1)
    seen = 2 * pooled.mean() ** 2 / pooled.var()
    degrees = degrees_of_freedom([n] * levels, correlation=DENSE_ALIKE)
    assert degrees == pytest.approx(seen, rel=0.05)
    # As many bounds hold as are said to, or more.
    held = at_most(1.0, degrees) * np.sqrt(pooled) > math.sqrt(2)
    assert held.mean() > 0.79


@given(st.floats(0.5, 50))
def test_a_bound_is_above_and_nearer_with_more_degrees(degrees):
    assert 1 < at_most(1.0, degrees + 1) < at_most(1.0, degrees)
