"""What was tried on the way to a ticket, which one it is, and what all of it cost. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

from prac.errors import Damaged
from prac.evaluation import LevelVerdict, TestSet, Trial, Trials, wins
from prac.io import Fields, check_kind, fits, read_json, with_unrecorded, write_json
from prac.runs import ACCURACY, Cost, Measure
from prac.utils import brief, counted_as, html_table, percent, with_interval

NOTHING = Cost()
WIN_FILE = "win.json"
TICKET_FILE = "ticket.safetensors"

COUNTED = (
    "search and proof are counted together, whatever was tried; IMP's is its full schedule at "
    "every level down to this density, and the proof of one ticket there: the dense network's "
    "trainings, the ticket's and its controls', without any that it might have tried in vain"
)

OUTCOMES = {
    (True, True): "matches",
    (False, True): "misses",
    (True, False): "likely",
    (False, False): "given up",
}
"""What became of a ticket, by whether it matches and whether all seeds were trained."""

ENDED = {
    "bracketed": "sparser tickets were tried by every method, and miss",
    "sparsest": "it is the search's last level: raise levels to look further",
    "asked": "the density asked for is reached",
    "spent": "every method was tried at the density asked for, and misses",
    "none": "every method was tried, and no ticket matches",
    "budget": "what is left of the budget does not pay for the next trial: what it would find is "
    "not known",
    "at chance": "the dense network has learned nothing that a ticket could match",
}
"""Why it ended, by name."""


@dataclass(frozen=True)
class Searched:
    """One search.

    Attributes:
        path: Its run folder.
        first: The level whose ticket it went on from; 0 for the dense network.
        last: The level of its last ticket.
        cost: Of its own levels, without those that it took over.
    """

    method: str
    path: str
    first: int
    last: int
    cost: Cost


@dataclass(frozen=True, repr=False)
class Tried:
    """One ticket, trained alone.

    Attributes:
        path: The run folder of the search that found it.
        runs: Its trainings by seed; fewer than asked for where it was given up, or taken to match
            on the way to a sparser one.
        matches: Whether it does as well as the dense network, or is taken to.
        cost: Of those of these trainings that were not done before, as for an equal ticket of
            another method.
    """

    method: str
    path: str
    level: int
    density: float
    runs: tuple[Trial, ...]
    matches: bool
    cost: Cost

    def __repr__(self) -> str:
        """Return which ticket it is, and how well it did."""
        matches = "matches" if self.matches else "does not match"
        runs = (
            f"{self.trials.mean:.4g} over {counted_as(len(self.runs), 'run')}"
            if self.runs
            else "no run"
        )
        level = f"level {self.level}"
        return brief(self, self.method, level, f"density {percent(self.density)}", runs, matches)

    @property
    def trials(self) -> Trials:
        """Its trainings, with what follows from them."""
        return Trials(self.runs)


@dataclass(frozen=True, repr=False)
class Bill:
    """What searches and proof cost, beside what IMP's would.

    Attributes:
        search: All levels of all searches.
        proof: All trainings of the dense network, of tickets and of controls.
        imp: What IMP takes to a ticket of the same density and its proof, as `COUNTED` says; its
            seconds are estimated from those that an example took here. None without a ticket.
    """

    search: Cost
    proof: Cost
    imp: Cost | None

    def __repr__(self) -> str:
        """Return the iterations of search and proof, beside IMP's."""
        counts = f"search {self.search.iterations:,}, proof {self.proof.iterations:,} iterations"
        beside = None if self.ratio is None else f"{percent(self.ratio)} of IMP's"
        return brief(self, counts, beside)

    @property
    def total(self) -> Cost:
        """Search and proof."""
        return self.search + self.proof

    @property
    def ratio(self) -> float | None:
        """Iterations, as a share of IMP's; None without a ticket."""
        return None if self.imp is None else self.total.iterations / self.imp.iterations

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        costs = {name: asdict(getattr(self, name)) for name in ("search", "proof", "total")}
        imp = None if self.imp is None else asdict(self.imp)
        return {**costs, "imp": imp, "ratio": self.ratio, "counted": COUNTED}


@dataclass(frozen=True, repr=False)
class Win:
    """The sparsest ticket that was found to match the dense network, how it was found and proven.

    Attributes:
        methods: The ladder, the cheapest first.
        seeds: Of the trainings that prove.
        levels: Prunings; the sparsest level that there is.
        within: How many levels apart the sparsest that matches and the densest that misses may be.
        budget: In full trainings; None for none.
        density: What was asked for; None for the sparsest.
        controls: What the ticket is held against, by name.
        settings: What all searches share, by flat name.
        full: A full training on all data, as every level of IMP's schedule is.
        searches, tried: In the order in which they were done.
        dense: The dense network's trainings; None before they are done.
        dense_cost, control_cost: Of these trainings, and of the controls'.
        verdict: On the ticket, with its controls; None where there is none, or not yet.
        test_set: What the test set can tell.
        ended: Why it ended, of `ENDED`; None while it is under way.
        measure: The metric that all are judged by.
    """

    path: Path
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    levels: int
    within: int
    budget: float | None
    density: float | None
    controls: tuple[str, ...]
    settings: dict[str, Any]
    full: Cost
    searches: tuple[Searched, ...] = ()
    tried: tuple[Tried, ...] = ()
    dense: Trials | None = None
    dense_cost: Cost = NOTHING
    control_cost: Cost = NOTHING
    verdict: LevelVerdict | None = None
    test_set: TestSet | None = None
    ended: str | None = None
    measure: Measure = ACCURACY

    def __repr__(self) -> str:
        """Return the ticket, its verdict, and what all of it cost."""
        return brief(self, *self._in_short())

    def _repr_html_(self) -> str:
        """Return the tickets that were tried, a line each, for a notebook."""
        rows = []
        for of in self.tried:
            mean = with_interval(of.trials.mean, of.trials.half_width)
            runs = f"{len(of.runs)}/{len(self.seeds)}"
            density = percent(of.density, 2)
            rows.append((of.method, str(of.level), density, runs, mean, self.outcome(of)))
        dense = self.dense
        told = "" if dense is None else f"dense: {with_interval(dense.mean, dense.half_width)}"
        columns = "method", "level", "density", "runs", "test", "outcome"
        title = f"Win: {', '.join(self._in_short())}"
        return html_table(title, columns, rows, told, self.why or "not finished")

    def _in_short(self) -> list[str]:
        best, ratio = self.best, self.bill.ratio
        found = "no ticket found to win" if self.ended else "no ticket yet"
        if best is not None:
            verdict = "" if self.verdict is None else f"{self.verdict.verdict} "
            found = (
                f"{verdict}ticket {best.level} of {best.method}, density {percent(best.density)}"
            )
        told = [str(self.path), found]
        if not self.ended:
            told.append("not finished")
        return told if ratio is None else [*told, f"{percent(ratio)} of IMP's iterations"]

    @property
    def best(self) -> Tried | None:
        """The sparsest ticket that is proven to match; None where none is."""
        proven = (of for of in self.tried if of.matches and len(of.runs) == len(self.seeds))
        return max(proven, key=_level, default=None)

    @property
    def likely(self) -> Tried | None:
        """The sparsest ticket that matches or is taken to; None where none is."""
        return max((of for of in self.tried if of.matches), key=_level, default=None)

    @property
    def missed(self) -> Tried | None:
        """The densest ticket, sparser than the best one, that missed with the dearest method."""
        floor = 0 if self.best is None else self.best.level
        beyond = [of for of in self.tried if of.level > floor and not of.matches]
        dearest = [of for of in beyond if of.method == beyond[-1].method]
        return min(dearest, key=_level, default=None)

    @property
    def folders(self) -> set[str]:
        """Where the trainings are that were counted so far."""
        trials = [of.trials for of in self.tried] + ([] if self.dense is None else [self.dense])
        return {run.folder for of in trials for run in of.runs}

    @property
    def succeeded(self) -> bool:
        """Whether there is a ticket as was asked for."""
        return self.best is not None and self.ended is not None

    @property
    def why(self) -> str | None:
        """Why it ended, in words; None while it is under way."""
        return None if self.ended is None else ENDED[self.ended]

    @property
    def ticket(self) -> Path:
        """Where the ticket is."""
        return self.path / TICKET_FILE

    @property
    def bill(self) -> Bill:
        """What all of it cost."""
        search = _sum(of.cost for of in self.searches)
        proof = _sum((self.dense_cost, self.control_cost, *(of.cost for of in self.tried)))
        if self.best is None:
            return Bill(search, proof, None)
        trainings = self.best.level + len(self.seeds)
        imp = Cost(*(trainings * value for value in asdict(self.full).values()))
        imp += self.dense_cost + self.control_cost
        total = search + proof
        each = total.seconds / max(total.examples_trained, 1)
        return Bill(search, proof, replace(imp, seconds=each * imp.examples_trained))

    def outcome(self, of: Tried) -> str:
        """Return what became of a ticket, in a word or two."""
        return OUTCOMES[of.matches, len(of.runs) == len(self.seeds)]

    @property
    def spent(self) -> int:
        """Iterations so far, of searches and proof."""
        return self.bill.total.iterations

    def to_json(self) -> dict[str, Any]:
        """Return plain values: what was measured, and what follows from it."""
        best = self.best
        return {
            "definition": wins(self.measure),
            "metric": self.measure.to_json(),
            "methods": list(self.methods),
            "seeds": list(self.seeds),
            "levels": self.levels,
            "within": self.within,
            "budget": self.budget,
            "density": self.density,
            "controls": list(self.controls),
            "settings": self.settings,
            "full": asdict(self.full),
            "searches": [asdict(of) for of in self.searches],
            "tried": [
                {
                    **asdict(of),
                    "runs": [run.to_json(self.measure) for run in of.runs],
                    "mean": of.trials.mean,
                    "outcome": self.outcome(of),
                }
                for of in self.tried
            ],
            "dense": None if self.dense is None else self.dense.to_json(self.measure),
            "dense_cost": asdict(self.dense_cost),
            "control_cost": asdict(self.control_cost),
            "verdict": None if self.verdict is None else self.verdict.to_json(),
            "test_set": None if self.test_set is None else self.test_set.to_json(),
            "ended": self.ended,
            "why": self.why,
            "best": None if best is None else {"method": best.method, "level": best.level},
            "ticket": None if self.verdict is None else str(self.ticket),
            "ledger": self.bill.to_json(),
        }

    def write(self) -> None:
        """Write win.json."""
        write_json(self.path / WIN_FILE, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> Win:
        """Return what a folder of `prac win` holds, finished or not.

        Raises:
            PracError: If it holds none, or its win.json is damaged.
        """
        check_kind(path, "win", "win")
        file = Path(path) / WIN_FILE
        try:
            values = read_json(file)
            fields = Fields(file, values, "win", more=True)
            # The dense network and the test set are the same of all.
            measure = Measure.of(values.get("metric"), file)
            shared = {"dense": values.get("dense"), "test": values.get("test_set")}
            shared["measure"] = measure.to_json()
            if fits(values.get("verdict"), dict):
                values = {**values, "verdict": {**values["verdict"], **shared}}
                fields = Fields(file, values, "win", more=True)
            kinds = get_type_hints(cls)
            del kinds["path"], kinds["measure"]
            taken = {name: fields.take(name, kind, 0) for name, kind in kinds.items()}
            taken["settings"] = with_unrecorded(taken["settings"])
            found = cls(Path(path), **taken, measure=measure)
            _check(file, found)
        except Damaged as error:
            raise Damaged(f"{error}; remove the file: prac win makes it again") from error
        return found


def _check(file: Path, win: Win) -> None:
    """Raise a Damaged where values do not go together."""
    if win.ended is not None and win.ended not in ENDED:
        raise Damaged(f"{file}: ended is {win.ended!r}: expected one of {', '.join(ENDED)}")
    everything = [of.trials for of in win.tried] + ([] if win.dense is None else [win.dense])
    if not all(trials.runs for trials in everything) or (win.tried and win.dense is None):
        raise Damaged(f"{file}: it has trials without runs")


def _level(of: Tried) -> int:
    return of.level


def _sum(costs: Iterable[Cost]) -> Cost:
    return sum(costs, Cost())
