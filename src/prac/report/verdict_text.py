"""A verdict in words and tables: the answer first, then the figures, then what they mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from prac.errors import PracError
from prac.evaluation import (
    DEFINITION,
    RELIABLE,
    ROUNDING,
    WINS,
    LevelVerdict,
    Trials,
    Verdict,
    listed,
)
from prac.report.tables import ALL, cell, new_table

if TYPE_CHECKING:
    from prac.evaluation import RewindPoint

MEANING = f"{DEFINITION[0].upper()}{DEFINITION[1:]}."
MEANING_OF_ONE = f"{WINS[0].upper()}{WINS[1:]}."

AS_GOOD = {
    "reinitialised": (
        "the weights that the ticket starts from do not matter there: its mask is a good "
        "architecture, but it is no winning ticket in Frankle and Carbin's sense"
    ),
    "shuffled": "which weights are kept does not matter there, only how many each layer keeps",
    "random": "the search bought nothing there beyond how many weights each layer keeps",
}
"""What it means that a control does as well as the ticket."""

WORSE = {
    "reinitialised": "the weights that the ticket starts from matter",
    "shuffled": "which weights are kept matters",
    "random": "the ticket is worth more than its layerwise densities",
}
"""What it means that it does not."""

COARSE = 0.01
"""Where a test set's interval reaches further than this, it cannot tell networks a point apart."""

SCATTER = 0.02
"""Dense runs with a larger standard deviation than this let nearly any ticket match."""


def verdict_text(verdict: Verdict) -> RenderableType:
    """Return a verdict laid out for a person, for 80 columns and more."""
    tables = [levels_table(verdict)]
    if any(level.controls for level in verdict.levels):
        tables.append(controls_table(verdict))
    meaning = Text(MEANING, style="dim"), *(Text(f"\n{line}") for line in sentences(verdict))
    return Group(Text(headline(verdict)), *tables, *meaning)


def headline(verdict: Verdict) -> str:
    """Return the answer in one sentence: which ticket is the sparsest that matches dense."""
    if verdict.best_level is None:
        why = verdict.why_none()
        return f"{why[0].upper()}{why[1:]}."
    best = next(level for level in verdict.levels if level.index == verdict.best_level)
    runs = f"{len(best.ticket.runs)} runs each" + ("" if best.controls else ", no control judged")
    found = (
        f"Ticket {best.index} is the sparsest that does as well as the dense network: a "
        f"{best.verdict} ticket of density {_densities(verdict, best)}, test accuracy "
        f"{accuracy_text(best.ticket)} %, dense {accuracy_text(best.dense)} % ({runs})"
    )
    against = "; and ".join(doubts(best))
    return f"{found}, but {against}." if against else f"{found}."


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
    names = [n for n in ("random", "shuffled", "reinitialised") if n in level.as_good_controls]
    if names:
        accuracies = ", ".join(f"{100 * level.controls[name].mean:.2f}" for name in names)
        do = "control does" if len(names) == 1 else "controls do"
        *first, last = names
        named = f"{', '.join(first)} and {last}" if first else last
        which = f"the {named} {do} as well ({accuracies} %)"
        yield f"{which}: {AS_GOOD[names[0]]}"
    deviation = level.dense.deviation or 0.0
    if deviation > SCATTER + ROUNDING:
        yield (
            f"the dense runs lie far apart (a standard deviation of {100 * deviation:.1f} points), "
            f"so that nearly any ticket would match"
        )
    if is_test_set_small(level):
        yield small_test_set(level)


def is_test_set_small(level: LevelVerdict) -> bool:
    """Say whether a test set tells accuracies to a point at best, and less well than is claimed."""
    if level.test is None:
        return False
    half_width = level.test.half_width(level.dense.mean)
    return half_width > max(COARSE, level.dense.deviation or 0.0)


def small_test_set(level: LevelVerdict) -> str:
    """Return how far accuracies reach on a level's test set, beside what the verdict allows."""
    assert level.test is not None, "asked where it is known"
    half_width = 100 * level.test.half_width(level.dense.mean)
    allowed = 100 * (level.dense.deviation or 0.0)
    return (
        f"{level.test.size:,} test examples tell an accuracy only to ±{half_width:.1f} points, "
        f"more than the {allowed:.1f} that the verdict allows"
    )


def sentences(verdict: Verdict) -> Iterator[str]:
    """Yield what the figures mean, where it is not plain, one sentence or two each."""
    sparse = [level for level in verdict.levels if level.index]
    if len(verdict.seeds) < 2:
        if verdict.best_level is None and sparse:
            yield "One run says nothing of how far the next would be from it: no intervals."
        return
    scatter = verdict.levels[0].dense.deviation or 0.0
    if verdict.levels[0].at_chance:
        return
    if sparse and scatter > SCATTER + ROUNDING:
        yield (
            f"The dense runs lie far apart (a standard deviation of {100 * scatter:.1f} points), "
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
            f"below dense, but these few runs may be so by chance (p of 0.05 or more); more seeds "
            f"would tell."
        )
    for name in AS_GOOD:
        yield from _of_control(name, [level for level in sparse if name in level.controls])
    yield from _of_barriers([level for level in verdict.levels if level.barrier is not None])


def _of_control(name: str, levels: list[LevelVerdict]) -> Iterator[str]:
    within_one_std = [level.index for level in levels if level.within_one_std(name)]
    below = [level for level in levels if not level.within_one_std(name)]
    worse = [level.index for level in below if (level.control_p_value(name) or 0.0) < RELIABLE]
    unsure = [level.index for level in below if level.index not in worse]
    control = f"The {name} control"
    if within_one_std:
        yield f"{control} does as well as the ticket at {listed(within_one_std)}: {AS_GOOD[name]}."
    if worse:
        yield f"{control} does reliably worse than the ticket at {listed(worse)}: {WORSE[name]}."
    if unsure:
        yield (
            f"{control} is more than one standard deviation below the ticket at {listed(unsure)}, "
            f"but these few runs may be so by chance (p of 0.05 or more)."
        )


def _of_barriers(levels: list[LevelVerdict]) -> Iterator[str]:
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
    names = ["level", "density", "runs", "test %", "vs dense", "p"]
    has_pools = any(level.pooled for level in verdict.levels)
    names += [*(["barrier"] if has_barriers else []), *(["pooled %"] if has_pools else [])]
    table = new_table(*names, "verdict")
    for level in verdict.levels:
        row = level_cells(level)
        row.insert(2, str(len(level.ticket.runs)))
        if has_barriers:
            row.append("-" if level.barrier is None else f"{100 * level.barrier.height:.2f}")
        if has_pools:
            row.append("-" if level.pooled is None else accuracy_text(level.pooled))
        table.add_row(*row, level.verdict)
    table.caption = (
        "test: mean accuracy ± half the width of its 95 % interval; vs dense: in percentage points"
        + ("; barrier: in points of error" if has_barriers else "")
        + ("; pooled: averaged with the trained neighbours, as sparse" if has_pools else "")
    )
    return table


def level_cells(level: LevelVerdict, unknown: str = "-") -> list[str]:
    """Return a level, its density, its ticket's accuracy, that beside dense, and the p-value."""
    return [
        str(level.index),
        f"{level.density:.2%}",
        accuracy_text(level.ticket),
        f"{100 * level.difference:+.2f}" if level.index else unknown,
        cell(level.p_value, ".3f", unknown=unknown),
    ]


def controls_table(verdict: Verdict) -> Table:
    """Return a line a level: the ticket beside its controls."""
    names = list(next(level.controls for level in verdict.levels if level.controls))
    table = new_table("level", "ticket", *names)
    for level in verdict.levels:
        if level.controls:
            cells = [control_text(level, name, otherwise="  ") for name in names]
            table.add_row(str(level.index), accuracy_text(level.ticket), *cells)
    table.caption = "=: the control does as well as the ticket, within one standard deviation of it"
    return table


def control_text(level: LevelVerdict, name: str, otherwise: str = "") -> str:
    """Return a control's accuracy, marked where it does as well as the ticket."""
    return accuracy_text(level.controls[name]) + (" =" if level.within_one_std(name) else otherwise)


def accuracy_text(trials: Trials) -> str:
    """Return a mean accuracy with its interval, in percent."""
    half = trials.half_width
    return f"{100 * trials.mean:.2f}" + ("" if half is None else f" ±{100 * half:.2f}")


def rewind_point_text(point: RewindPoint) -> RenderableType:
    """Return the points that were tried and what to set, laid out for a person."""
    table = new_table("iteration", "of schedule", "test %, two orders", "barrier", "stable")
    for at, barrier in point.barriers.items():
        table.add_row(
            str(at),
            f"{at / point.iterations:.1%}",
            " and ".join(f"{100 * accuracy:.2f}" for accuracy in point.accuracies[at]),
            f"{100 * barrier.height:.2f}",
            "yes" if barrier.is_stable else "no",
        )
    table.caption = (
        "barrier: highest test error on the line between the two networks less the mean of its "
        "ends, in points; stable below 2"
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
