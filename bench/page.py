"""The page of docs that the benchmarks write: their figures as tables, around what they mean."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.machine import ROOT

HERE = Path(__file__).parent
GPU = ROOT / "docs" / "results" / "gpu.json"
HEAD = "| what | median | quartiles | least to most | goal | |\n|---|--:|--:|--:|--:|---|"
NOT_MEASURED = "Not measured in this run."

Figures = Mapping[str, Any]


def of(found: Figures, gpu: Figures | None = None) -> str:
    """Return the page: the text with each `{{name}}` replaced.

    Args:
        found: What `bench` measured on the CPU.
        gpu: The same from a machine with a GPU; by default docs/results/gpu.json's, where it is.
    """
    if gpu is None and GPU.exists():
        gpu = json.loads(GPU.read_text())
    sections = found["sections"]
    parts = {
        "about": about(found["about"]),
        "total": total(sections),
        "missed": missed(sections),
        "gpu": cuda(sections, gpu),
        "loop-facts": loop_facts(sections.get("loop")),
        "search-facts": search_facts(sections.get("search")),
    }

    def part(match: re.Match[str]) -> str:
        name = match[1]
        return parts[name] if name in parts else table(sections.get(name))

    return re.sub(r"\{\{([a-z-]+)\}\}", part, (HERE / "performance.md").read_text())


def table(section: Figures | None) -> str:
    """Return a section's rows as a Markdown table, and its remarks below it."""
    if section is None or not section["rows"]:
        return " ".join([NOT_MEASURED, *(section["remarks"] if section else ())])
    lines = [HEAD]
    for row in section["rows"]:
        spread, unit = row["spread"], row["unit"]
        quartiles = span(spread["lower_quartile"], spread["upper_quartile"], unit)
        extremes = span(spread["least"], spread["most"], unit)
        if len(row["samples"]) == 1:
            quartiles = extremes = ""
        what = row["what"] + (f" ({row['note']})" if row["note"] else "")
        value = number(row["value"], unit)
        lines.append(f"| {what} | {value} | {quartiles} | {extremes} | {goal(row)} | {met(row)} |")
    made = section["made"]
    on_gpu = f"{made['gpu']}, " if made.get("gpu") else ""
    lines.append(
        f"\n`{made['command'].strip()}`, {on_gpu}{made['threads']} torch threads on "
        f"{made['processor']}, "
        f"{made['date']}, commit {made['commit']}, {section['seconds']:.0f} s."
    )
    if made["short"]:
        lines.append("\n**A short run, as the tests make it: these figures mean nothing.**")
    lines += [f"\n{remark}" for remark in section["remarks"]]
    return "\n".join(lines)


def number(value: float, unit: str) -> str:
    """Return a value with its unit, to three digits.

    >>> number(1234.5, "images/s"), number(0.98765, ""), number(0.0001234, "s")
    ('1,234 images/s', '0.988', '0.123 ms')
    """
    if unit == "s" and 0 < abs(value) < 0.1:
        return f"{_digits(value * 1000)} ms"
    return f"{_digits(value)} {unit}".strip()


def _digits(value: float) -> str:
    """Return a number in three digits where it has a fraction, whole thousands in all theirs."""
    if abs(value) >= 1000 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def span(low: float, high: float, unit: str) -> str:
    """Return a range, its unit once.

    >>> span(1.0, 2.5, "s")
    '1 to 2.50 s'
    """
    if unit == "s" and max(abs(low), abs(high)) < 0.1:
        low, high, unit = low * 1000, high * 1000, "ms"
    return f"{_digits(low)} to {_digits(high)} {unit}".strip()


def goal(row: Figures) -> str:
    """Return a row's goal in words; nothing where it has none."""
    if row["goal"] is None:
        return ""
    value, unit = row["goal"]["value"], row["unit"]
    if unit == "s" and value < 0.1:
        value, unit = value * 1000, "ms"
    return f"{row['goal']['direction']} {value:g} {unit}".strip()


def met(row: Figures) -> str:
    """Return whether a row's goal is met, in a word; nothing where it has none."""
    return {True: "met", False: "**missed**", None: ""}[row["met"]]


def _with_goals(sections: Figures) -> list[Figures]:
    """Return the rows that count: those of a short run say nothing of a goal."""
    whole = [section for section in sections.values() if not section["made"]["short"]]
    return [row for section in whole for row in section["rows"] if row["goal"] is not None]


def total(sections: Figures) -> str:
    """Return in a few words how many goals are met."""
    rows = _with_goals(sections)
    return f"{sum(row['met'] for row in rows)} of {len(rows)} goals are met"


def missed(sections: Figures) -> str:
    """Return the missed goals as a list."""
    lines = [
        f"- {row['what']}: {number(row['value'], row['unit'])}, goal {goal(row)}"
        for row in _with_goals(sections)
        if not row["met"]
    ]
    return "Missed goals:\n\n" + "\n".join(lines) if lines else "No goal is missed."


def loop_facts(section: Figures | None) -> str:
    """Return what the loops were run on."""
    if section is None:
        return NOT_MEASURED
    facts = {title: of for title, of in section["facts"].items() if isinstance(of, dict)}
    lines = [f"- {t}: {of['data']}; steps executed {of['execution']}" for t, of in facts.items()]
    return "\n".join(lines)


def search_facts(section: Figures | None) -> str:
    """Return what was searched."""
    if section is None:
        return NOT_MEASURED
    facts = section["facts"]
    sizes = zip(facts["sets"], facts["epochs"], strict=True)
    levels = ", ".join(f"{size:,} ({epochs})" for size, epochs in sizes if epochs)
    return (
        f"On {facts['data']}, steps executed {facts['execution']}; images (epochs) of the levels: "
        f"{levels}."
    )


def cuda(sections: Figures, gpu: Figures | None) -> str:
    """Return the loop's figures on a GPU beside those on the CPU."""
    here = sections.get("loop", {}).get("rows", [])
    loop = {} if gpu is None else gpu["sections"].get("loop", {})
    there = {row["what"]: row for row in loop.get("rows", ())}
    facts = gpu["about"] if gpu is not None and there else {}
    lines = [
        f"On {facts.get('gpu') or 'a GPU'}, torch {facts['torch']}, {facts['date']}."
        if facts
        else "No GPU was available, so the last column is empty.",
        "",
        "| what | CPU | CUDA |\n|---|--:|--:|",
    ]
    on_cpu = {row["what"]: number(row["value"], row["unit"]) for row in here}
    on_gpu = {what: number(row["value"], row["unit"]) for what, row in there.items()}
    for what in dict.fromkeys([*on_cpu, *on_gpu]):
        lines.append(f"| {what} | {on_cpu.get(what, '')} | {on_gpu.get(what, '')} |")
    lines += [f"\n{remark}" for remark in loop.get("remarks", ())]
    return "\n".join(lines)


def about(facts: Figures) -> str:
    """Return what the figures were made with."""
    return (
        "Command, threads, processor, date and commit are below each table. The newest run: "
        f"seed {facts['seed']}; {facts['processor']}, {facts['cores']} cores, torch using "
        f"{facts['capability']}; {facts['memory_gib']} GiB of memory; "
        f"{facts['system']}. prac {facts['prac']}, torch {facts['torch']}, Python "
        f"{facts['python']}. The processor's vector instructions: "
        f"{', '.join(facts['vector_flags'])}."
    )
