"""A verdict in words and tables: the answer first, then the figures, then what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from prac.errors import PracError
from prac.evaluation import (
    HALF_A_POINT,
    ROUNDING,
    SANITY,
    LevelVerdict,
    Verdict,
    definition,
    listed,
    spread_of_tickets,
    wins,
)
from prac.report.sanity_text import is_checked, reached, sanity_table
from prac.report.tables import ALL, cell, new_table
from prac.runs import ACCURACY, Measure

if TYPE_CHECKING:
    from prac.evaluation import RewindPoint


def meaning(measure: Measure = ACCURACY) -> str:
    """Return what verdicts by a metric mean, and the p-values beside them."""
    return _sentence(definition(measure))


def meaning_of_one(measure: Measure = ACCURACY) -> str:
    """Return what the verdict on one ticket means."""
    return _sentence(wins(measure))


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


AS_GOOD = {
    "reinitialised": (
        "the weights that the ticket starts from do not matter there: its mask is a good "
        "architecture, but it is no winning ticket in Frankle and Carbin's sense"
    ),
    "shuffled": "which weights are kept does not matter there, only how many each layer keeps",
    "random": "the search bought nothing there beyond how many weights each layer keeps",
    "smart-ratio": (
        "the search bought nothing there that a random mask with layerwise densities by a rule, "
        "for which no data is looked at, would not have"
    ),
    "corrupted-labels": "the search did not need the labels there: on random ones it finds as much",
    "corrupted-inputs": (
        "the search did not need the inputs there as they are: on shuffled ones it finds as much"
    ),
}
"""What it means that a control does as well as the ticket."""

WORSE = {
    "reinitialised": "the weights that the ticket starts from matter",
    "shuffled": "which weights are kept matters",
    "random": "the ticket is worth more than its layerwise densities",
    "smart-ratio": "the ticket is worth more than a random mask by a rule for layerwise densities",
    "corrupted-labels": "the mask takes something from the labels",
    "corrupted-inputs": "the mask takes something from the inputs",
}
"""What it means that it does not."""

MOST_CHANGED = (
    *("smart-ratio", "random", "shuffled"),
    *("corrupted-inputs", "corrupted-labels", "reinitialised"),
)
"""Controls, the one first of which the least is the ticket's."""

COARSE = 0.01
"""Where a test set's interval reaches further than this, it cannot tell networks a point apart."""

SCATTER = 0.02
"""Dense runs with a larger standard deviation than this let nearly any ticket match."""


def verdict_text(verdict: Verdict) -> RenderableType:
    """Return a verdict laid out for a person, for 80 columns and more."""
    tables = [levels_table(verdict)]
    if controls := controls_in_table(verdict):
        tables.append(controls_table(verdict, controls))
    if is_checked(verdict):
        tables.append(sanity_table(verdict))
    means = Text(meaning(verdict.measure), style="dim")
    told = (Text(f"\n{line}") for line in sentences(verdict))
    return Group(Text(headline(verdict)), *tables, means, *told)


def headline(verdict: Verdict) -> str:
    """Return the answer in one sentence: which ticket is the sparsest that matches dense."""
    if verdict.best_level is None:
        why = verdict.why_none()
        return _sentence(why)
    best = next(level for level in verdict.levels if level.index == verdict.best_level)
    runs = f"{len(best.ticket.runs)} runs each" + ("" if best.controls else ", no control judged")
    found = (
        f"Ticket {best.index} is the sparsest that does as well as the dense network: a "
        f"{best.verdict} ticket of density {_densities(verdict, best)}, {beside_dense(best)} "
        f"({runs})"
    )
    against = "; and ".join(doubts(best))
    return f"{found}, but {against}." if against else f"{found}."


def beside_dense(level: LevelVerdict) -> str:
    """Return what a ticket reaches and what the dense network does, named."""
    measure = level.measure
    ticket, dense = (reached(of, measure) + measure.unit for of in (level.ticket, level.dense))
    return f"test {measure.name}{measure.direction} {ticket}, dense {dense}"


def _densities(verdict: Verdict, level: LevelVerdict) -> str:
    """Return a ticket's density, and the whole network's where that is another one."""
    density, parameters = f"{level.density:.2%}", None
    with suppress(PracError):  # A damaged file, which whoever reads the rest of it tells.
        parameters = verdict.search.parameters
    if parameters is None or parameters.share >= ALL:
        return density
    network = parameters.density(round(level.density * parameters.count))
    return f"{density} ({network:.2%} of the whole network)"


def doubts(level: LevelVerdict) -> Iterator[str]:
    """Yield what speaks against a ticket that does as well as dense, the strongest first.

    Controls that do as well, dense runs that lie far apart, a test set too small for the claim.
    """
    if level.is_reliably_worse:
        yield f"it is reliably worse, seed by seed (p = {level.p_value:.3f})"
    # The control that changes most comes first: if it does as well, so much less was found.
    names = [name for name in MOST_CHANGED if name in level.as_good_controls]
    if names:
        measure = level.measure
        values = ", ".join(measure.number(level.controls[name].mean) for name in names)
        do = "control does" if len(names) == 1 else "controls do"
        *first, last = names
        named = f"{', '.join(first)} and {last}" if first else last
        which = f"the {named} {do} as well ({values}{measure.unit})"
        yield f"{which}: {AS_GOOD[names[0]]}"
    if is_scattered(level):
        deviation = level.measure.distance(level.dense.deviation or 0.0)
        yield (
            f"the dense runs lie far apart (a standard deviation of {deviation}), so that nearly "
            f"any ticket would match"
        )
    if is_test_set_small(level):
        yield small_test_set(level)


def is_scattered(level: LevelVerdict) -> bool:
    """Say whether dense runs lie so far apart that nearly any ticket matches.

    Only shares have a scale on which that can be said.
    """
    deviation = level.dense.deviation or 0.0
    return level.measure.is_share and deviation > SCATTER + ROUNDING


def is_test_set_small(level: LevelVerdict) -> bool:
    """Say whether a test set tells accuracies to a point at best, and less well than is claimed.

    How well it tells other metrics than a share of its examples is not known.
    """
    if level.test is None or not level.measure.counts_examples:
        return False
    half_width = level.test.half_width(level.dense.mean)
    return half_width > max(COARSE, level.dense.deviation or 0.0)


def small_test_set(level: LevelVerdict) -> str:
    """Return how far accuracies reach on a level's test set, beside what the verdict allows."""
    assert level.test is not None, "asked where it is known"
    half_width = 100 * level.test.half_width(level.dense.mean)
    allowed = 100 * (level.dense.deviation or 0.0)
    name = "an accuracy" if level.measure == ACCURACY else f"a {level.measure.name}"
    return (
        f"{level.test.size:,} test examples tell {name} only to ±{half_width:.1f} points, "
        f"more than the {allowed:.1f} that the verdict allows"
    )


def sentences(verdict: Verdict) -> Iterator[str]:
    """Yield what the figures mean, where it is not plain, one sentence or two each."""
    sparse = [level for level in verdict.levels if level.index]
    if len(verdict.seeds) < 2:
        if verdict.best_level is None and sparse:
            yield "One run says nothing of how far the next would be from it: no intervals."
        return
    dense, measure = verdict.levels[0], verdict.measure
    if dense.at_chance:
        return
    below = "below" if measure.higher_is_better else "above"
    if sparse and is_scattered(dense):
        scatter = measure.distance(dense.dense.deviation or 0.0)
        yield (
            f"The dense runs lie far apart (a standard deviation of {scatter}), "
            f"which makes the definition easy to meet: train longer, or with more seeds."
        )
    if verdict.best_level is not None:
        denser = [v.index for v in sparse if v.index < verdict.best_level and not v.matches]
        if denser:
            yield f"Denser tickets do not match, though: {listed(denser)}."
    lenient = [level.index for level in sparse if level.matches and level.is_reliably_worse]
    if lenient:
        yield (
            f"At {listed(lenient)} definition and test disagree: within one standard deviation of "
            f"dense, yet reliably worse (p below 0.05), seed by seed."
        )
    unsure = [v.index for v in sparse if not v.matches and not v.is_reliably_worse]
    if unsure:
        yield (
            f"At {listed(unsure)} definition and test disagree: more than one standard deviation "
            f"{below} dense, but these few runs may be so by chance (p of 0.05 or more); more "
            f"seeds would tell."
        )
        yield from _more_seeds(verdict, sparse)
    for name in AS_GOOD:
        judged = [level for level in sparse if name in level.controls]
        yield from _of_control(name, judged, below)
    yield from _of_barriers([level for level in verdict.levels if level.barrier is not None])


def _more_seeds(verdict: Verdict, sparse: list[LevelVerdict]) -> Iterator[str]:
    """Yield how many seeds would tell half a point, where that is more than there are."""
    levels = [level for level in sparse if level.has_pairs]
    if not levels or not verdict.measure.is_share:
        return
    needed = spread_of_tickets(levels).needed(HALF_A_POINT)
    if needed is not None and needed > len(verdict.seeds):
        yield (
            f"By how far these seeds lie apart, about {needed:,} would tell half a point: "
            f"prac judge --plan has what they cost."
        )


def _of_control(name: str, levels: list[LevelVerdict], below: str) -> Iterator[str]:
    reliable = {level.index for level in levels if level.is_control_reliably_worse(name)}
    within = [level.index for level in levels if level.within_one_std(name)]
    others = [level.index for level in levels if not level.within_one_std(name)]
    worse = [index for index in others if index in reliable]
    unsure = [index for index in others if index not in reliable]
    as_good = [index for index in within if index not in reliable]
    disagree = [index for index in within if index in reliable]
    control = f"The {name} control"
    if as_good:
        yield f"{control} does as well as the ticket at {listed(as_good)}: {AS_GOOD[name]}."
    if disagree:
        yield (
            f"{control} is within one standard deviation of the ticket at {listed(disagree)}, yet "
            f"reliably worse (p below 0.05), seed by seed: more seeds would tell."
        )
    if worse:
        yield f"{control} does reliably worse than the ticket at {listed(worse)}: {WORSE[name]}."
    if unsure:
        yield (
            f"{control} is more than one standard deviation {below} the ticket at "
            f"{listed(unsure)}, but these few runs may be so by chance (p of 0.05 or more)."
        )


def _of_barriers(levels: list[LevelVerdict]) -> Iterator[str]:
    levels = [level for level in levels if level.barrier and not level.barrier.tells_nothing]
    stable = [level.index for level in levels if level.barrier and level.barrier.is_stable]
    rest = [level.index for level in levels if level.index not in stable]
    if stable:
        yield (
            f"Two networks trained in different data orders are linearly connected (an error "
            f"barrier below 2 points) at {listed(stable)}."
        )
    if rest:
        yield (
            f"Two networks trained in different data orders are not linearly connected at "
            f"{listed(rest)}: the order of the examples decides where training ends."
        )


def levels_table(verdict: Verdict) -> Table:
    """Return a line a level: how the ticket does, against dense, and the verdict."""
    has_barriers = any(level.barrier for level in verdict.levels)
    measure = verdict.measure
    names = ["level", "density", "runs", measure.head, "vs dense", "p"]
    has_pools = any(level.pooled for level in verdict.levels)
    names += [
        *(["barrier"] if has_barriers else []),
        *([f"pooled{measure.unit}"] if has_pools else []),
    ]
    table = new_table(*names, "verdict")
    for level in verdict.levels:
        row = level_cells(level)
        row.insert(2, str(len(level.ticket.runs)))
        if has_barriers:
            row.append("-" if level.barrier is None else f"{100 * level.barrier.height:.2f}")
        if has_pools:
            row.append("-" if level.pooled is None else reached(level.pooled, measure))
        table.add_row(*row, level.verdict)
    table.caption = (
        f"test: {measure.mean} {measure.name}{measure.direction} ± half the width of its 95 % "
        f"interval; vs dense: {measure.vs_dense}"
        + ("; barrier: in points of error" if has_barriers else "")
        + ("; pooled: averaged with the trained neighbours, as sparse" if has_pools else "")
    )
    return table


def level_cells(level: LevelVerdict, unknown: str = "-") -> list[str]:
    """Return a level, its density, what its ticket reaches, that beside dense, and the p-value."""
    return [
        str(level.index),
        f"{level.density:.2%}",
        reached(level.ticket, level.measure),
        level.measure.difference(level.difference) if level.index else unknown,
        cell(level.p_value, ".3f", unknown=unknown),
    ]


def controls_in_table(verdict: Verdict) -> list[str]:
    """Return the controls that stand beside their tickets, and not among the sanity checks."""
    names = dict.fromkeys(name for level in verdict.levels for name in level.controls)
    checks = SANITY if is_checked(verdict) else ()
    return [name for name in names if name not in checks]


def controls_table(verdict: Verdict, names: Sequence[str]) -> Table:
    """Return a line a level: the ticket beside its controls."""
    table = new_table("level", "ticket", *names)
    for level in verdict.levels:
        if level.controls:
            cells = [control_text(level, name, otherwise="  ") for name in names]
            table.add_row(str(level.index), reached(level.ticket, level.measure), *cells)
    table.caption = "=: the control does as well as the ticket, within one standard deviation of it"
    return table


def control_text(level: LevelVerdict, name: str, otherwise: str = "") -> str:
    """Return what a control reaches, marked where it does as well as the ticket."""
    mark = " =" if level.within_one_std(name) else otherwise
    return reached(level.controls[name], level.measure) + mark


def rewind_point_text(point: RewindPoint) -> RenderableType:
    """Return the points that were tried and what to set, laid out for a person."""
    measure = point.measure
    head = f"{measure.head}, two orders"
    table = new_table("iteration", "of schedule", head, "barrier", "stable")
    for at, barrier in point.barriers.items():
        table.add_row(
            str(at),
            f"{at / point.iterations:.1%}",
            " and ".join(map(measure.number, point.values[at])),
            f"{100 * barrier.height:.2f}",
            "yes" if barrier.is_stable else "no",
        )
    named = "" if measure == ACCURACY else f"test: {measure.name}; "
    table.caption = (
        f"{named}barrier: highest test error on the line between the two networks less the mean of "
        "its ends, in points; stable below 2"
    )
    told = (
        f"The dense network is stable from iteration {point.at} of {point.iterations} on: "
        f"search with --rewind {point.setting}."
    )
    if point.at is None:
        told = (
            f"From no point up to iteration {max(point.barriers)} of {point.iterations} is the "
            f"dense network stable: try later ones with --points, or a lower learning rate or a "
            f"warm-up."
        )
    return Group(Text(told), table)
