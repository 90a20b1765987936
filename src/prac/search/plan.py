"""What a search is going to do, worked out from its settings before it begins, and checked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from prac.algorithms import Plan, kept_per_level
from prac.config import Rewind, SearchConfig
from prac.errors import PracError
from prac.runs import Cost
from prac.search.sampling import presented_an_epoch, set_size
from prac.training import plan_for
from prac.utils import brief, percent


@dataclass(frozen=True, repr=False)
class SearchPlan:
    """The plan of a whole search; only how large later sets are is not known before.

    Attributes:
        total: All training examples, |D0|.
        full: The full-length schedule on all data, which every level of iterative magnitude pruning
            takes.
        kept: Weights that each ticket keeps, from the dense network's (0) to the last.
        trains: Whether each level is trained before it is pruned. The last ticket has a level too,
            which is not begun.
        rewind_step: The rewind point in iterations of the dense training; None where weights are
            kept.
        most_iterations: Length of the search if no level stops early and sets are as large as they
            can be.
        first: The level that it begins with: 0, or that of another search's ticket.
    """

    config: SearchConfig
    rewind: Rewind
    total: int
    full: Plan
    kept: tuple[int, ...]
    trains: tuple[bool, ...]
    rewind_step: int | None
    most_iterations: int
    first: int = 0

    def __repr__(self) -> str:
        """Return how far it prunes, and how long it may take."""
        prunings = f"{self.levels} prunings to {percent(self.densities[-1])}"
        return brief(self, prunings, f"{self.most_iterations:,} iterations at most")

    @classmethod
    def of(
        cls,
        config: SearchConfig,
        prunable: Sequence[int],
        *,
        members: int,
        total: int,
        first: int = 0,
    ) -> SearchPlan:
        """Return the plan of a search: prunable weights are by layer, members its first examples.

        Raises:
            PracError: Where the search could not do what its settings ask for.
        """
        kept = kept_per_level(
            prunable,
            config.prune.drop_fraction,
            config.levels,
            scope=config.prune.scope,
            allow_empty=config.prune.allow_empty,
        )
        every = config.levels_a_training
        trains = tuple(every > 0 and level % every == 0 for level in range(config.levels + 1))
        full, rewind = plan_for(config.train, total, total), Rewind.parse(config.rewind)
        scheduled = _scheduled(config, members, total)
        step = None
        if not rewind.keeps_weights:
            step = rewind.at * (scheduled.iterations_per_epoch if rewind.kind == "epoch" else 1)
        plan = cls(config, rewind, total, full, tuple(kept), trains, step, 0, first)
        plan._check(members)
        later = members if config.subset.rule == "fixed" else total
        sizes = [members] + [later] * (config.levels - 1 - first)
        lengths = [plan.level(level, size).iterations for level, size in enumerate(sizes, first)]
        return replace(plan, most_iterations=sum(lengths) + plan.before_learning)

    @property
    def levels(self) -> int:
        """Prunings."""
        return self.config.levels

    @property
    def densities(self) -> list[float]:
        """The density of each ticket, the dense network's first."""
        return [count / self.kept[0] for count in self.kept]

    @property
    def learns(self) -> bool:
        """Whether levels learn masks, instead of training weights."""
        return self.config.prune.learns

    @property
    def goes_on(self) -> bool:
        """Whether a level goes on from what the one before it has trained or learned."""
        return self.learns or self.config.level.carries

    @property
    def before_learning(self) -> int:
        """Iterations of the dense training to the rewind point, before masks are learned there."""
        return (self.rewind_step or 0) if self.learns else 0

    def stretch(self, index: int) -> int:
        """Return how many prunings a trained level's weights rank: its own, and those untrained."""
        later = range(index + 1, self.levels)
        return next((level for level in later if self.trains[level]), self.levels) - index

    def distance_over(self, index: int) -> int | None:
        """Return of how many weights a trained level's mask distances are shares; None: its own.

        Where it ranks for several prunings, of those that the last of them is to choose from: as
        shares of all that it trains, any two masks of few weights would be near each other.
        """
        stretch = self.stretch(index)
        return self.kept[index + stretch - 1] if stretch > 1 else None

    def to_rewind_point(self, members: int) -> Plan:
        """Return the plan of the dense training on so many examples, up to the rewind point."""
        return _scheduled(self.config, members, self.total).cut_short(self.before_learning)

    def is_fresh(self, index: int) -> bool:
        """Whether a level trains as the dense one does: its weights carry no level before it.

        That is level 0, and where levels are carried also the first one after another search's
        ticket.
        """
        return index == 0 or (index == self.first and self.config.level.carries)

    def level(self, index: int, members: int) -> Plan:
        """Return the plan of a level that trains on so many examples; empty where it does not.

        Where masks are learned it is that of the learning alone.
        """
        plan = _scheduled(self.config, members, self.total)
        if not self.trains[index]:
            plan = plan.cut_short(0)
        else:
            stop = self.config.stop
            if stop.after:
                plan = plan.cut_short(stop.after[min(index, len(stop.after) - 1)])
            share = stop.budget
            if self.is_fresh(index) and stop.dense_budget is not None:
                share = stop.dense_budget
            elif share is not None and index:
                share *= self.config.level.growth ** (index - 1)
            if share is not None:
                budget = max(1, round(share * self.full.iterations))
                # The rewind point comes first, as it does before an early stop.
                first = 0 if index or self.learns else self.rewind_step or 0
                plan = plan.cut_short(max(budget, first))
        is_dense = self.is_fresh(index) and not self.learns
        return self._dense(plan, index) if is_dense else self._later(plan)

    def imp_level(self, validated: int) -> Cost:
        """Return what iterative magnitude pruning does at a level: full length on all data.

        So many examples are scored at each validation.
        """
        full = self.full
        validations = math.ceil(full.epochs / self.config.train.validate_every)
        presented = round(full.iterations * self.total / full.iterations_per_epoch)
        return Cost(full.iterations, presented, validations * validated)

    def beyond_rewind(self, index: int) -> int | None:
        """Return the iteration of a level from which on it trains beyond the rewind point."""
        return 0 if index else self.rewind_step

    def _dense(self, plan: Plan, index: int) -> Plan:
        """Return the plan of a level that trains as the dense one, at the rates that it has."""
        start = self.beyond_rewind(index)
        return plan if start is None else plan.faster(self.config.level.lr_factor, start)

    def _later(self, plan: Plan) -> Plan:
        """Return the plan of a level after the dense one, at its rates; of all that are learned."""
        if self.rewind.fine_tunes:
            return plan.fine_tuning(self.full)
        level = self.config.level
        plan = plan.faster(level.lr_factor)
        if self.config.prune.mask_lr is not None:
            plan = replace(plan, lr=self.config.prune.mask_lr)
        if self.goes_on:
            plan = replace(plan, warmup=0)  # Which is for weights that nothing has trained.
        if level.schedule == "full":
            return plan
        return replace(plan, schedule=level.schedule, milestones=(), scheduled=None)

    def _check(self, members: int) -> None:
        """Raise a PracError where the search could not do what its settings ask for."""
        for level, (before, after) in enumerate(itertools.pairwise(self.kept)):
            if before == after:
                raise PracError(
                    f"after {level} prunings {before} of {self.kept[0]} weights are left, and "
                    f"another prunes none: lower levels from {self.levels} to {level}"
                )
        if self.rewind.fine_tunes and not self.full.lr_at(self.full.iterations - 1):
            raise PracError(
                f"rewind is 'none' but schedule {self.config.train.schedule!r} ends at a rate of "
                f"0, at which fine-tuning would train: let it end above, or use constant"
            )
        if self.first:
            if self.learns:
                raise PracError(
                    f"a search goes on from ticket {self.first}, and pruning is 'learned': scores "
                    f"are learned from the dense network on; search from the beginning"
                )
            if not self.trains[self.first]:
                prune = self.config.prune
                raise PracError(
                    f"a search goes on from ticket {self.first}, which it does not train: pruning "
                    f"is {prune.when!r}, train_every {prune.train_every}; search from the beginning"
                    f"{', or set train_every to 1' if prune.when == 'iterative' else ''}"
                )
            self._check_sets()
            return
        dense = self.level(0, members)
        if self.learns:
            dense = _scheduled(self.config, members, self.total)
        if self.rewind_step is not None and self.rewind_step > dense.iterations:
            raise PracError(
                f"rewind is {self.config.rewind!r}, iteration {self.rewind_step}, but the dense "
                f"training has only {dense.iterations} iterations: rewind earlier or train longer"
            )
        self._check_sets()
        subset = self.config.subset
        if subset.needs_difficulty and subset.el2n_epoch > dense.epochs:
            raise PracError(
                f"el2n_epoch is {subset.el2n_epoch}, but the dense training has only "
                f"{dense.epochs} epochs: take the scores earlier or train longer"
            )

    def _check_sets(self) -> None:
        """Raise a PracError where a set cannot have the size that is asked for."""
        subset, total = self.config.subset, self.total
        least = min(self.config.train.batch_size, total)
        for size in subset.sizes:
            if not least <= size <= total:
                raise PracError(
                    f"set_sizes has {size}: expected {least} (a batch) to {total} (all training "
                    f"examples)"
                )
        if subset.rule == "el2n-ccs":
            remaining = total - round(subset.cutoff * total)
            most = max(set_size(subset, level, total, least) for level in range(1, self.levels + 1))
            if most > remaining:
                raise PracError(
                    f"el2n-ccs is to keep {most} of {total} examples, but its cutoff of "
                    f"{subset.cutoff:g} leaves {remaining}: lower the cutoff or keep fewer"
                )


def _scheduled(config: SearchConfig, members: int, total: int) -> Plan:
    """Return how a level on `members` of `total` examples would train if nothing cut it short."""
    presented = presented_an_epoch(config.sample, members, least=config.train.batch_size)
    return plan_for(config.train, presented, total, scaling=config.subset.scaling)
