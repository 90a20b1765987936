"""Samples of an epoch: what passes cover, and what weights make up for."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prac.algorithms import fresh_sample, infobatch

MEMBERS = st.lists(st.integers(0, 50), unique=True, min_size=1, max_size=12)
NAN, INF = float("nan"), float("inf")


def indices(values):
    return torch.tensor(list(values), dtype=torch.int64)


@given(MEMBERS, st.integers(1, 14), st.integers(0, 40), st.integers(0, 5))
def test_a_sample_has_its_count_of_distinct_members(members, count, epoch, seed):
    found = fresh_sample(indices(members), count, epoch, seed)
    assert found.dtype == torch.int64
    taken = found.tolist()
    assert taken == sorted(set(taken))
    assert len(taken) == min(count, len(members))
    assert set(taken) <= set(members)


@given(MEMBERS, st.integers(1, 14), st.integers(0, 4), st.integers(0, 5))
def test_a_pass_presents_each_member_once_but_for_a_short_rest(members, count, number, seed):
    epochs = max(len(members) // count, 1)
    first = number * epochs
    presented = [
        example
        for epoch in range(first, first + epochs)
        for example in fresh_sample(indices(members), count, epoch, seed).tolist()
    ]
    assert len(presented) == len(set(presented))
    missing = set(members) - set(presented)
    assert len(missing) == (len(members) % count if count < len(members) else 0)


def test_epochs_are_drawn_from_epoch_and_seed_alone():
    members = torch.arange(1000)
    again = [fresh_sample(members, 100, epoch, 3) for epoch in (25, 7, 25)]
    assert torch.equal(again[0], again[2])
    assert not torch.equal(fresh_sample(members, 100, 25, 4), again[0])
    # The same place in the next pass is another sample; nor is it that of the next seed's pass.
    assert not torch.equal(fresh_sample(members, 100, 35, 3), again[0])
    assert not torch.equal(fresh_sample(members, 100, 10, 0), fresh_sample(members, 100, 0, 1))


def test_what_a_pass_leaves_out_changes():
    left = {
        min(set(range(7)) - {i for e in (2 * p, 2 * p + 1) for i in sample(e)})
        for p in range(40)
        for sample in [lambda e: fresh_sample(torch.arange(7), 3, e, seed=0).tolist()]
    }
    assert left == set(range(7))


@pytest.mark.parametrize(("count", "epoch"), [(0, 0), (1, -1)])
def test_no_sample_is_not_a_sample(count, epoch):
    with pytest.raises(ValueError, match=f"count is {count} and epoch {epoch}"):
        fresh_sample(torch.arange(3), count, epoch, seed=0)


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    fresh_sample(torch.arange(9), 2, 5, seed=1)
    infobatch(
        torch.rand(9, generator=torch.Generator()), torch.arange(9), epoch=0, epochs=9, seed=1
    )
    assert torch.equal(torch.get_rng_state(), before)


@given(
    losses=st.lists(st.sampled_from([0.0, 0.1, 1.0, 8.0, NAN, INF, -INF]), min_size=2, max_size=20),
    probability=st.floats(0, 0.95),
    epoch=st.integers(0, 7),
    seed=st.integers(0, 9),
    data=st.data(),
)
def test_only_members_below_the_mean_are_left_out_or_weighted(
    losses, probability, epoch, seed, data
):
    members = data.draw(st.permutations(range(len(losses))))
    members = members[: data.draw(st.integers(2, len(losses)))]
    values = torch.tensor(losses)
    ids, weights = infobatch(
        values, indices(members), drop_probability=probability, epoch=epoch, epochs=8, seed=seed
    )
    assert ids.dtype == torch.int64
    assert weights.dtype == torch.float32
    assert len(ids) == len(weights) >= 2
    assert ids.tolist() == sorted(set(ids.tolist()))
    known = [float(values[i]) for i in members if values[i].isfinite()]
    mean = sum(known) / max(len(known), 1)
    # To within rounding: all alike are all at their mean.
    easy = {i for i in members if values[i].isfinite() and float(values[i]) < mean - 1e-9}
    if epoch == 7:
        easy = set()  # One of eight epochs, at the end.
    assert set(members) - set(ids.tolist()) <= easy
    for example, weight in zip(ids.tolist(), weights.tolist(), strict=True):
        assert weight == pytest.approx(1 / (1 - probability) if example in easy else 1)


@pytest.mark.parametrize("probability", [0.25, 0.5, 0.9])
def test_in_expectation_every_member_counts_once(probability):
    losses = torch.tensor([0.1, 0.2, 0.3, 5.0, NAN, 5.0])
    total, epochs = torch.zeros(6), 4000
    for epoch in range(epochs):
        ids, weights = infobatch(
            losses,
            torch.arange(6),
            drop_probability=probability,
            epoch=epoch,
            epochs=epochs,
            annealing=0,
            seed=11,
        )
        total[ids] += weights
    assert total[3:].tolist() == [epochs] * 3
    # Five deviations of the mean of so many draws, each 0 or 1 / (1 - p).
    deviation = (probability / (1 - probability) / epochs) ** 0.5
    assert (total[:3] / epochs).tolist() == pytest.approx([1] * 3, abs=5 * deviation)


def test_the_mean_is_of_the_members_known():
    # Of all, 0.9 would be far below the mean.
    losses = torch.tensor([0.9, 0.1, 100.0, NAN, INF])
    seen = set()
    for seed in range(20):
        ids, _ = infobatch(losses, indices([0, 1, 3, 4]), epoch=0, epochs=9, seed=seed)
        seen.add(tuple(ids.tolist()))
    assert seen == {(0, 3, 4), (0, 1, 3, 4)}


@pytest.mark.parametrize(("epoch", "leaves_out"), [(0, True), (6, True), (7, False), (9, False)])
def test_the_last_epochs_present_everything(epoch, leaves_out):
    losses = torch.cat([torch.zeros(99), torch.ones(1)])
    ids, weights = infobatch(
        losses, torch.arange(100), epoch=epoch, epochs=10, annealing=0.3, seed=0
    )
    assert (len(ids) < 100) == leaves_out
    assert leaves_out or weights.tolist() == [1.0] * 100


def test_two_stay_where_all_but_one_are_left_out():
    losses = torch.tensor([0.0, 0.0, 9.0])
    sizes = [
        infobatch(losses, torch.arange(3), drop_probability=0.99, epoch=epoch, epochs=100, seed=0)[
            0
        ].tolist()
        for epoch in range(50)
    ]
    assert all(len(ids) >= 2 and 2 in ids for ids in sizes)
    assert [0, 2] in sizes
    assert [1, 2] in sizes


@pytest.mark.parametrize("probability", [-0.1, 1.0])
def test_a_probability_out_of_its_bounds_is_named(probability):
    with pytest.raises(ValueError, match=f"drop_probability is {probability}"):
        infobatch(
            torch.zeros(3),
            torch.arange(3),
            drop_probability=probability,
            epoch=0,
            epochs=1,
            seed=0,
        )


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([0, 2, 2], "members has 2 twice: expected each example once"),
        ([-1, 2], "members has position -1"),
        ([True, True, False], "members is torch.bool"),
    ],
)
def test_members_are_positions_once_each(members, message):
    with pytest.raises(ValueError, match=message):
        fresh_sample(torch.tensor(members), 1, 0, seed=0)
    with pytest.raises(ValueError, match=message):
        infobatch(torch.zeros(3), torch.tensor(members), epoch=0, epochs=8, seed=0)


def test_every_member_has_a_loss():
    with pytest.raises(ValueError, match="members has position 3: expected 0 to 2"):
        infobatch(torch.zeros(3), torch.tensor([0, 3]), epoch=0, epochs=8, seed=0)
