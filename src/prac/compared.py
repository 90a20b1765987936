"""What one search of a comparison left: how its levels trained, what its tickets are worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prac.config import Rewind
from prac.cost import Cost
from prac.errors import PracError
from prac.fields import Fields, damaged
from prac.ledger import cost_of


@dataclass(frozen=True)
class JudgedTicket:
    """One ticket of one search, trained alone on all data.

    Attributes:
        level: Prunings that it had.
        density: Share of the prunable weights that it keeps.
        accuracy: On test data, of the epoch with the best validation accuracy.
        folder: Where that training is kept.
        cost: What finding it cost.
        imp: What iterative magnitude pruning's schedule costs to the same level.
    """

    level: int
    density: float
    accuracy: float
    folder: str
    cost: Cost
    imp: Cost


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


@dataclass(frozen=True)
class Run:
    """One method's search with one seed.

    Attributes:
        method: Its name.
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

    def ticket(self, level: int) -> JudgedTicket | None:
        """Return the judged ticket of a level; None where there is none."""
        return next((ticket for ticket in self.tickets if ticket.level == level), None)


def read_run(file: Path, values: Any) -> Run:
    """Return a run from its JSON in a file.

    Raises:
        Damaged: If something is missing, too much, or not what it should be.
    """
    fields = Fields(file, values, "run")
    run = Run(
        method=fields.take("method", str),
        seed=fields.take("seed", int, at_least=0),
        path=fields.take("path", str),
        rewind=fields.take("rewind", str),
        levels=tuple(_level(file, level) for level in fields.take("levels", list)),
        tickets=tuple(_ticket(file, ticket) for ticket in fields.take("tickets", list)),
        error=fields.take("error", str | None),
    )
    fields.end()
    try:
        Rewind.parse(run.rewind)
    except PracError as error:
        raise damaged(file, f"of a run {error}") from error
    return run


def _level(file: Path, values: Any) -> SearchedLevel:
    fields = Fields(file, values, "level")
    level = SearchedLevel(
        index=fields.take("index", int, at_least=0),
        set_size=fields.take("set_size", int, at_least=0),
        set_parts=fields.take("set_parts", dict[str, int], at_least=0),
        iterations=fields.take("iterations", int, at_least=0),
        stopped_early=fields.take("stopped_early", bool),
    )
    fields.end()
    return level


def _ticket(file: Path, values: Any) -> JudgedTicket:
    fields = Fields(file, values, "ticket")
    ticket = JudgedTicket(
        level=fields.take("level", int, at_least=0),
        density=fields.take("density", float, at_least=0),
        accuracy=fields.take("accuracy", float, at_least=0),
        folder=fields.take("folder", str),
        cost=cost_of(file, fields.take("cost", dict)),
        imp=cost_of(file, fields.take("imp", dict)),
    )
    fields.end()
    if ticket.accuracy > 1 or ticket.density > 1:
        raise damaged(file, f"its ticket of level {ticket.level} has more than all of something")
    return ticket
