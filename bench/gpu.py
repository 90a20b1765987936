"""`python3 bench/gpu.py`: the training loop on a GPU, from a plain checkout, in eight minutes.

It needs torch, NumPy, safetensors, pyarrow and Pillow; with PyYAML as well, whole searches are
timed. On a machine without a GPU, `--device cpu --short` rehearses it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import torch  # noqa: E402

from bench import loop, machine, page, together, variants  # noqa: E402
from bench.bare import executions  # noqa: E402
from bench.goals import (  # noqa: E402
    EPOCH_SECONDS,
    IMP_SECONDS,
    OUTSIDE_SECONDS,
    OVER_TEXTBOOK,
    PRAC_SECONDS,
    STEP_SECONDS,
)
from bench.options import Options  # noqa: E402
from bench.report import Goal, Row, Section  # noqa: E402
from bench.schedule import PRUNINGS, search  # noqa: E402
from bench.work import RESNET, Images, Work, images_of, load, with_batch  # noqa: E402

DEADLINE = 440.0
PART_SECONDS = 40.0
"""What a part may take that compiles or starts several processes; with less, it is left out."""
ROUNDS, FEWER, LONG = 5, 3, 3.0
"""Rounds of a variant, and how many are enough where these have taken so many seconds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, writing the figures after each part where asked to, and print them as tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--json", type=Path, help="write the figures there, after every part")
    parser.add_argument("--no-searches", action="store_true", help="time no whole searches")
    parser.add_argument("--seconds", type=float, default=DEADLINE, help="how long it may take")
    parser.add_argument("--short", action="store_true", help="tiny: the figures mean nothing")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        print("bench/gpu.py: torch sees no GPU here: try --device cpu --short", file=sys.stderr)
        return 2
    started = time.monotonic()
    about = {**machine.about([], 0), "command": "python3 bench/gpu.py"}
    # What is there of visits, `bench.visit_page` has put there.
    is_there = given.json is not None and given.json.exists()
    before = json.loads(given.json.read_text()) if is_there else {}
    figures: dict[str, Any] = {**before, "about": about, "sections": {}}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        options = Options(Path(scratch), given.short, given.data, device=given.device)
        loops = Loops.of(options, lambda: given.seconds - (time.monotonic() - started))
        for sections in loops.measured(searches=not given.no_searches):
            for name, section in sections.items():
                made = machine.made(about, given.short)
                if given.device == "cuda":
                    made["gpu"] = about["gpu"]
                seconds = round(time.monotonic() - started, 1)
                figures["sections"][name] = {**section.to_json(), "seconds": seconds, "made": made}
            if given.json:
                given.json.write_text(json.dumps(figures, indent=1) + "\n")
    print(about["gpu"] or about["processor"])
    for section in figures["sections"].values():
        print(page.table(section))
    return 0 if loops.loops else 1


@dataclass
class Loops:
    """What is measured of the training loop, and what has been found so far.

    Attributes:
        options: How much is measured, on what.
        left: How many seconds are left.
        work: The training.
        path: Where its images are.
        images: They.
        flops: Operations that a step makes of an image.
        bare: Images a second of the bare step, by execution, one a round.
        masked: The same of a search's step, on one batch.
        loops: The same of a search's whole loop.
        others: The same of what has no execution.
        searches: Rows of whole searches.
        together: What several trainings at once gave.
        remarks: What went wrong, and what was left out.
    """

    options: Options
    left: Callable[[], float]
    work: Work
    path: Path
    images: Images
    flops: float
    bare: dict[str, list[float]] = field(default_factory=dict)
    masked: dict[str, list[float]] = field(default_factory=dict)
    loops: dict[str, list[float]] = field(default_factory=dict)
    others: dict[str, list[float]] = field(default_factory=dict)
    searches: list[Row] = field(default_factory=list)
    together: Section | None = None
    remarks: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, options: Options, left: Callable[[], float]) -> Loops:
        """Return the loops of a run, of which nothing has been measured yet."""
        work = with_batch(RESNET, options.of(RESNET.train.batch_size, 8))
        path = images_of(work, options, limit=options.of(None, 40))
        flops = variants.flops_an_image(work, path, options.seed)
        return cls(options, left, work, path, load(work, path), flops)

    def measured(self, *, searches: bool) -> Iterator[dict[str, Section]]:
        """Measure part by part; yield the sections by name after each."""
        for what, needed, part in self.parts(searches):
            if self.left() < needed:
                self.remarks.append(f"{what} was left out: there was no time left.")
            else:
                try:
                    part()
                except Exception as error:  # Whatever a part fails with, the others are measured.
                    line = " ".join(str(error).split())[:300]
                    self.remarks.append(f"{what} failed: {type(error).__name__}: {line}")
            yield self.sections()

    def parts(self, searches: bool) -> Iterator[tuple[str, float, Callable[[], None]]]:
        """Yield what is measured: its name, the seconds that it may take, what measures it."""
        seed, device = self.options.seed, self.options.device
        names = executions(device)
        plain = [name for name in names if "compiled" not in name]
        for name in plain:
            yield name, 0.0, partial(self.execution, name)
        told = (self.work, self.path, seed, device)
        others: dict[str, tuple[Callable[[], variants.Round], int]] = {
            loop.B: (partial(variants.plain, *told), self.batches // 4),
            loop.D: (partial(variants.textbook_loop, *told), 60),
            loop.E: (partial(variants.matrix_product, seed, device), 50),
        }
        for name, (make, iterations) in others.items():
            yield f"the {name}", 0.0, partial(self.other, name, make, iterations)
        if not self.options.short:  # Compiling takes half a minute.
            for name in names:
                if name not in plain:
                    yield name, PART_SECONDS, partial(self.execution, name)
        yield "several trainings at once", PART_SECONDS, self.several
        if searches and importlib.util.find_spec("yaml") is None:
            self.remarks.append("Searches were not timed: PyYAML is not installed.")
        elif searches:
            for method, goal in (("imp", IMP_SECONDS), ("prac", PRAC_SECONDS)):
                yield f"a search by {method}", 0.0, partial(self.search, method, goal)

    @property
    def batches(self) -> int:
        """Iterations of an epoch."""
        return -(-len(self.images.x) // self.work.train.batch_size)

    @property
    def best(self) -> str | None:
        """The execution whose loop is the fastest so far; None before there is any."""
        speeds = {name: statistics.median(found) for name, found in self.loops.items()}
        return max(speeds, key=speeds.__getitem__, default=None)

    def execution(self, name: str) -> None:
        """Measure an execution's bare step, its step under masks, and its loop."""
        told = (self.work, self.path, name, self.options.seed, self.options.device)
        # Each is gone before the next is made: their memory may be large.
        found = [
            self.rounds(make(*told), self.batches) for make in (variants.bare, variants.masked)
        ]
        loop = self.rounds(variants.search_loop(*told, self.batches), self.batches, untimed=1)
        self.bare[name], self.masked[name], self.loops[name] = *found, loop

    def other(self, name: str, make: Callable[[], variants.Round], iterations: int) -> None:
        """Measure a variant that has no execution."""
        self.others[name] = self.rounds(make(), self.options.of(max(iterations, 1), 2))

    def rounds(self, run: variants.Round, iterations: int, untimed: int = 0) -> list[float]:
        """Return what a variant gives in its rounds, of which a slow one has fewer."""
        for _ in range(untimed):
            run(iterations)
        started, found = time.monotonic(), list[float]()
        while len(found) < self.options.of(ROUNDS, 2):
            found.append(run(iterations))
            if len(found) >= FEWER and time.monotonic() - started > LONG:
                break
        return found

    def several(self) -> None:
        """Measure several trainings at once, in the execution that is the fastest."""
        assert self.best is not None, "no execution could be measured"
        self.together = together.measure(
            self.work, self.path, self.best, self.batches, self.options
        )

    def search(self, method: str, goal: float) -> None:
        """Time a search on the paper's schedule: PrAC's whole, one level of IMP's.

        What time does not suffice for is said, and counts as not measured.
        """
        assert self.best is not None, "no execution could be measured"
        # All levels of IMP are alike: one tells of all.
        levels = 1 if method == "imp" else self.options.of(PRUNINGS, 2)
        times = PRUNINGS if method == "imp" else 1
        seconds, done = search(
            self.images, method, levels, self.best, self.options, max(self.left(), 1.0)
        )
        if done < levels:
            self.remarks.append(
                f"{method}: {done} of {levels} levels were done in {seconds:.0f} s."
            )
            return
        what = f"{method} with {PRUNINGS} prunings, validation and states included"
        note = f"{PRUNINGS} times one level" if method == "imp" else "measured whole"
        whole = seconds * times
        self.searches.append(Row(what, whole, "s", (whole,), Goal(goal, "at most"), note))

    def sections(self) -> dict[str, Section]:
        """Return the sections by name, of what has been found so far."""
        facts = {
            "data": self.images.source,
            "execution": self.best,
            "device": self.options.device,
        }
        found = {"loop": Section(list(self.rows()), facts, tuple(self.remarks))}
        return found if self.together is None else {**found, "together": self.together}

    def rows(self) -> Iterator[Row]:
        """Yield the rows of what has been found so far."""
        best = self.best
        if best is None:
            return
        found = {**self.others, loop.A: self.bare[best], loop.C: self.loops[best]}
        # As many of each, for the ratios.
        count = min(map(len, found.values()))
        yield from loop.rows_of(
            self.work, {name: values[:count] for name, values in found.items()}, self.flops
        )
        for name, speeds in self.loops.items():
            yield Row.of(f"a search's loop, {name}", "images/s", speeds)
            for what, of in (("a bare step", self.bare), ("a search's step", self.masked)):
                seconds = [self.work.train.batch_size / speed for speed in of[name]]
                is_aim = of is self.masked and name == best
                goal = Goal(STEP_SECONDS, "at most") if is_aim else None
                yield Row.of(f"{what}, {name}", "s", seconds, goal)
        epoch = [len(self.images.x) / speed for speed in self.loops[best]]
        steps = len(self.images.x) / statistics.median(self.masked[best])
        yield Row.of("an epoch", "s", epoch, Goal(EPOCH_SECONDS, "at most"))
        outside = [seconds - steps for seconds in epoch]
        yield Row.of("an epoch, outside its steps", "s", outside, Goal(OUTSIDE_SECONDS, "at most"))
        if loop.D in self.others:
            textbook = statistics.median(self.others[loop.D])
            times = [speed / textbook for speed in self.loops[best]]
            yield Row.of("loop / textbook loop", "", times, Goal(OVER_TEXTBOOK, "at least"))
        yield from self.searches


def _ended(number: int, frame: object) -> None:
    """Leave through the ends of all that is under way, which tidies up."""
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _ended)
    sys.exit(main())
