"""Work in processes of their own with a limit of time: whatever ends one, its output is kept.

No torch and no `prac`: what starts the others goes on where they cannot.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
GRACE = 10.0
"""Seconds that a part has for saving and tidying up, once it was asked to end."""
LOOKS_EVERY = 0.1


@dataclass(frozen=True)
class Ended:
    """How a part ended.

    Attributes:
        status: Its exit status; below 0 the signal that ended it.
        seconds: How long it took.
        in_time: Whether it ended by itself.
        output: What it printed.
    """

    status: int
    seconds: float
    in_time: bool
    output: str


def module(name: str, *words: str) -> list[str]:
    """Return the command that runs a module with this Python."""
    return [sys.executable, "-m", name, *words]


def environment() -> dict[str, str]:
    """Return the environment in which a process finds the modules of a plain checkout."""
    places = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(place for place in places if place),
        "PYTHONUNBUFFERED": "1",
    }


def run(command: Sequence[str], log: Path, seconds: float, grace: float = GRACE) -> Ended:
    """Run a command, showing what it prints; end it and all that it started at its time's end.

    It is asked to end first (SIGTERM), and killed where it does not within `grace` seconds.

    Args:
        command: What to run.
        log: Where its output goes.
        seconds: How long it may take.
        grace: How long it may take to end.
    """
    started = time.monotonic()
    with log.open("wb") as target, log.open("rb") as shown:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=subprocess.STDOUT,
            env=environment(),
            start_new_session=True,
        )
        try:
            in_time = _ends_within(process, seconds, shown)
        finally:  # Also where this process is asked to end.
            if process.poll() is None:
                process.terminate()
                _ends_within(process, grace, shown)
            # Whatever it has started goes with it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
        _show(shown)
    output = log.read_text(errors="replace")
    return Ended(status, time.monotonic() - started, in_time, output)


def _ends_within(process: subprocess.Popen[bytes], seconds: float, output: IO[bytes]) -> bool:
    """Say whether a process ends within some seconds, showing what it prints meanwhile."""
    end = time.monotonic() + seconds
    while process.poll() is None:
        _show(output)
        if time.monotonic() >= end:
            return False
        time.sleep(LOOKS_EVERY)
    return True


def _show(output: IO[bytes]) -> None:
    sys.stdout.write(output.read().decode(errors="replace"))
    sys.stdout.flush()
