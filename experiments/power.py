"""How many seeds tell half a point on the problems compared so far, and can a few say so?

Reads what `prac compare` left in folders, trains nothing, and writes `docs/results/power.json` and
`.md`: how far tickets' paired differences from dense, and methods' from each other, lie apart over
seeds; how many seeds tell 0.25, 0.5 and 1 point; what a seed takes; and how often a plan made from
a few of the seeds came near the one from all of them.

    python -m experiments.power runs/rivals-cheap-mnist runs/critical-digits ...

Takes seconds.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from scipy.special import chdtr, chdtri

from experiments import pages
from experiments.pages import table
from prac.comparison import Comparison
from prac.errors import PracError
from prac.evaluation import HALF_A_POINT, mean
from prac.evaluation.power import (
    DENSE_ALIKE,
    at_most,
    degrees_of_freedom,
    pooled_deviation,
    seeds_needed,
)
from prac.runs import read_retraining

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

Groups = Mapping[str, Sequence[Mapping[int, float]]]
"""By method, or pair of methods: for each level the paired differences, by seed."""


def of_tickets(comparison: Comparison) -> dict[str, list[dict[int, float]]]:
    """Return the differences of each method's tickets from their dense networks."""
    found: dict[str, list[dict[int, float]]] = {}
    for method in comparison.methods:
        dense = _values(comparison, method, 0)
        for level in filter(None, comparison.judged):
            ticket = _values(comparison, method, level)
            _add(found, method, {s: ticket[s] - dense[s] for s in ticket if s in dense})
    return found


def of_methods(comparison: Comparison) -> dict[str, list[dict[int, float]]]:
    """Return the differences of any two methods' tickets of one level."""
    found: dict[str, list[dict[int, float]]] = {}
    for one, other in itertools.combinations(comparison.methods, 2):
        for level in filter(None, comparison.judged):
            first, second = (_values(comparison, name, level) for name in (one, other))
            _add(found, f"{one}, {other}", {s: first[s] - second[s] for s in first if s in second})
    return found


def _values(comparison: Comparison, method: str, level: int) -> dict[int, float]:
    found = ((run.seed, run.ticket(level)) for run in comparison.of(method))
    return {seed: ticket.value for seed, ticket in found if ticket is not None}


def _add(
    found: dict[str, list[dict[int, float]]], name: str, differences: dict[int, float]
) -> None:
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


def deviation(levels: Iterable[Mapping[int, float]]) -> float:
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
        needed = seeds_needed(whole, HALF_A_POINT)
        degrees = degrees_of_freedom([count] * len(levels), correlation=DENSE_ALIKE)
        for few in itertools.combinations(seeds, count):
            found = deviation([{seed: level[seed] for seed in few} for level in levels])
            estimate = at_most(found, degrees, 0.5)
            ratios.append(seeds_needed(estimate, HALF_A_POINT) / needed if found else 0.0)
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


def share(values: Sequence[float], holds: Callable[[float], bool]) -> float:
    """Return for which share of some numbers something holds.

    >>> share([1.0, 2.0, 3.0, 4.0], lambda value: value > 3)
    0.25
    """
    return mean([float(holds(value)) for value in values])


def seconds_a_seed(comparison: Comparison) -> float | None:
    """Return what one more seed of a method takes, search and trainings alone; a median.

    None where no training is kept. The dense network's training is counted with each method.
    """
    found = []
    for run in (run for method in comparison.methods for run in comparison.of(method)):
        if not run.tickets:
            continue
        try:
            alone = [_seconds(Path(ticket.folder)) for ticket in run.tickets]
        except PracError:  # Removed since.
            continue
        found.append(max(ticket.cost.seconds for ticket in run.tickets) + sum(alone))
    return median(found) if found else None


def _seconds(folder: Path) -> float:
    return float(read_retraining(folder / "summary.json")["cost"]["seconds"])


def results(folders: Sequence[Path]) -> dict[str, Any]:
    """Return the figures of all comparisons whose values are shares."""
    found = {}
    for folder in folders:
        comparison = Comparison.load(folder)
        if not comparison.measure.is_share:
            raise SystemExit(
                f"{folder}: is judged by {comparison.measure.name}, which has no points"
            )
        tickets, settings = of_tickets(comparison), comparison.settings
        dense = [
            run.value for method in comparison.methods for run in comparison.tickets(method, 0)
        ]
        test = comparison.test_set
        found[folder.name] = {
            "data": Path(str(settings.get("data"))).stem,
            "model": settings.get("model"),
            "seeds": len(comparison.seeds),
            "levels": [level for level in comparison.judged if level],
            "dense": mean(dense) if dense else None,
            "test_size": None if test is None else test.size,
            "test_half_width": None if test is None or not dense else test.half_width(mean(dense)),
            "tickets": spread(tickets),
            "methods": spread(of_methods(comparison)),
            "planned": {
                str(count): plans for count in PLANNED if (plans := planned(tickets, count))
            },
            "seconds_a_seed": seconds_a_seed(comparison),
        }
    return found


def page(found: Mapping[str, Any], folders: Sequence[str]) -> str:
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
        "median method tells more. A seed: one search of a method with its trainings alone, in the "
        "median, as these took. Test set: how far an accuracy reaches by its examples, in points, "
        "with any number of seeds.",
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
                    name,
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
        *pages.wrapped(f"python -m experiments.power {' '.join(folders)}"),
    ]
    return "\n".join(lines) + "\n"


def _needed(found: Mapping[str, Any], what: str) -> list[str]:
    rows = []
    for name, of in found.items():
        if of[what] is None:
            continue
        one, seconds = of[what], of["seconds_a_seed"]
        deviation, least, most = (100 * one[key] for key in ("deviation", "least", "most"))
        reach = of["test_half_width"]
        rows.append(
            [
                name,
                f"{of['data']}, {of['model']}",
                of["seeds"],
                f"{deviation:.2f} ({least:.2f} to {most:.2f})",
                *(f"{one['needed'][str(difference)]:,}" for difference in DIFFERENCES),
                f"{one['median_needed']:,}",
                "" if seconds is None else f"{seconds / 60:,.1f} min",
                "" if reach is None else f"±{100 * reach:.1f}",
            ]
        )
    heads = "comparison", "problem", "seeds there", "deviation, points"
    told = (f"seeds for {100 * of:g}" for of in DIFFERENCES)
    return table(
        [*heads, *told, "for 0.5 in the median", "a seed", "test set"],
        rows,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the comparisons; write figures and page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="comparisons' folders")
    parser.add_argument("--results", default=str(pages.RESULTS), help="where the page goes")
    options = parser.parse_args(arguments)
    folders = [Path(folder) for folder in options.folders]
    found, target = results(folders), Path(options.results)
    (target / f"{NAME}.json").write_text(json.dumps(found, indent=1) + "\n")
    (target / f"{NAME}.md").write_text(page(found, [f"runs/{folder.name}" for folder in folders]))


if __name__ == "__main__":
    main()
