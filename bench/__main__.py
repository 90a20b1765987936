"""`python -m bench`: measure speed and memory against their limits, and write it into the docs.

`make bench` runs all of it; tests run each section as short as it can be.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import (
    forgetting,
    growth,
    imports,
    loop,
    machine,
    masks,
    memory,
    page,
    plots,
    reporting,
    scoring,
    search,
    states,
    tried,
)
from bench.options import Options
from bench.report import Section

SECTIONS: Mapping[str, Callable[[Options], Section]] = {
    "loop": loop.measure,
    "search": search.measure,
    "scoring": scoring.measure,
    "masks": masks.measure,
    "states": states.measure,
    "forgetting": forgetting.measure,
    "import": imports.measure,
    "report": reporting.measure,
    "memory": memory.measure,
    "growth": growth.measure,
    "tried": tried.measure,
}
DATA = machine.ROOT.parent / "shared" / "data"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the sections asked for; a missed goal is shown, and is no failure."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(words)
    found: dict[str, Any] = {"about": machine.about(_said(words), options.seed), "sections": {}}
    if options.json and options.json.exists():
        found["sections"] = json.loads(options.json.read_text())["sections"]
    # In the order of the page, whatever is measured now.
    for name in [name for name in SECTIONS if name in options.only]:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            told = Options(
                Path(scratch),
                options.short,
                options.data,
                options.seed,
                options.device,
                options.execution,
            )
            started = time.monotonic()
            section = SECTIONS[name](told).to_json()
        section["seconds"] = round(time.monotonic() - started, 1)
        # Its own, because a file may hold sections of several runs.
        section["made"] = machine.made(found["about"], options.short)
        made = {**found["sections"], name: section}
        found["sections"] = {each: made[each] for each in SECTIONS if each in made}
        show(name, section)
        if options.json:
            options.json.write_text(json.dumps(found, indent=1) + "\n")
            plots.draw(found["sections"], options.json.parent)
    if options.page:
        options.page.write_text(page.of(found))
    return 0


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(SECTIONS),
        default=list(SECTIONS),
        metavar="SECTION",
        help=f"some of {', '.join(SECTIONS)} (default: all)",
    )
    parser.add_argument("--short", action="store_true", help="tiny: the figures mean nothing")
    parser.add_argument(
        "--data",
        type=Path,
        default=DATA,
        help="folder with cifar10/ and mnist/ (default: ../shared/data beside the checkout); "
        "random images of their shapes where there is none",
    )
    parser.add_argument("--seed", type=int, default=0, help="source of weights and masks")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="of `loop` only")
    parser.add_argument("--execution", help="how steps are executed (default: the fastest here)")
    parser.add_argument(
        "--json",
        type=Path,
        help="write the figures there, and pictures beside them; other sections stay as they are",
    )
    parser.add_argument("--page", type=Path, help="write the page there")
    return parser


def _said(words: Sequence[str]) -> list[str]:
    """Return a command's words without where it writes, and without this machine's folders."""
    kept, left_out = [], False
    for word in words:
        name, equals, _ = word.partition("=")
        if name in ("--json", "--page", "--data"):
            left_out = not equals
        elif left_out:
            left_out = False
        else:
            kept.append(word)
    return kept


def show(name: str, section: Mapping[str, Any]) -> None:
    """Print a section's rows as they come."""
    print(f"\n{name} ({section['seconds']} s)", file=sys.stderr)
    for row in section["rows"]:
        cells = (page.number(row["value"], row["unit"]), page.goal(row), page.met(row))
        print(f"  {row['what']}: {'  '.join(cells)}", file=sys.stderr)
    for remark in section["remarks"]:
        print(f"  {remark}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
