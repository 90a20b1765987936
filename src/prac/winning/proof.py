"""The proof: tickets and the dense network trained alone over seeds, no longer than it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from prac.config import Rewind
from prac.evaluation import (
    ROUNDING,
    Judging,
    LevelVerdict,
    TestSet,
    Trial,
    Trials,
    mean,
    read_history,
)
from prac.runs import ACCURACY, Cost, Measure, Ticket


def is_lost(
    values: Sequence[float],
    count: int,
    dense: Trials,
    best: float,
    measure: Measure = ACCURACY,
) -> bool:
    """Say whether a ticket can no longer match the dense network, whatever its other seeds give.

    These are taken to do no better than `best`, the best on test data of anything that was trained
    alone so far. That is generous, but no proof: a ticket of which one seed is far worse than all
    others of its own would be given up, though its mean might still have matched.

    Args:
        values: Of the seeds trained so far, at least one.
        count: Seeds asked for.
        dense: The dense network's trainings.
        best: What each of the other seeds is taken to reach.
        measure: The metric that these are of.

    >>> dense = Trials(tuple(Trial(seed, of, "") for seed, of in enumerate((0.97, 0.98, 0.99))))
    >>> is_lost([0.9], 3, dense, 0.99), is_lost([0.95], 3, dense, 0.99)
    (True, False)
    """
    hoped = (sum(values) + (count - len(values)) * best) / count
    allowed = (dense.deviation or 0.0) + ROUNDING * max(1.0, abs(dense.mean))
    return measure.gain(hoped, dense.mean) < -allowed


@dataclass(frozen=True)
class Proof:
    """What tells whether a ticket matches.

    Attributes:
        judging: What all trainings share, and where they are kept.
        seeds: All are trained with each of them.
    """

    judging: Judging
    seeds: tuple[int, ...]
    test_set: TestSet

    @property
    def measure(self) -> Measure:
        """The metric that all are judged by."""
        return self.judging.problem.task.measure

    def dense(self, ticket: Ticket) -> Trials:
        """Return the dense network's trainings, all of them."""
        return self._trained(ticket, lambda values: False)

    def trials(self, ticket: Ticket, dense: Trials, best: float, *, hasty: bool) -> Trials:
        """Return a ticket's trainings, as many as it takes to know whether it matches.

        In haste, one that is as good as the dense runs' mean is enough to take it that it does.
        """

        def known(values: list[float]) -> bool:
            hopeful = hasty and self._reached_mean(values, dense)
            hoped = self.measure.best((best, *values))
            return hopeful or is_lost(values, len(self.seeds), dense, hoped, self.measure)

        return self._trained(ticket, known)

    def matches(self, ticket: Ticket, trials: Trials, dense: Trials) -> bool:
        """Say whether a ticket matches, by the verdict's definition where all seeds were trained.

        Where they were not, it was given up, or taken to match.
        """
        if len(trials.runs) < len(self.seeds):
            return self._reached_mean(trials.values, dense)
        settings = self.judging.search.settings
        from_init = Rewind.parse(str(settings["rewind"])).is_initialisation
        found = ticket.level, ticket.density, from_init, trials, dense
        return LevelVerdict(*found, test=self.test_set, measure=self.measure).matches

    def _reached_mean(self, values: Sequence[float], dense: Trials) -> bool:
        rounding = ROUNDING * max(1.0, abs(dense.mean))
        return self.measure.gain(mean(values), dense.mean) >= -rounding

    def _trained(self, ticket: Ticket, known: Callable[[list[float]], bool]) -> Trials:
        options, runs = self.judging.options, list[Trial]()
        for seed in self.seeds:
            options.tell("judging", ticket.level, seed=seed)
            runs.append(self.judging.trial(ticket, seed))
            options.run_control.check(f"after ticket {ticket.level}, seed {seed}")
            if known([of.value for of in runs]):
                break
        return Trials(tuple(runs))


def cost_of(runs: Iterable[Trial], counted: set[str]) -> Cost:
    """Return what trainings cost, without those in folders that were counted before."""
    new = {run.folder: run for run in runs if run.folder not in counted}
    return sum((read_history(Path(folder)).cost for folder in new), Cost())
