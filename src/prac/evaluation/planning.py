"""How many seeds a verdict needs on this problem, and what they cost, from the first few. No torch.

The paired differences of the runs judged so far tell how far seeds lie apart; `prac.evaluation.
power` has what follows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prac.errors import PracError
from prac.evaluation.power import (
    DENSE_ALIKE,
    POWER,
    at_most,
    degrees_of_freedom,
    detectable,
    pooled_deviation,
    seeds_needed,
)
from prac.evaluation.statistics import RELIABLE, mean
from prac.evaluation.test_set import TestSet
from prac.evaluation.verdict import LevelVerdict, Trials, Verdict
from prac.runs import Measure, read_retraining
from prac.utils import brief, counted_as

HALF_A_POINT = 0.005
"""What a plan is to tell of shares, if nothing else is asked for."""

PLANNED = (0, 1)
"""Seeds that a plan is made from: as few as have a spread."""

PLAN_FILE = "plan.json"

MANY = 100
"""Seeds beyond which none are named: they are rarely worth their time, and may be millions."""

SHOWN = (2, 3, 5, 10, 20)
"""Numbers of seeds that a plan shows, if they are not done already."""


@dataclass(frozen=True)
class Spread:
    """How far apart the differences of pairs lie, over the seeds that they share.

    Attributes:
        what: "ticket", whose difference from the dense network it is, or a control's name, whose
            difference from its ticket.
        levels: Whose variances are pooled.
        found: Standard deviation of a level's differences, in the metric's unit; 0 where they are
            all equal, which tells nothing.
        degrees: Degrees of freedom that it was found with.
    """

    what: str
    levels: tuple[int, ...]
    found: float
    degrees: float

    @property
    def deviation(self) -> float:
        """What the true deviation is as often above as below (chi-square's median).

        What few seeds find is more often too small, which would name too few seeds: of two seeds
        every second plan would name less than half of what is needed.
        """
        return at_most(self.found, self.degrees, 0.5)

    @property
    def at_most(self) -> float:
        """What the deviation is no larger than, four times in five (chi-square)."""
        return at_most(self.found, self.degrees)

    def needed(self, difference: float) -> int | None:
        """Return how many seeds tell a difference; None where all pairs differed alike."""
        return seeds_needed(self.deviation, difference) if self.found else None

    def needed_at_most(self, difference: float) -> int | None:
        """Return how many seeds that takes if the deviation is as large as it may well be."""
        return seeds_needed(self.at_most, difference) if self.found else None

    def told_by(self, seeds: int) -> float | None:
        """Return the smallest difference that so many seeds tell; None where it is not known."""
        return detectable(self.deviation, seeds) if self.found else None


def spread_of_tickets(levels: Sequence[LevelVerdict]) -> Spread:
    """Return how far the differences of tickets from dense lie apart, over at least two seeds.

    Variances are pooled over levels. All levels share the dense runs, so that their differences are
    correlated, by a half where tickets and dense runs spread alike: they are worth fewer degrees of
    freedom than as many levels of their own.
    """
    return _spread("ticket", levels, [(one.ticket, one.dense) for one in levels], DENSE_ALIKE)


def spread_of_control(name: str, levels: Sequence[LevelVerdict]) -> Spread:
    """Return how far the differences of a control from its tickets lie apart, over the seeds."""
    return _spread(name, levels, [(one.controls[name], one.ticket) for one in levels], 0.0)


def _spread(
    what: str,
    levels: Sequence[LevelVerdict],
    pairs: Sequence[tuple[Trials, Trials]],
    correlation: float,
) -> Spread:
    found = [
        [one - other for one, other in zip(first.values, second.values, strict=True)]
        for first, second in pairs
    ]
    degrees = degrees_of_freedom([len(group) for group in found], correlation=correlation)
    indices = tuple(level.index for level in levels)
    return Spread(what, indices, pooled_deviation(found), degrees)


@dataclass(frozen=True, repr=False)
class SeedPlan:
    """How many seeds tell a difference on a problem, and what they cost.

    Attributes:
        path: Of the run that was judged.
        difference: What is to be told, in the metric's unit; of accuracies as a share.
        seeds: Those that the plan is made from.
        spreads: Of the tickets' differences from dense, first, and of each control's from its
            tickets.
        trainings: How many one more seed takes.
        seconds: How long these took, as measured where they were trained; None where not known.
        jobs: Processes that train at once, each on some of the seeds.
        dense: The dense network's verdict: its runs, its test set, whether it learned anything.
    """

    path: Path
    difference: float
    seeds: tuple[int, ...]
    spreads: tuple[Spread, ...]
    trainings: int
    seconds: float | None
    jobs: int
    dense: LevelVerdict

    def __repr__(self) -> str:
        """Return how many seeds are needed, and from how many that is known."""
        found = "equal differences tell nothing"
        if self.needed is not None:
            told = self.measure.distance(self.difference, 2)
            found = f"{counted_as(self.needed, 'seed')} to tell {told}"
        return brief(self, found, f"from {counted_as(len(self.seeds), 'seed')}")

    @property
    def measure(self) -> Measure:
        """The metric that all are judged by."""
        return self.dense.measure

    @property
    def test(self) -> TestSet | None:
        """What the test set can tell; None where that is not known."""
        return self.dense.test

    @property
    def needed(self) -> int | None:
        """How many seeds tell the difference, in all that was judged; None where that is unknown.

        It is as often too many as too few, and with few seeds may be far off: `needed_at_most` is
        a bound.
        """
        return _largest([spread.needed(self.difference) for spread in self.spreads])

    @property
    def needed_at_most(self) -> int | None:
        """How many they are if the deviation is as large as it may well be."""
        return _largest([spread.needed_at_most(self.difference) for spread in self.spreads])

    @property
    def next_seeds(self) -> tuple[int, ...] | None:
        """The seeds to judge with: those planned from, and the smallest others.

        None where it is not known how many, or where they are more than anyone would name.
        """
        if self.needed is None or self.needed > MANY:
            return None
        others = (seed for seed in range(self.needed + len(self.seeds)) if seed not in self.seeds)
        return (*self.seeds, *others)[: max(self.needed, len(self.seeds))]

    @property
    def shown(self) -> tuple[int, ...]:
        """Numbers of seeds to look at: those there, some more, and how many are needed."""
        there, needed = len(self.seeds), self.needed or 0
        more = {of for of in (*SHOWN, needed) if there < of <= MANY}
        return tuple(sorted({there, *more}))

    def trainings_left(self, seeds: int) -> int:
        """Return how many trainings so many seeds take beyond those that are done."""
        return max(0, seeds - len(self.seeds)) * self.trainings

    def seconds_left(self, seeds: int) -> float | None:
        """Return how long these take here, if each takes as long as those that are done."""
        if self.seconds is None:
            return None
        return math.ceil(max(0, seeds - len(self.seeds)) / self.jobs) * self.seconds

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        known = self.dense.test
        return {
            "path": str(self.path),
            "metric": self.measure.to_json(),
            "difference": self.difference,
            "alpha": RELIABLE,
            "power": POWER,
            "seeds": list(self.seeds),
            "needed": self.needed,
            "needed_at_most": self.needed_at_most,
            "next_seeds": None if self.next_seeds is None else list(self.next_seeds),
            "spreads": [
                {
                    "of": spread.what,
                    "against": "dense" if spread.what == "ticket" else "ticket",
                    "levels": list(spread.levels),
                    "found": spread.found,
                    "deviation": spread.deviation,
                    "degrees": spread.degrees,
                    "deviation_at_most": spread.at_most,
                    "needed": spread.needed(self.difference),
                    "needed_at_most": spread.needed_at_most(self.difference),
                }
                for spread in self.spreads
            ],
            "dense": self.dense.ticket.to_json(self.measure),
            "at_chance": self.dense.at_chance is not None,
            "test_set": None if known is None else known.to_json(),
            "trainings_a_seed": self.trainings,
            "seconds_a_seed": self.seconds,
            "jobs": self.jobs,
            "rows": [
                {
                    "seeds": seeds,
                    "tells": {spread.what: spread.told_by(seeds) for spread in self.spreads},
                    "trainings": seeds * self.trainings,
                    "trainings_left": self.trainings_left(seeds),
                    "seconds_left": self.seconds_left(seeds),
                }
                for seeds in self.shown
            ],
        }


def plan_seeds(verdict: Verdict, difference: float | None = None, *, jobs: int = 1) -> SeedPlan:
    """Return how many seeds a verdict needs to tell a difference on its problem, and the hours.

    The paired, one-sided t test beside each verdict (p) tells a true difference four times in five
    with so many seeds, by the noncentral t distribution, if differences are normal and spread as
    they did so far. Nothing is trained, and nothing written.

    Args:
        verdict: What `prac.judge` returned, of two seeds or more.
        difference: The smallest that is to be told, in the metric's unit; of accuracies and other
            shares as a share, half a point (0.005) by default.
        jobs: Processes that are to train at once.

    Raises:
        PracError: If there are fewer than two seeds, no ticket was judged, or the metric is no
            share and no difference is given.

    Example:
        `prac.plan_seeds(prac.judge(search, Net, train, test=test, seeds=(0, 1))).needed`
    """
    # A file may name more seeds than it has runs.
    tickets = [level for level in verdict.levels if level.has_pairs]
    check_planned(verdict.seeds, [level.index for level in tickets], verdict.search.path)
    difference = difference_for(verdict.measure, difference)
    if type(jobs) is not int or jobs < 1:
        raise PracError(f"jobs is {jobs!r}: expected a whole number of at least 1")
    names = dict.fromkeys(name for level in tickets for name in level.controls)
    controls = (spread_of_control(n, [v for v in tickets if n in v.controls]) for n in names)
    trained = [trials for level in tickets for trials in (level.ticket, *level.controls.values())]
    trained.append(verdict.levels[0].dense)
    return SeedPlan(
        verdict.search.path,
        difference,
        verdict.seeds,
        (spread_of_tickets(tickets), *controls),
        len(trained),
        _seconds(trained),
        jobs,
        verdict.levels[0],
    )


def check_planned(seeds: Sequence[int], levels: Sequence[int], path: Path | str) -> None:
    """Raise a PracError where seeds are too few to lie apart, or no ticket is judged."""
    if len(seeds) < 2:
        raise PracError(
            f"seeds are {list(seeds)}: one tells nothing of the spread that a plan is made from: "
            f"name at least 2"
        )
    if not any(levels):
        raise PracError(
            f"{path}: only the dense network is judged, and a plan is about how tickets differ "
            f"from it: name a level above 0"
        )


def difference_for(measure: Measure, difference: float | None = None) -> float:
    """Return the difference that a plan is to tell: what is given, or half a point of a share.

    Raises:
        PracError: If none is given and the metric is no share, or if it is out of range.
    """
    if difference is None:
        if measure.is_share:
            return HALF_A_POINT
        raise PracError(
            f"difference is not given, and half a point is meant for shares alone: say how large a "
            f"difference in {measure.name} is to be told"
        )
    if not 0 < difference < math.inf:
        raise PracError(f"difference is {difference}: expected more than 0")
    if measure.is_share and difference > 1:
        raise PracError(
            f"difference is {difference}, of a share: expected at most 1; half a point is 0.005"
        )
    return difference


def _seconds(trained: Sequence[Trials]) -> float | None:
    """Return how long a seed's trainings took, a mean over the seeds; None where that is lost."""
    try:
        spent = [
            mean(
                [
                    read_retraining(Path(run.folder) / "summary.json")["cost"]["seconds"]
                    for run in of.runs
                ]
            )
            for of in trained
        ]
    except PracError:  # Removed since, or damaged: the plan stands without the hours.
        return None
    return math.fsum(spent)


def _largest(found: Sequence[int | None]) -> int | None:
    """Return the largest of some numbers, or None where one is not known."""
    known = [number for number in found if number is not None]
    return max(known) if len(known) == len(found) else None
