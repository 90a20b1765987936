"""Example sets: disagreements, unions, and sets filled up with the next hardest examples."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prac.algorithms import ForgettingTable, disagreements, pad_to_size, union

FORGOTTEN = st.integers(0, 3) | st.none()  # None: never learned.
SETS = st.lists(st.integers(0, 20), unique=True)


def indices(values):
    return torch.tensor(list(values), dtype=torch.int64)


def table_of(events):
    """Return a table of these counts of events, None where an example was never learned."""
    counts = torch.tensor([count or 0 for count in events], dtype=torch.int32)
    learned = torch.tensor([count is not None for count in events], dtype=torch.bool)
    return ForgettingTable(counts, learned, torch.zeros(len(events)).bool())


def test_cep_are_the_examples_predicted_differently():
    dense, pruned = torch.tensor([0, 1, 2, 3]), torch.tensor([0, 2, 2, 0])
    assert disagreements(dense, pruned).tolist() == [1, 3]


def test_networks_that_agree_have_no_cep():
    found = disagreements(torch.arange(3), torch.arange(3))
    assert found.dtype == torch.int64
    assert found.shape == (0,)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2))))
def test_cep_are_what_a_walk_over_the_predictions_finds(pairs):
    dense = torch.tensor([d for d, _ in pairs], dtype=torch.int32)
    pruned = torch.tensor([p for _, p in pairs], dtype=torch.int32)
    expected = [i for i, (d, p) in enumerate(pairs) if d != p]
    assert disagreements(dense, pruned).tolist() == expected


def test_predictions_of_other_data_are_refused():
    with pytest.raises(ValueError, match="3 dense predictions stand against 2 pruned"):
        disagreements(torch.arange(3), torch.arange(2))


@given(SETS, SETS)
def test_a_union_is_python_s(first, second):
    found = union(indices(first), indices(second))
    assert found.dtype == torch.int64
    assert found.tolist() == sorted({*first, *second})


def test_a_small_set_takes_the_most_forgotten_of_the_others():
    table = table_of([0, 9, 3, 7, 0])
    assert pad_to_size(indices([1]), table, torch.arange(5), least=3, seed=0).tolist() == [1, 2, 3]


@pytest.mark.parametrize("seed", range(5))
def test_a_small_set_takes_the_never_learned_first_and_what_was_left_out_last(seed):
    # 4 and 5 were not trained on: no events and never right, of which nothing can be told.
    table = table_of([0, 3, None, 0, None, None])
    found = [
        pad_to_size(indices([3]), table, indices([3, 2, 1, 0]), least=least, seed=seed).tolist()
        for least in range(7)
    ]
    assert found[:5] == [[3], [3], [2, 3], [1, 2, 3], [0, 1, 2, 3]]
    assert found[5] in ([0, 1, 2, 3, 4], [0, 1, 2, 3, 5])
    assert found[6] == [0, 1, 2, 3, 4, 5]


def test_a_set_that_is_large_enough_comes_back_sorted():
    table = table_of([5, 5, 5, 5])
    assert pad_to_size(indices([3, 0]), table, torch.arange(4), least=2, seed=0).tolist() == [0, 3]


def test_ties_are_drawn_from_the_seed():
    table = table_of([0] * 1000)
    chosen = [
        pad_to_size(indices([]), table, torch.arange(1000), least=10, seed=seed).tolist()
        for seed in (0, 0, 1)
    ]
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]
    # By index they would be 0 to 9, a single class where data is sorted by class.
    assert max(chosen[0]) > 100


@given(
    events=st.lists(FORGOTTEN, min_size=1, max_size=12),
    chosen=st.sets(st.integers(0, 11)),
    members=st.sets(st.integers(0, 11)),
    least=st.integers(0, 15),
    seed=st.integers(0, 5),
)
def test_topping_up_reaches_the_count_with_none_easier_than_those_left_out(
    events, chosen, members, least, seed
):
    def difficulty(i):
        if i not in members:
            return -1
        return float("inf") if events[i] is None else events[i]

    n = len(events)
    chosen, members = ({i for i in some if i < n} for some in (chosen, members))
    result = pad_to_size(
        indices(chosen), table_of(events), indices(members), least=least, seed=seed
    )
    assert result.dtype == torch.int64
    found = result.tolist()
    assert found == sorted(set(found))
    assert len(found) == max(len(chosen), min(least, n))
    assert chosen <= set(found)
    added, left = set(found) - chosen, set(range(n)) - set(found)
    assert not added or not left or min(map(difficulty, added)) >= max(map(difficulty, left))


@pytest.mark.parametrize(
    ("dense", "pruned", "message"),
    [
        (
            torch.zeros(3, 2),
            torch.zeros(3, 2),
            r"are torch.float32 and torch.float32 of shape \(3, 2",
        ),
        (torch.zeros(3), torch.zeros(3, dtype=torch.int64), "are torch.float32 and torch.int64"),
        (torch.zeros(3, 1, dtype=torch.int64), torch.zeros(3, 1), "expected integers"),
    ],
)
def test_scores_of_classes_are_no_predictions(dense, pruned, message):
    with pytest.raises(ValueError, match=message):
        disagreements(dense, pruned)


@pytest.mark.parametrize(
    ("chosen", "members", "message"),
    [
        ([1, 1], [0], "chosen has 1 twice"),
        ([-1], [0], "chosen has position -1: expected 0 to 2"),
        ([0], [3], "members has position 3: expected 0 to 2"),
    ],
)
def test_padding_is_by_examples_that_are_there(chosen, members, message):
    with pytest.raises(ValueError, match=message):
        pad_to_size(indices(chosen), table_of([0, 0, 0]), indices(members), least=3, seed=0)
