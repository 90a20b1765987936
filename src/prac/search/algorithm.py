"""The method, a page long: Algorithm 1 of PrAC-LTH, and the siblings of it that train less.

Source: "Efficient Lottery Ticket Finding: Less Data is More" (ICML 2021, arXiv 2106.03225).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from prac.algorithms import Masks, forgettable, hardest, pad_to_size, union
from prac.config import SubsetConfig
from prac.models import restore_
from prac.runs import Cost, RunState
from prac.search.learned import learn
from prac.search.parts import LevelStats, Rules, Selection
from prac.search.plan import SearchPlan
from prac.search.prune import at_end, on_the_way, prune_untrained, pruned
from prac.search.run import SearchRun
from prac.search.sampling import sample_rule
from prac.training import Problem, Training, predictions, train_level
from prac.utils import derive_seed

LevelFunction = Callable[
    [Problem, RunState, SearchPlan, Rules, SearchRun], tuple[RunState, Selection]
]
"""(problem, a level's start, plan, rules, run) -> its end, and the next level's examples."""


def search(
    problem: Problem,
    first: RunState,
    selection: Selection,
    plan: SearchPlan,
    rules: Rules,
    run: SearchRun,
) -> None:
    """Go through the levels: train and prune, choose the critical examples, rewind; again."""
    level = level_of(plan)
    state = run.resume(first, selection)
    while ask(state, plan, run):
        state, selection = level(problem, state, plan, rules, run)
        state = tell(state, selection, plan, run)


def ask(state: RunState, plan: SearchPlan, run: SearchRun) -> bool:
    """Begin the level that a state is at, and say that it is to be trained; False at the end."""
    if state.level == plan.levels:
        run.finish(state)
        return False
    run.begin_level(state)
    return True


def tell(
    state: RunState,
    selection: Selection,
    plan: SearchPlan,
    run: SearchRun,
    metrics: Sequence[Mapping[str, Any]] = (),
) -> RunState:
    """Return the next level's start, from the state at a level's end and the examples chosen.

    Lines of `metrics` are the level's that are not on disk yet.
    """
    run.finish_level(state, selection)
    mask = state.candidate  # What pruning gave after the level's last epoch.
    return run.start(next_level(state, plan, mask, selection.members), selection, metrics)


def level_of(plan: SearchPlan) -> LevelFunction:
    """Return what each level does: train before every pruning, before some of them, or never."""
    if all(plan.trains):
        return trained_level
    return seldom_trained_level if any(plan.trains) else untrained_level


def trained_level(
    problem: Problem, state: RunState, plan: SearchPlan, rules: Rules, run: SearchRun
) -> tuple[RunState, Selection]:
    """Train a level; its last epoch's mask is the next one's, what it has shown the next set.

    Where masks are learned, that takes the place of training weights, at the rewind point's.
    """
    state = (learn if plan.learns else train)(problem, state, plan, rules, run)
    state, stats = observe(problem, state, rules, run)
    selection = rules.select(stats)  # For PrAC, `prac_set`.
    run.write_trained(state, stats, selection)
    return state, selection


def seldom_trained_level(
    problem: Problem, state: RunState, plan: SearchPlan, rules: Rules, run: SearchRun
) -> tuple[RunState, Selection]:
    """Train some levels, or the dense network alone (one-shot); prune the others by its weights."""
    if not plan.trains[state.level]:
        return untrained_level(problem, state, plan, rules, run)
    state, selection = trained_level(problem, state, plan, rules, run)
    return before_untrained(state, plan, rules), selection


def before_untrained(state: RunState, plan: SearchPlan, rules: Rules) -> RunState:
    """Return a trained level's end, whose weights the next levels are pruned by if not trained."""
    if all(plan.trains[state.level + 1 : state.level + 2]):
        return state
    # The candidate was that of the stretch's end.
    own = pruned(rules, plan.config.prune, state)
    return replace(state, source=state.weights, candidate=own)


def untrained_level(
    problem: Problem | None, state: RunState, plan: SearchPlan, rules: Rules, run: SearchRun
) -> tuple[RunState, Selection]:
    """Prune a level by what is known without training it."""
    check = partial(run.options.run_control.check, f"while pruning level {state.level}")
    return prune_untrained(problem, rules, plan.config, state, check), Selection(state.members)


def train(
    problem: Problem, state: RunState, plan: SearchPlan, rules: Rules, run: SearchRun
) -> RunState:
    """Train on the level's set under its mask: note forgetting, stop once the mask is stable."""
    config, length = plan.config, plan.level(state.level, len(state.members))
    seed, is_dense = derive_seed(config.seed, "level", state.level), state.level == 0
    asks_difficulty = is_dense and config.subset.needs_difficulty
    steps = 1 if plan.is_fresh(state.level) else config.level.prunings
    training = Training(
        length,
        config.train,
        seed=seed,
        candidate=at_end(rules, plan, state.level, steps),
        distance_over=plan.distance_over(state.level),
        stop=rules.stop,
        prunings=on_the_way(rules, plan, length, steps),
        mark=plan.rewind_step if is_dense else None,
        weight_decay=config.level.weight_decay,
        weight_decay_from=plan.beyond_rewind(state.level),
        sample=sample_rule(
            config.sample,
            epochs=length.scheduled_epochs,
            least=config.train.batch_size,
            seed=seed,
        ),
        with_losses=config.sample.needs_losses,
        difficulty_epoch=config.subset.el2n_epoch if asks_difficulty else None,
    )
    return train_level(problem, run.folder, state, training, run.options)


def observe(
    problem: Problem, state: RunState, rules: Rules, run: SearchRun
) -> tuple[RunState, LevelStats]:
    """Return what a level has shown, with the best epoch's predictions where the rule asks.

    Those of the dense network are made once, after level 0.
    """
    stats = LevelStats(state.level, state.members, state.table, difficulty=state.difficulty)
    if not rules.needs_predictions:
        return state, stats
    run.options.tell("scoring", state.level)
    started = time.perf_counter()
    assert state.best is not None, "a trained level has a best epoch"
    restore_(problem.model, state.best)
    check = partial(run.options.run_control.check, f"while scoring after level {state.level}")
    found = predictions(problem, problem.train, check)
    seconds = time.perf_counter() - started
    state = state.add_cost(Cost(examples_scored=len(found), seconds=seconds))
    return with_predictions(state, stats, found)


def with_predictions(
    state: RunState, stats: LevelStats, found: Tensor
) -> tuple[RunState, LevelStats]:
    """Return a level's end and what it has shown, with what its network predicts of each example.

    The dense network's predictions are those that every later level's are compared with.
    """
    if state.level == 0:
        return replace(state, dense_predictions=found), replace(stats, dense=found)
    return state, replace(stats, dense=state.dense_predictions, pruned=found)


def prac_set(stats: LevelStats, config: SubsetConfig, *, least: int, seed: int) -> Selection:
    """Return the PrAC set: what training forgets, and what pruning makes the network misjudge.

    A set of fewer than `least` (a batch), an empty one included, is filled up with the next hardest
    examples: fewer cannot be trained on as the schedule means it.
    """
    seed = derive_seed(seed, "equally hard", stats.level)
    cet = critical_for_training(stats, config, seed=seed)
    cep = stats.exemplars
    members = pad_to_size(union(cet, cep), stats.table, stats.members, least=least, seed=seed)
    return Selection(members, {"cet": cet, "cep": cep})


def critical_for_training(stats: LevelStats, config: SubsetConfig, *, seed: int) -> Tensor:
    """Return the CET: more forgetting events than a threshold, or so many of the hardest."""
    if config.kept_fraction is None:
        return forgettable(stats.table, stats.members, threshold=config.threshold)
    count = round(config.kept_fraction * len(stats.table))
    return hardest(stats.table, stats.members, count, seed=seed)


def next_level(state: RunState, plan: SearchPlan, mask: Masks | None, members: Tensor) -> RunState:
    """Return the next level's start: the new mask over the weights of the rewind point.

    Carried levels go on from the weights just trained instead (Frankle and Carbin, arXiv
    1803.03635, appendix on continued training), and masks that are learned from the scores they
    have; the ticket is the mask over the rewind point's.
    """
    weights = state.weights if plan.goes_on or plan.rewind.keeps_weights else state.rewind
    assert weights is not None, "the rewind point comes before a level's end"
    assert mask is not None, "a level has a mask at its end"
    return state.at_next_level(weights, mask, members, goes_on=plan.config.level.carries)
