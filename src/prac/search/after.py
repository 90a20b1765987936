"""A search that goes on from another's ticket: what it takes over, and what it begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prac.algorithms import ForgettingTable
from prac.config import OF_TICKETS, Rewind, SearchConfig, flat
from prac.errors import PracError
from prac.io import difference, json_text, linked, read_environment, write_atomic
from prac.models import architecture, weights_digest
from prac.runs import RunState, SearchFolder, Ticket, Weights, read_metrics
from prac.search.parts import LevelStats, Rules, Selection
from prac.training import Problem

After = tuple[SearchFolder | str | Path, int]
"""A search, or its run folder, and the level of the ticket that another search goes on from."""

TENSORS = ("ticket", "subset", "trained", "examples")
"""A level's files but for its summary, which makes it complete."""


@dataclass(frozen=True)
class Earlier:
    """Another search's levels up to a ticket, from which a search goes on.

    Attributes:
        level: Prunings of the ticket.
        ticket: What the first level trained begins with: its weights are the rewind point's.
    """

    search: SearchFolder
    level: int
    ticket: Ticket

    @classmethod
    def of(cls, after: After, config: SearchConfig) -> Earlier:
        """Return the levels before a ticket.

        Raises:
            PracError: If there is no such ticket, or settings let no search go on from it.
        """
        of, level = after
        search = of if isinstance(of, SearchFolder) else SearchFolder.load(of)
        complete = {one.index for one in search.levels}
        found = [at for at in range(1, len(search.tickets)) if complete >= set(range(at))]
        if type(level) is not int or level not in found:
            has = f"has 1 to {found[-1]}" if found else "it has none yet"
            raise PracError(f"{search.path}: has no ticket {level!r} to go on from: {has}")
        if level >= config.levels:
            raise PracError(
                f"{search.path}: ticket {level} leaves nothing to prune, since levels is "
                f"{config.levels}: raise levels, or go on from an earlier ticket"
            )
        mine = flat(config)
        for name in OF_TICKETS:
            if search.settings.get(name) != mine[name]:
                told = difference(name, search.settings.get(name), mine[name])
                raise PracError(
                    f"{search.path}: was found with another {told}, and tickets of one search "
                    f"share it: set the same"
                )
        return cls(search, level, search.tickets[level])

    @property
    def identity(self) -> str:
        """What tells it from any other."""
        return self.ticket.digest

    def check(self, problem: Problem, dense: RunState, named: Mapping[str, Any]) -> None:
        """Raise a PracError unless it was found in this network, on this data, by these weights.

        The error tells which of the `named` settings, that these were made from, are others; what
        differs itself where they are the same.
        """
        mine: dict[str, Any] = {
            "architecture": architecture(problem.model),
            "initial_weights": weights_digest(dense.weights),
            **problem.identity(),
        }
        known, old = read_environment(self.search.path), problem.identity_of_old()
        for name, value in mine.items():
            if (before := known.get(name, value)) not in (value, old.get(name, value)):
                settings = self.search.settings
                others = [
                    difference(of, settings[of], named[of])
                    for of in named
                    if of in settings and settings[of] != named[of]
                ]
                told = ", ".join(others or [difference(name, before, value)])
                raise PracError(
                    f"{self.search.path}: is a search of another network or of other data: {told}: "
                    f"go on from one of this problem"
                )
        pruned = [list(masks) for masks in (self.ticket.masks, dense.masks)]
        if pruned[0] != pruned[1]:
            told = difference("layers", *pruned)
            raise PracError(f"{self.search.path}: prunes other {told}: set the same to go on")

    def start(
        self, dense: RunState, config: SearchConfig, rules: Rules
    ) -> tuple[RunState, Selection]:
        """Return the state that the search begins with, and the examples that it trains on.

        These are chosen by this search's own rule, from what the level before the ticket has shown.

        Raises:
            PracError: If the rule looks at what that level does not tell.
        """
        stats = self._shown(dense, config, rules)
        selection = rules.select(stats)
        weights: Weights = dict(self.ticket.weights)
        keeps = Rewind.parse(config.rewind).keeps_weights
        state = RunState(
            self.level,
            0,
            weights,
            self.ticket.masks,
            selection.members,
            ForgettingTable.empty(len(dense.table)),
            rewind=None if keeps else weights,
            dense_predictions=stats.dense,
            difficulty=stats.difficulty,
        )
        return state, selection

    def _shown(self, dense: RunState, config: SearchConfig, rules: Rules) -> LevelStats:
        """Return what the level before the ticket has shown, as far as the rule looks at it."""
        last, rule = self.level - 1, config.subset
        stats = LevelStats(last, dense.members, dense.table)
        if rules.needs_predictions or rule.rule == "cet":
            shown = self.search.examples(last)
            events, learned = shown["events"], shown["learned"]
            table = ForgettingTable(events, learned, torch.zeros_like(learned))
            stats = LevelStats(last, shown["members"], table)
        predicted = difficulty = pruned = None
        if rules.needs_predictions:
            predicted = self._known(0, "predictions", "what the dense network predicts")
            if last:
                pruned = self._known(last, "predictions", "what the pruned network predicts")
        if rule.needs_difficulty:
            difficulty = self._known(0, "difficulty", "its EL2N scores")
        return LevelStats(last, stats.members, stats.table, predicted, pruned, difficulty)

    def _known(self, level: int, name: str, words: str) -> Tensor:
        """Return what a level's file says of the examples.

        Raises:
            PracError: If the search had no need of it.
        """
        found = self.search.examples(level).get(name)
        if found is None:
            raise PracError(
                f"{self.search.path}: level {level} does not tell {words}, which the choice of "
                f"examples looks at: go on from a search that chose by it, or take all data"
            )
        return found

    def take_over(self, path: Path) -> None:
        """Put the levels before the ticket into a run folder, and their metrics, as they are.

        Without summaries, so that none is complete before there is a state to resume from.
        """
        for index in range(self.level):
            for name in TENSORS:
                file = self.search.level_path(index) / f"{name}.safetensors"
                if file.exists():
                    linked(file, path / "levels" / f"{index:02d}" / file.name)
        lines = (line for line in read_metrics(self.search.path) if line["level"] < self.level)
        content = "".join(json_text(line) + "\n" for line in lines)
        write_atomic(path / "metrics.jsonl", content.encode())

    def complete(self, path: Path) -> None:
        """Make the levels complete that were taken over, once there is a state."""
        for index in range(self.level):
            summary = path / "levels" / f"{index:02d}" / "summary.json"
            if not summary.exists():
                linked(self.search.level_path(index) / "summary.json", summary)
