"""What tickets cost: a level's work, the search's, and iterative magnitude pruning's beside it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from prac.errors import PracError
from prac.io import damaged, fits, opened, read_dataclass, read_json, shown, stored
from prac.runs.cost import Cost
from prac.runs.measure import with_metrics
from prac.utils import brief, percent


@dataclass(frozen=True, repr=False)
class Level:
    """One level of a search, as its summary.json has it.

    Attributes:
        index: Prunings done before it.
        density, kept, prunable: It trains a share, which is `kept` weights, of those prunable.
        set_size, total: Examples that it trains on, of all training examples.
        set_parts: Sizes of the sets that its set was made of, such as "cet" and "cep"; empty at
            level 0.
        set_by_class: How many of its examples are of each class; None where that is not known.
        epochs: Epochs trained, the last one maybe partial; 0 for the last level, which is a ticket
            only.
        planned_epochs, planned_iterations: Without an early stop.
        iterations: Optimiser steps trained.
        stopped_early: Whether its mask was stable before the schedule's end.
        best_epoch: The epoch whose validation metric is the best, from 1; 0 if untrained.
        best_val_accuracy: The share of validation examples that count as right then; None without
            validation data.
        mask_distances: One an epoch, from the second on.
        cost: Its training and scoring.
        imp: What vanilla iterative magnitude pruning does at a level: full length on all data.
        best_val_metric: The metric of the best epoch; None without validation data.
        forgotten, never_learned: Examples of its set that it learned and forgot again, and that it
            never learned; None if untrained.
    """

    index: int
    density: float
    kept: int
    prunable: int
    set_size: int
    total: int
    set_parts: dict[str, int]
    set_by_class: list[int] | None
    epochs: int
    planned_epochs: int
    iterations: int
    planned_iterations: int
    stopped_early: bool
    best_epoch: int
    best_val_accuracy: float | None
    mask_distances: tuple[float, ...]
    cost: Cost
    imp: Cost
    best_val_metric: float | None = field(default=None, metadata=stored(signed=True, may_lack=True))
    forgotten: int | None = field(default=None, metadata=stored(may_lack=True))
    never_learned: int | None = field(default=None, metadata=stored(may_lack=True))

    def __repr__(self) -> str:
        """Return what it trained, on what, and for how long."""
        trained = f"{self.epochs} of {self.planned_epochs} epochs, {self.iterations:,} iterations"
        return brief(
            self,
            str(self.index),
            f"density {percent(self.density)}",
            f"set of {self.set_size:,} of {self.total:,} examples",
            trained if self.epochs else "not trained",
        )

    @property
    def seconds(self) -> float:
        """Wall time of the level."""
        return self.cost.seconds

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def read(cls, path: Path) -> Level:
        """Return the level of a summary.json.

        Raises:
            PracError: If the file cannot be read, or is damaged.
        """
        told = read_json(path)
        known = with_metrics(told) if isinstance(told, dict) else told
        level = read_dataclass(cls, known, path, "summary")
        if not level.total:
            raise damaged(path, "its summary is of no examples")
        return level


@dataclass(frozen=True, repr=False)
class Ledger:
    """The cost of finding the ticket of level `index`, beside IMP's.

    The cost of ticket k is the training and scoring of levels 0 to k - 1.

    Attributes:
        index: The ticket's level, k above.
        cost: What the search did.
        imp: What vanilla iterative magnitude pruning does for the same ticket. Its seconds are
            estimated from this search's seconds an example.
    """

    index: int
    cost: Cost
    imp: Cost

    def __repr__(self) -> str:
        """Return iterations beside IMP's."""
        counts = f"{self.cost.iterations:,} iterations, IMP's {self.imp.iterations:,}"
        return brief(
            self, f"ticket {self.index}", counts, f"{percent(self.iterations_saved)} saved"
        )

    @property
    def iterations_saved(self) -> float:
        """Share of IMP's training iterations not done; 0 for the dense network."""
        return 1 - self.cost.iterations / self.imp.iterations if self.imp.iterations else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**dataclasses.asdict(self), "iterations_saved": self.iterations_saved}


def ledger(levels: list[Level], index: int) -> Ledger:
    """Return what the ticket of level `index` cost, from the levels before it."""
    before = [level for level in levels if level.index < index]
    cost = sum((level.cost for level in before), Cost())
    imp = sum((level.imp for level in before), Cost())
    worked = cost.examples_trained
    seconds = cost.seconds * imp.examples_trained / worked if worked else 0.0
    return Ledger(index, cost, dataclasses.replace(imp, seconds=seconds))


def read_levels(run: Path) -> list[Level]:
    """Return the levels of a run folder that are complete, in order."""
    levels = [Level.read(path) for path in (run / "levels").glob("*/summary.json")]
    return sorted(levels, key=lambda level: level.index)


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Return the lines of a run folder's metrics.jsonl; none where there is no such file.

    A number that is not finite, which prac 0.1 wrote as NaN or Infinity, is None.

    Raises:
        PracError: If it cannot be read, or a line is not JSON, values by name.
    """
    path = run / "metrics.jsonl"
    if not path.exists():
        return []
    try:
        with opened(path, "metrics") as file:
            read = partial(json.loads, parse_constant=lambda name: None)
            lines = [read(line) for line in file.read().splitlines()]
    except (ValueError, RecursionError) as error:
        raise PracError(f"{path}: has a line that is not JSON: {error}") from error
    for line in lines:
        if not fits(line, dict):
            raise damaged(path, f"it has the line {shown(line)}: expected values by name")
    return lines
