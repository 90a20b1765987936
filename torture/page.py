"""The page of docs that torture writes: its figures as tables, around what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RUNS = ("kills", "signals", "power", "disks")
TEXT = Path(__file__).with_name("reliability.md")
HEAD = (
    "| what was done | times | ended as promised | longest | peak memory |\n|---|--:|--:|--:|--:|"
)


def of(found: Mapping[str, Any]) -> str:
    """Return the page: the text with each `{{section}}` replaced by its table."""
    page = TEXT.read_text()
    for name, section in found["sections"].items():
        page = page.replace(f"{{{{{name}}}}}", table(section["rows"], section["untried"]))
    return page.replace("{{about}}", about(found["about"])).replace("{{total}}", total(found))


def table(rows: Sequence[Mapping[str, Any]], untried: Sequence[str]) -> str:
    """Return a section's rows as a Markdown table, and what could not be tried below it."""
    lines = [HEAD]
    for row in rows:
        seconds, peak = row["longest_seconds"], row["peak_bytes"] / 2**20
        lines.append(
            f"| {row['kind']} | {row['tried']:,} | {row['survived']:,} "
            f"| {f'{seconds:.1f} s' if seconds else ''} | {f'{peak:,.0f} MiB' if peak else ''} |"
        )
    lines += [f"\nNot tested: {line}." for line in dict.fromkeys(untried)]
    return "\n".join(lines)


def total(found: Mapping[str, Any]) -> str:
    """Return in one sentence how often runs were struck and files read."""
    struck = [row for name in RUNS for row in found["sections"][name]["rows"]]
    read = found["sections"]["files"]["rows"]
    kills = sum(row["tried"] for row in struck if row["kind"].startswith("kill -9"))
    wrong = sum(row["tried"] - row["survived"] for row in (*struck, *read))
    return (
        f"runs were disturbed {_sum(struck):,} times, {kills:,} of them with `kill -9`, and\n"
        f"{_sum(read):,} hostile files were read; {wrong} times the outcome was not as promised"
    )


def _sum(rows: Sequence[Mapping[str, Any]]) -> int:
    return sum(row["tried"] for row in rows)


def about(facts: Mapping[str, Any]) -> str:
    """Return what the figures were made with."""
    works = "\n".join(f"- {name}: `{command}`" for name, command in facts["works"].items())
    return (
        f"`{facts['command']}`, seed {facts['seed']}, {facts['date']}; torch {facts['torch']}, "
        f"Python {facts['python']}, {facts['machine']}. The runs:\n\n{works}"
    )
