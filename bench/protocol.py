"""What the paper compares, in stages; it is the problem "paper" of `experiments.rivals`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import rivals
from prac.comparison import COMPARISON_FILE, Comparison
from prac.config import Recipe, combined, from_flat


@dataclass(frozen=True)
class Stage:
    """A part of the protocol: so many seeds, and tickets of these levels."""

    seeds: tuple[int, ...]
    judged: tuple[int, ...]

    def is_done(self, folder: Path) -> bool:
        """Say whether all of it was found before."""
        if not (folder / COMPARISON_FILE).exists():
            return False
        found = Comparison.load(folder)
        levels = {0, *self.judged}
        done = {
            (run.method, run.seed)
            for run in found.runs
            if run.error is None and levels <= {ticket.level for ticket in run.tickets}
        }
        return done >= {(method, seed) for method in rivals.PAPER_METHODS for seed in self.seeds}


@dataclass(frozen=True)
class Protocol:
    """What is compared, and in which order of stages.

    Attributes:
        settings: By flat name, besides the preset's.
        stages: Each with all of the one before.
    """

    settings: Mapping[str, Any]
    stages: tuple[Stage, ...]

    def recipe(self, data: Path, execution: str) -> Recipe:
        """Return the settings of all searches, the data lying in a folder."""
        given = {
            **combined(rivals.PAPER_PRESET).settings,
            **self.settings,
            "data": str(data / rivals.PROBLEMS["paper"].folder),
            "execution": execution,
        }
        return from_flat(Recipe, given)

    def stages_done(self, folder: Path) -> int:
        """Return how many stages were found before."""
        return sum(stage.is_done(folder) for stage in self.stages)


SEEDS = (0, 1, 2)
PAPER = Protocol({}, (Stage((0,), (7,)), Stage(SEEDS, (7,)), Stage(SEEDS, rivals.PAPER_JUDGED)))
SHORT = Protocol(
    {
        **{"epochs": 2, "milestones": [1], "levels": 2, "batch_size": 27, "rewind": "epoch:1"},
        "image_size": 16,
    },
    (Stage((0,), (1,)), Stage((0, 1), (1,)), Stage((0, 1), (1, 2))),
)
