"""Several processes at once: the same results, one voice, and nobody left at work."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from prac.cli import main
from prac.cli.jobs import Jobs, _signal_of, _threads, _with, shares, work_ahead
from prac.config import Recipe
from prac.errors import PracError
from prac.monitor import Progress
from prac.training import Interrupted, RunControl

DATA = ["--data", "digits", "--limit", "200", "--batch-size", "50"]
QUICK = [
    *DATA, "--model", "lenet_300_100", "--layers", "linear", "--levels", "2", "--epochs", "2",
    "--lr", "0.05", "--judged", "2", "--methods", "imp,random-subset@prac", "--seeds", "0,1",
]  # fmt: skip

OWN = """
import os, signal, sys, time
from pathlib import Path
import torch
from torch import nn

class Net(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, num_classes))

class Lingering(Net):
    def forward(self, x):
        if "--ahead" in sys.argv and not Path("go").exists():
            second = Path("two/runs/rs2", "seed-" + sys.argv[-2], "config.yaml")
            time.sleep(second.exists())
        return super().forward(x)

class Deadly(Net):
    def __init__(self, num_classes):
        print("what a network prints")
        if "--ahead" in sys.argv and sys.argv[-2] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        if "--ahead" in sys.argv:
            raise ValueError("no network to be had")
        super().__init__(num_classes)

class Failing(Net):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.seed = torch.initial_seed()

    def forward(self, x):
        if self.training and len(x) > 40 and self.seed == 1:
            raise ValueError("it does not like this seed")
        return super().forward(x)
"""


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options that name networks of one's own, of which the last option gives the class."""
    Path("jobs_own.py").write_text(OWN)
    monkeypatch.syspath_prepend(Path.cwd())
    sys.modules.pop("jobs_own", None)
    return [*QUICK, "--methods", "imp", "--model"]


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(Jobs, "start", refused)


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        status = main(list(arguments))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def plain(path: str) -> str:
    """Return a file of results without how long it took, and where."""
    text = Path(path, "comparison.json").read_text()
    return re.sub(r'"seconds": [^,\n]*', '"seconds"', text).replace(f'"{path}/', '"')


def runs_of(path: str) -> set[tuple[str, int]]:
    file = Path(path, "comparison.json")
    runs = json.loads(file.read_text())["runs"] if file.exists() else []
    return {(run["method"], run["seed"]) for run in runs}


def test_seeds_are_dealt_out_in_turn() -> None:
    said: list[str] = []
    assert shares((0, 1, 2, 3, 4, 5), 3, said.append) == [(0, 3), (1, 4), (2, 5)]
    assert shares((5, 4, 3), 2, said.append) == [(5, 3), (4,)]
    assert shares((0, 1), 1, said.append) == shares((0, 1), None, said.append) == [(0, 1)]
    assert said == []
    assert shares((7, 9), 4, said.append) == [(7,), (9,)]
    assert shares((7,), 4, said.append) == [(7,)]
    assert said == [f"jobs: 4 asked for, {n} started: each needs a seed of its own" for n in (2, 1)]


@pytest.mark.slow
def test_results_are_those_of_one_process_stopped_or_not(run: Run) -> None:
    assert run("compare", *QUICK, "--out", "one")[0] == 0
    jobs = ["compare", *QUICK, "--out", "two", "--jobs", "2"]
    status, _, err = run(*jobs, "--max-seconds", "0.01")
    assert status == 75
    place = "stopped by max-seconds at level 0, epoch 1, iteration 1"
    first, *each, last = err.splitlines()
    assert first == "jobs: 2 processes, seeds 0 1"
    told = [line.partition(" (start-up took ")[0] for line in sorted(each)]
    assert told == [f"job {n} of 2, seeds {n - 1}: {place}" for n in (1, 2)]
    stopped = "stopped by max-seconds while 2 processes worked; the same command continues"
    assert last == f"prac: {stopped}"
    status, out, err = run(*jobs, "--json")
    assert status == 0
    assert json.loads(out) == json.loads(Path("two/comparison.json").read_text())
    assert "job 2 of 2, seeds 1: done" in err.splitlines()
    assert "level 0/2" not in err, "nothing is left to be trained"
    assert plain("two") == plain("one")
    names = [sorted(path.name for path in Path(out, "trained").iterdir()) for out in ("one", "two")]
    assert names[0] == names[1]
    weights = [Path(out, "trained", name, "trained.safetensors").read_bytes()
               for out in ("one", "two") for name in names[0]]  # fmt: skip
    assert weights[: len(names[0])] == weights[len(names[0]) :]


def test_two_processes_make_what_one_makes(run: Run) -> None:
    few = [*QUICK, "--methods", "imp", "--levels", "1", "--judged", "1", "--quiet"]
    assert run("compare", *few, "--out", "one")[0] == 0
    status, out, _ = run("compare", *few, "--out", "two", "--jobs", "2", "--json")
    assert status == 0
    assert json.loads(out) == json.loads(Path("two/comparison.json").read_text())
    assert plain("two") == plain("one")


def started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "prac", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def until(is_so: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    end = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def children(process: subprocess.Popen[str]) -> list[int]:
    path = f"/proc/{process.pid}/task/{process.pid}/children"
    return [int(number) for number in Path(path).read_text().split()]


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_signal_to_the_command_stops_all_and_the_same_command_continues(
    own: list[str], run: Run
) -> None:
    given = ["compare", *own, "jobs_own:Lingering", "--methods", "imp,rs2"]
    process = started(*given, "--out", "two", "--jobs", "2")
    until(lambda: {("imp", 0), ("imp", 1)} <= runs_of("two"), process)
    at_work = children(process)
    assert len(at_work) == 2
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert err.splitlines()[-1].startswith("prac: stopped by SIGTERM while 2 processes worked;")
    assert len(re.findall(r"^job .*: stopped by SIGTERM ", err, re.M)) == 2
    assert not any(map(is_alive, at_work))
    # What each has finished is told, though neither came to its end.
    assert runs_of("two") == {("imp", 0), ("imp", 1)}
    Path("go").touch()
    status, _, err = run(*given, "--out", "two", "--jobs", "2", "--quiet")
    assert status == 0, err
    assert run(*given, "--out", "one", "--quiet")[0] == 0
    assert plain("two") == plain("one")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a parent's end")
def test_nobody_is_left_at_work_where_the_command_is_killed(own: list[str]) -> None:
    process = started("compare", *own, "jobs_own:Net", "--epochs", "500", "--jobs", "2")
    folder = Path("runs/compare-digits-Net/runs/imp")
    until(lambda: len(list(folder.glob("*/metrics.jsonl"))) == 2, process)
    at_work = children(process)
    process.kill()
    process.communicate()
    until(lambda: not any(map(is_alive, at_work)))
    assert len(list(folder.glob("*/state/*.safetensors"))) >= 2, "they have saved"


def test_a_process_whose_parent_has_ended_does_nothing() -> None:
    process = started("compare", "--ahead", str(2**22 + 1), "0.0", *QUICK, "--out", "c")
    _, err = process.communicate()
    assert process.returncode == 2
    assert "for which this one was to work, has ended" in err
    assert not Path("c").exists()


@pytest.mark.slow
def test_a_process_that_fails_is_told_and_its_work_is_done_all_the_same(
    own: list[str], run: Run
) -> None:
    jobs = ["compare", *own, "jobs_own:Deadly", "--judged", "2"]
    status, _, err = run(*jobs, "--out", "two", "--jobs", "2")
    assert status == 0
    lines = err.splitlines()
    assert "job 2 of 2, seeds 1: ended by SIGKILL" in lines
    (told,) = (line for line in lines if line.startswith("job 1 of 2, seeds 0: "))
    assert "no network to be had" in told
    assert "Traceback" not in err
    assert run(*jobs, "--out", "one", "--quiet")[0] == 0
    assert plain("two") == plain("one")


@pytest.mark.slow
def test_a_search_that_fails_is_told_as_ever(own: list[str], run: Run) -> None:
    given = ["compare", *own, "jobs_own:Failing", "--methods", "imp"]
    found = [run(*given, "--out", "one"), run(*given, "--out", "two", "--jobs", "2")]
    assert [status for status, _, _ in found] == [1, 1]
    for _, out, err in found:
        assert err.count("it does not like this seed") == 1
        assert "it does not like this seed" in out
    assert plain("two") == plain("one")
    assert Path("two/runs/imp/seed-1-error.txt").exists()


MISTAKES = {
    "no process": (["--jobs", "0"], "jobs is 0: expected at least 1"),
    "an unknown option": (["--job", "2"], "unknown option --job: did you mean --jobs"),
    "an unknown data set": (["--data", "digts"], "did you mean 'digits'?"),
    "data that is not there": (["--data", "no/such"], "no/such: there is no such file"),
    "an unknown model": (["--model", "lenet"], "unknown model 'lenet'"),
    "a model that is not there": (["--model", "nowhere:Net"], "cannot import 'nowhere'"),
    "no such device": (["--device", "cuda:9"], "CUDA devices are there"),
    "a seed twice": (["--seeds", "1,1"], "seeds names 1 twice"),
    "a level beyond the last": (["--judged", "3"], "judged names level 3"),
    "other settings": (["--out", "begun", "--lr", "0.1"], "lr (there 0.05, here 0.1)"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_once_and_starts_no_process(
    name: str, run: Run, no_process: None
) -> None:
    options, expected = MISTAKES[name]
    if "begun" in options:
        assert run("compare", *QUICK, "--methods", "snip", "--out", "begun")[0] == 0
    status, out, err = run("compare", *QUICK, "--jobs", "2", *options)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert expected in err


def test_one_process_is_the_command_itself(run: Run, no_process: None) -> None:
    few = [*QUICK, "--methods", "snip", "--out", "c"]
    assert run("compare", *few, "--jobs", "1")[2] == run("compare", *few, "--out", "d")[2]
    status, _, err = run("compare", *few, "--seeds=1", "--jobs", "3")
    assert status == 0
    assert err.splitlines()[0] == "jobs: 3 asked for, 1 started: each needs a seed of its own"


@pytest.mark.slow
def test_a_judgement_is_that_of_one_process(run: Run, judged_run: Path) -> None:
    asked = ["--levels", "3", "--seeds", "2,3", "--random", "--barriers", "--json"]
    for name in ("one", "two"):
        shutil.copytree(judged_run, name)
    before = Path("two/judged/verdict.json").read_text()
    one = run("judge", "one", *asked, "--quiet")
    # What works ahead writes no verdict, and needs no two seeds for a barrier.
    ahead = started("judge", "--ahead", str(os.getpid()), repr(time.monotonic()), "two", *asked,
                    "--seeds", "2", "--quiet")  # fmt: skip
    assert ahead.communicate() == ("", "")
    assert ahead.returncode == 0
    assert Path("two/judged/verdict.json").read_text() == before
    status, out, err = run("judge", *asked, "--jobs=2", "--", "two")
    assert (one[0], status) == (0, 0)
    assert [line for line in err.splitlines() if "job" in line] == [
        "jobs: 2 processes, seeds 2 3",
        "job 1 of 2, seeds 2: done",
        "job 2 of 2, seeds 3: done",
    ]
    assert "retraining" not in err
    assert "density" not in err, "nothing is left to be trained"
    assert out.replace('"two', '"one') == one[1]


def test_a_rewind_point_is_looked_for_by_one_process(
    run: Run, judged_run: Path, no_process: None
) -> None:
    status, _, err = run("judge", str(judged_run), "--find-rewind-point", "--jobs", "2")
    assert status == 2
    assert err == (
        "prac: error: --jobs is given but not used: --find-rewind-point judges nothing: leave it "
        "out\n"
    )


def test_a_barrier_needs_two_seeds_of_the_command(
    run: Run, judged_run: Path, no_process: None
) -> None:
    asked = ["judge", str(judged_run), "--jobs", "2", "--barriers"]
    assert "name at least 2" in run(*asked, "--seeds", "4")[2]
    assert "has no ticket of level 9" in run(*asked, "--levels", "9")[2]


class TestProcesses:
    """`Jobs`, of commands that end at once."""

    @pytest.fixture
    def said(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        lines: list[str] = []
        monkeypatch.setattr(Progress, "say", lambda self, line: lines.append(line))
        return lines

    def test_what_they_tell_is_taken_and_how_they_end_is_shown(self, said: list[str]) -> None:
        taken: list[str] = []
        with Jobs(Progress(), taken.append) as jobs:
            jobs.start("a", ["--version"], {})
            jobs.start("b", ["fnd"], {})
            until(lambda: not jobs.look())
        assert len(taken) == 1
        assert taken[0].startswith("prac ")
        assert sorted(said) == ["a: done", "b: " + str(unknown_command())]
        assert jobs.statuses == [0, 2]

    def test_what_cannot_be_kept_stops_them(self, said: list[str]) -> None:
        def full(line: str) -> None:
            raise OSError(28, "No space left on device")

        jobs = Jobs(Progress(), full)
        with pytest.raises(OSError, match="No space"), jobs:
            self.watched(jobs)
        assert None not in jobs.statuses

    def watched(self, jobs: Jobs) -> None:
        jobs.start("a", ["--version"], {})
        jobs.start("b", ["find", *DATA, "--epochs", "9999", "--out", "run", "--quiet"], {})
        until(lambda: not jobs.look())


def unknown_command() -> PracError:
    from prac.cli.command import COMMANDS
    from prac.errors import unknown_name

    return unknown_name("command", "fnd", COMMANDS)


def test_a_signal_that_ended_them_all_stops_the_command_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def looked(jobs: Jobs) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return False

    monkeypatch.setattr(Jobs, "start", lambda *arguments: None)
    monkeypatch.setattr(Jobs, "look", looked)
    options = argparse.Namespace(max_seconds=None, seeds=(0, 1), jobs=2, device="cpu")
    with RunControl().listening() as run_control, pytest.raises(Interrupted, match="SIGTERM"):
        work_ahead(["compare"], Recipe(), options, Progress(quiet=True), run_control, started=0)


def test_a_limit_is_told_as_it_was_given_with_the_start_up_of_the_whole_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = time.monotonic() - 70
    monkeypatch.setattr("prac.cli.compare.followed", lambda given: (given, False, begun))
    command = "compare --data digits --limit 100 --model lenet_300_100 --layers linear --epochs 9"
    asked = (
        f"--levels 1 --methods imp --judged 1 --seeds 0 --out {tmp_path / 'run'} --max-seconds 3"
    )
    assert main([*command.split(), *asked.split()]) == 75
    said = capsys.readouterr().err
    assert re.search(r"start-up took 7\d\.\d s, more than its 3 s, for", said)


def test_each_process_tells_the_limit_that_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "compare --data digits --limit 100 --model lenet_300_100 --layers linear --epochs 9"
    asked = f"--levels 1 --methods imp --judged 1 --seeds 0,1 --out {tmp_path / 'run'} --jobs 2"
    assert main([*command.split(), *asked.split(), "--max-seconds", "0.25"]) == 75
    said = capsys.readouterr().err
    assert len(re.findall(r"start-up took \d+\.\d s, more than its 0\.25 s, for", said)) == 2


def test_they_are_asked_to_stop_as_the_command_is() -> None:
    asked = {name: _signal_of(Interrupted(name)).name for name in ("SIGTERM", "SIGHUP", "SIGUSR1")}
    assert all(name == sent for name, sent in asked.items())
    # After a terminal's own, a second one would lose the step under way.
    assert _signal_of(Interrupted("SIGINT")) == signal.SIGTERM
    assert _signal_of(KeyboardInterrupt()) == signal.SIGINT
    assert _signal_of(OSError()) == signal.SIGTERM


def test_each_has_its_part_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(7)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert _threads(3) == {"OMP_NUM_THREADS": "2"}
    assert _threads(9) == {"OMP_NUM_THREADS": "1"}
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert _threads(3) == {}


def test_options_are_added_where_they_are_options() -> None:
    assert _with(["run", "--seeds=1"], "--seeds", "2") == ["run", "--seeds=1", "--seeds", "2"]
    assert _with(["--json", "--", "run"], "--quiet") == ["--json", "--quiet", "--", "run"]
