"""Disks that are full, limited, read-only or failing; states that rot; folders in use."""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torture.faults import Fault, strike
from torture.kills import Case, blow_of, new_folder, recorded
from torture.process import forked, spawned
from torture.report import Blow, shared_out
from torture.work import OUT, Work, differences, finish


def failing_operations(
    works: Sequence[Work], scratch: Path, *, limit: int, seed: int
) -> list[Blow]:
    """Let every writing operation fail from some point on, `limit` drawn ones."""
    cases = []
    for work in works:
        count = len(recorded(work, scratch)[1])
        cases += [
            Case(f"{fault} from some write on", work, (Fault("any", nth, fault),), scratch)
            for nth in range(1, count + 1)
            for fault in ("ENOSPC", "EIO")
        ]
    cases = random.Random(seed).sample(cases, min(limit, len(cases)))
    return shared_out(_fail, cases)


def _fail(case: Case) -> Blow:
    folder = new_folder(case.scratch, "failing")
    first = forked(case.work.arguments, folder, partial(strike, case.faults[0], folder / OUT))
    wrong = []
    # It may have come through: the last operations only remove what is no longer needed.
    if first.status != 0 and not first.is_one_error_line:
        wrong.append(f"ended with {first.status}: {first.stderr.strip()}")
    ending, unlike = finish(case.work, folder)
    return blow_of(
        case.kind, f"{case.work.name}, {case.faults}", wrong + unlike, [first, ending], folder
    )


def small_disks(
    works: Sequence[Work], scratch: Path, *, kibibytes: Sequence[int], bytes_a_file: Sequence[int]
) -> tuple[list[Blow], list[str]]:
    """Run on real small file systems, with a real file-size limit, and on read-only ones.

    Returns:
        What came of it, and what could not be tried here, with the reason.
    """
    blows, untried = [], []
    for work in works:
        for size in kibibytes:
            kind = "a file system too small, then larger"
            with contextlib.ExitStack() as stack:
                folder = new_folder(scratch, "small")
                try:
                    stack.enter_context(_mounted(folder, size))
                except OSError as error:
                    untried.append(f"{kind}: {error}")
                    break
                blows.append(_refused_then_allowed(
                    kind, work, folder, lambda: None, partial(_enlarge, folder), f"{size} KiB"
                ))  # fmt: skip
        for size in bytes_a_file:
            blows.append(_refused_then_allowed(
                "a file-size limit, then none", work, new_folder(scratch, "limited"),
                partial(_limit_files, size), lambda: None, f"{size} bytes",
            ))  # fmt: skip
        folder = new_folder(scratch, "closed")
        if os.getuid():
            folder.chmod(0o555)
            blows.append(_refused_then_allowed(
                "a folder without the right to write, then with it", work, folder,
                lambda: None, partial(folder.chmod, 0o755), "",
            ))  # fmt: skip
            continue
        # The right to write means nothing to root.
        kind = "a read-only file system, then a writable one"
        try:
            with _mounted(folder, 65536):
                _mount("-o", "remount,ro", str(folder))
                blows.append(_refused_then_allowed(
                    kind, work, folder, lambda: None,
                    partial(_mount, "-o", "remount,rw", str(folder)), "",
                ))  # fmt: skip
        except OSError as error:
            untried.append(f"{kind}: {error}")
    return blows, untried


def _refused_then_allowed(
    kind: str,
    work: Work,
    folder: Path,
    limit: Callable[[], None],
    lift: Callable[[], None],
    detail: str,
) -> Blow:
    wrong = []
    first = forked(work.arguments, folder, limit)
    if first.status == 0:
        wrong.append("the limit was no limit")
    elif not first.is_one_error_line:
        wrong.append(f"ended with {first.status}: {first.stderr.strip()}")
    lift()
    ending, unlike = finish(work, folder)
    # Emptied, not removed: it may be a mounted file system.
    for entry in folder.iterdir():
        shutil.rmtree(entry)
    what = f"{work.name}, {detail}"
    return Blow(kind, what, (*wrong, *unlike), max(first.seconds, ending.seconds))


@contextlib.contextmanager
def _mounted(folder: Path, kibibytes: int) -> Iterator[None]:
    _mount("-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _enlarge(folder: Path) -> None:
    _mount("-o", "remount,size=64m", str(folder))


def _mount(*arguments: str) -> None:
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise OSError(error.stderr.strip()) from error


def _limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def rotten_states(works: Sequence[Work], scratch: Path, *, times: int, seed: int) -> list[Blow]:
    """Cut a run off, damage its newest state, and let it go on from the one before."""
    draw = random.Random(seed)
    cases = [
        (draw.choice(works), draw.randrange(3, 8), way, draw.random(), scratch)
        for way in ("truncated", "a byte flipped", "zeros")
        for _ in range(times)
    ]
    return shared_out(_rot, cases)


def _rot(case: tuple[Work, int, str, float, Path]) -> Blow:
    work, states, way, where, scratch = case
    fault = Fault("prac.runs.folder:write_tensors", states, "after")
    folder = new_folder(scratch, "rotten")
    first = forked(work.arguments, folder, partial(strike, fault, folder / OUT))
    newest = max((folder / OUT / "state").glob("*.safetensors"))
    content = bytearray(newest.read_bytes())
    place = int(where * len(content))
    if way == "truncated":
        del content[place:]
    elif way == "zeros":
        content[place:] = bytes(len(content) - place) if any(content[place:]) else b""
    else:
        content[place] ^= 1 << int(where * 8e6) % 8
    newest.write_bytes(content)
    ending, wrong = finish(work, folder)
    what = f"{work.name}, {fault}, at byte {place}"
    return blow_of(f"newest state {way}", what, wrong, [first, ending], folder)


def two_at_once(works: Sequence[Work], scratch: Path) -> list[Blow]:
    """Give the command while it runs: the second is refused, and both then end alike."""
    blows = []
    for work in works:
        folder = new_folder(scratch, "held")
        first = spawned(work.arguments, folder)
        deadline = time.monotonic() + 60
        while not (folder / OUT / "state").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        first.send_signal(signal.SIGSTOP)
        second = forked(work.arguments, folder)
        first.send_signal(signal.SIGCONT)
        first.communicate(timeout=60)
        wrong = [] if first.returncode == 0 else [f"the first ended with {first.returncode}"]
        if not (second.is_one_error_line and f"process {first.pid} on " in second.stderr):
            wrong.append(f"the second ended with {second.status}: {second.stderr.strip()}")
        wrong += differences(work, folder / OUT)
        blows.append(blow_of("a second process in the folder", work.name, wrong, [second], folder))
    return blows


def vanished(works: Sequence[Work], scratch: Path) -> list[Blow]:
    """Take the run folder away while the run goes on: it stops; put back, it continues."""
    blows = []
    for work in works:
        folder = new_folder(scratch, "vanished")
        run, aside = folder / OUT, folder / "aside"

        def take(run: Path = run, aside: Path = aside) -> None:
            search: Any = importlib.import_module("prac.search.algorithm")
            predict = search.predictions

            def taken(*arguments: Any, **options: Any) -> Any:
                run.rename(aside)
                return predict(*arguments, **options)

            search.predictions = taken

        first = forked(work.arguments, folder, take)
        wrong = []
        if not first.is_one_error_line:
            wrong.append(f"ended with {first.status}: {first.stderr.strip()}")
        shutil.rmtree(run, ignore_errors=True)
        aside.rename(run)
        ending, unlike = finish(work, folder)
        blows.append(
            blow_of(
                "the run folder taken away, then put back",
                work.name,
                wrong + unlike,
                [first, ending],
                folder,
            )
        )
    return blows
