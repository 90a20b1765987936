"""What the pages of results have in common: where they lie, tables, means with intervals."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prac.evaluation import half_width, mean, worse
from prac.report.pictures import svg

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a Markdown table, all but its first column set to the right.

    >>> table(["a", "b"], [[1, 2]])
    ['| a | b |', '|---|--:|', '| 1 | 2 |']
    """
    rule = "|---|" + "--:|" * (len(head) - 1)
    return [_row(head), rule, *map(_row, rows)]


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def spread(values: Sequence[float], *, factor: float = 1.0, digits: int = 0) -> str:
    """Return a mean with half of its 95 % interval, or the mean alone of one value.

    >>> spread([0.9, 0.92], factor=100, digits=2), spread([3.0]), spread([])
    ('91.00 ± 12.71', '3', '')
    """
    if not values:
        return ""
    width = half_width(values)
    text = f"{factor * mean(values):,.{digits}f}"
    return text if width is None else f"{text} ± {factor * width:,.{digits}f}"


def chance(p_value: float | None) -> str:
    """Return a p-value as pages have it; a dash where there is none.

    >>> chance(0.0123), chance(None)
    ('0.012', '-')
    """
    return "-" if p_value is None else f"{p_value:.2g}"


def percent(values: Sequence[float]) -> str:
    """Return shares as a mean in per cent with half of its interval."""
    return spread(values, factor=100, digits=2)


def less(values: Sequence[float], other: Sequence[float]) -> str:
    """Return a difference by seed in points, with how likely by chance it is so low.

    >>> less([0.91, 0.93], [0.92, 0.92])
    '+0.00 ± 12.71 (p 0.5)'
    """
    differences = [one - of for one, of in zip(values, other, strict=True)]
    width = 100 * (half_width(differences) or 0.0)
    return f"{100 * mean(differences):+.2f} ± {width:.2f} (p {chance(worse(values, other))})"


def wrapped(command: str) -> list[str]:
    """Return a command as a block of code, broken where it is long."""
    lines = textwrap.wrap(
        command, 78, break_on_hyphens=False, break_long_words=False, subsequent_indent="    "
    )
    return ["```console", "$ " + " \\\n".join(lines), "```"]


def machine(run: Path) -> dict[str, Any]:
    """Return what a run folder tells of the machine that pages name."""
    known = json.loads((run / "environment.json").read_text())
    return {name: known[name] for name in ("torch", "python", "processor", "threads")}


def publish(
    name: str, found: Mapping[str, Any], page: Callable[[Mapping[str, Any]], str]
) -> dict[str, Any]:
    """Write an experiment's figures by problem, and its page; return the figures.

    Args:
        name: The experiment's.
        found: By problem; None where it is not done, for which an earlier run's figures stay.
        page: Makes the page of the figures.
    """
    path = RESULTS / f"{name}.json"
    known = read(name)["problems"] if path.exists() else {}
    merged = {problem: of or known.get(problem) for problem, of in found.items()}
    results = {"problems": {problem: of for problem, of in merged.items() if of is not None}}
    path.write_text(json.dumps(results, indent=1) + "\n")
    write(name, page(results))
    return results


def machines(results: Mapping[str, Any]) -> str:
    """Return the machines of all problems, as pages name them."""
    named = {
        f"{of['threads']} torch thread, {of['processor']}, torch {of['torch']}, "
        f"Python {of['python']}"
        for of in (problem["machine"] for problem in results["problems"].values())
    }
    return "; ".join(sorted(named))


def read(name: str) -> Any:
    """Return the committed figures of an experiment."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def write(name: str, text: str) -> None:
    """Write a page."""
    (RESULTS / f"{name}.md").write_text(text)


def picture(spec: Mapping[str, Any], path: Path) -> None:
    """Write a picture, of Vega-Lite, as SVG: the same for the same figures."""
    path.write_text(svg(spec))
