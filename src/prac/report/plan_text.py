"""A plan of seeds in words: how many are needed, what they cost, what is beyond them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from prac.evaluation import SeedPlan, at_most, listed
from prac.report.tables import new_table


def plan_text(plan: SeedPlan) -> RenderableType:
    """Return a plan laid out for a person, for 80 columns and more."""
    return Group(
        *(Text(line) for line in _answers(plan)),
        plan_table(plan),
        *(Text(f"\n{line}") for line in _limits(plan)),
    )


def _answers(plan: SeedPlan) -> Iterator[str]:
    """Yield how many seeds are needed, of the tickets and of each control."""
    measure, count = plan.measure, len(plan.seeds)
    difference = measure.distance(plan.difference, 2)
    below = "below" if measure.higher_is_better else "above"
    if plan.dense.at_chance:
        yield (
            f"Beware: {plan.dense.at_chance}. How far networks that learned nothing lie apart does "
            f"not tell how far others do."
        )
    for spread in plan.spreads:
        is_ticket = spread.what == "ticket"
        one = "a ticket" if is_ticket else f"a {spread.what} control"
        other = "the dense network" if is_ticket else "its ticket"
        needed, highest = (
            spread.needed(plan.difference),
            spread.needed_at_most(plan.difference),
        )
        if needed is None or highest is None:
            unused = next(seed for seed in range(count + 1) if seed not in plan.seeds)
            yield (
                f"How many seeds tell {one} that is {difference} {below} {other} is not known: at "
                f"{listed(spread.levels)} the two differ by the same with each of the seeds "
                f"{_numbers(plan.seeds)}, which tells nothing of how far seeds lie apart. Plan "
                f"from more: --seeds {_numbers((*plan.seeds, unused))}."
            )
            continue
        deviation, most = (measure.distance(of, 2) for of in (spread.deviation, spread.at_most))
        yield (
            f"About {needed:,} seeds tell {one} that is {difference} {below} {other}: their "
            f"difference varies from seed to seed by a standard deviation of some {deviation}, at "
            f"{listed(spread.levels)}. {count} seeds tell that but roughly: it may be up to "
            f"{most}, which takes {highest:,}."
        )


def plan_table(plan: SeedPlan) -> Table:
    """Return a column for each number of seeds: what they tell, and what they take."""
    enough = None if plan.needed is None else max(plan.needed, len(plan.seeds))
    heads = (f"{seeds:,}{' *' if seeds == enough else ''}" for seeds in plan.shown)
    table = new_table("seeds", *heads)
    known = [spread for spread in plan.spreads if spread.found]
    for spread in known:
        other = "dense" if spread.what == "ticket" else "ticket"
        told = (plan.measure.size(spread.told_by(seeds) or 0.0) for seeds in plan.shown)
        table.add_row(f"{spread.what} vs {other}", *told)
    table.add_section()
    table.add_row("trainings", *(f"{seeds * plan.trainings:,}" for seeds in plan.shown))
    table.add_row("of these left", *(f"{plan.trainings_left(seeds):,}" for seeds in plan.shown))
    table.add_row("time left", *(_time(plan.seconds_left(seeds)) for seeds in plan.shown))
    what = []
    if known:
        unit = ", in points," if plan.measure.is_share else ""
        what = [
            f"one vs another: smallest difference{unit} that the paired test finds four times in "
            f"five (p below 0.05)"
        ]
    if enough in plan.shown:
        what.append(f"*: tells {plan.measure.distance(plan.difference, 2)}")
    pace = "one by one" if plan.jobs == 1 else f"{plan.jobs} at once and none slowed by another"
    what += [
        f"left: beside seeds {_numbers(plan.seeds)}",
        "time: as long as these took, " + pace,
    ]
    table.caption = "; ".join(what)
    return table


def _limits(plan: SeedPlan) -> Iterator[str]:
    """Yield what more seeds do not do."""
    measure, runs = plan.measure, plan.dense.ticket
    test = plan.test
    if test is not None and measure.counts_examples:
        reach = measure.distance(test.half_width(runs.mean), 1)
        yield (
            f"Seeds do not take the place of test examples: {test.size:,} of them tell "
            f"{measure.number(runs.mean)}{measure.unit} only to ±{reach}, so that what many seeds "
            f"tell holds for these examples, and for others as far as that."
        )
    if runs.deviation:
        factors = (at_most(1.0, n - 1) for n in (len(runs.runs), 10))
        few, ten = (f"{factor:.1f}" for factor in factors)
        yield (
            f"The verdict itself, within one standard deviation of the dense runs, has another "
            f"bar: it lets a ticket be {measure.distance(runs.deviation, 2)} worse, with any "
            f"number of seeds. More of them tell that deviation better: of {len(runs.runs)} runs "
            f"the true one may be {few} times as large, of 10 runs {ten} times."
        )


def _time(seconds: float | None) -> str:
    """Return a length of time in the unit that suits it.

    >>> _time(0.0), _time(59.7), _time(600), _time(6000), _time(None)
    ('0 s', '1 min', '10 min', '1.7 h', '-')
    """
    if seconds is None:
        return "-"
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if round(seconds / 60) < 60 else f"{seconds / 3600:,.1f} h"


def _numbers(seeds: Sequence[int]) -> str:
    return ",".join(map(str, seeds))
