"""A search's run folder and whom it tells: where it goes on, what each level leaves and says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from prac.algorithms import density
from prac.data import Examples, class_counts
from prac.io import write_json, write_tensors
from prac.runs import Level, RunFolder, RunState, Subset, Ticket, read_levels, read_metrics
from prac.search.after import Earlier
from prac.search.notices import (
    SELDOM,
    never_forgotten,
    never_right,
    outlook,
    right_at_once,
)
from prac.search.parts import LevelStats, Selection
from prac.search.plan import SearchPlan
from prac.training import RunOptions


@dataclass(frozen=True)
class SearchRun:
    """A search under way, seen from its folder.

    Attributes:
        folder: Its run folder, open.
        model, train: The network searched, and all training examples.
        validated: Held-out examples that are scored at each validation.
        plan, options: How far it is searched, and how the search runs.
        provenance: What every ticket and set says of where it comes from.
        earlier: Another search's levels, after which it begins; None from the dense network on.
    """

    folder: RunFolder
    model: nn.Module
    train: Examples
    validated: int
    plan: SearchPlan
    provenance: Mapping[str, Any]
    options: RunOptions
    earlier: Earlier | None = None

    @property
    def has_own_rule(self) -> bool:
        """Whether sets are chosen by code of the caller's own, which may look at anything."""
        return self.folder.identity.get("own_choose") is not None

    def resume(self, first: RunState, selection: Selection) -> RunState:
        """Return the state to go on from: the newest that is whole, or the first, begun."""
        state = self.folder.resume(first)
        if state is None:
            if self.earlier is not None:
                self.earlier.take_over(self.folder.path)
            state = self.start(first, selection)
        if self.earlier is not None:
            self.folder.wait()  # A level is complete only where there is a state to go on from.
            self.earlier.complete(self.folder.path)
        self.options.tell(
            "search",
            state.level,
            path=str(self.folder.path),
            densities=self.plan.densities,
            trains=list(self.plan.trains[: self.plan.levels]),
            total=self.plan.total,
            imp_iterations=self.plan.full.iterations,
            parameters=self.folder.identity.get("parameters"),
            done=[level.to_json() for level in read_levels(self.folder.path)],
        )
        return state

    def start(
        self, state: RunState, selection: Selection, metrics: Sequence[Mapping[str, Any]] = ()
    ) -> RunState:
        """Write what a level starts from, and make it the state to resume from.

        Lines of `metrics` that are not on disk yet, of the level before, get there with it.
        """
        path = self.folder.level(state.level)
        origin = {
            **self.provenance,
            "level": state.level,
            "density": density(state.masks),
            "set_parts": {name: len(part) for name, part in selection.parts.items()},
        }
        weights = state.rewind if state.level and self.plan.goes_on else state.weights
        assert weights is not None, "the rewind point comes before the first pruning"
        ticket = Ticket.of(self.model, weights, state.masks, origin)
        ticket.save(path / "ticket.safetensors")
        by_class = class_counts(self.train, state.members)
        subset = Subset.of(self.train, state.members, {**origin, "by_class": by_class})
        subset.save(path / "subset.safetensors")
        self.folder.commit(state, *metrics)
        if state.level > self.plan.first:  # Starting the first level is not progress.
            self.options.run_control.saved(self.folder.seconds_to_save)
        return state

    def begin_level(self, state: RunState) -> None:
        """Say that a level, or its second stage, begins or goes on; stop here if asked to."""
        self.options.run_control.check(f"before level {state.level}")
        length = self.plan.level(state.level, len(state.members))
        if self.plan.before_learning and not state.stage:
            length = self.plan.to_rewind_point(len(state.members))
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

    def write_trained(
        self,
        state: RunState,
        stats: LevelStats,
        selection: Selection,
        metrics: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Write a level's best weights, and what its training has shown of each example.

        Lines of `metrics` are the level's that are not on disk yet.
        """
        assert state.best is not None, "a trained level has a best epoch"
        path, best = self.folder.level(state.level), state.best
        header = {"level": state.level, "epoch": state.best_epoch}
        write_tensors(path / "trained.safetensors", best, "trained", header)
        tensors: dict[str, Tensor | None] = {
            "members": state.members,
            "events": state.table.events,
            "learned": state.table.learned,
            "chosen": selection.members,
            **selection.parts,
            "predictions": stats.dense if stats.pruned is None else stats.pruned,
            "difficulty": stats.difficulty,
        }
        known = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        write_tensors(path / "examples.safetensors", known, "examples", {"level": state.level})
        if state.level == 0 and not self.has_own_rule:
            shown = state.table, state.members, self.plan.config.subset
            if notice := never_right(*shown):
                self.options.warn(notice)
            elif notice := never_right(*shown, share_from=SELDOM):
                self.options.note(notice)
            elif notice := never_forgotten(*shown):
                at_once = right_at_once([*read_metrics(self.folder.path), *metrics])
                # As easy data is, too, if not from the beginning.
                (self.options.warn if at_once else self.options.note)(notice)

    def finish_level(self, state: RunState, selection: Selection) -> None:
        """Make a level complete."""
        level = self.finish(state)
        if not self.has_own_rule and (told := outlook(level, self.plan.config)):
            self.options.note(told)
        self.options.tell(
            "pruned",
            state.level + 1,
            next_set_size=len(selection.members),
            iterations=state.cost.iterations,
            trained=self.plan.trains[state.level],
        )

    def finish(self, state: RunState) -> Level:
        """Write the summary that makes a level complete, and with the last one the search.

        The last level's state is at its start: it is a ticket only.
        """
        path = self.folder.level(state.level)
        learned = state.table.learned[state.members]
        forgotten = learned & (state.table.events[state.members] > 0)
        length = self.plan.level(state.level, len(state.members))
        first = 0 if state.level else self.plan.before_learning
        subset = Subset.load(path / "subset.safetensors")
        summary = Level(
            index=state.level,
            density=self.plan.densities[state.level],
            kept=self.plan.kept[state.level],
            prunable=sum(mask.numel() for mask in state.masks.values()),
            set_size=len(state.members),
            total=self.plan.total,
            set_parts=subset.provenance["set_parts"],
            set_by_class=subset.provenance["by_class"],
            epochs=length.epochs_begun(state.step),
            planned_epochs=length.epochs,
            iterations=state.cost.iterations if state.step else 0,
            planned_iterations=length.iterations + first,
            stopped_early=0 < state.step < length.iterations,
            best_epoch=state.best_epoch,
            best_val_accuracy=state.best_accuracy if state.best_accuracy >= 0 else None,
            mask_distances=state.distances,
            cost=state.cost,
            imp=self.plan.imp_level(self.validated),
            best_val_metric=state.best_metric,
            forgotten=int(forgotten.sum()) if state.step else None,
            never_learned=int((~learned).sum()) if state.step else None,
        )
        write_json(path / "summary.json", summary.to_json())
        return summary
