"""Schedules by name: sampled by progress, so that they scale with a level's length."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import prac
from prac.config import TrainConfig
from prac.errors import PracError
from prac.training import plan_for

TORCH = "torch.optim.lr_scheduler."
OWN = "tests.training.own_parts:"


def rates(config: TrainConfig, kept: int = 100, total: int = 100, **more: Any) -> list[float]:
    plan = plan_for(config, kept, total, **more)
    return [plan.lr_at(iteration) for iteration in range(plan.iterations)]


def config_of(schedule: str, **settings: Any) -> TrainConfig:
    return TrainConfig(
        **{"epochs": 8, "batch_size": 25, "lr": 1.0, "schedule": schedule, **settings}
    )


def test_a_function_gives_factors_by_progress_at_any_length():
    config = config_of(f"{OWN}halves")
    assert rates(config)[::8] == [1.0, 0.5, 0.25, 0.125]
    assert rates(config, kept=50)[::4] == [1.0, 0.5, 0.25, 0.125]
    assert rates(config, kept=50, scaling="epochs")[::2] == [1.0, 0.5, 0.25, 0.125]
    config = config_of(f"{OWN}halves", schedule_args={"base": 0.1}, lr=2.0)
    assert rates(config)[8:10] == pytest.approx([0.2, 0.2])


def test_warm_up_comes_before_it_and_progress_counts_from_the_beginning():
    found = rates(config_of(f"{OWN}halves", warmup=1))
    assert found[:4] == [0.25, 0.5, 0.75, 1.0]
    assert found == [*found[:4], *rates(config_of(f"{OWN}halves"))[4:]]


def test_a_scheduler_of_torch_is_stepped_once_an_epoch_and_scaled():
    name = f"{TORCH}CosineAnnealingLR"
    found = rates(config_of(name, schedule_args={"T_max": 8}))
    cosine = [0.5 * (1 + math.cos(math.pi * epoch / 8)) for epoch in range(8)]
    assert found[::4] == pytest.approx(cosine)
    assert found[1::4] == found[::4]
    half = rates(config_of(name, schedule_args={"T_max": 8}), kept=50)
    assert half[::2] == found[::4]
    shorter = rates(config_of(name, schedule_args={"T_max": 8}), kept=50, scaling="epochs")
    assert shorter == found[::4]


def test_a_scheduler_is_stepped_once_an_iteration_where_lengths_are_in_iterations():
    for length in (10, 29, 100, 997):
        config = config_of(
            f"{TORCH}PolynomialLR", iterations=length, schedule_args={"total_iters": length}
        )
        assert rates(config) == pytest.approx([1 - step / length for step in range(length)])


def test_of_one_cycle_only_the_rate_is_taken():
    given: dict[str, Any] = {"max_lr": 0.5, "total_steps": 8}
    found = rates(config_of(f"{TORCH}OneCycleLR", schedule_args=given))
    assert max(found) == pytest.approx(0.5, rel=0.1)
    assert found[0] == pytest.approx(0.02)
    with pytest.raises(PracError, match="cycles momentum by cycle_momentum: only the learning rat"):
        rates(config_of(f"{TORCH}OneCycleLR", schedule_args={**given, "cycle_momentum": True}))


def test_a_plan_with_an_own_schedule_is_cut_short_made_faster_and_fine_tuned():
    plan = plan_for(config_of(f"{OWN}halves"), 100, 100)
    whole = [plan.lr_at(step) for step in range(32)]
    cut = plan.cut_short(10)
    assert [cut.lr_at(step) for step in range(10)] == whole[:10]
    assert [plan.faster(2.0, 8).lr_at(step) for step in (7, 8)] == [1.0, 1.0]
    assert plan.fine_tuning(plan).lr_at(3) == 0.125


@pytest.mark.parametrize(
    ("schedule", "arguments", "message"),
    [
        (f"{TORCH}ReduceLROnPlateau", {}, "depends on what is measured"),
        (f"{TORCH}LambdaLR", {}, "LambdaLR takes a function, .* write a function of progress"),
        ("MultiplicativeLR", {"lr_lambda": abs}, "write a function of progress"),
        (f"{TORCH}StepLR", {}, "gives no rates over 8 steps: .*step_size"),
        ("steplr", {}, r"did you mean 'torch\.optim\.lr_scheduler\.StepLR'\?"),
        (f"{TORCH}PolynomialLR", {"total_iter": 3}, "did you mean 'total_iters'"),
        (f"{TORCH}OneCycleLR", {"max_lr": 1.0, "total_steps": 3}, "gives no rates over 8 steps"),
        (f"{TORCH}PolynomialLR", {"optimizer": 3}, "given to the schedule already"),
        (f"{TORCH}ExponentialLR", {"gamma": -1}, "gives the rate -1 after 1 of 8 steps"),
        (f"{OWN}negative", {}, r"gives -0\.\d+ at progress 0\.\d+: expected a factor of lr"),
        (f"{OWN}halves", {"bas": 1}, "did you mean 'base'"),
        (f"{OWN}halves", {"foo": 1}, "it takes base$"),
        (f"{OWN}nothing", {}, "fails at progress 0"),
        (f"{OWN}nowhere", {}, "has no 'nowhere'"),
        ("cosin", {}, "unknown schedule 'cosin': did you mean 'cosine'"),
        ("cosine", {"T_max": 3}, "schedule_args are set but schedule is 'cosine'"),
    ],
)
def test_schedules_that_give_no_rates_are_refused(schedule, arguments, message):
    with pytest.raises(PracError, match=message):
        rates(config_of(schedule, schedule_args=arguments))


def test_milestones_are_of_the_usual_schedule_only():
    with pytest.raises(PracError, match=r"milestones are set but schedule is 'torch\.optim"):
        config_of(f"{TORCH}PolynomialLR", milestones=(2,))


def test_a_scheduler_s_own_optimiser_is_no_part_of_the_run():
    before = torch.get_rng_state()
    rates(config_of(f"{TORCH}CosineAnnealingLR", schedule_args={"T_max": 7}))
    assert torch.equal(torch.get_rng_state(), before)


def test_fine_tuning_needs_a_last_rate(small_net, train, val, config, tmp_path):
    training = TrainConfig(epochs=10, batch_size=50, schedule=f"{OWN}ends_at_nothing")
    settings = config("imp", levels=1, rewind="none", train=training)
    with pytest.raises(PracError, match="ends at a rate of 0, at which fine-tuning would train"):
        prac.find(small_net(), train, settings, val=val, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
