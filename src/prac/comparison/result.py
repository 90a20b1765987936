"""What a comparison of methods found: what is measured, costs and verdicts by method. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prac import retired
from prac.comparison.entries import in_order
from prac.comparison.pairwise import (
    ONE_SEED,
    REFERENCE,
    PairedComparison,
    findings,
    pair,
    trials_of,
)
from prac.comparison.record import JudgedTicket, Run, read_run
from prac.config import Rewind
from prac.errors import Damaged
from prac.evaluation import (
    LevelVerdict,
    TestSet,
    definition,
    half_width,
    mean,
)
from prac.io import (
    Fields,
    check_kind,
    check_same,
    damaged,
    has_trained,
    read_json,
    with_unrecorded,
    write_json,
)
from prac.runs import ACCURACY, Measure, check_same_measure
from prac.utils import brief, counted_as, html_table, percent, with_interval

BASELINE = "imp"
"""The method that iterations are saved against."""

COMPARISON_FILE = "comparison.json"


@dataclass(frozen=True, repr=False)
class Comparison:
    """Methods on one problem, over seeds.

    Attributes:
        seeds: One search each of every method.
        judged: Levels whose tickets were trained alone, 0 (the dense network) among them.
        settings: What all methods share, by flat name.
        runs: All searches so far.
        test_set: What the test set can tell; None where prac 0.1 compared.
    """

    path: Path
    seeds: tuple[int, ...]
    judged: tuple[int, ...]
    settings: dict[str, Any]
    runs: tuple[Run, ...]
    test_set: TestSet | None = None
    measure: Measure = ACCURACY

    def __repr__(self) -> str:
        """Return the methods, and the sparsest level at which each matches dense."""
        return brief(
            self,
            str(self.path),
            counted_as(len(self.seeds), "seed"),
            *(f"{name} {_matches(self.matching(name))}" for name in self.methods),
            f"{counted_as(len(self.failed), 'run')} failed" if self.failed else None,
        )

    def _repr_html_(self) -> str:
        """Return a line a method and what follows, for a notebook."""
        judged = [level for level in self.judged if level]
        rows = []
        for row in summary(self):
            found = {of["level"]: with_interval(of["mean"], of["half_width"]) for of in row.values}
            saved = "-" if row.saved is None else percent(row.saved)
            tested = (found.get(level, "-") for level in judged)
            rows.append(
                (row.method, str(row.n), saved, *tested, _matches(self.matching(row.method)))
            )
        columns = "method", "runs", "saved", *(f"level {level}" for level in judged), "dense"
        test = "test" if self.measure == ACCURACY else f"test {self.measure.name}"
        told = (
            f"saved: of IMP's iterations to ticket {max(self.judged)}; by level: {test}, ± half of "
            f"the 95 % interval; dense: the sparsest judged level that matches it"
        )
        failed = (f"{run.method}, seed {run.seed} failed: {run.error}" for run in self.failed)
        title = f"Comparison: {self.path}, {counted_as(len(self.seeds), 'seed')}"
        return html_table(title, columns, rows, *self.findings, *failed, told)

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
        density = next(ticket.density for ticket in runs[0].tickets if ticket.level == level)
        from_init = Rewind.parse(runs[0].rewind).is_initialisation
        tickets, dense = trials_of(runs, level), trials_of(runs, 0)
        found = level, density, from_init, tickets, dense
        return LevelVerdict(*found, test=self.test_set, measure=self.measure)

    rivalries = retired.Attribute("pairs")

    @property
    def pairs(self) -> list[PairedComparison]:
        """Every other method beside PrAC, by method and level, but for the dense networks."""
        found = (
            pair(self.of(method), self.of(REFERENCE), level, self.measure)
            for method in self.methods
            for level in self.judged
            if level and method != REFERENCE
        )
        return [one for one in found if one is not None]

    @property
    def findings(self) -> list[str]:
        """What the pairs say, in sentences; first where nothing was learned."""
        said = [ONE_SEED] if len(self.seeds) == 1 else list(findings(self.pairs))
        dense = filter(None, (self.verdict(method, 0) for method in self.methods))
        if told := next(filter(None, (found.at_chance for found in dense)), None):
            said.insert(0, f"{told[0].upper()}{told[1:]}: no ticket can be called winning.")
        return said

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
        return _mean(shares)

    def to_json(self) -> dict[str, Any]:
        """Return plain values: what was measured, and what follows from it."""
        rivals = [pair.to_json() for pair in self.pairs]
        return {
            "definition": definition(self.measure),
            "metric": self.measure.to_json(),
            "seeds": list(self.seeds),
            "judged": list(self.judged),
            "settings": self.settings,
            "test_set": None if self.test_set is None else self.test_set.to_json(),
            "summary": [row.to_json(self.measure) for row in summary(self)],
            "against": {"method": REFERENCE, "rivals": rivals, "findings": self.findings},
            "runs": [run.to_json(self.measure) for run in self.runs],
        }

    def write(self) -> None:
        """Write comparison.json."""
        write_json(self.path / COMPARISON_FILE, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> Comparison:
        """Return the comparison of a folder.

        Raises:
            PracError: If the folder holds none, or its comparison.json is damaged.
        """
        check_kind(path, "comparison", "comparison")
        file = Path(path) / COMPARISON_FILE
        try:
            values = read_json(file)
            fields = Fields(file, values, "comparison")
            measure = Measure.of(values.get("metric"), file)
            found = cls(
                Path(path),
                fields.take("seeds", tuple[int, ...], at_least=0),
                fields.take("judged", tuple[int, ...], at_least=0),
                with_unrecorded(fields.take("settings", dict)),
                tuple(read_run(file, of, measure) for of in fields.take("runs", list)),
                fields.take("test_set", TestSet | None) if "test_set" in fields else None,
                measure,
            )
            if not found.judged:
                raise damaged(file, "it judges no level")
        except Damaged as error:
            raise Damaged(f"{error}; remove the file: prac compare makes it again") from error
        return found


def known_runs(
    path: Path, settings: dict[str, Any], measure: Measure = ACCURACY
) -> dict[tuple[str, int], Run]:
    """Return what the folder of a comparison by these settings has found so far.

    Raises:
        PracError: If something was trained in it with others, or comparison.json is damaged.
    """
    if not (path / COMPARISON_FILE).exists():
        return {}
    known = Comparison.load(path)
    if any(map(has_trained, path.glob("runs/*/seed-*"))):
        check_same(path, known.settings, settings)
        check_same_measure(path, known.measure, measure)
    # What was measured otherwise is no result of these; a search of it is refused by its folder.
    if known.settings != json.loads(json.dumps(settings)) or known.measure != measure:
        return {}
    return {(run.method, run.seed): run for run in known.runs}


def gathered(
    path: Path,
    methods: Sequence[str],
    seeds: Sequence[int],
    judged: tuple[int, ...],
    settings: dict[str, Any],
    runs: Mapping[tuple[str, int], Run],
    test_set: TestSet | None = None,
    measure: Measure = ACCURACY,
) -> Comparison:
    """Return the comparison of those of the runs, by method and seed, that are asked for."""
    names = dict.fromkeys((*methods, *in_order(methods)))
    asked = (runs[name, seed] for name in names for seed in seeds if (name, seed) in runs)
    return Comparison(path, tuple(seeds), judged, settings, tuple(asked), test_set, measure)


@dataclass(frozen=True)
class Row:
    """One method in short; costs are means, to the last judged ticket.

    Attributes:
        n: Searches that did not fail.
        failed: Searches that did.
        saved: Share of IMP's iterations.
        values: By judged level: the metric's mean, half-width of its 95 % interval, verdict,
            p-value.
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
    values: tuple[dict[str, Any], ...]
    matching: int | None
    both_match: int | None
    saved_where_both_match: float | None

    accuracies = retired.Attribute("values")

    def to_json(self, measure: Measure) -> dict[str, Any]:
        """Return plain values."""
        return {measure.keys if name == "values" else name: of for name, of in asdict(self).items()}


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
            values=tuple(_values(comparison, method)),
            matching=max(comparison.matching(method), default=None),
            both_match=both,
            saved_where_both_match=None if both is None else comparison.saved(method, both),
        )


def _matches(levels: Sequence[int]) -> str:
    """Return where tickets match dense, in a word or two."""
    return f"matches at level {max(levels)}" if levels else "does not match"


def _mean(values: Sequence[float]) -> float | None:
    return mean(values) if values else None


def _values(comparison: Comparison, method: str) -> Iterator[dict[str, Any]]:
    verdicts = (comparison.verdict(method, level) for level in comparison.judged)
    for found in filter(None, verdicts):
        spent = comparison.iterations(method, found.index)
        yield {
            "level": found.index,
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
