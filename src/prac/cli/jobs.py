"""Several processes of one command: each works ahead on some of the seeds, in the same folder.

The command itself then runs as it would without them, and finds their trainings done. They write no
results, since these cover all seeds: they tell the command what they found, a line for each.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from prac.errors import PracError
from prac.monitor import Progress
from prac.training import COME_AGAIN, Interrupted, RunControl

if TYPE_CHECKING:
    from prac.cli.parser import Parser
    from prac.config import JudgeRecipe, Recipe

AHEAD = "--ahead"
"""First argument of a command that works ahead of its parent. The parent's process id follows, and
when that began to count `--max-seconds`. It is not the parser's, and so in no list of options."""

LOOK_SECONDS = 0.1


def add_jobs(parser: Parser) -> None:
    """Add `--jobs N`."""
    parser.option(
        "jobs",
        int | None,
        help="processes that train in parallel, each on some of the seeds (default: 1)",
        at_least=1,
    )


def shares(
    seeds: Sequence[int], jobs: int | None, say: Callable[[str], None]
) -> list[tuple[int, ...]]:
    """Return each process's seeds, dealt out in turn, so that the first ones are done first.

    Where fewer processes than `jobs` (one by default) have a seed, a line says so.

    >>> shares((0, 1, 2, 3, 4), 2, print)
    [(0, 2, 4), (1, 3)]
    """
    jobs = jobs or 1
    if jobs > len(seeds):
        say(f"jobs: {jobs} asked for, {len(seeds)} started: each needs a seed of its own")
    count = min(jobs, len(seeds))
    return [tuple(seeds[first::count]) for first in range(count)]


def check_found(recipe: Recipe | JudgeRecipe, device: str) -> None:
    """Raise a PracError for code, data or a device that is not there, without loading any."""
    from prac.config import DATA_NAMES
    from prac.data import load_data
    from prac.models import check_model
    from prac.training import Runtime, load_task

    check_model(recipe.model.name)
    load_task(recipe.task.name, recipe.task.args)
    Runtime.choose(device, "fp32")
    name = recipe.data.name
    if not (name in DATA_NAMES or name.startswith("hf:") or Path(name).expanduser().exists()):
        load_data(recipe.data)  # Says what is expected.


def work_ahead(
    command: Sequence[str],
    recipe: Recipe | JudgeRecipe,
    options: Any,
    progress: Progress,
    run_control: RunControl,
    *,
    started: float,
    take: Callable[[str], None] = lambda line: None,
) -> None:
    """Have processes of a command work ahead, each with a part of the seeds, and wait for them.

    What one fails at is shown; the command meets it again when it goes on, and tells it as ever.
    Where the run control stops, which was begun at the time `started` of `time.monotonic`, they are
    asked to save and stop. `take` is given each line that one of them tells.

    Raises:
        PracError: If data, code or device are not there; each process would tell it otherwise.
        Interrupted: If all is to stop; they have ended then.
    """
    parts = shares(options.seeds, options.jobs, progress.say)
    if len(parts) < 2:
        return
    check_found(recipe, options.device)
    progress.say(f"jobs: {len(parts)} processes, seeds {' '.join(map(_listed, parts))}")
    where = f"while {len(parts)} processes worked"
    with run_control.working(), Jobs(progress, take) as jobs:
        for number, part in enumerate(parts, 1):
            name = f"job {number} of {len(parts)}, seeds {_listed(part)}"
            own = _with(command[1:], "--seeds", _listed(part), "--quiet")
            ahead = (AHEAD, str(os.getpid()), repr(started))
            jobs.start(name, [command[0], *ahead, *own], _threads(len(parts)))
        while jobs.look():
            run_control.check(where)
            time.sleep(LOOK_SECONDS)
    # They may have heard what stops this process, and have ended before it.
    run_control.check(where)
    if options.max_seconds is not None and COME_AGAIN in jobs.statuses:
        raise Interrupted("max-seconds", where)


class Jobs:
    """Processes that work ahead; none is left at work when a `with` of them ends.

    A line is shown when one ends, and each line that one tells is taken.
    """

    def __init__(self, progress: Progress, take: Callable[[str], None]) -> None:
        self._progress, self._take = progress, take
        self._jobs: list[_Job] = []
        self._files = ExitStack()

    def start(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a process of `prac`."""
        # Files, since a pipe that nobody empties would hold up whoever writes.
        out = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        err = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        process = subprocess.Popen(
            [sys.executable, "-m", "prac", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, **environment},
        )
        self._jobs.append(_Job(name, process, out, err))

    def look(self) -> bool:
        """Take what they told since the last look; say whether one is still at work."""
        for job in self._jobs:
            has_ended = job.process.poll() is not None  # Before the last lines are looked for.
            for line in job.lines():
                self._take(line)
            if has_ended and not job.is_known_to_end:
                job.is_known_to_end = True
                self._progress.say(f"{job.name}: {job.outcome()}")
        return not all(job.is_known_to_end for job in self._jobs)

    @property
    def statuses(self) -> list[int | None]:
        """How those ended that have."""
        return [job.process.returncode for job in self._jobs]

    def __enter__(self) -> Jobs:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Stop those that are at work, as it is asked for, and wait until they have saved."""
        with self._files:
            if error is None:
                return
            try:
                self._end(_signal_of(error))
            except KeyboardInterrupt:  # Ctrl-C for the second time: at once.
                self._end(signal.SIGINT)
                raise
            self.look()

    def _end(self, number: signal.Signals) -> None:
        for job in self._jobs:
            job.process.send_signal(number)
        for job in self._jobs:
            job.process.wait()


@dataclass
class _Job:
    """A process, its output, and how many bytes of it have been taken."""

    name: str
    process: subprocess.Popen[bytes]
    out: IO[bytes]
    err: IO[bytes]
    taken: int = 0
    is_known_to_end: bool = False

    def lines(self) -> list[str]:
        """Return the whole lines that it told since the last time."""
        # Unlike read, pread does not move the place where the process writes.
        descriptor = self.out.fileno()
        content = os.pread(descriptor, os.fstat(descriptor).st_size - self.taken, self.taken)
        whole = content[: content.rfind(b"\n") + 1]
        self.taken += len(whole)
        return whole.decode().splitlines()

    def outcome(self) -> str:
        """Return how it ended, in a line."""
        status = self.process.returncode
        if not status:
            return "done"
        if status < 0:
            return f"ended by {signal.Signals(-status).name}"
        self.err.seek(0)
        lines = self.err.read().decode(errors="replace").split("\n")[:-1]
        last = lines[-1].removeprefix("prac: ").removeprefix("error: ") if lines else ""
        return last.removesuffix("; the same command continues") or f"ended with status {status}"


def _signal_of(error: BaseException) -> signal.Signals:
    """Return what asks others to stop as this process was asked."""
    if isinstance(error, KeyboardInterrupt):
        return signal.SIGINT
    # A terminal's Ctrl-C has reached them too, and another one would stop them at once.
    if isinstance(error, Interrupted) and error.reason != "SIGINT":
        return signal.Signals[error.reason]
    return signal.SIGTERM


def _threads(jobs: int) -> dict[str, str]:
    """Return what gives each process its part of the cores, unless the user has said how many."""
    if "OMP_NUM_THREADS" in os.environ:
        return {}
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return {"OMP_NUM_THREADS": str(max(1, cores // jobs))}


def _with(arguments: Sequence[str], *options: str) -> list[str]:
    """Return arguments with options added, which win, being the last; what follows -- is none."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    return [*arguments[:end], *options, *arguments[end:]]


def _listed(seeds: Sequence[int]) -> str:
    return ",".join(map(str, seeds))


def followed(arguments: Sequence[str]) -> tuple[Sequence[str], bool, float]:
    """Return a command's arguments, whether it works ahead of another process, and since when.

    The beginning is that process's then, by `time.monotonic`, else this one's. That process is
    followed: where it ends, in any way, this one saves and stops.

    Raises:
        PracError: If that process has ended already.
    """
    if list(arguments[:1]) != [AHEAD]:
        return arguments, False, time.monotonic()
    parent, started = int(arguments[1]), float(arguments[2])
    from prac.data import signalled_with_parent

    signalled_with_parent(signal.SIGTERM)
    if os.getppid() != parent:  # It ended before it was followed.
        raise PracError(f"process {parent}, for which this one was to work, has ended")
    return arguments[3:], True, started


def told_to_parent() -> IO[str]:
    """Return what the parent takes lines from; all else that is printed goes to standard error.

    A network of one's own may print.
    """
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return lines
