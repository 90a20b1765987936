"""When a run saves and when it stops: intervals, time limits, signals."""

import os
import signal
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import prac
from prac import pace as pace_module
from prac.errors import PracError
from prac.pace import Interrupted, Interval, Pace
from prac.state_file import read_state
from prac.store import write_tensors


@given(st.integers(1, 10**9))
def test_a_number_is_iterations(number):
    assert Interval.parse(number) == Interval.parse(str(number)) == Interval(iterations=number)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1.5s", 1.5), ("10min", 600), ("2h", 7200)]
)
def test_a_number_with_a_unit_is_a_time(text, seconds):
    assert Interval.parse(text) == Interval(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-5", "1.5", "five", "10 min", "10m", "1e3", "s", "٣", "nan", "inf"]
)
def test_other_intervals_are_refused(text):
    with pytest.raises(PracError, match=r"save_every is .*: expected a number of iterations"):
        Pace(save_every=text)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_limit_that_is_none_is_refused(seconds):
    with pytest.raises(PracError, match="max_seconds is"):
        Pace(max_seconds=seconds)


class Clock:
    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(pace_module, "time", made)
    return made


def test_without_an_interval_nothing_is_saved_between_epochs():
    pace = Pace()
    assert not any(pace.after_step() for _ in range(1000))


def test_iterations_are_counted_from_the_last_state():
    pace = Pace(save_every=3)
    assert [pace.after_step() for _ in range(4)] == [False, False, True, True]
    pace.saved()
    assert [pace.after_step() for _ in range(3)] == [False, False, True]


def test_seconds_are_counted_from_the_last_state(clock):
    pace = Pace(save_every="10s")
    clock.now += 9
    assert not pace.after_step()
    clock.now += 1
    assert pace.after_step()
    pace.saved()
    assert not pace.after_step()


def test_a_limit_leaves_time_for_what_took_longest_so_far(clock):
    pace = Pace(max_seconds=60)
    with pace.working():
        for _ in range(3):
            clock.now += 1
            assert not pace.after_step()
        clock.now += 20  # The end of an epoch: validation, a state.
        assert not pace.after_step()
        clock.now += 16  # 39 of 60 seconds; 20 may come again.
        assert not pace.after_step()
        pace.check()
        clock.now += 1
        assert pace.after_step()
        with pytest.raises(Interrupted, match="stopped by max-seconds at level 3") as stop:
            pace.check("at level 3")
        assert stop.value.status == 75


def test_a_limit_leaves_time_for_the_state_under_way_and_the_last_one(clock):
    pace = Pace(max_seconds=60)
    with pace.working():
        clock.now += 1
        assert not pace.after_step()
        pace.saved(5)
        pace.saved(2)
        for _ in range(47):
            clock.now += 1
            assert not pace.after_step()
        clock.now += 1  # 49 of 60 seconds; a step, and two states.
        assert pace.after_step()


def test_what_came_before_the_work_is_no_measure_of_its_steps(clock):
    pace = Pace(max_seconds=60)
    clock.now += 40  # Loading the data.
    with pace.working():
        clock.now += 1
        assert not pace.after_step()


@pytest.mark.parametrize(
    ("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129), ("SIGUSR1", 75)]
)
def test_a_signal_waits_for_the_step_and_then_stops(name, status):
    told = []
    pace = Pace(tell=told.append)
    with pace.listening(), pace.working():
        os.kill(os.getpid(), getattr(signal, name))
        assert told == [f"{name}: finishing the step and saving; Ctrl-C stops at once"]
        assert pace.after_step()
        with pytest.raises(Interrupted, match=f"stopped by {name}") as stop:
            pace.check()
        assert stop.value.status == status


def test_a_second_ctrl_c_stops_at_once_and_other_signals_do_not_hurry():
    pace = Pace()
    with pace.listening(), pace.working():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted, match="SIGTERM"):
            pace.check()


def test_before_the_work_there_is_nothing_to_wait_for():
    with Pace().listening(), pytest.raises(Interrupted, match="SIGTERM"):
        os.kill(os.getpid(), signal.SIGTERM)


def test_handlers_are_put_back_and_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        usual = signal.getsignal(signal.SIGINT)
        pace = Pace()
        with pace.listening(), pace.working():
            assert signal.getsignal(signal.SIGINT) != usual
            os.kill(os.getpid(), signal.SIGHUP)
            assert not pace.is_stopping
        assert signal.getsignal(signal.SIGINT) == usual
    finally:
        signal.signal(signal.SIGHUP, before)


class Stopping:
    """A watcher that has a run stopped at its n-th event of a kind."""

    def __init__(self, pace, kind, at=1):
        self.pace, self.kind, self.left = pace, kind, at
        self.events = []

    def __call__(self, event):
        self.events.append(event.kind)
        self.left -= event.kind == self.kind
        if not self.left and event.kind == self.kind:
            os.kill(os.getpid(), signal.SIGUSR1)


RESULTS = ("levels/*/*.safetensors", "metrics.jsonl")


@pytest.mark.parametrize("kind", ["level", "saved", "epoch", "scoring", "pruned"])
def test_a_search_that_is_told_to_stop_saves_and_goes_on(
    kind, small_net, train, val, config, tmp_path, run_files
):
    settings = config(levels=2)
    prac.find(small_net(), train, settings, val=val, out=tmp_path / "whole")
    pace = Pace(save_every=2)
    watch = Stopping(pace, kind, at=1 if kind == "pruned" else 2)
    with pace.listening(), pytest.raises(prac.Interrupted, match="stopped by SIGUSR1"):
        prac.find(
            small_net(),
            train,
            settings,
            val=val,
            out=tmp_path / "cut",
            callback=watch,
            run_control=pace,
        )
    # Nothing was begun after it but the step under way.
    rest = watch.events[watch.events.index(kind) + 1 :]
    assert rest.count(kind) <= 1
    prac.find(small_net(seed=3), train, settings, val=val, out=tmp_path / "cut")
    assert run_files(tmp_path / "cut", *RESULTS) == run_files(tmp_path / "whole", *RESULTS)


@pytest.mark.parametrize("rewind", ["init", "iteration:8"])
def test_a_search_stopped_after_every_step_is_the_same_search(
    rewind, small_net, train, val, config, tmp_path, run_files
):
    settings = config(
        levels=1, rewind=rewind, stop=prac.StopConfig(epsilon=1.0, window=1, arm="at-once")
    )
    prac.find(small_net(), train, settings, val=val, out=tmp_path / "whole")
    stops = 0
    while True:
        # The limit is over before the first step; a run that never got anywhere would not end.
        pace = Pace(max_seconds=1e-9)
        try:
            prac.find(small_net(), train, settings, val=val, out=tmp_path / "cut", run_control=pace)
            break
        except Interrupted:
            stops += 1
    assert stops > 10
    assert run_files(tmp_path / "cut", *RESULTS) == run_files(tmp_path / "whole", *RESULTS)


@pytest.mark.parametrize("ending", ["signal", "interrupt", "error"])
def test_a_slow_disk_loses_nothing_however_a_search_is_ended(
    ending, small_net, train, val, config, tmp_path, run_files, monkeypatch
):
    settings = config(levels=2)
    prac.find(small_net(), train, settings, val=val, out=tmp_path / "whole")

    def slowly(*arguments):
        time.sleep(0.1)
        write_tensors(*arguments)

    monkeypatch.setattr("prac.checkpoint.write_tensors", slowly)
    pace, seen = Pace(), []

    def end(event):
        if event.kind == "epoch":
            seen.append(event.facts["iteration"])
        if len(seen) == 2 and event.kind == "epoch":
            if ending == "error":
                raise ZeroDivisionError
            os.kill(os.getpid(), signal.SIGUSR1 if ending == "signal" else signal.SIGINT)
            if ending == "interrupt":
                os.kill(os.getpid(), signal.SIGINT)

    kinds = {"signal": Interrupted, "interrupt": KeyboardInterrupt, "error": ZeroDivisionError}
    with pace.listening(), pytest.raises(kinds[ending]):
        prac.find(
            small_net(),
            train,
            settings,
            val=val,
            out=tmp_path / "cut",
            callback=end,
            run_control=pace,
        )
    newest = max((tmp_path / "cut" / "state").iterdir())
    assert read_state(newest)[0].step == seen[-1]
    prac.find(small_net(seed=3), train, settings, val=val, out=tmp_path / "cut")
    assert run_files(tmp_path / "cut", *RESULTS) == run_files(tmp_path / "whole", *RESULTS)


def test_a_limit_in_time_is_kept(small_net, train, config, tmp_path):
    endless = config("imp", train=prac.TrainConfig(epochs=10**6, batch_size=50))
    started = time.monotonic()
    with pytest.raises(Interrupted, match="max-seconds at level 0, epoch"):
        prac.find(
            small_net(), train, endless, out=tmp_path / "run", run_control=Pace(max_seconds=1.5)
        )
    assert time.monotonic() - started < 30


def test_a_signal_is_no_failure_of_what_it_comes_upon():
    # As while an image is decoded, or steps are tried: what fails there is caught.
    assert not issubclass(Interrupted, Exception)
