"""What one search of a comparison left: how its levels trained, what its tickets are worth."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prac import retired
from prac.config import Rewind
from prac.errors import PracError
from prac.io import damaged, read_dataclass, stored
from prac.runs import ACCURACY, Cost, Measure
from prac.utils import brief, percent


@dataclass(frozen=True, repr=False)
class JudgedTicket:
    """One ticket of one search, trained alone on all data.

    Attributes:
        density: Share of the prunable weights that it keeps.
        value: Of the metric, on test data, of the best epoch.
        folder: Where that training is kept.
        cost: What finding it cost.
        imp: What iterative magnitude pruning's schedule costs to the same level.
    """

    level: int
    density: float
    value: float = field(metadata=stored(older="accuracy", signed=True))
    folder: str
    cost: Cost
    imp: Cost

    def __repr__(self) -> str:
        """Return its density, how well it does, and what finding it cost."""
        cost = f"{self.cost.iterations:,} iterations"
        return brief(
            self,
            f"level {self.level}",
            f"density {percent(self.density)}",
            f"{self.value:.4g}",
            cost,
        )

    accuracy = retired.Attribute("value")

    def to_json(self, measure: Measure) -> dict[str, Any]:
        """Return plain values; the metric's is called accuracy where it is one."""
        return {measure.key if name == "value" else name: of for name, of in asdict(self).items()}


@dataclass(frozen=True)
class SearchedLevel:
    """How one level of a search was trained.

    Attributes:
        index: Prunings before it.
        set_size: Examples that it trained on; the last level's are those that its ticket came with.
        set_parts: Sizes of the sets that these were made of, such as "cet" and "cep".
        iterations: Optimiser steps; 0 where nothing was trained, as at the last level.
        stopped_early: Whether its mask was stable before its schedule's end.
    """

    index: int
    set_size: int
    set_parts: dict[str, int]
    iterations: int
    stopped_early: bool


@dataclass(frozen=True, repr=False)
class Run:
    """One method's search with one seed.

    Attributes:
        seed: Of initialisation, order and augmentation, in the search and for its tickets alone.
        path: The search's run folder.
        rewind: What its levels start from, as the setting says it.
        levels: How the levels were trained; empty where it failed before its end.
        tickets: Those judged, by ascending level.
        error: Why it failed, in one line; None where it did not.
    """

    method: str
    seed: int
    path: str
    rewind: str = "init"
    levels: tuple[SearchedLevel, ...] = ()
    tickets: tuple[JudgedTicket, ...] = ()
    error: str | None = None

    def __repr__(self) -> str:
        """Return whose search it is, and which of its tickets were judged."""
        judged = ", ".join(str(ticket.level) for ticket in self.tickets)
        told = f"failed: {self.error}" if self.error else f"judged at levels {judged or 'none'}"
        return brief(self, self.method, f"seed {self.seed}", told, self.path)

    def to_json(self, measure: Measure) -> dict[str, Any]:
        """Return plain values."""
        tickets = [ticket.to_json(measure) for ticket in self.tickets]
        return {**asdict(self), "tickets": tickets}

    def ticket(self, level: int) -> JudgedTicket | None:
        """Return the judged ticket of a level; None where there is none."""
        return next((ticket for ticket in self.tickets if ticket.level == level), None)


def read_run(file: Path, values: Any, measure: Measure = ACCURACY) -> Run:
    """Return a run, judged by a metric, from its JSON in a file.

    Raises:
        Damaged: If something is missing, too much, or not what it should be.
    """
    run = read_dataclass(Run, values, file)
    try:
        Rewind.parse(run.rewind)
    except PracError as error:
        raise damaged(file, f"of a run {error}") from error
    for ticket in run.tickets:
        if max(ticket.density, ticket.value if measure.is_share else 0) > 1:
            what = f"its ticket of level {ticket.level} has more than all of something"
            raise damaged(file, what)
    return run
