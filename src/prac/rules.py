"""The parts of a search by the names that settings give them, and anyone's own in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from prac.algorithm import critical_for_training, prac_set
from prac.algorithms.difficulty import coverage_centric, hardest_by
from prac.algorithms.exemplars import topped_up
from prac.algorithms.masks import magnitude, random_scores
from prac.algorithms.stability import stable
from prac.config import SearchConfig, StopConfig, SubsetConfig
from prac.errors import PracError
from prac.gradients import grasp_scores, snip_scores, synflow_scores
from prac.parts import (
    Chosen,
    Evidence,
    GradientScore,
    LevelScore,
    Rules,
    Score,
    StopRule,
    SubsetRule,
)
from prac.seeds import derive_seed
from prac.sets import random_set, set_size

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
        choose=subset_rule(config.subset, least=least, seed=config.seed)
        if choose is None
        else checked(choose),
        needs_predictions=choose is not None or config.subset.needs_predictions,
        stop=stop or stop_rule(config.stop),
        score=score_rule(config.prune.score, config.seed)
        if score is None
        else lambda weights, level: score(weights),
        gradient_score=None if score is not None else GRADIENT_SCORES.get(config.prune.score),
    )


def subset_rule(config: SubsetConfig, *, least: int, seed: int) -> Callable[[Evidence], Chosen]:
    """Return the configured rule: which examples the next level trains on.

    Args:
        config: Which rule.
        least: Examples of a batch: a set has no fewer, if there are as many.
        seed: Source of what is drawn.
    """

    def every_example(evidence: Evidence) -> Chosen:
        return Chosen(torch.arange(len(evidence.table)))  # Also after a level 0 on some of them.

    def same_again(evidence: Evidence) -> Chosen:
        return Chosen(evidence.members)

    def critical(evidence: Evidence) -> Chosen:
        return prac_set(evidence, config, least=least, seed=seed)

    def only_cet(evidence: Evidence) -> Chosen:
        order = derive_seed(seed, "equally hard", evidence.level)
        cet = critical_for_training(evidence, config, seed=order)
        return Chosen(_filled(cet, evidence, least, order), {"cet": cet})

    def only_cep(evidence: Evidence) -> Chosen:
        cep = evidence.exemplars
        if evidence.pruned is None:  # Nothing is known yet: the set stays as it is.
            return Chosen(evidence.members, {"cep": cep})
        order = derive_seed(seed, "equally hard", evidence.level)
        return Chosen(_filled(cep, evidence, least, order), {"cep": cep})

    def at_random(evidence: Evidence) -> Chosen:
        return Chosen(random_set(len(evidence.table), count(evidence), seed=seed))

    def most_difficult(evidence: Evidence) -> Chosen:
        drawn = derive_seed(seed, "el2n")
        return Chosen(hardest_by(difficulty(evidence), count(evidence), seed=drawn))

    def of_all_difficulties(evidence: Evidence) -> Chosen:
        scores, drawn = difficulty(evidence), derive_seed(seed, "el2n")
        return Chosen(coverage_centric(scores, count(evidence), cutoff=config.cutoff, seed=drawn))

    def count(evidence: Evidence) -> int:
        return set_size(config, evidence.level + 1, len(evidence.table), least)

    def difficulty(evidence: Evidence) -> Tensor:
        assert evidence.difficulty is not None, "level 0 takes the scores"
        return evidence.difficulty

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


def _filled(chosen: Tensor, evidence: Evidence, least: int, seed: int) -> Tensor:
    return topped_up(chosen, evidence.table, evidence.members, least=least, seed=seed)


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


def checked(choose: SubsetRule) -> Callable[[Evidence], Chosen]:
    """Return a custom subset rule, each index once, ascending, and what it gives checked.

    That raises a PracError for fewer than two, or anything but indices of training examples.
    """

    def checked_choice(evidence: Evidence) -> Chosen:
        found = choose(evidence)
        where = f"the subset rule's choice after level {evidence.level}"
        if not isinstance(found, (Chosen, Tensor)):
            raise PracError(
                f"{where} is a {type(found).__name__}: expected an int64 tensor of indices"
            )
        chosen = found if isinstance(found, Chosen) else Chosen(found)
        members = chosen.members.cpu()
        if members.dtype != torch.int64 or members.ndim != 1 or len(members) < 2:
            raise PracError(
                f"{where} is {members.dtype} of shape {tuple(members.shape)}: expected at least "
                f"two int64 indices"
            )
        members = members.unique(sorted=True)
        if members[0] < 0 or members[-1] >= len(evidence.table):
            raise PracError(
                f"{where} has indices {int(members[0])} to {int(members[-1])}: expected 0 to "
                f"{len(evidence.table) - 1}"
            )
        return replace(chosen, members=members)

    return checked_choice
