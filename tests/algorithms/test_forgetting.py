"""Forgetting statistics, against a walk through every example's history of presentations."""

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from prac.algorithms.forgetting import ForgettingTable, forgettable, hardest

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
    assert [hardest(table, everyone, count).tolist() for count in (1, 2, 3)] == [
        [3],
        [2, 3],
        [0, 2, 3],
    ]


def test_none_or_fewer_of_the_hardest_are_none_and_too_many_are_all():
    table = tables(events=[1, 2, 3], learned=[True] * 3)
    found = [hardest(table, indices(0, 2), count).tolist() for count in (-1, 0, 9)]
    assert found == [[], [], [0, 2]]


def test_ties_among_the_hardest_go_to_the_lower_index():
    table = tables(events=[2] * 5, learned=[True] * 5)
    assert hardest(table, indices(4, 1, 3), 2).tolist() == [1, 3]


@given(EPOCHS, MEMBERS, st.integers(-1, N + 2))
def test_the_hardest_are_the_head_of_a_sorted_list(epochs, members, count):
    def difficulty(example):
        history = history_of(epochs, example)
        return events_in(history) if any(history) else float("inf")

    ranked = sorted(members, key=lambda example: (-difficulty(example), example))
    expected = sorted(ranked[: max(count, 0)])
    assert hardest(told(epochs), indices(*members), count).tolist() == expected
