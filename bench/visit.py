"""`python -m bench.visit`: the most useful thing to do with some minutes of a GPU, in a checkout.

It unpacks what the visit before has packed, checks what the GPU computes (smoke), measures its
speed (speed), goes on with the paper's protocol where it was stopped (paper), and packs. The
machine need not keep anything, and needs no more than torch, NumPy, PyYAML, pyarrow, Pillow,
safetensors, rich and scipy. On one without a GPU, `--device cpu --execution eager
--short` rehearses it.

What has been found is in notes.json, which `python -m bench.visit_page` makes pages of.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import packing
from bench.parts import ROOT, Ended, module, run

PARTS = ("smoke", "speed", "paper")
EXECUTIONS = ("eager", "channels-last", "captured", "compiled", "compiled-captured")
"""As `prac.training.runtime` names them, which imports torch."""
STATE = Path("runs/visit-state")
LIMITS = {"smoke": 60.0, "speed": 180.0}
"""Seconds that a part has; the last one has all that is left."""
LOOKING, TELLING, PACKING = 60.0, 30.0, 40.0
"""Seconds to look at the machine, to make pages of what the paper's protocol found, and to pack."""
LEAST = 5.0
FILES = 8
NOTES = "notes.json"
RESULTS = ("rivals-paper.json", "rivals-paper.md", "rivals-paper.svg")
OUTPUT = 60_000
"""Characters of a part's output that are kept, its last ones."""
# By its own end, by its time's end, and where it was asked to end: it had saved.
GOOD_ENDS = {"smoke": (0,), "speed": (0,), "paper": (0, 75, 143)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a visit; 0 where all parts asked for came to a good end."""
    given = parser().parse_args(arguments)
    given.parts = [name.strip() for name in given.parts.split(",")]
    unknown = [name for name in given.parts if name not in PARTS]
    if unknown:
        parser().error(f"--parts names {unknown[0]!r}: expected some of {', '.join(PARTS)}")
    if given.state is None:
        given.state = next((p for p in (STATE, given.out) if packing.pieces_in(p)), STATE)
    elif not packing.pieces_in(given.state):
        parser().error(f"--state {given.state}: holds nothing that a visit has packed")
    if given.execution is None:
        given.execution = "captured" if given.device == "cuda" else "eager"
    # Whoever loses the connection has lost what is not packed.
    before = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        with tempfile.TemporaryDirectory(prefix="visit-") as scratch:
            visit = Visit(given, time.monotonic() + given.seconds, Path(scratch))
            try:
                visit.go_through()
            except KeyboardInterrupt:
                visit.fail("stopped before its end")
            visit.pack()
    except OSError as error:
        parser().error(f"{error.filename or given.out}: {error.strerror or error}")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0 if visit.is_good else 1


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    made = argparse.ArgumentParser(prog="python -m bench.visit", description=__doc__)
    option = made.add_argument
    data = ROOT.parent / "shared" / "data"
    option("--data", type=Path, default=data, help="folder with cifar10/train.parquet and test")
    option(
        "--state",
        type=Path,
        help=f"folder with what the visit before packed (default: {STATE}, or else --out)",
    )
    out = os.environ.get("OUT") or "runs/visit-out"
    option(
        "--out", type=Path, default=Path(out), help="where to pack (default: $OUT or %(default)s)"
    )
    option(
        "--work",
        type=Path,
        default=Path("runs/visit"),
        help="where to work; what is there goes on (default: %(default)s)",
    )
    option("--parts", default=",".join(PARTS), help="some of smoke,speed,paper (default: all)")
    option(
        "--seconds", type=float, default=540.0, help="how long all of it may take (default: 540)"
    )
    option("--device", choices=["cuda", "cpu"], default="cuda")
    option(
        "--execution",
        choices=EXECUTIONS,
        help="how steps are executed (default: captured, on a CPU eager)",
    )
    option("--stages", type=int, help="so many stages of the paper's protocol (default: all)")
    option("--short", action="store_true", help="tiny: the figures mean nothing")
    option(
        "--accept-changes",
        action="store_true",
        help="go on with what was begun under other versions, or on another kind of GPU",
    )
    return made


@dataclass
class Visit:
    """A visit under way.

    Attributes:
        given: What the command was told.
        end: When it must have ended, by the clock `time.monotonic`.
        scratch: A folder that is gone afterwards.
        notes: What has been found, JSON values.
        folder: The one that this kind of machine works in, once that is known.
        is_good: Whether all went well so far.
        packs: Whether there is something to pack.
    """

    given: argparse.Namespace
    end: float
    scratch: Path
    notes: dict[str, Any] = field(default_factory=lambda: {"told": [], "parts": {}})
    folder: Path | None = None
    is_good: bool = True
    packs: bool = True

    def go_through(self) -> None:
        """Unpack, look at the machine, and do what was asked for."""
        self.given.out.mkdir(parents=True, exist_ok=True)
        asked = [name for name in PARTS if name in self.given.parts]
        self.notes["started"] = time.strftime("%Y-%m-%d %H:%M:%S")
        self.notes["short"] = self.given.short
        self.notes["execution"] = self.given.execution
        self.given.work.mkdir(parents=True, exist_ok=True)
        try:
            self.unpack()
        except packing.PackError as error:
            # To begin anew, and to pack that in the place of what was found, is no one's wish.
            self.fail(f"{error}: the paper's protocol was left out, and nothing will be packed")
            self.packs = False
            asked = [name for name in asked if name != "paper"]
        if not self.look():
            return
        for name in asked:
            self.do(name, is_last=name == asked[-1])

    def unpack(self) -> None:
        """Make what the visit before has packed the folder of work, unless there is one.

        Raises:
            PackError: If it cannot be unpacked.
        """
        work = self.given.work
        if any(work.iterdir()):
            self.tell(f"going on in {work.name} as it is there")
            return
        found = packing.unpack(self.given.state, work)
        self.tell("unpacked what the visit before packed" if found else "nothing to unpack: begun")

    def look(self) -> bool:
        """Find out what machine this is, and where it works; say whether it answers."""
        ended = self.run(module("bench.machine", self.given.device), "machine", LOOKING)
        try:
            about = json.loads(ended.output.splitlines()[-1]) if ended.status == 0 else None
        except (ValueError, IndexError):
            about = None
        if about is None:
            self.fail(f"no {self.given.device} device answers: {ended.output.strip()[-500:]}")
            return False
        self.notes["about"] = {**about, "command": "python3 -m bench.visit"}
        self.folder = folder_of(self.given.work, about["gpu"], self.given.accept_changes)
        self.tell(f"{about['gpu'] or about['processor']}: works in {self.folder.name}")
        return True

    def do(self, name: str, *, is_last: bool) -> None:
        """Do a part, and note how it ended."""
        left = self.end - time.monotonic() - PACKING - (TELLING if name == "paper" else 0)
        limit = left if is_last else min(LIMITS.get(name, left), left)
        why = "there was no time left" if limit < LEAST else ""
        if name == "paper" and not (self.given.data / "cifar10").is_dir():
            why = "the data folder has no cifar10"
        if why:
            self.notes["parts"][name] = {"ended": "left out", "why": why}
            self.fail(f"{name} was left out: {why}")
            return
        self.notes["parts"][name] = {"ended": "not well", "why": "the visit was stopped before"}
        ended = self.run(self.command(name, limit), name, limit)
        is_good = ended.status in GOOD_ENDS[name]
        why = f"status {ended.status}" if ended.in_time else f"ended after {limit:.0f} s"
        self.is_good &= is_good
        self.notes["parts"][name] = {
            "ended": "well" if is_good else "not well",
            "why": f"{why}, status {ended.status}" if not ended.in_time else why,
            "seconds": round(ended.seconds, 1),
            "output": ended.output[-OUTPUT:],
            **getattr(self, f"of_{name}", dict)(),
        }
        self.tell(f"{name}: {self.notes['parts'][name]['ended']}, {why}, {ended.seconds:.0f} s")

    def command(self, name: str, limit: float) -> list[str]:
        """Return the command of a part that has so many seconds."""
        given = self.given
        words = ["--device", given.device, *(["--short"] if given.short else [])]
        data, execution = ["--data", str(given.data)], ["--execution", given.execution]
        if name == "smoke":
            return module("bench.smoke", *words, *execution, "--seconds", str(limit))
        if name == "speed":
            written = ["--json", str(self.scratch / "speed.json"), "--no-searches"]
            return module("bench.gpu", *words, *data, *written, "--seconds", str(limit))
        words += ["--until", str(time.monotonic() + limit)]
        words += ["--stages", str(given.stages)] if given.stages else []
        words += ["--accept-changes"] if given.accept_changes else []
        return module("bench.paper", str(self.folder), *words, *data, *execution)

    def of_speed(self) -> dict[str, Any]:
        """Return the figures that were measured."""
        path = self.scratch / "speed.json"
        return {"figures": json.loads(path.read_text())} if path.exists() else {}

    def of_paper(self) -> dict[str, Any]:
        """Make pages of what the paper's protocol has found so far; return how far it has come."""
        given, words = self.given, ["--results", str(self.scratch)]
        words += ["--device", given.device, "--execution", given.execution]
        words += ["--short"] if given.short else []
        ended = self.run(module("bench.paper", str(self.folder), *words), "results", TELLING)
        if ended.status != 0:
            self.fail(f"no results could be made: {ended.output.strip()[-500:]}")
        for name in RESULTS:
            if (self.scratch / name).exists():
                shutil.copy(self.scratch / name, given.out / name)
        path = self.scratch / "progress.json"
        return {"progress": json.loads(path.read_text())} if path.exists() else {}

    def pack(self) -> None:
        """Pack, whatever came before."""
        has_worked = any(path.is_file() for path in self.given.work.rglob("*"))
        if not self.packs or not has_worked:
            self.tell("nothing was packed")  # What was packed before stays.
            return
        started = time.monotonic()
        try:
            packed = packing.pack(
                self.given.work, self.given.out, newest=self.folder, pieces=FILES - len(RESULTS) - 1
            )
        except Exception as error:  # What was noted is still to be written.
            self.fail(f"not packed: {type(error).__name__}: {error}")
            return
        self.notes["packed"] = {**asdict(packed), "seconds": round(time.monotonic() - started, 1)}
        for path in packed.left_out:
            self.tell(f"no room for {path}")
        self.tell(f"packed {packed.files} files in {packed.bytes:,} bytes, {packed.pieces}")

    def run(self, command: Sequence[str], name: str, seconds: float) -> Ended:
        """Run a command for a while."""
        print(f"== {name}, {seconds:.0f} s at most", flush=True)
        return run(command, self.scratch / f"{name}.log", seconds)

    def fail(self, line: str) -> None:
        """Note what went wrong."""
        self.is_good = False
        self.tell(line)

    def tell(self, line: str) -> None:
        """Note a line, and write the notes."""
        print(f"== {line}", flush=True)
        self.notes["told"].append(line)
        text = json.dumps(self.notes, indent=1) + "\n"
        fresh = self.given.out / f".{NOTES}"
        fresh.write_text(text)
        fresh.replace(self.given.out / NOTES)


def folder_of(work: Path, gpu: str | None, accept_changes: bool) -> Path:
    """Return where a kind of machine works: what another kind has begun it leaves alone.

    With changes accepted, a kind that has nothing yet goes on with what was worked on last.
    """
    own = work / (re.sub(r"[^a-z0-9]+", "-", (gpu or "cpu").lower()).strip("-") or "gpu")
    others = [path for path in work.iterdir() if path.is_dir()]
    if own.exists() or not accept_changes or not others:
        return own
    return max(others, key=_worked_on)


def _worked_on(folder: Path) -> int:
    """Return when something was last written in a folder."""
    return max((path.stat().st_mtime_ns for path in folder.rglob("*")), default=0)


if __name__ == "__main__":
    sys.exit(main())
