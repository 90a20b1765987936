"""What a report says first: the verdict in a sentence and three numbers. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from prac.report.facts import RunFacts
from prac.verdict_text import headline, sentences


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
    found, dense = facts.retrained.get(level), facts.retrained.get(0)
    saved = facts.cost(level).iterations_saved
    cost = f"It was found with {saved:.0%} fewer training iterations than by IMP."
    density = f"Ticket {level} keeps {facts.levels[level].density:.2%} of the weights"
    if found is None or found["test_accuracy"] is None:
        return f"{density}; how it does alone was not measured. {cost}"
    text = f"{density} and, trained alone, reaches {found['test_accuracy']:.2%} on test data"
    if dense is not None and dense["test_accuracy"] is not None:
        text += f", the dense network {dense['test_accuracy']:.2%} (one run each: no verdict)"
    return f"{text}. {cost}"


def numbers(facts: RunFacts) -> list[Number]:
    """Return density, accuracy and cost of the ticket that the answer is about."""
    level = shown_level(facts)
    if level is None:
        return []
    cost = facts.cost(level)
    return [
        Number("of the weights kept", f"{facts.levels[level].density:.2%}", f"ticket {level}"),
        *_against_dense(facts, level),
        Number(
            "of IMP's iterations saved",
            f"{cost.iterations_saved:.1%}",
            f"{cost.cost.iterations:,} instead of {cost.imp.iterations:,}",
        ),
    ]


def _against_dense(facts: RunFacts, level: int) -> list[Number]:
    ours, dense = accuracies(facts, level)
    if ours is None or dense is None:
        return []
    runs = "one run each"
    if facts.verdict is not None:
        runs = f"means of {len(facts.verdict.seeds)}"
    return [
        Number(
            "test accuracy beside the dense network's",
            f"{100 * (ours - dense):+.2f}",
            f"points: {ours:.2%} and {dense:.2%}, {runs}",
        )
    ]


def accuracies(facts: RunFacts, level: int) -> tuple[float | None, float | None]:
    """Return the test accuracies of a level's ticket and of the dense network, where known."""
    if facts.verdict is not None:
        judged = next(one for one in facts.verdict.levels if one.index == level)
        return judged.ticket.mean, judged.dense.mean
    alone = [facts.retrained.get(one, {}) for one in (level, 0)]
    ours, dense = (found.get("test_accuracy") for found in alone)
    return ours, dense


def shown_level(facts: RunFacts) -> int | None:
    """Return the level that the page speaks of first; None where there is no ticket yet.

    The sparsest that matches dense; where none does, or nothing was judged, the sparsest judged,
    retrained or found.
    """
    known = range(1, len(facts.levels))
    if facts.verdict is not None:
        if facts.verdict.best_level is not None:
            return facts.verdict.best_level if facts.verdict.best_level in known else None
        judged = [one.index for one in facts.verdict.levels if one.index in known]
        return max(judged, default=None)
    retrained = [level for level in facts.retrained if level in known]
    return max(retrained or known, default=None)


def findings(facts: RunFacts) -> list[str]:
    """Return what the verdict's figures mean, a sentence or two each."""
    return [] if facts.verdict is None else list(sentences(facts.verdict))


def row(facts: RunFacts) -> list[str]:
    """Return a run in short: levels, the ticket shown, density, accuracy, beside dense, cost."""
    wanted = int(facts.search.settings["levels"])
    levels = f"{max(len(facts.levels) - 1, 0)} of {wanted}"
    level = shown_level(facts)
    if level is None:
        return [levels, *[""] * 6]
    ours, dense = accuracies(facts, level)
    cost = facts.cost(level)
    return [
        levels,
        str(level),
        f"{facts.levels[level].density:.2%}",
        "" if ours is None else f"{ours:.2%}",
        "" if ours is None or dense is None else f"{100 * (ours - dense):+.2f}",
        f"{cost.cost.iterations:,}",
        f"{cost.iterations_saved:.1%}",
    ]
