"""The dense training as a search's first level does it, its weights kept at points of it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from prac.algorithms.forgetting import ForgettingTable
from prac.algorithms.schedule import Plan
from prac.cached import content_key
from prac.checkpoint import RunFolder, environment
from prac.config import TrainConfig
from prac.data.examples import Examples
from prac.execution import executed
from prac.loop import fit
from prac.modules import restore_
from prac.optimizer import make_optimizer, optimizer_tensors, restore_optimizer_
from prac.pace import Pace
from prac.problem import Problem
from prac.seeds import derive_seed
from prac.settings import flat
from prac.state import RunState, Weights
from prac.store import read_tensors, write_tensors
from prac.ticket import Ticket
from prac.training import Event, Watch, between_epochs, check_converging, noting, presented


@dataclass(frozen=True)
class Trunk:
    """The dense training from which copies branch off, trained no further than asked for.

    Attributes:
        problem: The network and its training data.
        config: How to train.
        plan: Length and learning rates.
        first: The network at its initialisation, all masks True.
        seed: The search's.
        cache: The folder that its own is in.
        watch: Shown what goes on.
        pace: When to save and stop.
        accept_changes: Whether to go on under other versions.
    """

    problem: Problem
    config: TrainConfig
    plan: Plan
    first: Ticket
    seed: int
    cache: Path
    watch: Watch
    pace: Pace
    accept_changes: bool

    def weights_at(self, point: int) -> Weights:
        """Return the weights after so many iterations, from the cache or by training on to them."""
        if point == 0:
            return self.first.weights
        settings = {**flat(self.config), "seed": self.seed}
        identity = {"ticket": self.first.digest, **self.problem.identity()}
        pipeline = repr(getattr(self.problem.train, "pipeline", None))
        about = ["trunk", settings, identity, pipeline, self.problem.world.precision]
        path = self.cache / f"trunk-{content_key(about)}"
        kept = path / f"iteration_{point:08d}.safetensors"
        if not kept.exists():
            self.watch(Event("trunk", 0, {"iteration": point}))
            with self.problem.world.reproducible():
                problem = executed(self.problem, self.config, point, path, noting(self.watch))
                folder = RunFolder(
                    path,
                    settings,
                    identity,
                    environment(problem.world),
                    accept_changes=self.accept_changes,
                    note=noting(self.watch),
                )
                with folder, self.pace.working():
                    weights = self._train(problem, folder, point)
                    write_tensors(kept, weights, "weights", {"iteration": point})
            self.problem.world.prepare_(self.problem.model)  # In the usual layout.
        return read_tensors(kept, "weights")[0]

    def _train(self, problem: Problem, folder: RunFolder, point: int) -> Weights:
        """Train on from the folder's newest state to a point, which becomes its newest state."""
        begun = _first_state(self.first, problem.train)
        state = folder.resume(begun) or begun
        if state.step > point:  # A point between those of an earlier call.
            state = begun
        model = problem.model
        restore_(model, state.weights)
        optimizer = make_optimizer(model, self.config, problem.world)
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
            world=problem.world,
            batch_size=self.config.batch_size,
            seed=derive_seed(self.seed, "level", 0),
            start=state.step,
            breaks=lambda step: self.pace.after_step() or step == point,
        )
        with closing(segments):
            while state.step < point:
                segment = next(segments)
                check_converging(state, segment, model, self.plan)
                state = presented(state, segment, model, None)
                if segment.ends_epoch:
                    state = between_epochs(state)
                elif state.step < point and not self.pace.wants_save:
                    continue
                state = replace(state, optimizer=optimizer_tensors(optimizer))
                folder.commit(state)
                self.pace.saved(folder.seconds_to_save)
                self.pace.check(f"at iteration {state.step} of the dense training")
        folder.wait()
        return state.weights


def _first_state(ticket: Ticket, train: Examples) -> RunState:
    total = len(train)
    return RunState(
        level=0,
        step=0,
        weights=ticket.weights,
        masks=ticket.masks,
        members=torch.arange(total),
        table=ForgettingTable.empty(total),
    )
