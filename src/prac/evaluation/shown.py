"""How verdicts and their parts are shown: a line in a terminal, a small table in a notebook.

Each function is a method of the class that it is about, in `prac.evaluation.verdict`.
"""

from __future__ import annotations

from typing import Any

from prac.runs import ACCURACY
from prac.utils import brief, counted_as, html_table, percent, with_interval


def trials_in_short(of: Any) -> str:
    """Return how many trainings there are, and their mean."""
    return brief(of, counted_as(len(of.runs), "run"), _mean(of) if of.runs else None)


def barrier_in_short(of: Any) -> str:
    """Return a barrier's height, and what that means."""
    stable = "stable" if of.is_stable else "not stable"
    return brief(of, f"height {100 * of.height:.2f} points", stable)


def level_in_short(of: Any) -> str:
    """Return a ticket's density, its verdict, and its mean beside the dense network's."""
    found = f"{_mean(of.ticket)} beside dense {_mean(of.dense)}" if of.index else _mean(of.dense)
    return brief(of, f"level {of.index}", f"density {percent(of.density)}", of.verdict, found)


def verdict_in_short(of: Any) -> str:
    """Return the verdict on each level."""
    told = (f"level {level.index} {level.verdict}" for level in of.levels if level.index)
    return brief(of, str(of.search.path), counted_as(len(of.seeds), "seed"), *told)


def verdict_html(of: Any) -> str:
    """Return the answer, and a line a level."""
    controls = dict.fromkeys(name for level in of.levels for name in level.controls)
    rows = []
    for level in of.levels:
        p_value = "-" if level.p_value is None else f"{level.p_value:.3f}"
        others = (level.controls.get(name) for name in controls)
        tested = (_mean(level.ticket), p_value, *("-" if o is None else _mean(o) for o in others))
        rows.append((str(level.index), percent(level.density, 2), *tested, level.verdict))
    columns = "level", "density", "test", "p", *controls, "verdict"
    best = next((level for level in of.levels if level.index == of.best_level), None)
    answer = of.why_none()
    if best is not None:
        answer = (
            f"ticket {best.index} is the sparsest that does as well as the dense network: "
            f"{best.verdict}, density {percent(best.density)}"
        )
    named = "" if of.measure == ACCURACY else f" {of.measure.name}{of.measure.direction}"
    about = f"test: mean{named} ± half of the 95 % interval; p: that the ticket is worse than dense"
    if (scatter := of.levels[0].dense.deviation) is not None:
        about += f"; a ticket matches within {scatter:.2g} of dense, its standard deviation"
    where = f"{of.search.path}, {counted_as(len(of.seeds), 'seed')}"
    return html_table(f"Verdict: {answer}", columns, rows, where, about)


def _mean(trials: Any) -> str:
    return with_interval(trials.mean, trials.half_width)
