"""Smart ratios: exact totals within each layer's bounds, in the published proportion."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prac.algorithms import smart_ratios

LAYERS = st.lists(st.integers(0, 3000), min_size=1, max_size=12)


@st.composite
def problems(draw):
    sizes = draw(LAYERS)
    return sizes, draw(st.integers(0, sum(sizes))), draw(st.booleans())


@given(problems())
def test_the_total_is_exact_and_each_layer_within_its_bounds(problem):
    sizes, kept, classifier = problem
    found = smart_ratios(sizes, kept, classifier=classifier)
    assert sum(found) == kept
    assert all(type(of) is int for of in found)
    assert all(0 <= of <= size for of, size in zip(found, sizes, strict=True))
    if kept >= sum(size > 0 for size in sizes):
        assert all(of >= 1 for of, size in zip(found, sizes, strict=True) if size)
    assert smart_ratios(sizes, kept, classifier=classifier) == found


@given(problems())
def test_no_layer_keeps_a_larger_share_than_one_before_it_but_for_rounding(problem):
    sizes, kept, _ = problem
    found = [(of, size) for of, size in zip(smart_ratios(sizes, kept), sizes, strict=True) if size]
    for (first, larger), (later, smaller) in pairwise(found):
        assert Fraction(later - 1, smaller) <= Fraction(first + 1, larger)


@given(st.lists(st.integers(1, 3000), min_size=2, max_size=12), st.data())
def test_where_nothing_is_cut_the_shares_are_in_proportion(sizes, data):
    count = len(sizes)
    ratios = [m * m + m for m in range(count, 0, -1)]
    full = sum(ratio * size for ratio, size in zip(ratios, sizes, strict=True))
    # The first layer's share is the largest: up to here it keeps less than all of itself.
    most = full // (count * count + count)
    kept = data.draw(st.integers(0, most))
    exact = [Fraction(kept * ratio * size, full) for ratio, size in zip(ratios, sizes, strict=True)]
    if all(of >= 1 for of in exact):
        found = smart_ratios(sizes, kept)
        assert all(abs(of - want) < 1 for of, want in zip(found, exact, strict=True))


def test_lenet_by_hand():
    # 300-100 on digits, a tenth kept: the classifier 300 of 1,000, the others share as 12 : 6.
    sizes = [64 * 300, 300 * 100, 1000]
    found = smart_ratios(sizes, 5020, classifier=True)
    scale = Fraction(5020 - 300, 12 * sizes[0] + 6 * sizes[1])
    assert found == [round(12 * scale * sizes[0]), round(6 * scale * sizes[1]), 300]


def test_a_classifier_keeps_more_where_others_are_full_and_less_where_little_is_kept():
    assert smart_ratios([10, 100], 90, classifier=True) == [10, 80]
    # 30 % of it would leave the first layer nothing: the rule is for all.
    assert smart_ratios([100, 100], 30, classifier=True) == smart_ratios([100, 100], 30) == [23, 7]
    assert smart_ratios([100, 100], 31, classifier=True) == [1, 30]
    assert smart_ratios([100], 7, classifier=True) == [7]


def test_what_is_left_by_rounding_goes_to_the_first_of_equals():
    assert smart_ratios([1, 3], 2) == [1, 1]
    assert smart_ratios([], 0) == []
    assert smart_ratios([0, 5, 0], 3) == [0, 3, 0]
    assert sum(smart_ratios([5, 5, 5], 2)) == 2


@pytest.mark.parametrize(("sizes", "kept"), [([5], 6), ([5], -1), ([-1, 5], 2)])
def test_impossible_counts_are_told(sizes, kept):
    with pytest.raises(ValueError, match="expected"):
        smart_ratios(sizes, kept)
