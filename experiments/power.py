"""How many seeds tell half a point on the problems compared so far, and can a few say so?

Reads the committed figures of `experiments.rivals` and `experiments.critical`, trains nothing, and
writes `docs/results/power.json` and `.md`: how far tickets' paired differences from dense, and
methods' from each other, lie apart over seeds; how many seeds tell 0.25, 0.5 and 1 point; and how
often a plan made from a few of the seeds came near the one from all of them.

    python -m experiments.power

Takes seconds.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Any

from scipy.special import chdtr, chdtri

from experiments import critical, pages, rivals
from experiments.pages import table
from prac.evaluation import HALF_A_POINT, TestSet, mean
from prac.evaluation.power import (
    DENSE_ALIKE,
    at_most,
    degrees_of_freedom,
    pooled_deviation,
    seeds_needed,
)

NAME = "power"
DIFFERENCES = (0.0025, 0.005, 0.01)
PLANNED = (2, 3, 5)
FACTOR = 2
"""A plan came near where it named up to so many times the seeds, and down to their part."""

JUDGED_BY = {
    "near": "near",
    "near_by_theory": "by theory",
    "too_few": "too few",
    "too_many": "too many",
    "bound_held": "bound held",
}

Values = Mapping[int, float]
"""Accuracies, or differences of them, by seed."""

Groups = Mapping[str, Sequence[Values]]
"""By method, or pair of methods: for each level the paired differences, by seed."""


@dataclass(frozen=True)
class Compared:
    """What is known of a comparison.

    Attributes:
        title: The problem.
        test_size: Test examples.
        values: By method and judged level, the tickets' accuracies.
    """

    title: str
    test_size: int
    values: Mapping[str, Mapping[int, Values]]

    @property
    def seeds(self) -> set[int]:
        """The seeds of any ticket."""
        return {
            seed for levels in self.values.values() for values in levels.values() for seed in values
        }

    @property
    def levels(self) -> list[int]:
        """The judged levels that prune."""
        return sorted({level for levels in self.values.values() for level in levels if level})


def of_rivals(figures: Mapping[str, Any]) -> Compared:
    """Return the comparison of a page of rivals."""
    values: dict[str, dict[int, dict[int, float]]] = {}
    for run in figures["runs"]:
        for ticket in run["tickets"]:
            levels = values.setdefault(run["method"], {})
            levels.setdefault(ticket["level"], {})[run["seed"]] = ticket["accuracy"]
    return Compared(figures["title"], critical.TEST_SIZE, values)


def of_critical(figures: Mapping[str, Any], test_size: int) -> Compared:
    """Return one of the comparisons of critical examples with random ones."""
    values = {
        method: {int(level): dict(enumerate(found)) for level, found in levels.items()}
        for method, levels in figures["values"].items()
    }
    return Compared(figures["title"], test_size, values)


def comparisons() -> Iterator[tuple[str, Compared]]:
    """Yield all comparisons whose figures are committed, with their names."""
    for name in map(rivals.page_of, rivals.PROBLEMS):
        if (pages.RESULTS / f"{name}.json").exists():
            yield name, of_rivals(pages.read(name))
    for name, figures in pages.read(critical.NAME)["problems"].items():
        yield f"critical-{name}", of_critical(figures, critical.PROBLEMS[name].test_size)


def of_tickets(compared: Compared) -> dict[str, list[Values]]:
    """Return the differences of each method's tickets from their dense networks."""
    found: dict[str, list[Values]] = {}
    for method, levels in compared.values.items():
        for level in filter(None, levels):
            _add(found, method, _less(levels[level], levels.get(0, {})))
    return found


def of_methods(compared: Compared) -> dict[str, list[Values]]:
    """Return the differences of any two methods' tickets of one level."""
    found: dict[str, list[Values]] = {}
    for one, other in itertools.combinations(compared.values, 2):
        for level in compared.levels:
            first, second = (compared.values[name].get(level, {}) for name in (one, other))
            _add(found, f"{one}, {other}", _less(first, second))
    return found


def _less(values: Values, other: Values) -> dict[int, float]:
    return {seed: values[seed] - other[seed] for seed in values if seed in other}


def _add(found: dict[str, list[Values]], name: str, differences: Values) -> None:
    if len(differences) > 1:
        found.setdefault(name, []).append(differences)


def spread(groups: Groups) -> dict[str, Any] | None:
    """Return how far differences lie apart, pooled and by method, and the seeds that follow.

    None where nothing has two seeds, or all pairs differ alike.
    """
    deviations = {name: deviation(levels) for name, levels in groups.items()}
    pooled = deviation([level for levels in groups.values() for level in levels])
    if not pooled:
        return None
    return {
        "deviation": pooled,
        "median": median(deviations.values()),
        "least": min(deviations.values()),
        "most": max(deviations.values()),
        "groups": len(deviations),
        "needed": {str(of): seeds_needed(pooled, of) for of in DIFFERENCES},
        "median_needed": seeds_needed(median(deviations.values()), HALF_A_POINT),
    }


def deviation(levels: Iterable[Values]) -> float:
    """Return the deviation that levels' differences have in common; 0 where there are none.

    >>> round(deviation([{0: 0.0, 1: 0.02}, {0: 0.01, 1: 0.03}]), 4)
    0.0141
    """
    found = [list(level.values()) for level in levels]
    return pooled_deviation(found) if found else 0.0


def planned(groups: Groups, count: int) -> dict[str, Any] | None:
    """Return how plans from every few seeds of a method compare with the one from all its seeds.

    Of methods with more seeds than that; None where there is none.
    """
    ratios, bounds, expected = [], [], []
    for levels in groups.values():
        seeds = sorted(set.intersection(*map(set, levels)))
        whole = deviation(levels)
        if len(seeds) <= count or not whole:
            continue
        needed = _needed_for(whole)
        degrees = degrees_of_freedom([count] * len(levels), correlation=DENSE_ALIKE)
        for few in itertools.combinations(seeds, count):
            found = deviation([{seed: level[seed] for seed in few} for level in levels])
            estimate = at_most(found, degrees, 0.5)
            ratios.append(_needed_for(estimate) / needed if found else 0.0)
            bounds.append(at_most(found, degrees) >= whole)
        middle = chdtri(degrees, 0.5)
        expected.append(chdtr(degrees, FACTOR * middle) - chdtr(degrees, middle / FACTOR))
    if not ratios:
        return None
    return {
        "plans": len(ratios),
        "near": share(ratios, lambda ratio: 1 / FACTOR <= ratio <= FACTOR),
        "too_few": share(ratios, lambda ratio: ratio < 1 / FACTOR),
        "too_many": share(ratios, lambda ratio: ratio > FACTOR),
        "bound_held": mean(bounds),
        "near_by_theory": mean(expected),
    }


def _needed_for(deviation: float) -> int:
    """Return the seeds that tell half a point, to three digits of the deviation.

    There are ten thousands of plans, and far fewer deviations of three digits.
    """
    return _known(float(f"{deviation:.3g}"))


@cache
def _known(deviation: float) -> int:
    return seeds_needed(deviation, HALF_A_POINT)


def share(values: Sequence[float], holds: Callable[[float], bool]) -> float:
    """Return for which share of some numbers something holds.

    >>> share([1.0, 2.0, 3.0, 4.0], lambda value: value > 3)
    0.25
    """
    return mean([float(holds(value)) for value in values])


def results(compared: Compared) -> dict[str, Any]:
    """Return the figures of a comparison."""
    tickets = of_tickets(compared)
    dense = [value for levels in compared.values.values() for value in levels.get(0, {}).values()]
    test = TestSet(compared.test_size, 0.0)
    return {
        "title": compared.title,
        "seeds": len(compared.seeds),
        "levels": compared.levels,
        "dense": mean(dense),
        "test_half_width": test.half_width(mean(dense)),
        "tickets": spread(tickets),
        "methods": spread(of_methods(compared)),
        "planned": {str(count): plans for count in PLANNED if (plans := planned(tickets, count))},
    }


def page(found: Mapping[str, Any]) -> str:
    """Return the page of the results."""
    lines = [
        "# How many seeds tell half a point",
        "",
        "Of every comparison made here: how far paired differences lie apart from seed to seed, "
        "and how many seeds tell a difference by the paired, one-sided t test (p below 0.05, four "
        "times in five). Each seed is a search of its own, with its initialisation; "
        "[`prac judge --plan`](../commands/judge.md#plan) says the same of one search, whose seeds "
        "are orders of the examples. Deviations are pooled over methods and judged levels.",
        "",
        "## A ticket and its dense network",
        "",
        *_needed(found, "tickets"),
        "",
        "Differences are those of a method's tickets from the dense network of the same seed. "
        "In brackets: the least and the most that a single method's vary; where these lie far "
        "apart, a few methods that fail make the pooled deviation, and the number of seeds by the "
        "median method tells more. Test set: how far an accuracy reaches by its examples, in "
        "points, with any number of seeds.",
        "",
        "## Two methods",
        "",
        *_needed(found, "methods"),
        "",
        "Differences are those of any two methods' tickets of the same level and seed.",
        "",
        "## Can a plan from a few seeds be trusted?",
        "",
        "Of each method, a plan of how many seeds tell half a point was made from every two, three "
        "and five of its seeds, and held against the one from all of them. Near: within a factor "
        f"of {FACTOR}. By theory: how often that would be if all differences were normal and those "
        "from all seeds were the truth. The bound is the upper one of the deviation, which a plan "
        "gives beside it, and which is to hold four times in five.",
        "",
        *table(
            ["comparison", "planned from", "plans", *JUDGED_BY.values()],
            [
                [
                    linked(name),
                    f"{count} of {of['seeds']}",
                    plans["plans"],
                    *(f"{plans[what]:.0%}" for what in JUDGED_BY),
                ]
                for name, of in found.items()
                for count, plans in of["planned"].items()
            ],
        ),
        "",
        "A plan's seeds are among those that it is held against: of three seeds in all, that tells "
        "little; what tells are the comparisons with more.",
        "",
        "## Made by",
        "",
        "`python -m experiments.power`, from the figures of the pages on rivals and on [critical "
        "examples](critical.md).",
    ]
    return "\n".join(lines) + "\n"


def linked(name: str) -> str:
    """Return a comparison's name, linked to the page of its figures.

    >>> linked("critical-digits")
    '[critical-digits](critical.md)'
    """
    on = critical.NAME if name.startswith(f"{critical.NAME}-") else name
    return f"[{name}]({on}.md)"


def _needed(found: Mapping[str, Any], what: str) -> list[str]:
    rows = []
    for name, of in found.items():
        if of[what] is None:
            continue
        one = of[what]
        deviation, least, most = (100 * one[key] for key in ("deviation", "least", "most"))
        rows.append(
            [
                linked(name),
                of["title"],
                of["seeds"],
                f"{deviation:.2f} ({least:.2f} to {most:.2f})",
                *(f"{one['needed'][str(difference)]:,}" for difference in DIFFERENCES),
                f"{one['median_needed']:,}",
                f"±{100 * of['test_half_width']:.1f}",
            ]
        )
    heads = "comparison", "problem", "seeds there", "deviation, points"
    told = (f"seeds for {100 * of:g}" for of in DIFFERENCES)
    return table(
        [*heads, *told, "for 0.5 in the median", "test set"],
        rows,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Write figures and page."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args(arguments)
    found = {name: results(compared) for name, compared in comparisons()}
    (pages.RESULTS / f"{NAME}.json").write_text(json.dumps(found, indent=1) + "\n")
    pages.write(NAME, page(found))


if __name__ == "__main__":
    main()
