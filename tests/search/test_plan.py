"""A search's plan: worked out once from its settings, with nothing trained."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import prac
from prac.config import SearchConfig
from prac.search.algorithm import level_of, seldom_trained_level, trained_level, untrained_level
from prac.search.plan import SearchPlan

TRAIN = prac.TrainConfig(epochs=4, batch_size=10, lr=0.1, milestones=(2,))


def planned(config: SearchConfig, members: int = 100, total: int = 100) -> SearchPlan:
    return SearchPlan.of(config, [60, 40], members=members, total=total)


def test_all_that_is_known_before_is_in_it():
    plan = planned(SearchConfig.imp(levels=3, train=TRAIN, rewind="epoch:1"))
    assert plan.kept == (100, 80, 64, 51)
    assert plan.densities == [1.0, 0.8, 0.64, 0.51]
    assert plan.trains == (True,) * 4
    assert plan.rewind_step == 10
    assert plan.full.iterations == 40
    assert plan.most_iterations == 120


def test_a_level_s_length_follows_its_set():
    plan = planned(SearchConfig.prac(levels=3, train=TRAIN))
    assert [plan.level(1, members).iterations for members in (100, 50, 10)] == [40, 20, 4]
    assert plan.level(1, 50).milestones == (10,)
    # Sets may grow again: what it costs at most is as if they had all examples.
    assert plan.most_iterations == 120


def test_a_set_that_was_found_before_is_every_level_s():
    fixed = SearchConfig(levels=3, train=TRAIN, subset=prac.SubsetConfig(rule="fixed"))
    assert planned(fixed, members=50).most_iterations == 60


@pytest.mark.parametrize(
    ("settings", "trains", "level"),
    [
        ({}, "TTTT", trained_level),
        ({"train_every": 2}, "T-T-", seldom_trained_level),
        ({"when": "one-shot"}, "T--T", seldom_trained_level),
        ({"when": "at-init"}, "----", untrained_level),
    ],
)
def test_which_levels_train_is_chosen_once(settings, trains, level):
    plan = planned(SearchConfig.imp(levels=3, train=TRAIN, prune=prac.PruneConfig(**settings)))
    assert plan.trains == tuple(letter == "T" for letter in trains)
    assert level_of(plan) is level
    lengths = [plan.level(index, 100).iterations for index in range(4)]
    assert lengths == [40 if letter == "T" else 0 for letter in trains]
    assert plan.most_iterations == sum(lengths[:3])


def test_fine_tuning_is_at_the_last_rate_from_level_1_on():
    plan = planned(SearchConfig.imp(levels=2, train=TRAIN, rewind="none"))
    assert plan.rewind_step is None
    assert plan.level(0, 100).lr_at(0) == 0.1
    assert plan.level(1, 100).lr_at(0) == pytest.approx(0.01)


@given(st.floats(0.01, 1), st.integers(0, 4))
def test_a_budget_never_ends_the_dense_level_before_its_rewind_point(budget, epoch):
    stop = prac.StopConfig(rule="never", budget=budget)
    plan = planned(
        replace(SearchConfig.imp(levels=2, train=TRAIN, rewind=f"epoch:{epoch}"), stop=stop)
    )
    wanted = max(1, round(40 * budget))
    assert plan.level(0, 100).iterations == max(wanted, plan.rewind_step)
    assert plan.level(1, 100).iterations == wanted


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (SearchConfig.imp(levels=40, train=TRAIN), "after 17 prunings 2 of 100 weights are left"),
        (
            SearchConfig.imp(train=replace(TRAIN, iterations=7, milestones=()), rewind="epoch:1"),
            "is",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_before_it_begins(config, message):
    with pytest.raises(prac.PracError, match=message):
        planned(config)
