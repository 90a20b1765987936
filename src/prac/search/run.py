"""A search's run folder and whom it tells: where it goes on, what each level leaves and says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prac.algorithms import density
from prac.runs import RunFolder, RunState, read_levels
from prac.search.level_files import write_start, write_summary, write_trained
from prac.search.parts import LevelStats, Selection
from prac.search.plan import SearchPlan
from prac.training import Problem, RunOptions


@dataclass(frozen=True)
class SearchRun:
    """A search under way, seen from its folder.

    Attributes:
        folder: Its run folder, open.
        problem: What is searched.
        plan: Of the search.
        provenance: What every ticket and set says of where it comes from.
        options: How it runs.
    """

    folder: RunFolder
    problem: Problem
    plan: SearchPlan
    provenance: Mapping[str, Any]
    options: RunOptions

    def resume(self, first: RunState) -> RunState:
        """Return the state to go on from: the newest that is whole, or the first, begun."""
        state = self.folder.resume(first) or self.start(first, Selection(first.members))
        plan = self.plan
        self.options.tell(
            "search",
            state.level,
            path=str(self.folder.path),
            densities=plan.densities,
            trains=list(plan.trains[: plan.levels]),
            total=plan.total,
            imp_iterations=plan.full.iterations,
            done=[level.to_json() for level in read_levels(self.folder.path)],
        )
        return state

    def start(self, state: RunState, selection: Selection) -> RunState:
        """Write what a level starts from, and make it the state to resume from."""
        path = self.folder.level(state.level)
        write_start(path, state, self.problem, selection, self.provenance)
        self.folder.commit(state)
        if state.level:  # Starting the dense level is not progress.
            self.options.run_control.saved(self.folder.seconds_to_save)
        return state

    def begin_level(self, state: RunState) -> None:
        """Say that a level begins, or goes on; stop here if asked to."""
        self.options.run_control.check(f"before level {state.level}")
        length = self.plan.level(state.level, len(state.members))
        self.options.tell(
            "level",
            state.level,
            levels=self.plan.levels,
            density=density(state.masks),
            set_size=len(state.members),
            total=self.plan.total,
            iterations=length.iterations,
            epochs=length.epochs,
            iteration=state.step,
        )

    def write_trained(self, state: RunState, stats: LevelStats, selection: Selection) -> None:
        """Write what a level's training has left: its best weights, what it has shown."""
        write_trained(self.folder.level(state.level), state, stats, selection)

    def finish_level(self, state: RunState, selection: Selection) -> None:
        """Make a level complete."""
        self.finish(state)
        self.options.tell(
            "pruned",
            state.level + 1,
            next_set_size=len(selection.members),
            iterations=state.cost.iterations,
            trained=self.plan.trains[state.level],
        )

    def finish(self, state: RunState) -> None:
        """Write the summary that makes a level complete, and with the last one the search."""
        path = self.folder.level(state.level)
        length = self.plan.level(state.level, len(state.members))
        every = self.plan.config.train.validate_every
        write_summary(path, state, self.problem, length, self.plan.full, every)
