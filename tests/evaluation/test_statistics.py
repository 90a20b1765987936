"""Means, intervals and the paired test, against numbers worked out by hand and against SciPy's."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from prac.evaluation import half_width, mean, worse
from prac.evaluation.statistics import deviation

SHARES = st.lists(st.floats(0, 1).map(lambda x: round(x, 4)), min_size=2, max_size=12)
PAIRS = st.integers(2, 12).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 1000), min_size=n, max_size=n)] * 2)
)


def test_by_hand():
    # Deviations from 2 are -1, 0, 1; their squares sum to 2, over n - 1 that is 1.
    assert mean([1.0, 2.0, 3.0]) == 2.0
    assert deviation([1.0, 2.0, 3.0]) == 1.0
    # Student's t for two degrees of freedom is 4.3027 at 97.5 %.
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(4.3027 / math.sqrt(3), abs=1e-4)
    # For one degree of freedom t is a Cauchy: differences 1 and 3 give t = 2, p = 1 - 0.8524.
    assert worse([0.0, 0.0], [1.0, 3.0]) == pytest.approx(0.5 - math.atan(2) / math.pi)


def test_one_run_says_nothing():
    assert mean([0.5]) == 0.5
    assert deviation([0.5]) is None
    assert half_width([0.5]) is None
    assert worse([0.5], [0.9]) is None


@pytest.mark.parametrize(
    ("values", "baseline", "p"),
    [
        ([0.8, 0.9], [0.8, 0.9], 0.5),
        ([0.7, 0.8], [0.8, 0.9], None),
        ([0.8, 0.9], [0.7, 0.8], None),
        ([0.0, 0.0], [0.0, 0.0], 0.5),
    ],
)
def test_equal_differences_tell_nothing_of_their_spread(values, baseline, p):
    # 0.8 - 0.7 and 0.9 - 0.8 differ by rounding only.
    assert worse(values, baseline) == p


def test_pairs_must_be_pairs():
    with pytest.raises(ValueError, match="zip"):
        worse([0.1, 0.2], [0.1])


@given(SHARES)
def test_the_interval_is_scipys(values):
    assume(max(values) > min(values))
    low, high = stats.t.interval(
        0.95, len(values) - 1, loc=mean(values), scale=stats.sem(values)
    )  # fmt: skip
    assert half_width(values) == pytest.approx((high - low) / 2)


@given(PAIRS)
def test_the_test_is_scipys(pairs):
    values, baseline = ([x / 1000 for x in part] for part in pairs)
    differences = {a - b for a, b in zip(*pairs, strict=True)}
    assume(len(differences) > 1)
    expected = stats.ttest_rel(values, baseline, alternative="less").pvalue
    assert worse(values, baseline) == pytest.approx(expected, abs=1e-9)


@given(PAIRS)
def test_worse_the_other_way_is_the_rest(pairs):
    one, other = worse(*pairs), worse(*reversed(pairs))
    assert 0 <= one <= 1
    assert one + other == pytest.approx(1)
