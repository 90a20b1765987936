"""The parts of a search by the names that settings give them, and anyone's own in their place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from prac.algorithms import (
    coverage_centric,
    magnitude,
    pad_to_size,
    random_scores,
    stable,
    top_k_by_score,
)
from prac.config import LEARNED_SCORES, SearchConfig, StopConfig, SubsetConfig
from prac.errors import PracError
from prac.search.algorithm import critical_for_training, prac_set
from prac.search.gradients import grasp_scores, snip_scores, synflow_scores
from prac.search.parts import (
    GradientScore,
    LevelScore,
    LevelStats,
    Rules,
    Score,
    Selection,
    StopRule,
    SubsetRule,
)
from prac.search.sampling import random_set, set_size
from prac.utils import derive_seed, seeded, with_article

P = ParamSpec("P")
T = TypeVar("T")

GRADIENT_SCORES = {
    "snip": GradientScore(snip_scores, rounds=1),
    "grasp": GradientScore(grasp_scores, rounds=1),
    "synflow": GradientScore(synflow_scores, rounds=100),
}


def rules_of(
    config: SearchConfig,
    *,
    choose: SubsetRule | None = None,
    stop: StopRule | None = None,
    score: Score | None = None,
) -> Rules:
    """Return the configured parts, with custom ones in their place where given.

    A custom subset rule may look at predictions, so these are made for it. What custom rules draw
    from global generators depends on the configured seed, and on where they are asked.

    Raises:
        PracError: If a custom rule is given that nothing would ask.
    """
    when, name = config.prune.when, config.prune.score
    unasked = {
        "choose": choose is not None and when != "iterative",
        "stop": stop is not None and when == "at-init",
        "score": score is not None and when == "learned",
    }
    for part in unasked:
        if unasked[part]:
            raise PracError(
                f"a custom `{part}` is given but pruning is {when!r}, which does not ask it: leave "
                f"it out"
            )
    select = subset_rule(config.subset, least=config.train.batch_size, seed=config.seed)
    ends, scored = stop_rule(config.stop), score_rule(name, config.seed)
    if choose is not None:
        chosen = checked_rule(choose)
        select = asked_at(lambda stats: (config.seed, "choose", stats.level), chosen)
    if stop is not None:
        ends = asked_at(lambda distances: (config.seed, "stop", len(distances)), stop)
    if score is not None:
        scored = asked_at(
            lambda _, level: (config.seed, "score", level),
            lambda weights, _: score(weights),
        )
    return Rules(
        select=select,
        needs_predictions=choose is not None or config.subset.needs_predictions,
        stop=ends,
        score=scored,
        gradient_score=GRADIENT_SCORES.get(name) if score is None else None,
    )


def asked_at(place: Callable[P, tuple[int | str, ...]], rule: Callable[P, T]) -> Callable[P, T]:
    """Return a rule that is asked with all generators seeded, by the place that it is asked at."""

    def asked(*args: P.args, **keywords: P.kwargs) -> T:
        with seeded(derive_seed(*place(*args, **keywords))):
            return rule(*args, **keywords)

    return asked


def subset_rule(
    config: SubsetConfig, *, least: int, seed: int
) -> Callable[[LevelStats], Selection]:
    """Return the configured rule: which examples the next level trains on.

    A set has no fewer examples than `least`, a batch, if there are as many.
    """

    def only_cet(stats: LevelStats) -> Selection:
        cet = critical_for_training(stats, config, seed=order(stats))
        return Selection(filled(cet, stats), {"cet": cet})

    def only_cep(stats: LevelStats) -> Selection:
        cep = stats.exemplars
        # Nothing is known after level 0: the set stays as it is.
        return Selection(
            stats.members if stats.pruned is None else filled(cep, stats), {"cep": cep}
        )

    def most_difficult(stats: LevelStats) -> Selection:
        return Selection(top_k_by_score(difficulty(stats), count(stats), seed=drawn))

    def of_all_difficulties(stats: LevelStats) -> Selection:
        scores = difficulty(stats)
        return Selection(coverage_centric(scores, count(stats), cutoff=config.cutoff, seed=drawn))

    def order(stats: LevelStats) -> int:
        return derive_seed(seed, "equally hard", stats.level)

    def filled(chosen: Tensor, stats: LevelStats) -> Tensor:
        return pad_to_size(chosen, stats.table, stats.members, least=least, seed=order(stats))

    def count(stats: LevelStats) -> int:
        return set_size(config, stats.level + 1, len(stats.table), least)

    def difficulty(stats: LevelStats) -> Tensor:
        assert stats.difficulty is not None, "level 0 takes the scores"
        return stats.difficulty

    drawn = derive_seed(seed, "el2n")
    rules: dict[str, Callable[[LevelStats], Selection]] = {
        # All of them also after a level 0 on some.
        "all": lambda stats: Selection(torch.arange(len(stats.table))),
        "fixed": lambda stats: Selection(stats.members),
        "prac": lambda stats: prac_set(stats, config, least=least, seed=seed),
        "cet": only_cet,
        "cep": only_cep,
        "random": lambda stats: Selection(random_set(len(stats.table), count(stats), seed=seed)),
        "el2n": most_difficult,
        "el2n-ccs": of_all_difficulties,
    }
    return rules[config.rule]


def stop_rule(config: StopConfig) -> StopRule:
    """Return the configured stop rule as a function of a level's mask distances."""
    if config.rule == "never":
        return lambda distances: False
    above_once = config.arm == "above-once"
    return partial(stable, epsilon=config.epsilon, window=config.window, above_once=above_once)


def score_rule(name: str, seed: int) -> LevelScore:
    """Return the named score of weights alone; magnitude where gradients are to tell instead.

    Learned scores are there already, in the weights' place.
    """
    if name in LEARNED_SCORES:
        return lambda scores, level: dict(scores)
    if name == "random":
        return lambda weights, level: random_scores(weights, derive_seed(seed, "score", level))
    return lambda weights, level: magnitude(weights)


def checked_rule(choose: SubsetRule) -> Callable[[LevelStats], Selection]:
    """Return a custom subset rule, each index once, ascending, and what it gives checked.

    That raises a PracError for fewer than two, or anything but indices of training examples.
    """

    def checked_choice(stats: LevelStats) -> Selection:
        found = choose(stats)
        where = f"the subset rule's choice after level {stats.level}"
        if not isinstance(found, (Selection, Tensor)):
            raise PracError(
                f"{where} is {with_article(type(found).__name__)}: expected an int64 tensor of "
                f"indices"
            )
        selection = found if isinstance(found, Selection) else Selection(found)
        members = selection.members.cpu()
        if members.dtype != torch.int64 or members.ndim != 1 or len(members) < 2:
            raise PracError(
                f"{where} is {members.dtype} of shape {tuple(members.shape)}: expected at least "
                f"two int64 indices"
            )
        members = members.unique(sorted=True)
        if members[0] < 0 or members[-1] >= len(stats.table):
            raise PracError(
                f"{where} has indices {int(members[0])} to {int(members[-1])}: expected 0 to "
                f"{len(stats.table) - 1}"
            )
        return replace(selection, members=members)

    return checked_choice
