"""`kill -9` and other signals, anywhere: the same command goes on to the same bytes."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torture.faults import OPERATIONS, WAYS, Fault, Operation, strike, trace, traced
from torture.process import Ending, forked, spawned
from torture.report import Blow, shared_out
from torture.work import OUT, Work, finish

STAGES = {
    "in the middle of an epoch": Fault("prac.training.step:batch_loss", 9),
    "while validating": Fault("prac.training.validation:scores_of", 2),
    "before a pruning": Fault("prac.search.prune:prune", 2),
    "after a pruning": Fault("prac.search.prune:prune", 2, "after"),
    "while CEP predictions are made": Fault("prac.training.task:Task.answers", 1),
    "between two CEP passes": Fault("prac.training.task:Task.answers", 1, "after"),
    "between pruning and rewinding": Fault("prac.runs.state:RunState.at_next_level", 1),
    "while a level's results are written": Fault("prac.search.run:write_tensors", 1, "after"),
    "between levels": Fault("prac.search.run:SearchRun.start", 2),
    "before a state": Fault("prac.runs.folder:write_tensors", 4),
    "after a state": Fault("prac.runs.folder:write_tensors", 4, "after"),
    "in a retraining": Fault("prac.evaluation.retraining:train_level", 1),
    "after a retraining": Fault("prac.evaluation.retraining:train_level", 1, "after"),
    "before the states are removed": Fault("prac.runs.folder:RunFolder.forget_states", 1),
}


@dataclass(frozen=True)
class Case:
    """A fault for a command, in a folder of its own."""

    kind: str
    work: Work
    faults: tuple[Fault, ...]
    scratch: Path


def at_every_stage(
    works: Sequence[Work], scratch: Path, stages: Sequence[str] = tuple(STAGES)
) -> list[Blow]:
    """Kill each command once at each named stage."""
    cases = [
        Case(f"kill -9 {stage}", work, (STAGES[stage],), scratch)
        for stage in stages
        for work in works
    ]
    return shared_out(kill, cases)


def at_file_operations(
    works: Sequence[Work],
    scratch: Path,
    *,
    limit: int,
    seed: int,
    places: Sequence[str] = OPERATIONS,
) -> list[Blow]:
    """Kill at file operations, before, after and half-way: at `limit` drawn ones."""
    cases = []
    for work in works:
        _, operations = recorded(work, scratch)
        for place in places:
            count = sum(operation.name == place for operation in operations)
            ways = WAYS if place == "write" else ("before", "after")
            cases += [
                Case(f"kill -9 {_when(how)} {place}", work, (Fault(place, nth, how),), scratch)
                for nth in range(1, count + 1)
                for how in ways
            ]
    cases = random.Random(seed).sample(cases, min(limit, len(cases)))
    return shared_out(kill, cases)


def recorded(work: Work, scratch: Path) -> tuple[Path, tuple[Operation, ...]]:
    """Return what a whole run does to the disk, and the folder in which it did it."""
    folder, log = new_folder(scratch, "recorded").resolve(), scratch / "operations.jsonl"
    forked(work.arguments, folder, partial(trace, folder / OUT, log))
    operations = tuple(traced(log))
    shutil.rmtree(folder)
    return folder, operations


def again_and_again(works: Sequence[Work], scratch: Path, *, times: int, seed: int) -> list[Blow]:
    """Kill a run, and the run that continues it, and so on, until it is through."""
    draw = random.Random(seed)
    cases = []
    for _ in range(times):
        faults = tuple(Fault("any", draw.randrange(1, 90), draw.choice(WAYS)) for _ in range(12))
        cases.append(
            Case("kill -9 up to twelve times in a row", draw.choice(works), faults, scratch)
        )
    return shared_out(kill, cases)


def kill(case: Case) -> Blow:
    """Strike the command with each fault in turn, then let it finish."""
    folder = new_folder(case.scratch, "killed")
    wrong: list[str] = []
    endings: list[Ending] = []
    for fault in case.faults:
        prepare = partial(strike, fault, folder / OUT)
        endings.append(forked(case.work.arguments, folder, prepare))
        if endings[-1].status == 0:
            break  # It was through before the blow.
        if endings[-1].status != -signal.SIGKILL:
            wrong.append(f"ended with {endings[-1].status}: {endings[-1].stderr.strip()}")
    if len(case.faults) == 1 and endings[0].status == 0:
        wrong.append("the blow never fell")
    ending, unlike = finish(case.work, folder)
    return blow_of(
        case.kind, f"{case.work.name}, {case.faults}", wrong + unlike, [*endings, ending], folder
    )


@dataclass(frozen=True)
class Signalled:
    """A signal to a process of its own, some seconds after its start."""

    kind: str
    work: Work
    number: signal.Signals
    after: float
    scratch: Path


def at_random_moments(works: Sequence[Work], scratch: Path, *, times: int, seed: int) -> list[Blow]:
    """Kill processes of their own, started as a shell would, from outside and at any moment."""
    kind = "kill -9 from outside, at a random moment"
    return _signalled({kind: signal.SIGKILL}, works, scratch, times, seed)


def by_signals(works: Sequence[Work], scratch: Path, *, times: int, seed: int) -> list[Blow]:
    """Send the signals that ask a run to stop, at random moments."""
    asking = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    kinds = {f"{number.name} at a random moment": number for number in asking}
    return _signalled(kinds, works, scratch, times, seed)


def _signalled(
    kinds: dict[str, signal.Signals], works: Sequence[Work], scratch: Path, times: int, seed: int
) -> list[Blow]:
    draw = random.Random(seed)
    # Starting Python and torch takes about two seconds, of which there is less to learn.
    cases = [
        Signalled(kind, draw.choice(works), number, draw.uniform(1.5, 5.0), scratch)
        for kind, number in kinds.items()
        for _ in range(times)
    ]
    return shared_out(_signal, cases)


STATUS = {"SIGKILL": -9, "SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129, "SIGUSR1": 75}


def _signal(case: Signalled) -> Blow:
    folder = new_folder(case.scratch, "signalled")
    process = spawned(case.work.arguments, folder)
    time.sleep(case.after)
    if case.number == signal.SIGKILL:
        # Alone: what loads its data outlives it for a while, and must not be in the way.
        process.kill()
    elif process.poll() is None:
        # A terminal's Ctrl-C, and many a batch system's signal, goes to all of its processes.
        os.killpg(process.pid, case.number)
    wrong = []
    try:
        _, stderr = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        # What loads its data writes to the same pipe.
        wrong.append("the process, or one that it started, did not end")
        os.killpg(process.pid, signal.SIGKILL)
        _, stderr = process.communicate()
    documented = STATUS[case.number.name]
    # 0 where it was through; the system's own ending before the command listens.
    if process.returncode not in (0, documented, -case.number):
        wrong.append(f"ended with {process.returncode}: {stderr.strip()}")
    if process.returncode == documented != -case.number:
        last = stderr.strip().splitlines()[-1] if stderr.strip() else ""
        if not re.fullmatch(r"prac: .*the same command continues", last):
            wrong.append(f"said {last!r}")
    ending, unlike = finish(case.work, folder)
    what = f"{case.work.name}, after {case.after:.2f} s"
    return blow_of(case.kind, what, wrong + unlike, [ending], folder)


def _when(how: str) -> str:
    return {"before": "before", "after": "after", "half": "half-way through"}[how]


def new_folder(scratch: Path, name: str) -> Path:
    """Make a folder of its own for a blow."""
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=scratch))


def blow_of(
    kind: str, what: str, wrong: list[str], endings: Sequence[Ending], folder: Path
) -> Blow:
    """Return what came of a blow; its folder stays where anything was wrong."""
    if not wrong:
        shutil.rmtree(folder)
    return Blow(
        kind,
        what if not wrong else f"{what} in {folder}",
        tuple(wrong),
        max(ending.seconds for ending in endings),
    )
