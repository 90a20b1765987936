"""Child processes that run the `prac` command and may be struck, limited or killed."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 120.0
OURS = (
    "prac.cli.find",
    "prac.data.examples",
    "prac.data.sources.digits",
    "prac.models.registry",
    "prac.evaluation.retraining",
    "prac.search.finding",
    "prac.report.tables",
)


@dataclass(frozen=True)
class Ending:
    """How a child process ended.

    Attributes:
        status: Exit status; minus the signal's number where one ended it, as in `subprocess`.
        stderr: What it wrote there.
        seconds: Wall time.
    """

    status: int
    stderr: str
    seconds: float

    @property
    def is_one_error_line(self) -> bool:
        """Whether it ended with status 2 and told why in one line, without a traceback."""
        lines = [line for line in self.stderr.splitlines() if line.startswith("prac: error: ")]
        return self.status == 2 and len(lines) == 1 and "Traceback" not in self.stderr


def warm() -> None:
    """Import what a run imports, once, and leave this process with one thread: it will fork."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    # torch's optimisers import dynamo, which takes them more than a second.
    for name in ("sklearn.datasets", "torch._dynamo", *OURS):
        importlib.import_module(name)
    torch.set_num_threads(1)


def forked(
    arguments: Sequence[str], folder: Path, prepare: Callable[[], None] = lambda: None
) -> Ending:
    """Run `prac` in a fork of this process, which must have one thread: its imports are done.

    Args:
        arguments: Of the command.
        folder: Where it runs.
        prepare: Called in the child first, to strike or limit it.
    """
    return forked_call(lambda: _prac(arguments), folder, prepare)


def forked_call(
    body: Callable[[], int], folder: Path, prepare: Callable[[], None] = lambda: None
) -> Ending:
    """Run `body` in a fork of this process; what it returns is the exit status."""
    with tempfile.TemporaryFile("w+") as stderr:
        started = time.monotonic()
        child = os.fork()
        if not child:
            _run_child(body, folder, prepare, stderr.fileno())
        status = _wait(child, started + TIMEOUT)
        stderr.seek(0)
        text = stderr.read()
    return Ending(os.waitstatus_to_exitcode(status), text, time.monotonic() - started)


def _run_child(
    body: Callable[[], int], folder: Path, prepare: Callable[[], None], stderr: int
) -> None:
    status = 70  # sysexits.h: an internal error, which is none of the command's own.
    try:
        os.dup2(stderr, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.chdir(folder)
        prepare()
        status = body()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(status)


def _prac(arguments: Sequence[str]) -> int:
    from prac.cli import main

    return main(list(arguments))


def _wait(child: int, deadline: float) -> int:
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise TimeoutError(f"a child process took more than {TIMEOUT:.0f} s")
        time.sleep(0.002)


def spawned(arguments: Sequence[str], folder: Path) -> subprocess.Popen[str]:
    """Start `prac` as a shell would, in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "prac", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
