"""`python -m torture`: strike runs in every way, and write what came of it into the docs.

`make torture` runs all of it; tests run sections with a small budget.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torture import controls, files, kills, page, power, properties, room
from torture.process import warm
from torture.report import Blow, Row, rows
from torture.work import COMMANDS, Work, prepare, with_loading_processes

Section = Callable[[Sequence[Work], Path, "Budget"], tuple[list[Blow], list[str]]]


class Budget:
    """How many of each blow: for twenty minutes, for several times that, or for the tests."""

    def __init__(self, *, short: bool, times: int, seed: int) -> None:
        """Choose."""
        self.short, self.times, self.seed = short, times, seed

    def of(self, full: int, short: int) -> int:
        """Return the count for this budget."""
        return short if self.short else full * self.times

    def sizes(self, full: Sequence[int], short: Sequence[int]) -> Sequence[int]:
        """Return the sizes to try for this budget."""
        return short if self.short else full


def run_kills(works: Sequence[Work], scratch: Path, budget: Budget) -> tuple[list[Blow], list[str]]:
    """`kill -9` at stages, at file operations, at random moments, again and again."""
    some = works[:1] if budget.short else works
    blows = kills.at_every_stage(some, scratch)
    blows += kills.at_file_operations(works, scratch, limit=budget.of(150, 6), seed=budget.seed)
    blows += kills.again_and_again(works, scratch, times=budget.of(25, 1), seed=budget.seed)
    more = [*works, with_loading_processes(scratch)]
    blows += kills.at_random_moments(more, scratch, times=budget.of(30, 1), seed=budget.seed)
    return blows, []


def run_signals(
    works: Sequence[Work], scratch: Path, budget: Budget
) -> tuple[list[Blow], list[str]]:
    """Requests to stop, a second process, a folder that vanishes."""
    more = [*works, with_loading_processes(scratch)]
    blows = kills.by_signals(more, scratch, times=budget.of(8, 1), seed=budget.seed)
    some = works[:1] if budget.short else works
    blows += room.two_at_once(some, scratch) + room.vanished(some, scratch)
    return blows, []


def run_power(works: Sequence[Work], scratch: Path, budget: Budget) -> tuple[list[Blow], list[str]]:
    """Power failures, on a model of a disk that keeps only what was synced."""
    return power.failures(works, scratch, limit=budget.of(240, 8), seed=budget.seed), []


def run_disks(works: Sequence[Work], scratch: Path, budget: Budget) -> tuple[list[Blow], list[str]]:
    """Full, limited, read-only and failing disks; states that rot."""
    blows = room.failing_operations(works, scratch, limit=budget.of(160, 4), seed=budget.seed)
    some = works[:1] if budget.short else works
    more, untried = room.small_disks(
        some,
        scratch,
        kibibytes=budget.sizes((64, 128, 192, 256, 384, 512, 768, 1024), (64, 512)),
        bytes_a_file=budget.sizes((200, 2_000, 20_000, 60_000), (20_000,)),
    )
    times = budget.of(10, 1)
    return blows + more + room.rotten_states(works, scratch, times=times, seed=budget.seed), untried


def run_controls(
    works: Sequence[Work], scratch: Path, budget: Budget
) -> tuple[list[Blow], list[str]]:
    """Code that is broken on purpose, which the sections above must not pass."""
    return controls.broken_code(works, scratch, seed=budget.seed), []


def run_files(works: Sequence[Work], scratch: Path, budget: Budget) -> tuple[list[Blow], list[str]]:
    """Hostile tensor files, by enumeration and at random, and guided by coverage."""
    blows = files.hostile_files(scratch, mutants=budget.of(2_000, 50), short=budget.short)
    more, untried = files.fuzzed(scratch, seconds=budget.of(90, 3))
    return blows + more, untried


def run_settings(
    works: Sequence[Work], scratch: Path, budget: Budget
) -> tuple[list[Blow], list[str]]:
    """Property-based tests, for longer than `make test` runs them."""
    return properties.longer(scratch, times=budget.of(5, 1)), []


SECTIONS: dict[str, Section] = {
    "kills": run_kills,
    "signals": run_signals,
    "power": run_power,
    "disks": run_disks,
    "files": run_files,
    "settings": run_settings,
    "controls": run_controls,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sections asked for; the exit status is 1 where anything was not as promised."""
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections (default: all)")
    parser.add_argument("--short", action="store_true", help="a sample, as the tests take")
    parser.add_argument("--times", type=int, default=1, help="as many times as much (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="source of what is drawn (default: 0)")
    parser.add_argument(
        "--json", type=Path, help="write the figures there; sections not run now stay as they are"
    )
    parser.add_argument("--page", type=Path, help="write the page there")
    options = parser.parse_args(arguments)
    names = options.only.split(",")
    if unknown := set(names) - set(SECTIONS):
        parser.error(f"unknown sections {sorted(unknown)}: expected some of {list(SECTIONS)}")
    warm()
    budget = Budget(short=options.short, times=options.times, seed=options.seed)
    found: dict[str, Any] = {"about": about(options), "sections": {}}
    if options.json and options.json.exists():
        found["sections"] = json.loads(options.json.read_text())["sections"]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="torture-", ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        scratch.chmod(0o755)
        works = prepare(scratch, list(COMMANDS))
        for section in names:
            started = time.monotonic()
            blows, untried = SECTIONS[section](works, scratch, budget)
            counted = rows(blows)
            found["sections"][section] = {
                "rows": [row.to_json() for row in counted],
                "untried": untried,
                "seconds": round(time.monotonic() - started, 1),
            }
            failed += sum(row.tried - row.survived for row in counted)
            show(section, counted, untried)
            if options.json:
                options.json.write_text(json.dumps(found, indent=2) + "\n")
    if options.page:
        options.page.write_text(page.of(found))
    return 1 if failed else 0


def about(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the figures depend on."""
    import torch

    return {
        "command": "make torture" + (f" ARGS='--times {options.times}'" * (options.times > 1)),
        "seed": options.seed,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}, {platform.system()}",
        "date": time.strftime("%Y-%m-%d"),
        "works": {name: " ".join(("prac", *command)) for name, command in COMMANDS.items()},
    }


def show(section: str, counted: Sequence[Row], untried: Sequence[str]) -> None:
    """Print a section's rows."""
    print(f"\n{section}", file=sys.stderr)
    for row in counted:
        print(f"  {row.kind}: {row.survived} of {row.tried}", file=sys.stderr)
        for failure in row.failures[:5]:
            print(f"    {failure}", file=sys.stderr)
    for line in untried:
        print(f"  not tried: {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
