"""What a report says first: the verdict in a sentence and three numbers. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prac.report.html.facts import RunFacts
from prac.report.tables import cell
from prac.report.verdict_text import headline
from prac.runs import ACCURACY, Measure


@dataclass(frozen=True)
class Number:
    """One of the three: what it is, and a line of what it is measured against."""

    name: str
    value: str
    about: str


def answer(facts: RunFacts) -> str:
    """Return what was found, in one sentence."""
    if facts.verdict is not None:
        return headline(facts.verdict)
    level = shown_level(facts)
    if level is None:
        return "No ticket yet."
    ours, dense = tested(facts, level)
    measure = facts.measure
    cost = cost_sentence(facts.search.cost(level).iterations_saved)
    density = f"Ticket {level} keeps {facts.levels[level].density:.2%} of the prunable weights"
    if ours is None:
        return f"{density}; how it does alone was not measured. {cost}"
    named = "" if measure == ACCURACY else f"{measure.name} of "
    lower = measure.direction
    text = f"{density} and, trained alone, reaches {named}{measure.text(ours)} on test data"
    if dense is not None:
        text += f", the dense network {measure.text(dense)}{lower} (one run each: no verdict)"
        if facts.is_dense_at_chance:
            text += ", but that cannot be told from chance"
    return f"{text}. {cost}"


def cost_sentence(saved: float) -> str:
    """Return what finding a ticket cost beside IMP, of the share of its iterations saved."""
    if abs(saved) < 0.005:
        return "Finding it took as many training iterations as by IMP."
    word = "fewer" if saved > 0 else "more"
    return f"It was found with {abs(saved):.0%} {word} training iterations than by IMP."


def numbers(facts: RunFacts) -> list[Number]:
    """Return density, value and cost of the ticket that the answer is about."""
    level = shown_level(facts)
    if level is None:
        return []
    density, about = f"{facts.levels[level].density:.2%}", f"ticket {level}"
    if facts.parameters is not None:
        about += f", {facts.parameters.density(facts.levels[level].kept):.2%} of the whole network"
    found = [Number("of the prunable weights kept", density, about)]
    ours, dense = tested(facts, level)
    if ours is not None and dense is not None and not facts.is_dense_at_chance:
        count = 1 if facts.verdict is None else len(facts.verdict.seeds)
        runs = "one run each" if count == 1 else f"means of {count} runs"
        found.append(Number(*beside(facts.measure, ours, dense, runs)))
    cost = facts.search.cost(level)
    about = f"{cost.cost.iterations:,} instead of {cost.imp.iterations:,}"
    return [*found, Number("of IMP's iterations saved", f"{cost.iterations_saved:.1%}", about)]


def beside(measure: Measure, ours: float, dense: float, runs: str) -> tuple[str, str, str]:
    """Return a name, a value and a line about it: a ticket beside the dense network."""
    points = "points: " if measure.is_share else ""
    about = f"{points}{measure.text(ours)} and {measure.text(dense)}, {runs}"
    name = f"test {measure.name} beside the dense network's{measure.direction}"
    return name, measure.difference(ours - dense), about


def tested(facts: RunFacts, level: int) -> tuple[float | None, float | None]:
    """Return what a level's ticket and the dense network reach on test data, where known."""
    judged = facts.judged(level)
    if judged is not None:
        return judged.ticket.mean, judged.dense.mean
    ours, dense = (facts.retrained.get(one, {}).get("test_metric") for one in (level, 0))
    return ours, dense


def shown_level(facts: RunFacts) -> int | None:
    """Return the level that the page speaks of first; None where there is no ticket yet.

    The sparsest that matches dense; where none does, or nothing was judged, the sparsest judged,
    retrained or found.
    """
    known = range(1, len(facts.levels))
    if facts.verdict is not None:
        best = facts.verdict.best_level
        if best is not None:
            return best if best in known else None
        judged = [one.index for one in facts.verdict.levels if one.index in known]
        return max(judged, default=None)
    retrained = [level for level in facts.retrained if level in known]
    return max(retrained or known, default=None)


def in_short(facts: RunFacts) -> dict[str, Any]:
    """Return a run in short, as plain values: the ticket that its page speaks of, and its cost."""
    level = shown_level(facts)
    found: dict[str, Any] = {
        "path": str(facts.search.path),
        "finished": facts.search.finished,
        "levels": max(len(facts.levels) - 1, 0),
        "of": int(facts.search.settings["levels"]),
        "ticket": level,
        "metric": facts.measure.name,
        **dict.fromkeys(("density", "value", "accuracy", "difference")),
        **dict.fromkeys(("iterations", "saved", "verdict")),
    }
    if level is None:
        return found
    ours, dense = tested(facts, level)
    cost, judged = facts.search.cost(level), facts.judged(level)
    return found | {
        "density": facts.levels[level].density,
        "value": ours,
        "accuracy": ours if facts.measure == ACCURACY else None,
        "difference": None if ours is None or dense is None else ours - dense,
        "iterations": cost.cost.iterations,
        "saved": cost.iterations_saved,
        "verdict": judged and judged.verdict,
    }


RUN_COLUMNS = ("levels", "ticket", "density", "test", "vs dense", "verdict", "iterations", "saved")


def row(facts: RunFacts) -> dict[str, str]:
    """Return a run in short, as the cells of a table by RUN_COLUMNS."""
    found = in_short(facts)
    cells = (
        f"{found['levels']}/{found['of']}",
        cell(found["ticket"], "d", unknown=""),
        cell(found["density"], ".2%", unknown=""),
        facts.measure.text(found["value"], unknown="") + _named(facts.measure, found["value"]),
        facts.measure.difference(found["difference"], unknown=""),
        found["verdict"] or "",
        cell(found["iterations"], ",d", unknown=""),
        cell(found["saved"], ".1%", unknown=""),
    )
    return dict(zip(RUN_COLUMNS, cells, strict=True))


def _named(measure: Measure, value: float | None) -> str:
    """Return the name of a metric behind its value, where it is not the accuracy."""
    return "" if value is None or measure == ACCURACY else f" {measure.name}"
