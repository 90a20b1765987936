"""`python -m bench.visit_page [--notes FILE ...]`: what visits to a GPU found, as pages.

Adds the notes of visits to docs/results/gpu.json, in the order of the visits, and makes of it
docs/results/gpu.md and the last column of docs/performance.md. Without notes it makes the pages
anew.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import goals, page
from bench.machine import ROOT
from experiments.pages import table

Figures = Mapping[str, Any]
NOT_MEASURED = "not measured"
KEPT = ("about", "started", "execution", "short")


def main(arguments: Sequence[str] | None = None) -> None:
    """Add notes, and write the pages."""
    parser = argparse.ArgumentParser(prog="python -m bench.visit_page", description=__doc__)
    parser.add_argument("--notes", type=Path, nargs="+", default=[], help="notes.json of visits")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where the pages are")
    given = parser.parse_args(arguments)
    results = given.docs / "results"
    path = results / "gpu.json"
    figures = json.loads(path.read_text()) if path.exists() else None
    for path_of_notes in given.notes:
        notes = _read(path_of_notes)
        if notes is None:
            parser.error(f"{path_of_notes}: expected the notes.json of a visit to a GPU, not short")
        figures = added(figures, notes)
    if given.notes:
        path.write_text(json.dumps(figures, indent=1) + "\n")
    (results / "gpu.md").write_text(page_of(figures))
    if (results / "bench.json").exists():
        on_cpu = json.loads((results / "bench.json").read_text())
        (given.docs / "performance.md").write_text(page.of(on_cpu, figures))


def _read(path: Path) -> dict[str, Any] | None:
    """Return the notes of a visit whose figures mean something of a GPU; None for all else."""
    try:
        notes = json.loads(path.read_text())
        counts = not notes["short"] and notes["about"]["gpu"] is not None
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return dict(notes) if counts else None


def added(figures: Figures | None, notes: Figures) -> dict[str, Any]:
    """Return the figures with a visit's; the newest measurement of speed takes the place of others.

    Args:
        figures: Of the visits before; None where there was none.
        notes: Its notes.json.
    """
    parts = {name: dict(part) for name, part in notes["parts"].items()}
    speed = parts.get("speed", {}).pop("figures", None)
    for part in parts.values():
        output = part.pop("output", "")
        part["lines"] = [line for line in output.splitlines() if _is_check(line)]
    visit = {**{name: notes[name] for name in KEPT if name in notes}, "parts": parts}
    before = [] if figures is None else figures.get("visits", [])
    others = [one for one in before if one["started"] != visit["started"]]
    visits = sorted([*others, visit], key=lambda one: str(one["started"]))
    kept = {} if figures is None else figures
    measured = kept if speed is None else speed
    about = measured.get("about") or notes.get("about", {})
    return {"about": about, "sections": measured.get("sections", {}), "visits": visits}


def _is_check(line: str) -> bool:
    return line.startswith(("ok: ", "FAILED: ", "left out: "))


def page_of(figures: Figures | None) -> str:
    """Return the page.

    Args:
        figures: What `added` gave; None where there was no visit.
    """
    found: Figures = figures or {"sections": {}, "visits": []}
    lines = [
        "# On a GPU: what was measured",
        "",
        "`python -m bench.visit` checks in a few minutes what a GPU computes, measures how fast it "
        "is, and continues the paper's protocol where the last visit stopped. "
        "`python -m bench.visit_page --notes FILE` makes this page from its notes.",
        "",
        *([] if found["sections"] or found.get("visits") else [_NONE, ""]),
        "## Goals",
        "",
        "On an H100 or H200, ResNet-20s on CIFAR-10, batches of 128, bf16:",
        "",
        *table(["", "goal", "measured", ""], _goals(found)),
    ]
    for name, title in (("loop", "Speed"), ("together", "Several trainings at once")):
        if name in found["sections"]:
            lines += ["", f"## {title}", "", page.table(found["sections"][name])]
    for number, visit in enumerate(found.get("visits", ()), 1):
        lines += ["", f"## Visit {number}", "", *_visit(visit)]
    return "\n".join(lines) + "\n"


_NONE = "No GPU has been measured yet: none was available. All of it has been rehearsed on CPUs."


def _goals(found: Figures) -> Iterator[list[str]]:
    rows = {
        row["what"]: row
        for section in found["sections"].values()
        if not section["made"]["short"]
        for row in section["rows"]
    }
    step = next((w for w, row in rows.items() if "a search's step" in w and row["goal"]), "")
    whole = "with 15 prunings, validation and states included"

    def row(what: str, goal: float, unit: str, value: float | None, at_least: bool) -> list[str]:
        direction = "at least" if at_least else "at most"
        shown = page.goal({"goal": {"direction": direction, "value": goal}, "unit": unit})
        if value is None:
            return [what, shown, NOT_MEASURED, ""]
        is_met = value >= goal if at_least else value <= goal
        return [what, shown, page.number(value, unit), page.met({"met": is_met})]

    def measured(what: str) -> float | None:
        return rows[what]["value"] if what in rows else None

    searched = _searched(found)
    for what, goal, unit, value in (
        ("an epoch of 45,000 images", goals.EPOCH_SECONDS, "s", measured("an epoch")),
        (
            "PrAC's 15 prunings",
            goals.PRAC_SECONDS,
            "s",
            searched.get("prac", measured(f"prac {whole}")),
        ),
        (
            "IMP's 15 prunings",
            goals.IMP_SECONDS,
            "s",
            searched.get("imp", measured(f"imp {whole}")),
        ),
    ):
        yield row(what, goal, unit, value, False)
    textbook = measured("loop / textbook loop")
    yield row("a search's loop, times a textbook loop", goals.OVER_TEXTBOOK, "", textbook, True)
    outside = measured("an epoch, outside its steps")
    yield row("an epoch, outside its steps", goals.OUTSIDE_SECONDS, "s", outside, False)
    yield row("a search's training step", goals.STEP_SECONDS, "s", measured(step), False)
    visits = _visits_to_a_seed(found)
    what = "the paper's protocol, one seed of each method"
    yield row(what, goals.ONE_SEED_VISITS, "visits", visits, False)


def _progress(found: Figures) -> list[Figures | None]:
    """Return how far the paper's protocol had come at each visit's end."""
    whole = [visit for visit in found.get("visits", ()) if not visit["short"]]
    return [visit["parts"].get("paper", {}).get("progress") for visit in whole]


def _searched(found: Figures) -> dict[str, float]:
    """Return the seconds of whole searches by method, their median."""
    seconds: dict[str, list[float]] = {}
    newest = next((one for one in reversed(_progress(found)) if one is not None), None)
    for search in () if newest is None else newest["searches"]:
        if search["finished"]:
            seconds.setdefault(search["method"], []).append(search["seconds"])
    return {method: statistics.median(of) for method, of in seconds.items()}


def _visits_to_a_seed(found: Figures) -> int | None:
    """Return in how many visits the first stage was done; None before that."""
    with_paper = [one for one in _progress(found) if one is not None]
    for number, progress in enumerate(with_paper, 1):
        if progress["stages"]:
            return number
    return None


def _visit(visit: Figures) -> Iterator[str]:
    """Yield the lines of one visit."""
    about = visit.get("about", {})
    yield (
        f"{about.get('gpu') or about.get('processor', 'an unknown machine')}"
        f"{_memory(about)}, torch {about.get('torch', 'unknown')}{_drivers(about)}, "
        f"{visit['started'][:10]}, commit {about.get('commit', 'unknown')}, steps executed "
        f"{visit['execution']}."
    )
    if visit["short"]:
        yield from ("", "**A short visit, as the tests make it: its figures mean nothing.**")
    for name, part in visit["parts"].items():
        yield ""
        seconds = f", {part['seconds']:.0f} s" if "seconds" in part else ""
        yield f"- **{name}**: {part['ended']} ({part['why']}{seconds})."
        for line in part["lines"]:
            what, _, told = line.partition(": ")
            yield f"  - {'**FAILED**' if what == 'FAILED' else what}: {told}"
        if "progress" in part:
            yield from _paper(part["progress"])


def _memory(about: Figures) -> str:
    return f", {about['gpu_memory_gib']} GiB" if "gpu_memory_gib" in about else ""


def _drivers(about: Figures) -> str:
    return f", CUDA {about['cuda']}, cuDNN {about['cudnn']}" if "cuda" in about else ""


def _paper(progress: Figures) -> Iterator[str]:
    """Yield how far the paper's protocol has come."""
    trainings = progress["trainings"]
    yield f"  - {progress['stages']} of {progress['of']} stages are done."
    for search in progress["searches"]:
        yield (
            f"  - `{search['method']}`, seed {search['seed']}: {search['levels']} of "
            f"{search['of']} levels trained, {search['iterations']:,} iterations in "
            f"{search['seconds']:.0f} s."
        )
    yield f"  - {trainings['ended']} tickets have been trained alone."


if __name__ == "__main__":
    main()
