"""The page of docs that torture writes: its figures as tables, around what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    lines += [f"\nNot tried there: {line}." for line in dict.fromkeys(untried)]
    return "\n".join(lines)


def total(found: Mapping[str, Any]) -> str:
    """Return all blows in one sentence."""
    rows = [row for section in found["sections"].values() for row in section["rows"]]
    tried, survived = (sum(row[key] for row in rows) for key in ("tried", "survived"))
    kills = sum(row["tried"] for row in rows if row["kind"].startswith("kill -9"))
    return f"{tried:,} blows, {kills:,} of them `kill -9`; {survived:,} ended as promised"


def about(facts: Mapping[str, Any]) -> str:
    """Return what the figures were made with."""
    works = "\n".join(f"- {name}: `{command}`" for name, command in facts["works"].items())
    return (
        f"`{facts['command']}`, seed {facts['seed']}, {facts['date']}; torch {facts['torch']}, "
        f"Python {facts['python']}, {facts['machine']}. The runs:\n\n{works}"
    )
