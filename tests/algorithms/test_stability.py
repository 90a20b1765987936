"""Mask distance and the stop rule, against plain counting."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prac.algorithms import mask_distance, ones, prune, stable


def mask(*bits):
    return {"w": torch.tensor(bits, dtype=torch.bool)}


def test_a_moved_weight_counts_twice():
    assert mask_distance(mask(1, 1, 0, 1, 1), mask(1, 0, 1, 1, 1), kept_before=5) == 2 / 5


def test_the_distance_is_a_share_of_the_weights_kept_before():
    old, new = mask(1, 1, 0, 0), mask(0, 1, 0, 1)
    assert mask_distance(old, new, kept_before=3) == 2 / 3
    assert mask_distance(old, new, kept_before=0) == 2


def test_flips_in_all_layers_count():
    old = {"a": torch.tensor([True, False]), "b": torch.tensor([[True], [True]])}
    new = {"b": torch.tensor([[False], [True]]), "a": torch.tensor([True, True])}
    assert mask_distance(old, new, kept_before=4) == 0.5


def test_at_a_rate_of_a_fifth_the_largest_distance_is_two_fifths():
    weights = {"w": torch.arange(100.0)}
    masks = ones(weights)
    rising = prune(weights, masks, 0.2)
    falling = prune({"w": -weights["w"]}, masks, 0.2)
    assert mask_distance(rising, falling, kept_before=100) == 0.4


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_the_distance_is_the_number_of_bits_that_differ(pairs):
    old, new = mask(*(o for o, _ in pairs)), mask(*(n for _, n in pairs))
    expected = sum(o != n for o, n in pairs) / len(pairs)
    assert mask_distance(old, new, kept_before=len(pairs)) == expected
    assert mask_distance(new, old, kept_before=len(pairs)) == expected


@pytest.mark.parametrize(
    ("distances", "expected"),
    [
        ([], False),
        ([0.01], False),
        ([0.3, 0.05, 0.04], True),
        ([0.3, 0.05, 0.04, 0.2], False),
        ([0.3, 0.04, 0.2, 0.04], False),
        # Once armed it stays so.
        ([0.3, 0.2, 0.2, 0.04, 0.04], True),
        # Never armed: the mask did not move much from the start.
        ([0.05, 0.04, 0.04], False),
        # Epsilon itself arms, and is not under epsilon.
        ([0.1, 0.05, 0.05], True),
        ([0.3, 0.05, 0.1], False),
    ],
)
def test_the_published_rule(distances, expected):
    assert stable(distances, epsilon=0.1, window=2) is expected


@pytest.mark.parametrize(
    ("distances", "expected"),
    [([0.05], False), ([0.05, 0.04], True), ([0.1, 0.04], False), ([0.1, 0.05, 0.05], True)],
)
def test_without_arming_the_window_alone_decides(distances, expected):
    assert stable(distances, epsilon=0.1, window=2, above_once=False) is expected


@given(
    distances=st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.2]), max_size=8),
    window=st.integers(1, 5),
    above_once=st.booleans(),
)
def test_the_rule_is_a_count_of_distances(distances, window, above_once):
    run = 0
    for distance in reversed(distances):
        if distance >= 0.1:
            break
        run += 1
    armed = not above_once or max(distances, default=0) >= 0.1
    assert stable(distances, epsilon=0.1, window=window, above_once=above_once) == (
        run >= window and armed
    )
