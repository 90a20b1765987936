"""How long a search's levels are, and whether its settings leave it anything to do."""

from __future__ import annotations

import itertools

from prac.algorithms.masks import Masks, counts_to_come
from prac.algorithms.schedule import Plan
from prac.config import Rewind, SearchConfig
from prac.errors import PracError
from prac.problem import Problem
from prac.sets import presented_an_epoch, set_size
from prac.task import CLASSIFICATION
from prac.training import plan_for


def most_iterations(config: SearchConfig, members: int, total: int) -> int:
    """Return how long a search is if no level stops early and sets are as large as they can be.

    Args:
        config: Its settings.
        members: Examples that level 0 trains on.
        total: All training examples.
    """
    later = members if config.subset.rule == "fixed" else total
    sizes = [members] + [later] * (config.levels - 1)
    return sum(level_plan(config, k, size, total).iterations for k, size in enumerate(sizes))


def trains(config: SearchConfig, level: int) -> bool:
    """Say whether a level is trained before it is pruned."""
    when = config.prune.when
    every = config.levels if when == "one-shot" else config.prune.train_every
    return when != "at-init" and level % every == 0


def level_plan(config: SearchConfig, level: int, members: int, total: int) -> Plan:
    """Return the plan of a level on `members` of `total` examples: no iterations if untrained."""
    presented = presented_an_epoch(config.sample, members, least=config.train.batch_size)
    plan = plan_for(config.train, presented, total, config.subset.scaling)
    if not trains(config, level):
        return plan.cut_short(0)
    stop = config.stop
    if stop.after:
        plan = plan.cut_short(stop.after[min(level, len(stop.after) - 1)])
    if stop.budget is not None:
        budget = max(1, round(stop.budget * full_plan(config, total).iterations))
        # The rewind point comes first, as it does before an early stop.
        mark = rewind_step(Rewind.parse(config.rewind), plan) if level == 0 else None
        plan = plan.cut_short(max(budget, mark or 0))
    return plan


def full_plan(config: SearchConfig, total: int) -> Plan:
    """Return the full-length schedule on all data: that of iterative magnitude pruning's levels."""
    return plan_for(config.train, total, total)


def rounds_of(before: int, fraction: float, rounds: int) -> list[int]:
    """Return how many weights each round keeps, falling by the same ratio to the last count.

    >>> rounds_of(100, 0.2, 2)
    [89, 80]
    """
    after = before - round(fraction * before)
    return [round(before * (after / before) ** ((i + 1) / rounds)) for i in range(rounds)]


def rewind_step(rewind: Rewind, plan: Plan) -> int | None:
    """Return the rewind point in iterations of the dense training; None where weights are kept."""
    if rewind.keeps_weights:
        return None
    return rewind.at * (plan.iterations_per_epoch if rewind.kind == "epoch" else 1)


def check_plan(config: SearchConfig, masks: Masks, members: int, total: int) -> None:
    """Raise a PracError where a search could not do what its settings ask for.

    Args:
        config: Its settings.
        masks: Of the dense network.
        members: Examples that level 0 trains on.
        total: All training examples.
    """
    _check_levels(config, masks)
    plan = level_plan(config, 0, members, total)
    step = rewind_step(Rewind.parse(config.rewind), plan)
    if step is not None and step > plan.iterations:
        raise PracError(
            f"rewind is {config.rewind!r}, iteration {step}, but the dense training has only "
            f"{plan.iterations} iterations: rewind earlier or train longer"
        )
    _check_sets(config, total)
    subset = config.subset
    if subset.rule in ("el2n", "el2n-ccs") and subset.el2n_epoch > plan.epochs:
        raise PracError(
            f"el2n_epoch is {subset.el2n_epoch}, but the dense training has only {plan.epochs} "
            f"epochs: take the scores earlier or train longer"
        )


def check_task(problem: Problem, config: SearchConfig) -> None:
    """Raise a PracError where a search's parts ask a task for what it does not tell."""
    if config.sample.rule == "infobatch":
        problem.check_losses()
    is_classification = problem.task.prediction is CLASSIFICATION.prediction
    if config.subset.rule in ("el2n", "el2n-ccs") and not is_classification:
        raise PracError(
            f"subset_rule is {config.subset.rule!r}, which looks at predicted classes, but the "
            f"task's prediction is not classification's: choose examples by another rule"
        )


def _check_sets(config: SearchConfig, total: int) -> None:
    """Raise a PracError where a set cannot have the size that is asked for."""
    subset, least = config.subset, min(config.train.batch_size, total)
    for size in subset.sizes:
        if not least <= size <= total:
            raise PracError(
                f"set_sizes has {size}: expected {least} (a batch) to {total} (all training "
                f"examples)"
            )
    if subset.rule == "el2n-ccs":
        remaining = total - round(subset.cutoff * total)
        most = max(set_size(subset, level, total, least) for level in range(1, config.levels + 1))
        if most > remaining:
            raise PracError(
                f"el2n-ccs is to keep {most} of {total} examples, but its cutoff of "
                f"{subset.cutoff:g} leaves {remaining}: lower the cutoff or keep fewer"
            )


def weights_to_come(config: SearchConfig, masks: Masks) -> list[int]:
    """Return how many weights each level's ticket keeps; `masks`, of any level, tell the sizes."""
    settings = config.prune
    return counts_to_come(
        [mask.numel() for mask in masks.values()],
        settings.drop_fraction,
        config.levels,
        scope=settings.scope,
        allow_empty=settings.allow_empty,
    )


def _check_levels(config: SearchConfig, masks: Masks) -> None:
    """Raise a PracError where a pruning would find nothing left to prune."""
    counts = weights_to_come(config, masks)
    for level, (before, after) in enumerate(itertools.pairwise(counts)):
        if before == after:
            raise PracError(
                f"after {level} prunings {before} of {counts[0]} weights are left, and another "
                f"prunes none: lower levels from {config.levels} to {level}"
            )
