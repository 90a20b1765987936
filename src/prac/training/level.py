"""One level's training, as both a search and a retraining do it: train, observe, commit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from prac.algorithms import Masks, Plan, kept, mask_distance
from prac.config import TrainConfig
from prac.errors import PracError
from prac.events import Event
from prac.models import restore_, snapshot
from prac.runs import Cost, RunFolder, RunState, Weights
from prac.training.average import WeightAverage
from prac.training.batch_transform import batch_transform_of
from prac.training.descent import Descent
from prac.training.diverged import check_converging
from prac.training.evaluate import el2n_scores
from prac.training.finite import check_again, check_scale
from prac.training.loop import Segment, fit
from prac.training.optimizer import (
    make_optimizer,
    mask_optimizer_,
    optimizer_tensors,
    restore_optimizer_,
    set_weight_decay_,
)
from prac.training.problem import Problem
from prac.training.run_options import RunOptions
from prac.training.step import Objective
from prac.training.validation import finite, validated, without_value

BEAT_SECONDS = 0.25  # From one iteration that is told of to the next.
# After an epoch's end, until its state is written: by then a device has some steps to do.
HOLD_SECONDS = 0.02


SampleRule = Callable[[RunState, int], tuple[Tensor, Tensor | None]]
"""(a level's state, its epoch from 0) -> what the epoch presents, and weights of their losses."""


def all_members(state: RunState, epoch: int) -> tuple[Tensor, Tensor | None]:
    """Present the whole set, every epoch."""
    return state.members, None


@dataclass(frozen=True)
class Training:
    """How one level is trained.

    Attributes:
        candidate: State -> the masks that pruning it at the level's end would give; None where no
            one asks how stable they are.
        distance_over: Weights that mask distances are shares of; None for those that the level's
            masks keep.
        stop: Mask distances so far -> whether to stop.
        prunings: Iteration within the level -> state -> the masks from there on.
        weight_decay, weight_decay_from: From an iteration on, instead of the config's; None for
            never.
        mark: Iterations after which the weights are kept as the rewind point; None for none.
        sample: (state, epoch from 0) -> what the epoch presents, as `fit` takes it; all by default.
        with_losses: Whether `sample` looks at the examples' losses.
        difficulty_epoch: Epoch, from 1, after which EL2N scores are taken; None for none.
        objective: State -> what is descended under its masks, instead of the task's loss.
        scored_passes: Forward passes over each batch that only score it, beside the trained one.
        as_network: State -> the weights to validate, where those trained are not the network's.
        until: Iteration at which to end, within an epoch or not, without a validation or metrics
            on the way; None for a whole training.
    """

    plan: Plan
    config: TrainConfig
    seed: int
    candidate: Callable[[RunState], Masks] | None = None
    distance_over: int | None = None
    stop: Callable[[Sequence[float]], bool] = lambda distances: False
    prunings: Mapping[int, Callable[[RunState], Masks]] = field(default_factory=dict)
    weight_decay: float | None = None
    weight_decay_from: int | None = 0
    mark: int | None = None
    sample: SampleRule = all_members
    with_losses: bool = False
    difficulty_epoch: int | None = None
    objective: Callable[[RunState], Objective] | None = None
    scored_passes: int = 0
    as_network: Callable[[RunState], Weights] | None = None
    until: int | None = None

    def changes_at(self, step: int) -> bool:
        """Say whether masks or weight decay change at an iteration."""
        decays = self.weight_decay is not None and step == self.weight_decay_from
        return decays or step in self.prunings

    def is_over(self, state: RunState) -> bool:
        """Say whether the level has trained enough.

        The rewind point and the EL2N scores come first: before them, no mask is stable enough to
        stop.
        """
        if self.until is not None:
            return state.step >= self.until
        if state.step == 0 or state.is_within_epoch:
            return False
        if state.step >= self.plan.iterations:
            return True
        passed_mark = self.mark is None or state.step >= self.mark
        has_scores = self.difficulty_epoch is None or state.difficulty is not None
        return passed_mark and has_scores and bool(self.stop(state.distances))


def train_level(
    problem: Problem, folder: RunFolder, state: RunState, training: Training, options: RunOptions
) -> RunState:
    """Train a level from `state` to its end, committing every epoch; return its last state.

    An epoch's state is written while the next one trains, the last before this returns. Where the
    task's metric had no value in any validation, that is told.

    Raises:
        PracError: If the loss or a weight is not finite, or a state cannot be written.
        Interrupted: If the run control says to stop; the state is committed, and on disk once the
            folder is let go.
    """
    model, run_control = problem.model, options.run_control
    restore_(model, state.weights)
    sparse = problem.has_sparse_gradients
    optimizer = make_optimizer(model, training.config, problem.runtime, sparse=sparse)
    descent = Descent.of(training.config, problem.runtime)
    if state.optimizer:
        restore_optimizer_(optimizer, descent.restore_(state.optimizer))
    average = average_of(training.config, model, state)
    transform = batch_transform_of(training.config)
    if training.mark == state.step == 0:
        state = replace(state, rewind=state.weights)
    if training.is_over(state):
        return state
    started = told = time.perf_counter()

    def breaks(step: int) -> bool:
        nonlocal told
        now = time.perf_counter()
        if now - started > HOLD_SECONDS:
            folder.release()
        if now - told >= BEAT_SECONDS:
            told = now
            options.tell("step", state.level, iteration=step)
        return (
            run_control.after_step()
            or step in (training.mark, training.until)
            or training.changes_at(step)
        )

    def segments() -> Generator[Segment, None, None]:
        """Train on under masks and a weight decay that do not change."""
        if state.step == 0 or state.step in training.prunings:
            mask_optimizer_(optimizer, model, state.masks)
            if average is not None:
                average.mask_(state.masks)
        start = training.weight_decay_from
        if training.weight_decay is not None and start is not None and state.step >= start:
            set_weight_decay_(optimizer, training.weight_decay)
        return fit(
            model,
            optimizer,
            problem.train,
            lambda epoch: training.sample(state, epoch),
            training.plan,
            masks=state.masks,
            task=problem.task,
            runtime=problem.runtime,
            batch_size=training.config.batch_size,
            seed=training.seed,
            start=state.step,
            breaks=breaks,
            with_losses=training.with_losses,
            judges_alone=problem.task_draws,
            objective=None if training.objective is None else training.objective(state),
            descent=descent,
            average=average,
            transform=transform,
        )

    while not training.is_over(state):
        with closing(segments()) as trained:
            for segment in trained:
                try:
                    check_converging(state, segment, model, training.plan)
                except PracError:
                    restore_(model, state.weights)
                    check_again(problem, "training", problem.train, segment.ids)
                    check_scale(problem, problem.train, segment.ids[: problem.batch_size])
                    raise
                state = record_segment(state, segment, model, training.mark)
                if average is not None:
                    state = replace(state, average=average.over(state.weights))
                scored = training.scored_passes * len(segment.ids)
                state = state.add_cost(Cost(examples_scored=scored))
                facts: dict[str, Any] | None = None
                if segment.ends_epoch and training.until is not None:
                    state = between_epochs(state)
                elif segment.ends_epoch:
                    state, facts = ended_epoch(problem, state, training)
                if state.step in training.prunings:
                    state = replace(state, masks=training.prunings[state.step](state))
                is_over = training.is_over(state)
                if segment.ends_epoch or run_control.wants_save or is_over:
                    now = time.perf_counter()
                    kept_now = optimizer_tensors(optimizer) | descent.tensors()
                    state = replace(state, optimizer=kept_now)
                    state = state.add_cost(Cost(seconds=now - started))
                    folder.commit(state, *([] if facts is None else [facts]), hold=True)
                    run_control.saved(folder.seconds_to_save)
                    if facts is None:
                        options.tell("saved", state.level, iteration=state.step)
                    else:
                        seconds = now - started
                        event = {**facts, "metric": problem.task.measure.to_json()}
                        options.callback(Event("epoch", state.level, {**event, "seconds": seconds}))
                    started = now
                    if not is_over:
                        epoch = training.plan.epochs_begun(state.step)
                        run_control.check(
                            f"at level {state.level}, epoch {epoch}, iteration {state.step}"
                        )
                if is_over or training.changes_at(state.step):
                    break
    folder.wait()
    if training.until is None and (notice := without_value(problem, state)):
        options.warn(notice)
    return state


def average_of(config: TrainConfig, model: nn.Module, state: RunState) -> WeightAverage | None:
    """Return the average of a model's weights, from a state on; None where none is asked for.

    It begins with each level.
    """
    if config.ema_decay is None:
        return None
    return WeightAverage(model, config.ema_decay, state.average if state.step else None)


def record_segment(
    state: RunState, segment: Segment, model: nn.Module, mark: int | None
) -> RunState:
    """Return the state after a segment's examples were presented."""
    weights = snapshot(model)
    state = replace(
        state,
        step=segment.step,
        weights=weights,
        table=state.table.update(segment.ids, segment.correct),
        epoch_losses=torch.cat([state.epoch_losses, segment.losses.float()]),
        epoch_examples=state.epoch_examples + len(segment.ids),
        epoch_correct=state.epoch_correct + int(segment.correct.sum()),
    ).add_cost(Cost(len(segment.losses), len(segment.ids)))
    if segment.example_losses is not None:
        newest = torch.full((len(state.table),), math.inf, dtype=torch.float32)
        if state.newest_losses is not None:
            newest = state.newest_losses.clone()
        newest[segment.ids] = segment.example_losses
        state = replace(state, newest_losses=newest)
    # Passed, where an epoch of fewer batches than planned leaves the point itself out.
    passes_mark = mark is not None and segment.start < mark <= segment.step
    return replace(state, rewind=weights) if passes_mark else state


def ended_epoch(
    problem: Problem, state: RunState, training: Training
) -> tuple[RunState, dict[str, Any]]:
    """Return the state between two epochs, validated and compared, and the epoch's metrics.

    These are only what the seed determines.
    """
    if training.candidate is not None:
        candidate = training.candidate(state)
        distances = state.distances
        if state.candidate is not None:
            over = training.distance_over or kept(state.masks)
            distance = mask_distance(state.candidate, candidate, over)
            distances = (*distances, distance)
        state = replace(state, candidate=candidate, distances=distances)
    epoch = training.plan.epochs_begun(state.step)
    if epoch == training.difficulty_epoch:
        state = replace(state, difficulty=el2n_scores(problem, problem.train))
        state = state.add_cost(Cost(examples_scored=len(problem.train)))
    state = replace(state, epoch_start_losses=state.newest_losses)
    validation: dict[str, float | None] = {}
    if epoch % training.config.validate_every == 0 or training.is_over(between_epochs(state)):
        network = state.weights if state.average is None else state.average
        if training.as_network is not None:
            network = training.as_network(state)
        state, validation = validated(problem, state, epoch, network)
    plan = training.plan
    metrics = {
        "level": state.level,
        "epoch": epoch,
        "epochs": plan.epochs,
        "iteration": state.step,
        "iterations": plan.iterations,
        "lr": plan.lr_at(state.step - 1),
        "set_size": len(state.members),
        "presented": state.epoch_examples,
        "train_loss": finite(float(state.epoch_losses.mean())),
        "train_accuracy": state.epoch_correct / state.epoch_examples,
        **validation,
        "mask_distance": state.distances[-1] if state.distances else None,
    }
    return between_epochs(state), metrics


def between_epochs(state: RunState) -> RunState:
    """Return the state after an epoch, of which only what was gathered is left."""
    return replace(
        state, epoch_losses=torch.zeros(0, dtype=torch.float32), epoch_examples=0, epoch_correct=0
    )
