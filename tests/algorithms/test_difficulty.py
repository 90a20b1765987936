"""Difficulties as floats: error norms, the hardest, and sets spread over all difficulties."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prac.algorithms import coverage_centric, top_k_by_score
from prac.algorithms.difficulty import error_norms

SCORES = st.lists(
    st.sampled_from([0.0, 0.5, 1.0, 1.5, 7.0]) | st.floats(0, 10, width=32), max_size=30
)


def floats(values):
    return torch.tensor(list(values), dtype=torch.float32)


def test_error_norms_by_hand():
    # Errors: (-0.5, 0.5), (0, 0), (1, -1), and (-0.4, 0.3, 0.1) in a problem of three classes.
    two = torch.tensor([[0.5, 0.5], [0.0, 1.0], [1.0, 0.0]])
    found = error_norms(two, torch.tensor([0, 1, 1]))
    assert found.tolist() == pytest.approx([0.5**0.5, 0.0, 2**0.5])
    three = error_norms(torch.tensor([[0.6, 0.3, 0.1]]), torch.tensor([0]))
    assert three.tolist() == pytest.approx([0.26**0.5])


@given(st.lists(st.lists(st.floats(-20, 20), min_size=3, max_size=3), min_size=1, max_size=9))
def test_error_norms_lie_between_none_and_the_root_of_two(outputs):
    found = error_norms(torch.tensor(outputs).softmax(1), torch.arange(len(outputs)) % 3)
    assert found.shape == (len(outputs),)
    assert ((found >= 0) & (found <= 2**0.5 + 1e-5)).all()


def test_the_hardest_are_the_highest_scores():
    scores = floats([0.1, float("inf"), 3.0, 0.2, -1.0])
    assert top_k_by_score(scores, 3, seed=0).tolist() == [1, 2, 3]
    assert top_k_by_score(torch.tensor([3, 9, 1]), 1, seed=0).tolist() == [1]


@given(SCORES, st.integers(-1, 40), st.integers(0, 5))
def test_none_left_out_is_harder_than_any_taken(values, count, seed):
    found = top_k_by_score(floats(values), count, seed=seed)
    assert found.dtype == torch.int64
    taken = found.tolist()
    assert taken == sorted(set(taken))
    assert len(taken) == min(max(count, 0), len(values))
    left = set(range(len(values))) - set(taken)
    assert not taken or not left or min(values[i] for i in taken) >= max(values[i] for i in left)


def test_equally_hard_ones_are_drawn_from_the_seed():
    chosen = [top_k_by_score(torch.zeros(1000), 10, seed=seed).tolist() for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    # By index they would be 0 to 9, a single class where data is sorted by class.
    assert max(chosen[0]) > 100


def test_a_spread_set_by_hand():
    # Of 24, the two at 9 are cut. From 0 to 4 in four intervals lie 12, 6, 0 and 4: the 4 are fewer
    # than a third of 15 and all go in, the 6 give half of the other 11, the 12 the rest.
    scores = floats([0.1] * 11 + [0.0] + [1.5] * 6 + [3.5] * 3 + [4.0] + [9.0] * 2)
    for seed in range(5):
        chosen = coverage_centric(scores, 15, cutoff=1 / 12, strata=4, seed=seed)
        parts = [
            int(((chosen >= a) & (chosen < b)).sum()) for a, b in [(0, 12), (12, 18), (18, 22)]
        ]
        assert parts == [6, 5, 4]


def test_a_spread_set_reaches_scores_that_a_draw_from_all_would_miss():
    scores = torch.cat([torch.zeros(10_000), torch.linspace(0.1, 1, 50)])
    chosen = coverage_centric(scores, 100, cutoff=0, seed=0)
    assert int((chosen >= 10_000).sum()) > 40


def test_draws_within_an_interval_are_from_the_seed():
    scores = torch.zeros(1000)
    chosen = [coverage_centric(scores, 10, cutoff=0, seed=seed).tolist() for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert max(chosen[0]) > 100


@given(SCORES, st.floats(0, 1), st.integers(1, 12), st.integers(0, 5), st.data())
def test_a_spread_set_has_its_count_and_leaves_the_hardest_out(values, cutoff, strata, seed, data):
    cut = round(cutoff * len(values))
    count = data.draw(st.integers(0, len(values) - cut))
    found = coverage_centric(floats(values), count, cutoff=cutoff, strata=strata, seed=seed)
    assert found.dtype == torch.int64
    taken = found.tolist()
    assert taken == sorted(set(taken))
    assert len(taken) == count
    if cut and taken:
        easiest_cut = sorted(floats(values).tolist())[-cut]
        assert max(floats(values)[taken].tolist()) <= easiest_cut


def test_more_than_remain_cannot_be_taken():
    with pytest.raises(
        ValueError, match=r"count is 4: 3 of 6 examples remain after a cutoff of 0.5"
    ):
        coverage_centric(torch.arange(6.0), 4, cutoff=0.5, seed=0)


def test_infinite_scores_may_be_cut_but_not_spread():
    scores = floats([0.0, 1.0, 2.0, float("inf")])
    assert coverage_centric(scores, 3, cutoff=0.25, seed=0).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="is infinite: expected finite"):
        coverage_centric(scores, 3, cutoff=0, seed=0)


def test_settings_out_of_their_bounds_are_named():
    with pytest.raises(ValueError, match=r"cutoff is 1\.5"):
        coverage_centric(torch.zeros(3), 1, cutoff=1.5, seed=0)
    with pytest.raises(ValueError, match="strata is 0"):
        coverage_centric(torch.zeros(3), 1, cutoff=0, strata=0, seed=0)
    for choose in (top_k_by_score, lambda *a, **k: coverage_centric(*a, cutoff=0, **k)):
        with pytest.raises(ValueError, match="example 1 is not a number"):
            choose(floats([0, float("nan")]), 1, seed=0)
