"""Forgetting statistics, against a walk through every example's history of presentations."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prac.algorithms import ForgettingTable, forgettable, hardest
from prac.algorithms.forgetting import hardest_first

N = 6
# An epoch presents some examples, each right or wrong; None leaves one out.
EPOCHS = st.lists(
    st.lists(st.sampled_from([True, False, None]), min_size=N, max_size=N), max_size=8
)
MEMBERS = st.lists(st.integers(0, N - 1), unique=True)


def told(epochs):
    """Return the table after epochs of presentations, in an order that changes with the epoch."""
    table = ForgettingTable.empty(N)
    for number, epoch in enumerate(epochs):
        ids = [i for i in range(N) if epoch[i] is not None]
        ids = ids[number % N :] + ids[: number % N]
        correct = torch.tensor([epoch[i] for i in ids], dtype=torch.bool)
        table = table.update(torch.tensor(ids, dtype=torch.int64), correct)
    return table


def history_of(epochs, example):
    return [epoch[example] for epoch in epochs if epoch[example] is not None]


def events_in(history):
    return sum(now and not then for now, then in itertools.pairwise(history))


def tables(*, events, learned):
    return ForgettingTable(
        torch.tensor(events, dtype=torch.int32),
        torch.tensor(learned),
        torch.zeros(len(events), dtype=torch.bool),
    )


def indices(*values):
    return torch.tensor(values, dtype=torch.int64)


def test_an_event_is_right_once_and_wrong_the_next_time():
    right, wrong = [True] + [None] * 5, [False] + [None] * 5
    assert told([right, wrong]).events[0] == 1
    assert told([wrong, wrong, right, right]).events[0] == 0
    assert told([right, wrong, wrong, right, wrong]).events[0] == 2


def test_an_absent_example_is_judged_against_its_own_last_presentation():
    right, wrong, absent = [True] + [None] * 5, [False] + [None] * 5, [None] * 6
    assert told([right, absent, absent, wrong]).events[0] == 1
    assert told([right, absent, absent, right]).events[0] == 0


def test_updating_leaves_the_earlier_table_as_it_was():
    before = ForgettingTable.empty(2).update(indices(0), torch.tensor([True]))
    before.update(indices(0, 1), torch.tensor([False, True]))
    assert before.events.tolist() == [0, 0]
    assert before.learned.tolist() == before.correct.tolist() == [True, False]


@given(EPOCHS)
def test_the_table_tells_what_the_histories_hold(epochs):
    table = told(epochs)
    for example in range(N):
        history = history_of(epochs, example)
        assert table.events[example] == events_in(history)
        assert table.learned[example] == any(history)
        assert table.correct[example] == (bool(history) and history[-1])


PRESENTATIONS = st.lists(st.tuples(st.integers(0, N - 1), st.booleans()), max_size=20)


@given(EPOCHS, PRESENTATIONS)
def test_an_update_with_an_example_several_times_is_those_one_at_a_time(epochs, presented):
    one_by_one = told(epochs)
    for example, right in presented:
        one_by_one = one_by_one.update(indices(example), torch.tensor([right]))
    correct = torch.tensor([right for _, right in presented], dtype=torch.bool)
    at_once = told(epochs).update(indices(*(example for example, _ in presented)), correct)
    for name in ("events", "learned", "correct"):
        expected = getattr(one_by_one, name)
        assert getattr(at_once, name).tolist() == expected.tolist()
        assert getattr(at_once, name).dtype == expected.dtype


def test_padding_by_a_repeated_example_loses_no_event():
    # Four examples for a batch of six: the first two come twice, as a distributed sampler pads.
    right = torch.tensor([True, True, True, True, False, True])
    table = ForgettingTable.empty(4).update(indices(0, 1, 2, 3, 0, 1), right)
    assert table.events.tolist() == [1, 0, 0, 0]
    assert table.correct.tolist() == [False, True, True, True]
    # What an update was given is left as it was.
    assert right.tolist() == [True, True, True, True, False, True]


RIGHT = torch.tensor([True, False])


@pytest.mark.parametrize(
    ("ids", "correct", "message"),
    [
        (indices(0, -1), RIGHT, "ids has position -1: expected 0 to 5"),
        (indices(0, 6), RIGHT, "ids has position 6: expected 0 to 5"),
        (torch.tensor([0.0, 1.0]), RIGHT, r"ids is torch.float32 of shape \(2,\): expected int64"),
        (torch.tensor([True] * 6), RIGHT, r"ids is torch.bool of shape \(6,\): expected int64"),
        (torch.tensor([[0, 1]]), RIGHT, r"ids is torch.int64 of shape \(1, 2\): expected int64"),
        (torch.tensor(3), RIGHT, r"ids is torch.int64 of shape \(\): expected int64"),
        ([0, 1], RIGHT, r"ids is a list: expected an int64 tensor"),
        (
            indices(0, 1),
            RIGHT[:1],
            r"correct is torch.bool of shape \(1,\): expected torch.bool \(2,",
        ),
        (
            indices(0, 1),
            RIGHT[:, None],
            r"correct is torch.bool of shape \(2, 1\): expected torch.b",
        ),
        (
            indices(0, 1),
            RIGHT.long(),
            r"correct is torch.int64 of shape \(2,\): expected torch.bool",
        ),
        (indices(0, 1), [True, False], r"correct is a list: expected a bool tensor \(2,\)"),
    ],
)
def test_what_torch_would_misread_is_refused(ids, correct, message):
    with pytest.raises(ValueError, match=message):
        ForgettingTable.empty(N).update(ids, correct)


def test_small_integers_are_positions_and_no_mask():
    # As an index torch takes bytes for a mask.
    table = ForgettingTable.empty(2).update(torch.tensor([1], dtype=torch.uint8), RIGHT[:1])
    assert table.learned.tolist() == [False, True]


def test_none_presented_changes_nothing():
    empty = torch.zeros(0, dtype=torch.int64)
    assert len(ForgettingTable.empty(0).update(empty, RIGHT[:0])) == 0
    assert ForgettingTable.empty(2).update(empty, RIGHT[:0]).learned.tolist() == [False, False]
    with pytest.raises(ValueError, match="ids has position 0: expected none, of no example"):
        ForgettingTable.empty(0).update(indices(0), RIGHT[:1])


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (indices(0, -1), "members has position -1: expected 0 to 5"),
        (indices(6, 1), "members has position 6: expected 0 to 5"),
        (indices(2, 5, 2), "members has 2 twice: expected each example once"),
        (torch.ones(N, dtype=torch.bool), "members is torch.bool"),
    ],
)
def test_sets_are_of_examples_in_the_table_once_each(members, message):
    table = ForgettingTable.empty(N)
    for rule in (
        lambda: forgettable(table, members),
        lambda: hardest(table, members, 2, seed=0),
        lambda: hardest_first(table, members, seed=0),
    ):
        with pytest.raises(ValueError, match=message):
            rule()


@given(EPOCHS, MEMBERS, st.integers(0, 3))
def test_the_cet_is_the_forgotten_and_the_never_learned_among_the_members(
    epochs, members, threshold
):
    expected = [
        example
        for example in sorted(members)
        if not any(history_of(epochs, example))
        or events_in(history_of(epochs, example)) > threshold
    ]
    found = forgettable(told(epochs), indices(*members), threshold=threshold)
    assert found.dtype == torch.int64
    assert found.tolist() == expected


def test_the_threshold_is_what_an_example_may_have():
    table = tables(events=[0, 1, 2, 3], learned=[True] * 4)
    everyone = indices(0, 1, 2, 3)
    assert forgettable(table, everyone).tolist() == [1, 2, 3]
    assert forgettable(table, everyone, threshold=2).tolist() == [3]
    # The published code's `[-0:]` took every example here.
    assert forgettable(table, everyone, threshold=3).tolist() == []


def test_the_never_learned_are_critical_whatever_the_threshold():
    table = tables(events=[0, 0], learned=[False, True])
    assert forgettable(table, indices(0, 1), threshold=100).tolist() == [0]


def test_the_hardest_are_the_never_learned_then_the_most_forgotten():
    table = tables(events=[1, 0, 5, 0], learned=[True, True, True, False])
    everyone = indices(3, 2, 1, 0)
    assert [hardest(table, everyone, count, seed=0).tolist() for count in (1, 2, 3)] == [
        [3],
        [2, 3],
        [0, 2, 3],
    ]


def test_none_or_fewer_of_the_hardest_are_none_and_too_many_are_all():
    table = tables(events=[1, 2, 3], learned=[True] * 3)
    found = [hardest(table, indices(0, 2), count, seed=0).tolist() for count in (-1, 0, 9)]
    assert found == [[], [], [0, 2]]


@pytest.mark.parametrize("learned", [True, False])
def test_ties_among_the_hardest_are_drawn_from_the_seed(learned):
    table = tables(events=[2] * 100, learned=[learned] * 100)
    even = torch.arange(0, 100, 2)
    found = [hardest(table, even, 10, seed=seed).tolist() for seed in (0, 0, 1)]
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert all(i % 2 == 0 for i in found[0])
    # How the members are listed does not matter.
    assert hardest(table, even.flip(0), 10, seed=0).tolist() == found[0]


def test_a_data_set_sorted_by_class_does_not_give_one_class_only():
    labels = torch.arange(10).repeat_interleave(100)
    tied = tables(events=[1] * 1000, learned=[True] * 1000)
    for seed in range(5):
        drawn = labels[hardest(tied, torch.arange(1000), 100, seed=seed)]
        counts = torch.bincount(drawn, minlength=10)
        assert counts.min() >= 1
        assert counts.max() <= 30


def test_every_tied_example_is_drawn_by_some_seed():
    table = tables(events=[0, 2, 2, 2, 5], learned=[True] * 5)
    everyone = torch.arange(5)
    found = {tuple(hardest(table, everyone, 2, seed=seed).tolist()) for seed in range(50)}
    assert found == {(1, 4), (2, 4), (3, 4)}


def test_the_order_is_never_learned_then_events_then_those_left_out():
    # 1 and 4 are no members, whatever the table says of them.
    table = tables(events=[0, 9, 7, 2, 0, 0], learned=[True, True, True, True, False, False])
    for seed in range(5):
        order = hardest_first(table, indices(0, 2, 3, 5), seed=seed)
        assert order.dtype == torch.int64
        assert order[:4].tolist() == [5, 2, 3, 0]
        assert sorted(order[4:].tolist()) == [1, 4]


def test_a_never_learned_member_comes_before_any_count_of_events():
    table = tables(events=[2**31 - 2, 0], learned=[True, False])
    assert hardest_first(table, indices(0, 1), seed=0).tolist() == [1, 0]


def test_the_caller_s_random_numbers_and_table_are_left_alone():
    table = tables(events=[1, 0, 3], learned=[True, False, True])
    state = torch.get_rng_state()
    hardest_first(table, indices(0, 1), seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert table.events.tolist() == [1, 0, 3]


@given(EPOCHS, MEMBERS, st.integers(0, 2**63 - 1))
def test_the_order_is_a_stable_sort_of_a_shuffle_by_difficulty(epochs, members, seed):
    def difficulty(example):
        history = history_of(epochs, example)
        if example not in members:
            return -1
        return events_in(history) if any(history) else float("inf")

    shuffled = torch.randperm(N, generator=torch.Generator().manual_seed(seed)).tolist()
    expected = sorted(shuffled, key=lambda example: -difficulty(example))
    assert hardest_first(told(epochs), indices(*members), seed=seed).tolist() == expected


@given(EPOCHS, MEMBERS, st.integers(-1, N + 2), st.integers(0, 5))
def test_the_hardest_are_the_head_of_a_sorted_list(epochs, members, count, seed):
    def difficulty(example):
        history = history_of(epochs, example)
        return events_in(history) if any(history) else float("inf")

    result = hardest(told(epochs), indices(*members), count, seed=seed)
    assert result.dtype == torch.int64
    found = result.tolist()
    assert found == sorted(set(found))
    assert set(found) <= set(members)
    # Whoever of equally hard ones is drawn, the difficulties are those of the list's head.
    ranked = sorted(map(difficulty, members), reverse=True)
    assert sorted(map(difficulty, found), reverse=True) == ranked[: max(count, 0)]
