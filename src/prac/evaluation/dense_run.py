"""The dense training as a search's first level does it, its weights kept at points of it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from prac.algorithms import Plan
from prac.config import TrainConfig, flat
from prac.evaluation.cache import kept_path
from prac.io import read_tensors, write_tensors
from prac.models import restore_
from prac.runs import RunFolder, RunState, Ticket, Weights
from prac.training import (
    Problem,
    RunOptions,
    between_epochs,
    check_converging,
    fit,
    make_optimizer,
    optimizer_tensors,
    record_segment,
    restore_optimizer_,
    select_execution,
)
from prac.utils import derive_seed


@dataclass(frozen=True)
class DenseRun:
    """The dense training from which copies branch off, trained no further than asked for.

    Attributes:
        first: The network at its initialisation, all masks True.
        seed: The search's.
        cache: The folder that its own is in.
    """

    problem: Problem
    config: TrainConfig
    plan: Plan
    first: Ticket
    seed: int
    cache: Path
    options: RunOptions

    def weights_at(self, point: int) -> Weights:
        """Return the weights after so many iterations, from the cache or by training on to them."""
        if point == 0:
            return self.first.weights
        settings = {**flat(self.config), "seed": self.seed}
        problem, options = self.problem, self.options
        runtime = problem.runtime
        identity = {"ticket": self.first.digest, **problem.identity()}
        pipeline = repr(getattr(problem.train, "pipeline", None))
        of_old = problem.task.own_parts(by_source=False)
        about, about_of_old = (
            ["trunk", settings, one, pipeline, runtime.precision]
            for one in (identity, {**identity, **of_old})
        )
        path = kept_path(self.cache, about, about_of_old, "trunk-")
        kept = path / f"iteration_{point:08d}.safetensors"
        if not kept.exists():
            options.tell("trunk", iteration=point)
            with runtime.reproducible():
                tuned = select_execution(problem, self.config, point, path, options.note)
                folder = options.open_folder(path, settings, identity, tuned.runtime, of_old=of_old)
                with folder, options.run_control.working():
                    weights = self._train(tuned, folder, point)
                    write_tensors(kept, weights, "weights", {"iteration": point})
            runtime.prepare_(problem.model)  # In the usual layout.
        return read_tensors(kept, "weights")[0]

    def _train(self, problem: Problem, folder: RunFolder, point: int) -> Weights:
        """Train on from the folder's newest state to a point, which becomes its newest state."""
        total = len(problem.train)
        begun = RunState.start(self.first.weights, self.first.masks, torch.arange(total), total)
        state = folder.resume(begun) or begun
        if state.step > point:  # A point between those of an earlier call.
            state = begun
        model, run_control = problem.model, self.options.run_control
        restore_(model, state.weights)
        optimizer = make_optimizer(model, self.config, problem.runtime)
        if state.optimizer:
            restore_optimizer_(optimizer, state.optimizer)
        segments = fit(
            model,
            optimizer,
            problem.train,
            state.members,
            self.plan,
            masks=state.masks,
            task=problem.task,
            runtime=problem.runtime,
            batch_size=self.config.batch_size,
            seed=derive_seed(self.seed, "level", 0),
            start=state.step,
            breaks=lambda step: run_control.after_step() or step == point,
        )
        with closing(segments):
            while state.step < point:
                segment = next(segments)
                check_converging(state, segment, model, self.plan)
                state = record_segment(state, segment, model, None)
                if segment.ends_epoch:
                    state = between_epochs(state)
                elif state.step < point and not run_control.wants_save:
                    continue
                state = replace(state, optimizer=optimizer_tensors(optimizer))
                folder.commit(state)
                run_control.saved(folder.seconds_to_save)
                run_control.check(f"at iteration {state.step} of the dense training")
        folder.wait()
        return state.weights
