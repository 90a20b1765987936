"""The replaceable parts of a search: what ranks weights, what chooses examples, when a level stops.

Each is a plain function. `find` takes anyone's own in place of the one its settings name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from prac.algorithms.difficulty import coverage_centric, hardest_by
from prac.algorithms.exemplars import disagreements, topped_up, union
from prac.algorithms.forgetting import ForgettingTable, forgettable, hardest
from prac.algorithms.masks import magnitude, random_scores
from prac.algorithms.stability import stable
from prac.config import SearchConfig, StopConfig, SubsetConfig
from prac.errors import PracError
from prac.gradients import Scored, grasp_scores, snip_scores, synflow_scores
from prac.problem import Problem
from prac.seeds import derive_seed
from prac.sets import random_set, set_size


@dataclass(frozen=True)
class Evidence:
    """What a level's training has shown, from which the next level's set is chosen.

    Attributes:
        level: Prunings that its network had.
        members: int64 (m,), ascending, the examples it trained on.
        table: Its forgetting statistics, of all n training examples.
        dense: int32 (n,), the dense network's predictions; None where the rule does not ask for
            them.
        pruned: int32 (n,), this level's; None at level 0, where no pruned network exists yet.
        difficulty: float32 (n,), EL2N scores of the dense network; None where the rule does not ask
            for them.
    """

    level: int
    members: Tensor
    table: ForgettingTable
    dense: Tensor | None = None
    pruned: Tensor | None = None
    difficulty: Tensor | None = None

    @property
    def exemplars(self) -> Tensor:
        """The CEP, which the dense and the pruned network predict differently; empty at level 0."""
        if self.dense is None or self.pruned is None:
            return self.members[:0]
        return disagreements(self.dense, self.pruned)


@dataclass(frozen=True)
class Chosen:
    """The next level's examples.

    Attributes:
        members: int64, ascending.
        parts: The sets it was made of, such as "cet" and "cep", ascending.
    """

    members: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


SubsetRule = Callable[[Evidence], Chosen | Tensor]
StopRule = Callable[[Sequence[float]], bool]
Score = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]


# (problem, weights, masks, seed) -> scores and their cost, and in how many rounds a search prunes.
GradientScore = tuple[
    Callable[[Problem, Mapping[str, Tensor], Mapping[str, Tensor], int], Scored], int
]
GRADIENT_SCORES: dict[str, GradientScore] = {
    "snip": (snip_scores, 1),
    "grasp": (grasp_scores, 1),
    "synflow": (synflow_scores, 100),
}


@dataclass(frozen=True)
class Rules:
    """The parts of one search.

    Attributes:
        choose: Evidence -> the next set.
        scores_data: Whether `choose` looks at predictions, which cost a pass over all data a level.
        stop: Mask distances of a level so far -> whether its mask is stable.
        score: (weights, level) -> scores, higher being worth keeping.
        gradient_score: What scores weights by gradients instead; None where nothing does.
    """

    choose: Callable[[Evidence], Chosen]
    scores_data: bool
    stop: StopRule
    score: Callable[[Mapping[str, Tensor], int], Mapping[str, Tensor]]
    gradient_score: GradientScore | None = None

    @classmethod
    def of(
        cls,
        config: SearchConfig,
        *,
        choose: SubsetRule | None = None,
        stop: StopRule | None = None,
        score: Score | None = None,
    ) -> Rules:
        """Return the configured parts, with anyone's own in their place where given.

        An own subset rule may look at predictions, so these are made for it.

        Raises:
            PracError: If an own rule is given that nothing would ask.
        """
        when = config.prune.when
        unasked = {"choose": choose is not None and when != "iterative"}
        unasked["stop"] = stop is not None and when == "at-init"
        for name in unasked:
            if unasked[name]:
                raise PracError(
                    f"an own `{name}` is given but pruning is {when!r}: levels that are not "
                    f"trained do not ask it; leave it out"
                )
        least = config.train.batch_size
        return cls(
            choose=subset_rule(config.subset, least=least, seed=config.seed)
            if choose is None
            else partial(checked_choice, choose),
            scores_data=choose is not None or config.subset.rule in ("prac", "cep"),
            stop=stop or stop_rule(config.stop),
            score=score_rule(config.prune.score, config.seed)
            if score is None
            else lambda weights, level: score(weights),
            gradient_score=None if score is not None else GRADIENT_SCORES.get(config.prune.score),
        )


def critical_for_training(evidence: Evidence, config: SubsetConfig, *, seed: int) -> Tensor:
    """Return the CET by threshold, or by count where a kept fraction is set."""
    if config.kept_fraction is None:
        return forgettable(evidence.table, evidence.members, threshold=config.threshold)
    count = round(config.kept_fraction * len(evidence.table))
    return hardest(evidence.table, evidence.members, count, seed=seed)


def subset_rule(config: SubsetConfig, *, least: int, seed: int) -> Callable[[Evidence], Chosen]:
    """Return the configured rule as a function.

    A set that comes out smaller than `least` (a batch), an empty one included, is filled up to it
    with the next hardest examples: fewer cannot be trained on as the schedule means it.

    With "cep" alone nothing is known after level 0, no pruned network having been trained: the
    set stays as it is.
    """

    def choose(evidence: Evidence) -> Chosen:
        total = len(evidence.table)
        if config.rule == "all":
            # Also after a level 0 on a share of them.
            return Chosen(torch.arange(total))
        if config.rule == "fixed":
            return Chosen(evidence.members)
        if config.rule in ("random", "el2n", "el2n-ccs"):
            count = set_size(config, evidence.level + 1, total, least)
            if config.rule == "random":
                return Chosen(random_set(total, count, seed=seed))
            return Chosen(by_difficulty(config, evidence, count, seed=seed))
        if config.rule == "cep" and evidence.pruned is None:
            return Chosen(evidence.members, {"cep": evidence.exemplars})
        order_seed = derive_seed(seed, "equally hard", evidence.level)
        cet = critical_for_training(evidence, config, seed=order_seed)
        cep = evidence.exemplars
        wanted = {"prac": union(cet, cep), "cet": cet, "cep": cep}[config.rule]
        parts = {"cet": cet, "cep": cep}
        kept_parts = {name: parts[name] for name in parts if config.rule in ("prac", name)}
        filled = topped_up(wanted, evidence.table, evidence.members, least=least, seed=order_seed)
        return Chosen(filled, kept_parts)

    return choose


def by_difficulty(config: SubsetConfig, evidence: Evidence, count: int, *, seed: int) -> Tensor:
    """Return `count` examples by their EL2N scores, int64, ascending."""
    assert evidence.difficulty is not None, "level 0 takes the scores"
    drawn = derive_seed(seed, "el2n")
    if config.rule == "el2n":
        return hardest_by(evidence.difficulty, count, seed=drawn)
    return coverage_centric(evidence.difficulty, count, cutoff=config.cutoff, seed=drawn)


def stop_rule(config: StopConfig) -> StopRule:
    """Return the configured stop rule as a function of a level's mask distances."""
    if config.rule == "never":
        return lambda distances: False
    return lambda distances: stable(
        distances,
        epsilon=config.epsilon,
        window=config.window,
        above_once=config.arm == "above-once",
    )


def score_rule(name: str, seed: int) -> Callable[[Mapping[str, Tensor], int], Mapping[str, Tensor]]:
    """Return the named score of weights alone as a function of them and the level."""
    if name == "random":
        return lambda weights, level: random_scores(weights, derive_seed(seed, "score", level))
    return lambda weights, level: magnitude(weights)


def checked_choice(choose: SubsetRule, evidence: Evidence) -> Chosen:
    """Return what anyone's own subset rule chooses, each index once, ascending.

    Raises:
        PracError: If it chooses fewer than two, or anything but indices of training examples.
    """
    found = choose(evidence)
    where = f"the subset rule's choice after level {evidence.level}"
    if not isinstance(found, (Chosen, Tensor)):
        raise PracError(f"{where} is a {type(found).__name__}: expected an int64 tensor of indices")
    chosen = found if isinstance(found, Chosen) else Chosen(found)
    members = chosen.members.cpu()
    if members.dtype != torch.int64 or members.ndim != 1 or len(members) < 2:
        raise PracError(
            f"{where} is {members.dtype} of shape {tuple(members.shape)}: expected at least two "
            f"int64 indices"
        )
    members = members.unique(sorted=True)
    if members[0] < 0 or members[-1] >= len(evidence.table):
        raise PracError(
            f"{where} has indices {int(members[0])} to {int(members[-1])}: expected 0 to "
            f"{len(evidence.table) - 1}"
        )
    return replace(chosen, members=members)
