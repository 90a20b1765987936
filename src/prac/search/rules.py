"""The parts of a search by the names that settings give them, and anyone's own in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

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
from prac.config import SearchConfig, StopConfig, SubsetConfig
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
from prac.utils import derive_seed

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

    A custom subset rule may look at predictions, so these are made for it.

    Raises:
        PracError: If a custom rule is given that nothing would ask.
    """
    unasked = {
        "choose": choose is not None and config.prune.when != "iterative",
        "stop": stop is not None and config.prune.when == "at-init",
    }
    for name in unasked:
        if unasked[name]:
            raise PracError(
                f"a custom `{name}` is given but pruning is {config.prune.when!r}: levels that are "
                f"not trained do not ask it; leave it out"
            )
    least = config.train.batch_size
    return Rules(
        select=subset_rule(config.subset, least=least, seed=config.seed)
        if choose is None
        else checked_rule(choose),
        needs_predictions=choose is not None or config.subset.needs_predictions,
        stop=stop or stop_rule(config.stop),
        score=score_rule(config.prune.score, config.seed)
        if score is None
        else lambda weights, level: score(weights),
        gradient_score=None if score is not None else GRADIENT_SCORES.get(config.prune.score),
    )


def subset_rule(
    config: SubsetConfig, *, least: int, seed: int
) -> Callable[[LevelStats], Selection]:
    """Return the configured rule: which examples the next level trains on.

    Args:
        config: Which rule.
        least: Examples of a batch: a set has no fewer, if there are as many.
        seed: Source of what is drawn.
    """

    def every_example(stats: LevelStats) -> Selection:
        return Selection(torch.arange(len(stats.table)))  # Also after a level 0 on some of them.

    def same_again(stats: LevelStats) -> Selection:
        return Selection(stats.members)

    def critical(stats: LevelStats) -> Selection:
        return prac_set(stats, config, least=least, seed=seed)

    def only_cet(stats: LevelStats) -> Selection:
        order = derive_seed(seed, "equally hard", stats.level)
        cet = critical_for_training(stats, config, seed=order)
        return Selection(_filled(cet, stats, least, order), {"cet": cet})

    def only_cep(stats: LevelStats) -> Selection:
        cep = stats.exemplars
        if stats.pruned is None:  # Nothing is known yet: the set stays as it is.
            return Selection(stats.members, {"cep": cep})
        order = derive_seed(seed, "equally hard", stats.level)
        return Selection(_filled(cep, stats, least, order), {"cep": cep})

    def at_random(stats: LevelStats) -> Selection:
        return Selection(random_set(len(stats.table), count(stats), seed=seed))

    def most_difficult(stats: LevelStats) -> Selection:
        drawn = derive_seed(seed, "el2n")
        return Selection(top_k_by_score(difficulty(stats), count(stats), seed=drawn))

    def of_all_difficulties(stats: LevelStats) -> Selection:
        scores, drawn = difficulty(stats), derive_seed(seed, "el2n")
        return Selection(coverage_centric(scores, count(stats), cutoff=config.cutoff, seed=drawn))

    def count(stats: LevelStats) -> int:
        return set_size(config, stats.level + 1, len(stats.table), least)

    def difficulty(stats: LevelStats) -> Tensor:
        assert stats.difficulty is not None, "level 0 takes the scores"
        return stats.difficulty

    rules = {
        "all": every_example,
        "fixed": same_again,
        "prac": critical,
        "cet": only_cet,
        "cep": only_cep,
        "random": at_random,
        "el2n": most_difficult,
        "el2n-ccs": of_all_difficulties,
    }
    return rules[config.rule]


def _filled(selection: Tensor, stats: LevelStats, least: int, seed: int) -> Tensor:
    return pad_to_size(selection, stats.table, stats.members, least=least, seed=seed)


def stop_rule(config: StopConfig) -> StopRule:
    """Return the configured stop rule as a function of a level's mask distances."""
    rules: dict[str, StopRule] = {
        "never": lambda distances: False,
        "stable": lambda distances: stable(
            distances,
            epsilon=config.epsilon,
            window=config.window,
            above_once=config.arm == "above-once",
        ),
    }
    return rules[config.rule]


def score_rule(name: str, seed: int) -> LevelScore:
    """Return the named score of weights alone; magnitude where gradients are to tell instead."""

    def at_random(weights: Mapping[str, Tensor], level: int) -> Mapping[str, Tensor]:
        return random_scores(weights, derive_seed(seed, "score", level))

    def by_magnitude(weights: Mapping[str, Tensor], level: int) -> Mapping[str, Tensor]:
        return magnitude(weights)

    return {"random": at_random}.get(name, by_magnitude)


def checked_rule(choose: SubsetRule) -> Callable[[LevelStats], Selection]:
    """Return a custom subset rule, each index once, ascending, and what it gives checked.

    That raises a PracError for fewer than two, or anything but indices of training examples.
    """

    def checked_choice(stats: LevelStats) -> Selection:
        found = choose(stats)
        where = f"the subset rule's choice after level {stats.level}"
        if not isinstance(found, (Selection, Tensor)):
            raise PracError(
                f"{where} is a {type(found).__name__}: expected an int64 tensor of indices"
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
