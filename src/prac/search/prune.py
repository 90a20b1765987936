"""A level's pruning: by its weights after training, or by what is known without training it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from torch import Tensor

from prac.algorithms import Masks, Plan, kept, kept_per_level, ones, prune
from prac.config import PruneConfig, SearchConfig
from prac.errors import PracError
from prac.runs import Cost, RunState
from prac.search.parts import Rules
from prac.search.plan import SearchPlan
from prac.training import Problem
from prac.utils import derive_seed, with_article


def pruned(
    rules: Rules,
    config: PruneConfig,
    state: RunState,
    weights: Mapping[str, Tensor] | None = None,
    *,
    part: int = 1,
    parts: int = 1,
    prunings: int = 1,
) -> Masks:
    """Return the masks that a level's pruning gives after a state's masks, by its weights' scores.

    Where the level is pruned in `parts`, its density after the given one, from 1: every part
    removes the same share, and the last leaves as many weights as one pruning of the level would.
    With several `prunings`, that of as many levels on, in one ranking.

    The state's weights are ranked, or others that are given.

    Raises:
        PracError: If a score is missing or not a number.
    """
    ranked = _of(state.weights if weights is None else weights, state.masks)
    scores = rules.score(ranked, state.level)
    if not isinstance(scores, Mapping):
        raise PracError(
            f"the score gave {with_article(type(scores).__name__)}: expected scores by parameter "
            f"name"
        )
    scope, allow_empty = config.scope, config.allow_empty
    with _told_by_level(state.level):
        if parts == prunings == 1:
            return prune(
                scores, state.masks, config.drop_fraction, scope=scope, allow_empty=allow_empty
            )
        if prunings > 1:
            counts = kept_at_start(state.masks, config, state.level + prunings)
        else:
            counts = [
                rounds_of(before, config.drop_fraction, parts)[part - 1]
                for before in kept_at_start(state.masks, config, state.level)
            ]
        return _pruned_to(scores, state.masks, config, counts)


Pruning = Callable[[RunState], Masks]


def at_end(rules: Rules, plan: SearchPlan, level: int, steps: int) -> Pruning:
    """Return what gives the masks that a trained level would end with, were it to end now.

    Where it is pruned for several levels at once, those of the last of them.
    """
    stretch = plan.stretch(level)
    return partial(pruned, rules, plan.config.prune, part=steps, parts=steps, prunings=stretch)


def on_the_way(rules: Rules, plan: SearchPlan, length: Plan, steps: int) -> dict[int, Pruning]:
    """Return the prunings within a level of `steps` in all, by iteration; its last ends it.

    A level of fewer iterations than steps is pruned after each.
    """
    steps = min(steps, length.iterations)
    return {
        round(length.iterations * part / steps): partial(
            pruned, rules, plan.config.prune, part=part, parts=steps
        )
        for part in range(1, steps)
    }


def groups(masks: Masks, config: PruneConfig) -> list[list[str]]:
    """Return the layers that are ranked together."""
    return [list(masks)] if config.scope == "global" else [[name] for name in masks]


def kept_at_start(masks: Masks, config: PruneConfig, level: int) -> list[int]:
    """Return how many weights each group of layers has as a level begins."""
    return [
        kept_per_level(
            [masks[name].numel() for name in names],
            config.drop_fraction,
            level,
            scope="global",
            allow_empty=config.allow_empty,
        )[-1]
        for names in groups(masks, config)
    ]


def _pruned_to(
    scores: Mapping[str, Tensor], masks: Masks, config: PruneConfig, counts: Sequence[int]
) -> Masks:
    """Return masks that keep as many weights of each group as `counts` says.

    More are left where a layer kept its strongest weight: then none is pruned.
    """
    for names, count in zip(groups(masks, config), counts, strict=True):
        old = _of(masks, names)
        fraction = max(1 - count / max(kept(old), 1), 0.0)
        masks = masks | prune(_of(scores, names), old, fraction, allow_empty=config.allow_empty)
    return masks


@contextmanager
def _told_by_level(level: int) -> Iterator[None]:
    """Turn what is wrong with scores into a PracError."""
    try:
        yield
    except ValueError as error:
        raise PracError(f"level {level} cannot be pruned: {error}") from error


def prune_untrained(
    problem: Problem | None,
    rules: Rules,
    config: SearchConfig,
    state: RunState,
    check: Callable[[], None],
) -> RunState:
    """Return the state of a level that is pruned without having been trained.

    By weights alone that is one ranking: of the dense network's where it was trained, and of the
    level's own otherwise, and then no problem is needed. What needs gradients takes them now, at
    the level's own weights; between the passes over the network `check` is called, and what it
    raises ends the pruning.

    Raises:
        PracError: If a score is missing or not a number.
    """
    started = time.perf_counter()
    if rules.gradient_score is None:
        masks = pruned(rules, config.prune, state, state.source or state.weights)
        cost = Cost()
    else:
        assert problem is not None, "gradients are of a network on its data"
        masks, cost = pruned_by_gradients(problem, rules, config, state, check)
    cost += Cost(seconds=time.perf_counter() - started)
    rewind = state.weights if state.rewind is None else state.rewind
    return replace(state, candidate=masks, rewind=rewind).add_cost(cost)


def pruned_by_gradients(
    problem: Problem, rules: Rules, config: SearchConfig, state: RunState, check: Callable[[], None]
) -> tuple[Masks, Cost]:
    """Return the masks that a gradient score's rounds give, and what its passes cost.

    A level keeps exactly as many weights as one ranking would leave, layer by layer where layers
    are ranked alone.
    """
    assert rules.gradient_score is not None, "a gradient score was asked for"
    score = rules.gradient_score
    settings, masks, cost = config.prune, state.masks, Cost()
    # A schedule of rounds down to the last density passes every level's density on its way.
    steps = math.ceil(score.rounds / config.levels)
    counts = [
        rounds_of(kept(_of(masks, names)), settings.drop_fraction, steps)
        for names in groups(masks, settings)
    ]
    seed = derive_seed(config.seed, settings.score)
    for number in range(steps):
        check()
        # What is scored once is scored on the dense network, whatever the density: so levels are
        # steps through one ranking.
        scored = masks if score.rounds > 1 else ones(masks)
        scores, spent = score.of(problem, state.weights, scored, seed)
        cost += spent
        with _told_by_level(state.level):
            masks = _pruned_to(scores, masks, settings, [each[number] for each in counts])
    return masks, cost


def rounds_of(before: int, fraction: float, rounds: int) -> list[int]:
    """Return how many weights each round keeps, falling by the same ratio to the last count.

    >>> rounds_of(100, 0.2, 2)
    [89, 80]
    >>> rounds_of(0, 0.2, 2)  # A layer that lost its last weight.
    [0, 0]
    """
    after = before - round(fraction * before)
    share = after / before if before else 0.0
    return [round(before * share ** ((i + 1) / rounds)) for i in range(rounds)]


def _of(tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    return {name: tensors[name] for name in names}
