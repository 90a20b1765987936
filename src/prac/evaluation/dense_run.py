"""The dense training as a search's first level does it, its weights kept at points of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from prac.algorithms import ForgettingTable, Plan
from prac.config import TrainConfig, flat
from prac.evaluation.cache import kept_path
from prac.io import read_tensors, told_newly, write_tensors
from prac.runs import RunFolder, RunState, Ticket, Weights
from prac.training import Problem, RunOptions, Training, ignore, select_execution, train_level
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
        del identity["metric"]  # Nothing is validated on the way.
        pipeline = repr(getattr(problem.train, "pipeline", None))
        of_old = problem.identity_of_old()
        # What was not told had no name either.
        told_of_old = {k: v for k, v in {**identity, **of_old}.items() if k != "modules"}
        about, about_of_old = (
            ["trunk", told_newly(settings), one, pipeline, runtime.precision]
            for one in (identity, told_of_old)
        )
        path = kept_path(self.cache, about, about_of_old, "trunk-")
        kept = path / f"iteration_{point:08d}.safetensors"
        if not kept.exists():
            options.tell("trunk", iteration=point)
            runtime = options.as_begun(runtime, path)
            problem = replace(problem, runtime=runtime)
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
        table, members = ForgettingTable.empty(total), torch.arange(total)
        begun = RunState(0, 0, self.first.weights, self.first.masks, members, table)
        state = folder.resume(begun) or begun
        if state.step > point:  # A point between those of an earlier call.
            state = begun
        seed = derive_seed(self.seed, "level", 0)
        training = Training(self.plan, self.config, seed, until=point)
        # Who listens hears of points, not of the states on the way.
        options = replace(self.options, callback=ignore)
        return train_level(problem, folder, state, training, options).weights
