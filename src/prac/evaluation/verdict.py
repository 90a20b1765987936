"""Whether tickets win: the paper's definition and a paired test, on a metric's values by seed.

No torch: what was trained is known by its value on test data, its seed and its folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prac import retired
from prac.errors import PracError
from prac.evaluation.definition import definition
from prac.evaluation.sanity import outcomes
from prac.evaluation.shown import (
    barrier_in_short,
    level_in_short,
    trials_in_short,
    verdict_html,
    verdict_in_short,
)
from prac.evaluation.statistics import RELIABLE, ROUNDING, deviation, half_width, mean, worse
from prac.evaluation.test_set import TestSet
from prac.io import Fields, damaged, read_dataclass, read_json, stored
from prac.runs import ACCURACY, Measure
from prac.search import Search

if TYPE_CHECKING:
    from prac.runs import Ticket

JUDGED = "judged"
"""Where a run folder keeps what was judged."""

STABLE_BARRIER = 0.02
"""Two networks with a lower error barrier are linearly connected (Frankle et al. 2020)."""


@dataclass(frozen=True)
class Trial:
    """One training.

    Attributes:
        seed: Of order and augmentation.
        value: Of the metric that it is judged by, on test data, of the best epoch.
        folder: Where the trained network is.
    """

    seed: int
    value: float = field(metadata=stored(older="accuracy", signed=True))
    folder: str

    accuracy = retired.Attribute("value")

    def to_json(self, measure: Measure) -> dict[str, Any]:
        """Return plain values; the metric's is called accuracy where it is one."""
        return {"seed": self.seed, measure.key: self.value, "folder": self.folder}


@dataclass(frozen=True)
class Trials:
    """The trainings of one thing, over seeds."""

    runs: tuple[Trial, ...]

    __repr__ = trials_in_short
    accuracies = retired.Attribute("values")

    @property
    def values(self) -> list[float]:
        """The metric's values on test data, in the order of the seeds."""
        return [run.value for run in self.runs]

    @property
    def mean(self) -> float:
        """Their mean."""
        return mean(self.values)

    @property
    def deviation(self) -> float | None:
        """Their standard deviation; None for a single run."""
        return deviation(self.values)

    @property
    def half_width(self) -> float | None:
        """How far the mean's 95 % interval reaches to either side; None for a single run."""
        return half_width(self.values)

    def reaches(
        self, mean: float, deviation: float | None, measure: Measure = ACCURACY
    ) -> bool | None:
        """Say whether the mean is within a deviation of another's, on its worse side, or better.

        None where there is too little to say so: fewer than two runs on either side.
        """
        if deviation is None or len(self.runs) < 2:
            return None
        rounding = ROUNDING * max(1.0, abs(mean))
        return measure.gain(self.mean, mean) >= -deviation - rounding

    def to_json(self, measure: Measure = ACCURACY) -> dict[str, Any]:
        """Return plain values."""
        of_all = {name: getattr(self, name) for name in ("mean", "deviation", "half_width")}
        runs = [run.to_json(measure) for run in self.runs]
        return {"n": len(self.runs), **of_all, "runs": runs}


@dataclass(frozen=True)
class Barrier:
    """The error along the straight line between two networks, at evenly spaced points.

    Attributes:
        errors: Shares of test examples that do not count as right, from the one network to the
            other.
    """

    errors: tuple[float, ...]

    __repr__ = barrier_in_short

    @property
    def height(self) -> float:
        """Highest error on the line less the mean of its two ends' (Frankle et al. 2020)."""
        return max(self.errors) - (self.errors[0] + self.errors[-1]) / 2

    @property
    def is_stable(self) -> bool:
        """Whether the two networks are linearly connected: a barrier below two points."""
        return self.height < STABLE_BARRIER and not self.tells_nothing

    @property
    def tells_nothing(self) -> bool:
        """Whether no example counts as right anywhere, so that nothing could rise."""
        return min(self.errors) >= 1

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"height": self.height, "is_stable": self.is_stable, "errors": list(self.errors)}


@dataclass(frozen=True)
class LevelVerdict:
    """What retraining says of one level's ticket.

    Attributes:
        density: Share of prunable weights that its ticket keeps.
        from_initialisation: Whether the ticket's weights are those of the initialisation.
        ticket: Its trainings.
        dense: The dense network's, with the same seeds.
        barrier: Between the networks of the first two seeds; None where not asked for.
        test: What the test set can tell; None where that is not known.
        pooled: Averages of its trainings and its neighbours'; None where not asked for. They are no
            part of the verdict, which is of what trains alone.
        measure: The metric that all are judged by.
    """

    index: int
    density: float
    from_initialisation: bool
    ticket: Trials
    dense: Trials
    controls: Mapping[str, Trials] = field(default_factory=dict)
    barrier: Barrier | None = None
    test: TestSet | None = None
    pooled: Trials | None = None
    measure: Measure = field(default=ACCURACY, metadata=stored(may_lack=True))

    __repr__ = level_in_short
    sanity = property(outcomes)

    @property
    def verdict(self) -> str:
        """Return "winning", "matching", "not", "undecided" or "at chance"; "dense" at level 0.

        One run on either side has no deviation and decides nothing. Where the dense network has
        learned nothing, doing as well as it says nothing; where a control does as well as the
        ticket, that it does as well as dense is not its own merit.
        """
        if self.index == 0:
            return "dense"
        if self.at_chance:
            return "at chance"
        reached = self.ticket.reaches(self.dense.mean, self.dense.deviation, self.measure)
        if reached is None:
            return "undecided"
        if not reached or (self.test is not None and self.test.is_at_chance(self.ticket.mean)):
            return "not"
        return "winning" if self.from_initialisation and not self.as_good_controls else "matching"

    @property
    def at_chance(self) -> str | None:
        """Say that dense is right no more often than one answer for all would be; None if not."""
        if self.test is None or not self.test.is_at_chance(self.dense.mean):
            return None
        chance = self.test.chance or 0.0
        if chance == 1:
            return (
                "the test examples are of one class, and cannot tell whether anything was learned"
            )
        how = "is at chance" if self.dense.mean <= chance else "cannot be told from chance"
        return (
            f"the dense network {how}: {100 * self.dense.mean:.2f} % of {self.test.size:,} test "
            f"examples are right, and {100 * chance:.2f} % by always giving their most frequent "
            f"class"
        )

    @property
    def as_good_controls(self) -> list[str]:
        """The controls that do as well as the ticket."""
        return [name for name in self.controls if self.within_one_std(name)]

    @property
    def matches(self) -> bool:
        """Whether the ticket does as well as the dense network by the paper's definition."""
        return self.verdict in ("winning", "matching")

    @property
    def difference(self) -> float:
        """The mean of the ticket's values less the dense network's."""
        return self.ticket.mean - self.dense.mean

    @property
    def p_value(self) -> float | None:
        """Of the paired test that the ticket is worse than dense; None where it tells nothing.

        As at level 0, for one run, and where all pairs differ by the same.

        It is one level's: nothing is corrected for there being several.
        """
        return self._worse(self.ticket, self.dense) if self.index else None

    @property
    def has_pairs(self) -> bool:
        """Whether it is a ticket's that was trained with two seeds or more, as dense was."""
        return self.index > 0 and min(len(self.ticket.runs), len(self.dense.runs)) > 1

    @property
    def is_reliably_worse(self) -> bool | None:
        """Whether chance hardly explains that the ticket is worse than dense; None if unknown."""
        return None if self.p_value is None else self.p_value < RELIABLE

    def control_p_value(self, control: str) -> float | None:
        """Return the p-value of the paired test that a control is worse than the ticket."""
        return self._worse(self.controls[control], self.ticket)

    def is_control_reliably_worse(self, control: str) -> bool:
        """Say whether chance hardly explains that a control is worse than the ticket."""
        p_value = self.control_p_value(control)
        return p_value is not None and p_value < RELIABLE

    as_good = retired.Attribute("within_one_std")

    def within_one_std(self, control: str) -> bool | None:
        """Say whether a control does as well as the ticket; None where two runs are not there.

        It does within one standard deviation of the ticket's runs, or above them.
        """
        ticket = self.ticket
        return self.controls[control].reaches(ticket.mean, ticket.deviation, self.measure)

    def _worse(self, one: Trials, other: Trials) -> float | None:
        return worse(one.values, other.values, higher_is_better=self.measure.higher_is_better)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "index": self.index,
            "density": self.density,
            "verdict": self.verdict,
            "from_initialisation": self.from_initialisation,
            "ticket": self.ticket.to_json(self.measure),
            "difference": self.difference,
            "p_value": self.p_value,
            "is_reliably_worse": self.is_reliably_worse,
            "controls": {
                name: {
                    **trials.to_json(self.measure),
                    "as_good": self.within_one_std(name),
                    "p_value": self.control_p_value(name),
                }
                for name, trials in self.controls.items()
            },
            "sanity": self.sanity,
            "barrier": None if self.barrier is None else self.barrier.to_json(),
            "pooled": None if self.pooled is None else self.pooled.to_json(self.measure),
        }


@dataclass(frozen=True)
class Verdict:
    """What retraining says of a search's tickets: of the levels judged, ascending."""

    search: Search
    seeds: tuple[int, ...]
    levels: tuple[LevelVerdict, ...]

    __repr__ = verdict_in_short
    _repr_html_ = verdict_html

    @property
    def measure(self) -> Measure:
        """The metric that all are judged by."""
        return self.levels[0].measure

    @property
    def best_level(self) -> int | None:
        """The sparsest level whose ticket matches dense; None where none does."""
        return max((level.index for level in self.levels if level.matches), default=None)

    def best(self) -> Ticket:
        """Return the ticket of the sparsest level that matches dense.

        Raises:
            PracError: If none does.
        """
        if self.best_level is None:
            raise PracError(f"{self.search.path}: {self.why_none()}")
        return self.search.tickets[self.best_level]

    def why_none(self) -> str:
        """Say why no ticket matches, where none does."""
        judged = listed(level.index for level in self.levels if level.index)
        if not judged:
            return "no ticket was judged, only the dense network: judge other levels"
        if at_chance := self.levels[0].at_chance:
            return f"{at_chance}: no ticket can be called winning"
        if len(self.seeds) < 2:
            return f"with one seed no verdict can be given on {judged}: judge with more seeds"
        return f"no ticket matches the dense network (judged: {judged})"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "path": str(self.search.path),
            "definition": definition(self.measure),
            "metric": self.measure.to_json(),
            "test_set": None if self.levels[0].test is None else self.levels[0].test.to_json(),
            "seeds": list(self.seeds),
            "best_level": self.best_level,
            "levels": [level.to_json() for level in self.levels],
        }

    @classmethod
    def load(cls, search: Search) -> Verdict | None:
        """Return the last verdict on a search, as its folder has it; None where it has none.

        Raises:
            PracError: If verdict.json is damaged.
        """
        path = search.path / JUDGED / "verdict.json"
        if not path.exists():
            return None
        values = read_json(path)
        fields = Fields(path, values, "verdict")
        seeds = fields.take("seeds", tuple[int, ...], at_least=0)
        rows = fields.take("levels", list[dict[str, Any]])
        # The dense network is the ticket of the first one, and the test set is the same of all;
        # prac 0.1 told nothing of it.
        shared = {
            "dense": rows[0].get("ticket") if rows else None,
            "test": fields.take("test_set", dict | None) if "test_set" in fields else None,
            "measure": Measure.of(values.get("metric"), path).to_json(),
        }
        levels = tuple(
            read_dataclass(LevelVerdict, {**row, **shared}, path, "level", more=True)
            for row in rows
        )
        if not levels or levels[0].index:
            raise damaged(path, "it judges no dense network")
        for level in levels:
            trials = level.ticket, level.dense, *level.controls.values()
            if not all(one.runs for one in trials):
                raise damaged(path, "it has trials without runs")
            if level.barrier is not None and len(level.barrier.errors) < 2:
                raise damaged(path, "its barrier has no two ends")
        return cls(search, seeds, levels)


def worst_matching(dense: Trials, measure: Measure) -> float:
    """Return the worst mean with which a ticket matches: a deviation to the dense runs' worse side.

    >>> runs = Trials((Trial(0, 10.0, ""), Trial(1, 12.0, "")))
    >>> round(worst_matching(runs, Measure("perplexity", higher_is_better=False)), 3)
    12.414
    """
    allowed = dense.deviation or 0.0
    return dense.mean - allowed if measure.higher_is_better else dense.mean + allowed


def listed(levels: Iterable[int]) -> str:
    """Return levels as words.

    >>> listed([2]), listed([1, 2]), listed([1, 2, 4]), listed([])
    ('level 2', 'levels 1 and 2', 'levels 1, 2 and 4', '')
    """
    words = [str(level) for level in levels]
    if len(words) < 2:
        return "".join(f"level {word}" for word in words)
    return f"levels {', '.join(words[:-1])} and {words[-1]}"
