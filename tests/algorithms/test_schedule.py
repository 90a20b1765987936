"""Lengths and learning rates: batches, scaling with the set, milestones, warm-up, cosine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prac.algorithms import Plan, batch_sizes, scaled_plan


def rates(plan):
    return [plan.lr_at(i) for i in range(plan.iterations)]


@pytest.mark.parametrize(
    ("examples", "batch_size", "sizes"),
    [
        (10, 5, [5, 5]),
        (12, 5, [5, 5, 2]),
        (11, 5, [5, 6]),
        (1, 5, [1]),
        (6, 5, [6]),
        (3, 2, [3]),
        (3, 1, [1, 1, 1]),
        (0, 5, []),
    ],
)
def test_batches_by_hand(examples, batch_size, sizes):
    assert batch_sizes(examples, batch_size) == sizes


@given(st.integers(0, 500), st.integers(1, 64))
def test_batches_hold_every_example_and_none_alone(examples, batch_size):
    sizes = batch_sizes(examples, batch_size)
    assert sum(sizes) == examples
    assert all(size == batch_size for size in sizes[:-1])
    assert all(1 <= size <= batch_size + 1 for size in sizes)
    if examples > 1 and batch_size > 1:
        assert min(sizes) > 1


def plan_of(kept, **settings):
    return scaled_plan(**{"total": 100, "batch_size": 10, "lr": 1.0, **settings}, kept=kept)


def test_linear_scaling_keeps_the_epochs():
    full = plan_of(100, epochs=8, milestones=(4, 6), warmup=2)
    assert (full.iterations, full.iterations_per_epoch, full.epochs) == (80, 10, 8)
    assert (full.milestones, full.warmup) == ((40, 60), 20)
    half = plan_of(50, epochs=8, milestones=(4, 6), warmup=2)
    assert (half.iterations, half.iterations_per_epoch, half.epochs) == (40, 5, 8)
    assert (half.milestones, half.warmup) == ((20, 30), 10)


def test_the_published_code_s_scaling_falls_with_the_square():
    half = plan_of(50, epochs=8, milestones=(4, 6), warmup=2, scaling="epochs")
    assert (half.iterations, half.iterations_per_epoch, half.epochs) == (20, 5, 4)
    assert (half.milestones, half.warmup) == ((10, 15), 5)


def test_without_scaling_the_iterations_stay():
    half = plan_of(50, epochs=8, milestones=(4, 6), warmup=2, scaling="none")
    assert (half.iterations, half.iterations_per_epoch, half.epochs) == (80, 5, 16)
    assert (half.milestones, half.warmup) == ((40, 60), 20)


@pytest.mark.parametrize(
    ("scaling", "iterations", "milestones", "warmup"),
    [
        ("linear", 40, (20, 30), 8),
        ("epochs", 20, (10, 15), 4),
        ("none", 80, (40, 60), 16),
    ],
)
def test_a_length_in_iterations_scales_too(scaling, iterations, milestones, warmup):
    # epochs has a default wherever iterations can be given: the iterations win.
    plan = plan_of(50, epochs=999, iterations=80, milestones=(40, 60), warmup=16, scaling=scaling)
    assert (plan.iterations, plan.iterations_per_epoch) == (iterations, 5)
    assert (plan.milestones, plan.warmup) == (milestones, warmup)


def test_a_partial_last_batch_is_counted_in_every_epoch():
    assert plan_of(45, epochs=4).iterations == 4 * 5
    assert plan_of(41, epochs=4).iterations == 4 * 4  # the 41st joins the batch before it


def test_a_last_epoch_may_be_partial():
    plan = plan_of(100, iterations=25)
    assert (plan.iterations, plan.epochs) == (25, 3)


@pytest.mark.parametrize("scaling", ["linear", "epochs", "none"])
@pytest.mark.parametrize("length", [{"epochs": 1}, {"iterations": 16}])
def test_however_small_the_set_one_epoch_is_trained(scaling, length):
    plan = plan_of(30, scaling=scaling, batch_size=2, **length)
    assert plan.iterations >= plan.iterations_per_epoch == 15
    assert plan_of(1, scaling=scaling, **length).iterations >= 1


@pytest.mark.parametrize("scaling", ["linear", "epochs", "none"])
@pytest.mark.parametrize("kept", [100, 99, 50, 40, 31])
def test_a_length_below_an_epoch_is_neither_stretched_nor_shrunk(kept, scaling):
    # 100 examples are 10 batches, 31 are 3 as the last joins the one before: but for those, an
    # epoch is at least the 4 iterations asked for.
    settings = {"iterations": 4, "milestones": (2, 3), "warmup": 1, "scaling": scaling}
    plan = plan_of(kept, **settings)
    if kept == 31 and scaling != "none":
        assert (plan.iterations, plan.milestones) == (3, (2, 2))
        return
    assert (plan.iterations, plan.milestones, plan.warmup) == (4, (2, 3), 1)
    assert rates(plan) == pytest.approx([1.0, 1.0, 0.1, 0.01])


@pytest.mark.parametrize("scaling", ["linear", "epochs"])
def test_the_floor_is_the_shorter_of_an_epoch_and_the_full_length(scaling):
    # Linear asks for 1.2 of 12 and the square for 0.1: an epoch over 10 of 100 is 5 of 2.
    assert plan_of(10, batch_size=2, iterations=12, scaling=scaling).iterations == 5
    assert plan_of(10, batch_size=2, iterations=5, scaling=scaling).iterations == 5
    assert plan_of(10, batch_size=2, iterations=3, scaling=scaling).iterations == 3
    assert plan_of(10, batch_size=2, iterations=1, scaling=scaling).iterations == 1


def test_a_milestone_never_scales_to_nothing():
    plan = plan_of(2, epochs=100, milestones=(1, 50), scaling="epochs")
    assert plan.iterations == 2
    assert plan.milestones == (1, 1)
    assert rates(plan) == pytest.approx([1.0, 0.01])


@given(
    kept=st.integers(1, 100),
    batch_size=st.integers(1, 30),
    length=st.one_of(
        st.fixed_dictionaries({"epochs": st.integers(1, 20)}),
        st.fixed_dictionaries({"iterations": st.integers(1, 200)}),
    ),
    at=st.floats(0, 0.99),
    scaling=st.sampled_from(["linear", "epochs", "none"]),
)
def test_every_plan_can_be_trained(kept, batch_size, length, at, scaling):
    (full,) = length.values()
    plan = plan_of(kept, batch_size=batch_size, scaling=scaling, milestones=(at * full,), **length)
    assert plan.iterations_per_epoch == len(batch_sizes(kept, batch_size))
    whole = plan_of(100, batch_size=batch_size, **length)
    assert whole.iterations == full * (
        1 if "iterations" in length else len(batch_sizes(100, batch_size))
    )
    assert min(whole.iterations, plan.iterations_per_epoch) <= plan.iterations <= whole.iterations
    assert 1 <= plan.milestones[0] <= max(plan.iterations, 1)
    assert plan.lr_at(0) == 1.0
    # The milestone lies where it lay in the full length, to within rounding.
    assert abs(plan.milestones[0] - max(1, at * plan.iterations)) <= 1


@given(kept=st.integers(1, 100), epochs=st.integers(1, 20))
def test_scalings_are_ordered_and_alike_on_all_data(kept, epochs):
    linear, square, none = (
        plan_of(kept, epochs=epochs, scaling=scaling).iterations
        for scaling in ("linear", "epochs", "none")
    )
    assert square <= linear <= none
    if kept == 100:
        assert square == linear == none == 10 * epochs


def test_milestones_multiply_by_gamma_from_their_iteration_on():
    plan = Plan(5, 5, lr=1.0, milestones=(2, 4), gamma=0.5)
    assert rates(plan) == [1.0, 1.0, 0.5, 0.5, 0.25]


def test_warm_up_grows_to_the_peak_before_any_fall():
    plan = Plan(7, 7, lr=1.0, milestones=(5,), warmup=4)
    assert rates(plan) == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 0.1, 0.1])


def test_a_constant_rate_ignores_milestones():
    assert rates(Plan(3, 3, lr=0.5, schedule="constant", milestones=(1,))) == [0.5] * 3


def test_cosine_goes_from_the_peak_towards_zero():
    plan = Plan(4, 4, lr=2.0, schedule="cosine")
    half = 2**-0.5
    assert rates(plan) == pytest.approx([2, 1 + half, 1, 1 - half])
    assert plan.lr_at(4) == pytest.approx(0)
    assert plan.lr_at(99) == pytest.approx(0)


def test_linear_goes_from_the_peak_after_warm_up_to_zero():
    assert rates(Plan(4, 4, lr=2.0, schedule="linear")) == pytest.approx([2, 1.5, 1, 0.5])
    plan = Plan(6, 6, lr=2.0, schedule="linear", warmup=2)
    assert rates(plan) == pytest.approx([1, 2, 2, 1.5, 1, 0.5])
    assert plan.lr_at(6) == plan.lr_at(99) == 0
    assert plan.cut_short(4).lr_at(3) == plan.lr_at(3)


def test_cosine_starts_where_the_warm_up_ends():
    plan = Plan(6, 6, lr=2.0, schedule="cosine", warmup=2)
    assert rates(plan)[:3] == pytest.approx([1.0, 2.0, 2.0])
    assert rates(plan)[4] == pytest.approx(1.0)


@pytest.mark.parametrize("schedule", ["multi-step", "cosine", "constant"])
def test_fine_tuning_stays_at_the_last_rate(schedule):
    milestones = (4, 6) if schedule == "multi-step" else ()
    full = Plan(8, 4, lr=1.0, schedule=schedule, milestones=milestones, warmup=2)
    tuned = full.fine_tuning(full)
    assert (tuned.iterations, tuned.iterations_per_epoch) == (8, 4)
    assert rates(tuned) == [rates(full)[-1]] * 8
    assert schedule != "multi-step" or rates(tuned)[0] == pytest.approx(0.01)


@pytest.mark.parametrize("schedule", ["multi-step", "cosine", "constant"])
def test_a_short_fine_tuning_takes_the_last_rate_of_the_full_training(schedule):
    milestones = (4, 6) if schedule == "multi-step" else ()
    full = Plan(8, 4, lr=1.0, schedule=schedule, milestones=milestones, warmup=2)
    # By itself it is so short that its last rate is another one: all warm-up, or one fall only.
    short = Plan(2, 1, lr=1.0, schedule=schedule, milestones=milestones and (1,), warmup=1)
    assert schedule == "constant" or rates(short)[-1] != pytest.approx(rates(full)[-1])
    tuned = short.fine_tuning(full)
    assert (tuned.iterations, tuned.iterations_per_epoch, tuned.epochs) == (2, 1, 2)
    assert rates(tuned) == [rates(full)[-1]] * 2
