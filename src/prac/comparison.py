"""What a comparison of methods found: accuracies, costs and verdicts by method. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prac.algorithms.statistics import half_width, mean
from prac.config import Rewind
from prac.cost import Cost
from prac.fields import Fields, damaged
from prac.files import read_json, write_json
from prac.ledger import cost_of
from prac.verdict import DEFINITION, LevelVerdict, Trial, Trials

BASELINE = "imp"
"""The method that iterations are saved against."""


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
        set_size: Examples that it trained on.
        iterations: Optimiser steps.
        stopped_early: Whether its mask was stable before its schedule's end.
    """

    index: int
    set_size: int
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


@dataclass(frozen=True)
class Comparison:
    """Methods on one problem, over seeds.

    Attributes:
        path: The comparison's folder.
        seeds: One search each of every method.
        judged: Levels whose tickets were trained alone, 0 (the dense network) among them.
        settings: What all methods share, by flat name.
        runs: All searches so far.
    """

    path: Path
    seeds: tuple[int, ...]
    judged: tuple[int, ...]
    settings: dict[str, Any]
    runs: tuple[Run, ...]

    @property
    def methods(self) -> list[str]:
        """Methods by name, in the order asked for."""
        return list(dict.fromkeys(run.method for run in self.runs))

    def of(self, method: str) -> list[Run]:
        """Return a method's searches that did not fail, by seed."""
        return [run for run in self.runs if run.method == method and run.error is None]

    @property
    def failed(self) -> list[Run]:
        """The searches that failed."""
        return [run for run in self.runs if run.error is not None]

    def tickets(self, method: str, level: int) -> list[JudgedTicket]:
        """Return a method's judged tickets of a level, by seed."""
        found = (run.ticket(level) for run in self.of(method))
        return [ticket for ticket in found if ticket is not None]

    def verdict(self, method: str, level: int) -> LevelVerdict | None:
        """Return whether a method's tickets of a level match dense; None where none was judged.

        Tickets and dense networks pair up by seed: initialisation, order and augmentation are the
        same.
        """
        runs = [run for run in self.of(method) if run.ticket(level) and run.ticket(0)]
        if not runs:
            return None
        ticket, dense = (
            Trials(
                tuple(
                    Trial(run.seed, found.accuracy, found.folder)
                    for run in runs
                    if (found := run.ticket(index)) is not None
                )
            )
            for index in (level, 0)
        )
        of_level = runs[0].ticket(level)
        assert of_level is not None, "only runs with the ticket were taken"
        rewind = Rewind.parse(runs[0].rewind)
        return LevelVerdict(level, of_level.density, rewind.is_initialisation, ticket, dense)

    def matching(self, method: str) -> list[int]:
        """Return the levels, ascending and without 0, whose tickets match dense."""
        verdicts = (self.verdict(method, level) for level in self.judged if level)
        return [found.index for found in verdicts if found is not None and found.matches]

    def iterations(self, method: str, level: int) -> list[int]:
        """Return the training iterations that finding a level's tickets took, by seed."""
        return [ticket.cost.iterations for ticket in self.tickets(method, level)]

    def both_match(self, method: str) -> int | None:
        """Return the sparsest level at which the method and IMP both match; None where none is."""
        both = set(self.matching(method)) & set(self.matching(BASELINE))
        return max(both, default=None)

    def saved(self, method: str, level: int) -> float | None:
        """Return the share of IMP's iterations to a level's ticket that a method saves, its mean.

        IMP's are those of its full schedule at every level, whether or not it is compared.
        """
        found = self.tickets(method, level)
        shares = [1 - t.cost.iterations / t.imp.iterations for t in found if t.imp.iterations]
        return mean(shares) if shares else None

    def to_json(self) -> dict[str, Any]:
        """Return plain values: what was measured, and what follows from it."""
        return {
            "definition": DEFINITION,
            "seeds": list(self.seeds),
            "judged": list(self.judged),
            "settings": self.settings,
            "summary": [asdict(row) for row in summary(self)],
            "runs": [asdict(run) for run in self.runs],
        }

    def write(self) -> None:
        """Write comparison.json."""
        write_json(self.path / "comparison.json", self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> Comparison:
        """Return the comparison of a folder.

        Raises:
            PracError: If the folder holds none, or its comparison.json is damaged.
        """
        file = Path(path) / "comparison.json"
        fields = Fields(file, read_json(file), "comparison")
        runs = [_run(file, values) for values in fields.take("runs", list)]
        return cls(
            Path(path),
            tuple(fields.take("seeds", list[int], at_least=0)),
            tuple(fields.take("judged", list[int], at_least=0)),
            fields.take("settings", dict),
            tuple(runs),
        )


def _run(file: Path, values: Any) -> Run:
    """Return a run from its JSON, checked."""
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
    return run


def _level(file: Path, values: Any) -> SearchedLevel:
    fields = Fields(file, values, "level")
    level = SearchedLevel(
        index=fields.take("index", int, at_least=0),
        set_size=fields.take("set_size", int, at_least=0),
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


@dataclass(frozen=True)
class Row:
    """One method in short.

    Attributes:
        method: Its name.
        n: Searches that did not fail.
        failed: Searches that did.
        iterations: Mean training iterations to the last judged ticket.
        examples_scored: Mean examples only scored to that ticket.
        seconds: Mean wall time to that ticket.
        saved: Share of IMP's iterations saved to that ticket.
        accuracies: By judged level: mean, half-width of its 95 % interval, verdict, p-value.
        matching: Sparsest level that matches dense; None where none does.
        both_match: Sparsest level at which IMP matches too.
        saved_where_both_match: Share of IMP's iterations saved to that level's ticket.
    """

    method: str
    n: int
    failed: int
    iterations: float | None
    examples_scored: float | None
    seconds: float | None
    saved: float | None
    accuracies: tuple[dict[str, Any], ...]
    matching: int | None
    both_match: int | None
    saved_where_both_match: float | None


def summary(comparison: Comparison) -> Iterator[Row]:
    """Yield a row a method."""
    last = max(comparison.judged)
    for method in comparison.methods:
        tickets = comparison.tickets(method, last)
        both = comparison.both_match(method)
        yield Row(
            method=method,
            n=len(comparison.of(method)),
            failed=sum(run.method == method for run in comparison.failed),
            iterations=_mean([t.cost.iterations for t in tickets]),
            examples_scored=_mean([t.cost.examples_scored for t in tickets]),
            seconds=_mean([t.cost.seconds for t in tickets]),
            saved=comparison.saved(method, last),
            accuracies=tuple(_accuracies(comparison, method)),
            matching=max(comparison.matching(method), default=None),
            both_match=both,
            saved_where_both_match=None if both is None else comparison.saved(method, both),
        )


def _mean(values: Sequence[float]) -> float | None:
    return mean(values) if values else None


def _accuracies(comparison: Comparison, method: str) -> Iterator[dict[str, Any]]:
    for level in comparison.judged:
        found = comparison.verdict(method, level)
        if found is None:
            continue
        spent = comparison.iterations(method, level)
        yield {
            "level": level,
            "density": found.density,
            "n": len(found.ticket.runs),
            "mean": found.ticket.mean,
            "half_width": found.ticket.half_width,
            "iterations": mean(spent),
            "iterations_half_width": half_width(spent),
            "difference": found.difference,
            "verdict": found.verdict,
            "p_value": found.p_value,
        }
