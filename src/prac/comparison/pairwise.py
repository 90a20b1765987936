"""Methods beside PrAC, level by level: which do as well at no more cost, and what that means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from prac import retired
from prac.comparison.record import Run
from prac.evaluation import RELIABLE, Trial, Trials, listed, mean, worse
from prac.runs import ACCURACY, Measure
from prac.utils import brief

REFERENCE = "prac"
"""The method whose tickets the others' are set against."""

CONTROL = f"random-subset@{REFERENCE}"
"""The method that lacks one thing that PrAC has: the choice of examples."""


@dataclass(frozen=True, repr=False)
class PairedComparison:
    """A method's tickets of one level beside those of PrAC, paired by seed.

    Iterations are those of finding the tickets, means; the measure is what both are judged by.
    """

    method: str
    level: int
    ticket: Trials
    reference: Trials
    iterations: float
    reference_iterations: float
    measure: Measure = ACCURACY

    def __repr__(self) -> str:
        """Return both means, and the iterations of both."""
        means = f"{self.ticket.mean:.4g} and {self.reference.mean:.4g}"
        spent = f"{self.iterations:,.0f} and {self.reference_iterations:,.0f} iterations"
        return brief(self, f"{self.method} beside {REFERENCE}", f"level {self.level}", means, spent)

    as_good = retired.Attribute("within_one_std")
    is_no_dearer = retired.Attribute("costs_no_more")

    @property
    def within_one_std(self) -> bool | None:
        """Whether its mean is within a deviation of PrAC's runs of theirs, or better.

        None where fewer than two runs say nothing of a deviation.
        """
        reference = self.reference
        return self.ticket.reaches(reference.mean, reference.deviation, self.measure)

    @property
    def p_worse(self) -> float | None:
        """Of the paired, one-sided t test that it is worse; None for a single pair."""
        return self._worse(self.ticket, self.reference)

    @property
    def p_better(self) -> float | None:
        """Of the same test that it is better."""
        return self._worse(self.reference, self.ticket)

    def _worse(self, one: Trials, other: Trials) -> float | None:
        return worse(one.values, other.values, higher_is_better=self.measure.higher_is_better)

    @property
    def is_reliably_worse(self) -> bool:
        """Whether chance hardly explains that it is worse."""
        return self.p_worse is not None and self.p_worse < RELIABLE

    @property
    def is_reliably_better(self) -> bool:
        """Whether chance hardly explains that it is better."""
        return self.p_better is not None and self.p_better < RELIABLE

    @property
    def costs_no_more(self) -> bool:
        """Whether it took no more training iterations than PrAC."""
        return self.iterations <= self.reference_iterations

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "method": self.method,
            "level": self.level,
            "n": len(self.ticket.runs),
            "difference": self.ticket.mean - self.reference.mean,
            "as_good": self.within_one_std,
            "p_worse": self.p_worse,
            "p_better": self.p_better,
            "iterations": self.iterations,
            "reference_iterations": self.reference_iterations,
            "is_no_dearer": self.costs_no_more,
        }


def pair(
    runs: Sequence[Run], references: Sequence[Run], level: int, measure: Measure = ACCURACY
) -> PairedComparison | None:
    """Return a method's tickets of a level beside PrAC's; None where no seed has both."""
    by_seed = {run.seed: run for run in references if run.ticket(level)}
    found = [run for run in runs if run.seed in by_seed and run.ticket(level)]
    if not found:
        return None
    others = [by_seed[run.seed] for run in found]
    return PairedComparison(
        found[0].method,
        level,
        trials_of(found, level),
        trials_of(others, level),
        _spent(found, level),
        _spent(others, level),
        measure,
    )


def trials_of(runs: Sequence[Run], level: int) -> Trials:
    """Return the trainings of a level's tickets; a run without it is left out."""
    found = ((run, run.ticket(level)) for run in runs)
    return Trials(tuple(Trial(run.seed, t.value, t.folder) for run, t in found if t is not None))


def _spent(runs: Sequence[Run], level: int) -> float:
    found = (run.ticket(level) for run in runs)
    return mean([ticket.cost.iterations for ticket in found if ticket is not None])


ONE_SEED = (
    "One seed says nothing of how far the next would be from it: no intervals, no verdicts. "
    "Compare with more seeds."
)


def findings(pairs: Sequence[PairedComparison]) -> Iterator[str]:
    """Yield what the pairs say, a sentence or two each."""
    judged = [one for one in pairs if one.within_one_std is not None]
    others = [one for one in judged if one.method != CONTROL]
    yield from _of_control([one for one in judged if one.method == CONTROL])
    if others:
        yield _of_others(others)


def _of_control(pairs: list[PairedComparison]) -> Iterator[str]:
    within_one_std = [one for one in pairs if one.within_one_std and not one.is_reliably_worse]
    below = [one for one in pairs if not one.within_one_std]
    if within_one_std:
        yield (
            f"{CONTROL} does as well as {REFERENCE} at {_levels(within_one_std)} "
            f"({_p_values(within_one_std)}): "
            f"a random set of the same size and cost finds tickets as good. Which examples are in "
            f"the set does not matter there, only how many."
        )
    better = [one for one in within_one_std if one.is_reliably_better]
    if better:
        yield f"It is even reliably better than {REFERENCE} at {_levels(better)}."
    reliable = [one for one in below if one.is_reliably_worse]
    if reliable:
        yield (
            f"{CONTROL} does reliably worse than {REFERENCE} at {_levels(reliable)} "
            f"({_p_values(reliable)}): PrAC's set is better there than a random one of the same "
            f"size and cost."
        )
    unsure = [one for one in pairs if one not in within_one_std + reliable]
    if unsure:
        yield (
            f"Whether {CONTROL} does worse than {REFERENCE} at {_levels(unsure)} is undecided: "
            f"within one standard deviation and test disagree ({_p_values(unsure)}). More seeds "
            f"would tell."
        )


def _of_others(pairs: list[PairedComparison]) -> str:
    """Return which other methods do as well at no more iterations."""
    found: dict[str, list[PairedComparison]] = {}
    for one in pairs:
        if one.within_one_std and one.costs_no_more:
            found.setdefault(one.method, []).append(one)
    if not found:
        return f"No other method does as well as {REFERENCE} for as few training iterations."
    parts = "; ".join(f"{method} at {_levels(of)}" for method, of in found.items())
    return (
        f"As good as {REFERENCE}, within one standard deviation of its runs, for no more training "
        f"iterations: {parts}."
    )


def _levels(pairs: Sequence[PairedComparison]) -> str:
    return listed(one.level for one in pairs)


def _p_values(pairs: Sequence[PairedComparison]) -> str:
    """Return the p-values of being worse, as words."""
    values = ", ".join("unknown" if one.p_worse is None else f"{one.p_worse:.2g}" for one in pairs)
    return f"p of being worse {values}"
