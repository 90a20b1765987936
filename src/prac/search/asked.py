"""A level that anybody trains: what to train, and what its training shows as it goes on."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from prac.algorithms import Masks, Plan, kept, mask_distance
from prac.errors import PracError
from prac.models import evaluating, masked
from prac.runs import ACCURACY, Cost, Measure, RunState, Ticket, Weights
from prac.search.parts import Rules
from prac.search.plan import SearchPlan
from prac.search.presentations import Presentations
from prac.search.prune import at_end
from prac.search.told import (
    ModelOrWeights,
    check_measured,
    checked_of_each,
    finite_or_none,
    restored,
    told_numbers,
    weights_told,
)

FEW = 0.75
"""Below this share of the presentations that its steps make, a level's records have gaps."""


class AskedLevel:
    """A level that is to be trained, and what its training shows as it goes on.

    Attributes:
        index: Prunings so far; 0 is the dense network.
        ticket: Its masks, and the weights of the rewind point.
        ids: int64 (m,), ascending: which examples to train on, by their places from 0 to n - 1.
        plan: How long, and at which rates: `plan.lr_at(iteration)`.
        rewind_step: Iteration after which the weights are the rewind point, to be marked; None
            where it is not in this level, or at its start.
        forgetting: Where every presentation is recorded.
        distances: Mask distances so far, one from the second time on that they were asked for.
        metrics: What was noted of the epochs that have ended, a line each.
        best: The weights of the best epoch so far; None where none was validated.
        steps: Optimiser steps so far, as `end_step` counts them.
    """

    def __init__(
        self,
        start: RunState,
        plan: SearchPlan,
        rules: Rules,
        ticket: Ticket,
        measure: Measure = ACCURACY,
    ) -> None:
        """Begin at a level's start."""
        self._start, self._search, self.ticket = start, plan, ticket
        self._rules: Rules | None = rules
        self._measure = measure
        self._best_metric: float | None = None
        self.index, self.ids = start.level, start.members
        self.plan: Plan = plan.level(start.level, len(start.members))
        point = plan.rewind_step if start.level == 0 else None
        self.rewind_step = point or None
        self._rewind: Weights | None = start.weights if point == 0 else start.rewind
        self.forgetting = Presentations(plan.total, start.members)
        self.distances: tuple[float, ...] = ()
        self.metrics: list[dict[str, Any]] = []
        self.best: Weights | None = None
        self.steps = 0
        self._best_epoch, self._best_accuracy = 0, -1.0
        self._candidate: Masks | None = None
        self._began = time.perf_counter()
        self._noted = (0, 0)

    def __repr__(self) -> str:
        """Show what is to be trained."""
        return (
            f"AskedLevel({self.index}, density {100 * self.density:.3g} %, {len(self.ids):,} of "
            f"{self._search.total:,} examples, {self.iterations:,} iterations)"
        )

    @property
    def density(self) -> float:
        """The share of prunable weights that the level keeps."""
        return self._search.densities[self.index]

    @property
    def measure(self) -> Measure:
        """The metric that best epochs go by, as the search was begun with it."""
        return self._measure

    @property
    def masks(self) -> Masks:
        """The masks to train under, which `prac.attach` holds."""
        return self._start.masks

    @property
    def iterations(self) -> int:
        """How long to train, in optimiser steps, unless the mask is stable before."""
        return self.plan.iterations

    @property
    def epochs(self) -> int:
        """How long to train, in epochs over `ids`."""
        return self.plan.epochs

    @property
    def is_begun(self) -> bool:
        """Whether anything was noted of its training."""
        return bool(self.steps or self.metrics or self.forgetting.count)

    def schedule(self, optimizer: torch.optim.Optimizer) -> LambdaLR:
        """Return a scheduler that gives an optimiser the plan's rates: call its `step` each step.

        The optimiser is made with the peak rate, `plan.lr`; groups with another keep their ratio.
        """
        return LambdaLR(optimizer, lambda step: self.plan.lr_at(step) / self.plan.lr)

    def apply(self, model: nn.Module) -> nn.Module:
        """Load into a model the weights that the level starts from, pruned; return it.

        They are the ticket's; where levels are carried, those that were told last.

        Raises:
            PracError: If the model is another one.
        """
        weights = masked(self._start.weights, self._start.masks)
        return restored(model, {**self._start.weights, **weights})

    @contextmanager
    def at_best(self, model: nn.Module) -> Iterator[nn.Module]:
        """Give a model the weights of the best epoch for a while, and then its own back.

        It is in evaluation mode, and nothing is differentiated, as for predictions. Where no epoch
        was validated its weights stay as they are.

        Raises:
            PracError: If the model is another one.
        """
        before = self._copied(model)
        with evaluating(model), torch.no_grad():
            try:
                yield model if self.best is None else restored(model, self.best)
            finally:
                restored(model, before)

    def mark(self, weights: ModelOrWeights) -> None:
        """Keep these weights, after `rewind_step` iterations, as the rewind point of all tickets.

        Raises:
            PracError: If no rewind point is to come, or these are no such weights.
        """
        if self.rewind_step is None:
            raise PracError(
                f"level {self.index} has no rewind point to mark: only level 0 has one, where "
                f"rewind is a later epoch or iteration"
            )
        if self.steps not in (0, self.rewind_step):
            raise PracError(
                f"the rewind point is after iteration {self.rewind_step}, and {self.steps} steps "
                f"were done: `end_step` marks it when it is passed"
            )
        self._rewind = self._copied(weights)

    def end_step(self, weights: ModelOrWeights) -> bool:
        """Note that an optimiser step was done; say whether the level's length is reached.

        The rewind point is marked where it is. Steps that are noted count in the ledger.
        """
        self.steps += 1
        if self.steps == self.rewind_step and self._rewind is None:
            self.mark(weights)
        return self.steps >= self.iterations

    def distance(self, weights: ModelOrWeights) -> float | None:
        """Return how far the mask that pruning would give now is from the one asked for before.

        That is a share of the weights that are kept, and it is noted; None the first time.
        """
        return self._distance(self._copied(weights))

    def _distance(self, weights: Weights) -> float | None:
        before, self._candidate = self._candidate, self._pruned(weights)
        if before is None:
            return None
        over = self._search.distance_over(self.index) or kept(self._start.masks)
        self.distances = (*self.distances, mask_distance(before, self._candidate, over))
        return self.distances[-1]

    def _pruned(self, weights: Weights) -> Masks:
        now = replace(self._start, weights=weights)
        return at_end(self._known_rules, self._search, self.index, 1)(now)

    @property
    def is_stable(self) -> bool:
        """Whether the mask is, by the search's rule, and the rewind point has passed."""
        return self._has_rewind_point and bool(self._known_rules.stop(self.distances))

    @property
    def _known_rules(self) -> Rules:
        if self._rules is None:
            raise PracError(
                f"level {self.index} was sent here by another process: only the one that asked for "
                f"it takes mask distances and ends epochs; send on what that says"
            )
        return self._rules

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the search's rules, which may be any functions: pickled to train with alone."""
        return {**vars(self), "_rules": None}

    @property
    def _has_rewind_point(self) -> bool:
        return self.rewind_step is None or self._rewind is not None

    def end_epoch(
        self,
        weights: ModelOrWeights,
        *,
        val_accuracy: float | None = None,
        val_metric: float | None = None,
        val_loss: float | None = None,
        train_loss: float | None = None,
        lr: float | None = None,
    ) -> bool:
        """Note that an epoch over `ids` has ended; say whether the level's training may end.

        The mask distance is taken, what was measured goes into the run's metrics, and the weights
        of the best `val_metric` so far are kept, which by default is the `val_accuracy`. Training
        may end where its length is reached or the mask is stable. The learning rate is the plan's,
        unless another is given.
        """
        check_measured("val_accuracy", val_accuracy, is_share=True)
        check_measured("val_metric", val_metric, is_share=self._measure.is_share)
        now = self._copied(weights)
        distance, epoch = self._distance(now), len(self.metrics) + 1
        iteration = min(self.steps or epoch * self.plan.iterations_per_epoch, self.iterations)
        count, right = self.forgetting.count, self.forgetting.right
        presented = count - self._noted[0]
        accuracy = (right - self._noted[1]) / presented if presented else None
        self._noted = (count, right)
        self.metrics.append(
            {
                "level": self.index,
                "epoch": epoch,
                "epochs": self.epochs,
                "iteration": iteration,
                "iterations": self.iterations,
                "lr": self.plan.lr_at(iteration - 1) if lr is None else float(lr),
                "set_size": len(self.ids),
                "presented": presented,
                "train_loss": finite_or_none(train_loss),
                "train_accuracy": accuracy,
                **({} if val_accuracy is None else {"val_accuracy": float(val_accuracy)}),
                **({} if val_metric is None else {"val_metric": finite_or_none(val_metric)}),
                **({} if val_loss is None else {"val_loss": finite_or_none(val_loss)}),
                "mask_distance": distance,
            }
        )
        if val_metric is None and self._measure.counts_examples:
            val_metric = val_accuracy
        value, best = finite_or_none(val_metric), self._best_metric
        if value is not None and (best is None or self._measure.gain(value, best) >= 0):
            self.best, self._best_metric, self._best_epoch = now, value, epoch
            self._best_accuracy = -1.0 if val_accuracy is None else float(val_accuracy)
        is_long = self.steps >= self.iterations if self.steps else epoch >= self.epochs
        return is_long or self.is_stable

    def ended(
        self,
        weights: ModelOrWeights,
        *,
        best: ModelOrWeights | None = None,
        iterations: int | None = None,
        difficulty: Any = None,
    ) -> RunState:
        """Return the state at the level's end.

        Raises:
            PracError: If what the search needs was not recorded, or these are no such weights.
        """
        if not self._has_rewind_point:
            raise PracError(
                f"level 0 was trained beyond iteration {self.rewind_step}, its rewind point, which "
                f"was not marked: call level.end_step(model) after each step, or level.mark(model) "
                f"after that one, and train it again"
            )
        final, count = self._copied(weights), self.forgetting.count
        config = self._search.config
        if not count and config.subset.needs_forgetting:
            raise PracError(
                f"nothing was recorded at level {self.index}, but subset_rule is "
                f"{config.subset.rule!r}, which looks at what training forgets: call "
                f"level.forgetting.record(ids, correct) for each batch"
            )
        if iterations is None and self.steps:
            iterations = self.steps
        elif iterations is None:
            epochs, rest = divmod(count, len(self.ids))
            iterations = epochs * self.plan.iterations_per_epoch
            iterations += math.ceil(rest / config.train.batch_size)
            iterations = iterations or self.iterations
        if iterations < 1:
            raise PracError(f"iterations is {iterations}: expected at least 1")
        chosen = (final if self.best is None else self.best) if best is None else self._copied(best)
        scores = self._start.difficulty
        if difficulty is not None:
            scores = told_numbers(difficulty, "difficulty").to(torch.float32)
            if not bool(((scores >= 0) & scores.isfinite()).all()):
                raise PracError(
                    "difficulty holds what is no EL2N score: expected numbers from 0 on"
                )
        elif self.index == 0 and config.subset.needs_difficulty:
            raise PracError(
                f"subset_rule is {config.subset.rule!r}, which looks at EL2N scores: pass "
                f"tell(..., difficulty=scores) at level 0, one number for each of "
                f"{self._search.total} examples"
            )
        seconds = time.perf_counter() - self._began
        return replace(
            self._start,
            step=iterations,
            weights=final,
            table=self.forgetting.table,
            rewind=self._rewind,
            candidate=self._pruned(final),
            distances=self.distances,
            best=chosen,
            best_metric=self._best_metric,
            best_accuracy=self._best_accuracy,
            best_epoch=self._best_epoch or max(1, len(self.metrics)),
            difficulty=checked_of_each(scores, "difficulty", self._search.total),
        ).add_cost(Cost(iterations, count, 0, seconds))

    def doubts(self, iterations: int) -> Iterator[str]:
        """Yield what speaks against a level's training of so many steps, a line each."""
        if iterations < self.iterations and not self.is_stable:
            yield (
                f"level {self.index} was trained for {iterations} of its {self.iterations} "
                f"iterations, and its mask is not stable: its ticket, its set and what it saved "
                f"rest on less than was planned"
            )
        count, members = self.forgetting.count, len(self.ids)
        if not count:
            return
        if unseen := members - self.forgetting.distinct:
            yield (
                f"{unseen} of the {members} examples of level {self.index} were never recorded, "
                f"and count as never learned: train on all of level.ids, and record every batch, "
                f"also of other processes (level.forgetting.gather())"
            )
        due = iterations / self.plan.iterations_per_epoch * members
        if self.steps and count < FEW * due and not unseen:
            yield (
                f"{count} presentations were recorded in {iterations} steps at level {self.index}, "
                f"which present about {due:.0f}: record every batch, also of other processes "
                f"(level.forgetting.gather())"
            )

    def _copied(self, given: ModelOrWeights) -> Weights:
        """Return a copy of a model's weights on the CPU, by the names of the user's module.

        Raises:
            PracError: If they are another network's, not finite, or not pruned.
        """
        return weights_told(given, self._start.weights, self._start.masks, self.index)
