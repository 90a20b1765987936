"""When a run saves and when it stops: intervals, time limits, signals."""

import math
import os
import signal
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import prac
from prac.errors import PracError
from prac.io import write_tensors
from prac.runs.checkpoint import read_state
from prac.training import Interrupted, RunControl, save_interval
from prac.training import run_control as pace_module


@given(st.integers(1, 10**9))
def test_a_number_is_iterations(number):
    assert save_interval(number) == save_interval(str(number)) == (number, math.inf)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1.5s", 1.5), ("10min", 600), ("2h", 7200)]
)
def test_a_number_with_a_unit_is_a_time(text, seconds):
    assert save_interval(text) == (math.inf, seconds)


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-5", "1.5", "five", "10 min", "10m", "1e3", "s", "٣", "nan", "inf"]
)
def test_other_intervals_are_refused(text):
    with pytest.raises(PracError, match=r"save_every is .*: expected a number of iterations"):
        RunControl(save_every=text)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_limit_that_is_none_is_refused(seconds):
    with pytest.raises(PracError, match="max_seconds is"):
        RunControl(max_seconds=seconds)


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
    run_control = RunControl()
    assert not any(run_control.after_step() for _ in range(1000))


def test_iterations_are_counted_from_the_last_state():
    run_control = RunControl(save_every=3)
    assert [run_control.after_step() for _ in range(4)] == [False, False, True, True]
    run_control.saved()
    assert [run_control.after_step() for _ in range(3)] == [False, False, True]


def test_seconds_are_counted_from_the_last_state(clock):
    run_control = RunControl(save_every="10s")
    clock.now += 9
    assert not run_control.after_step()
    clock.now += 1
    assert run_control.after_step()
    run_control.saved()
    assert not run_control.after_step()


def test_a_limit_leaves_time_for_what_took_longest_so_far(clock):
    run_control = RunControl(max_seconds=60)
    with run_control.working():
        for _ in range(3):
            clock.now += 1
            assert not run_control.after_step()
        clock.now += 20  # The end of an epoch: validation, a state.
        assert not run_control.after_step()
        clock.now += 16  # 39 of 60 seconds; 20 may come again.
        assert not run_control.after_step()
        run_control.check()
        clock.now += 1
        assert run_control.after_step()
        with pytest.raises(Interrupted, match="stopped by max-seconds at level 3") as stop:
            run_control.check("at level 3")
        assert stop.value.status == 75


def test_a_limit_leaves_time_for_the_state_under_way_and_the_last_one(clock):
    run_control = RunControl(max_seconds=60)
    with run_control.working():
        clock.now += 1
        assert not run_control.after_step()
        run_control.saved(5)
        run_control.saved(2)
        for _ in range(47):
            clock.now += 1
            assert not run_control.after_step()
        clock.now += 1  # 49 of 60 seconds; a step, and two states.
        assert run_control.after_step()


def test_what_came_before_the_work_is_no_measure_of_its_steps(clock):
    run_control = RunControl(max_seconds=60)
    clock.now += 40  # Loading the data.
    with run_control.working():
        clock.now += 1
        assert not run_control.after_step()


def stopped(run_control, clock, start_up, *, steps=0, seconds=0.0):
    """Return what is told at the end of so many steps after a start-up, the limit being over."""
    clock.now += start_up
    with run_control.working():
        for _ in range(steps):
            clock.now += seconds
            run_control.after_step()
        if not steps:
            run_control.saved()
        clock.now += 10_000
        with pytest.raises(Interrupted) as stop:
            run_control.check("at level 0, epoch 0, iteration 1")
    assert stop.value.reason == "max-seconds"
    assert stop.value.status == 75
    return str(stop.value).removeprefix("stopped by max-seconds at level 0, epoch 0, iteration 1")


def test_a_limit_that_start_up_took_most_of_is_told_with_the_figures(clock):
    said = stopped(RunControl(max_seconds=4), clock, 3.7, steps=1, seconds=0.1)
    assert said == " (start-up took 3.8 of its 4 s, for 1 iteration: give it more)"
    # To the first step's end, which builds what later ones need not.
    said = stopped(RunControl(max_seconds=60), clock, 30, steps=200, seconds=0.1)
    assert said == " (start-up took 30.1 of its 60 s, for 200 iterations: give it more)"


def test_a_limit_shorter_than_start_up_is_told_so(clock):
    said = stopped(RunControl(max_seconds=0.25), clock, 3, steps=1, seconds=0.5)
    assert said == " (start-up took 3.5 s, more than its 0.25 s, for 1 iteration: give it more)"
    said = stopped(RunControl(max_seconds=3.14159), clock, 4, steps=2, seconds=0.5)
    assert said == " (start-up took 4.5 s, more than its 3.1 s, for 2 iterations: give it more)"


def test_a_limit_that_began_before_is_told_as_it_was_given(clock):
    def begun():
        return RunControl(max_seconds=60, started=clock.now - 20)

    assert stopped(begun(), clock, 5, steps=20, seconds=1) == ""
    said = stopped(begun(), clock, 15, steps=200, seconds=0.1)
    assert said == " (start-up took 35.1 of its 60 s, for 200 iterations: give it more)"
    said = stopped(RunControl(max_seconds=3, started=clock.now - 20), clock, 1, steps=1)
    assert said == " (start-up took 21.0 s, more than its 3 s, for 1 iteration: give it more)"


def test_a_limit_that_began_before_stops_so_much_earlier(clock):
    run_control = RunControl(max_seconds=60, started=clock.now - 20)
    with run_control.working():
        for _ in range(38):
            clock.now += 1
            assert not run_control.after_step()
        clock.now += 1  # 59 of 60 seconds; a step may take one.
        assert run_control.after_step()


def test_a_limit_that_left_few_iterations_is_told_too(clock):
    said = stopped(RunControl(max_seconds=100), clock, 10, steps=4, seconds=20)
    assert said == " (start-up took 30.0 of its 100 s, for 4 iterations: give it more)"


def test_a_limit_that_was_used_for_work_is_told_without(clock):
    assert stopped(RunControl(max_seconds=60), clock, 5, steps=20, seconds=2) == ""
    # Pruning without training has states and no iterations.
    assert stopped(RunControl(max_seconds=3000), clock, 5) == ""


def test_other_stops_say_nothing_of_a_limit(clock):
    run_control = RunControl(max_seconds=4)
    clock.now += 3
    with run_control.listening(), run_control.working():
        os.kill(os.getpid(), signal.SIGUSR1)
        run_control.after_step()
        with pytest.raises(Interrupted, match=r"^stopped by SIGUSR1 at level 0$"):
            run_control.check("at level 0")


@pytest.mark.parametrize(
    ("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129), ("SIGUSR1", 75)]
)
def test_a_signal_waits_for_the_step_and_then_stops(name, status):
    told = []
    run_control = RunControl(tell=told.append)
    with run_control.listening(), run_control.working():
        os.kill(os.getpid(), getattr(signal, name))
        assert told == [f"{name}: finishing the step and saving; Ctrl-C stops at once"]
        assert run_control.after_step()
        with pytest.raises(Interrupted, match=f"stopped by {name}") as stop:
            run_control.check()
        assert stop.value.status == status


def test_a_second_ctrl_c_stops_at_once_and_other_signals_do_not_hurry():
    run_control = RunControl()
    with run_control.listening(), run_control.working():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted, match="SIGTERM"):
            run_control.check()


def test_before_the_work_there_is_nothing_to_wait_for():
    with RunControl().listening(), pytest.raises(Interrupted, match="SIGTERM"):
        os.kill(os.getpid(), signal.SIGTERM)


def test_handlers_are_put_back_and_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        usual = signal.getsignal(signal.SIGINT)
        run_control = RunControl()
        with run_control.listening(), run_control.working():
            assert signal.getsignal(signal.SIGINT) != usual
            os.kill(os.getpid(), signal.SIGHUP)
            assert not run_control.is_stopping
        assert signal.getsignal(signal.SIGINT) == usual
    finally:
        signal.signal(signal.SIGHUP, before)


class Stopping:
    """A watcher that has a run stopped at its n-th event of a kind."""

    def __init__(self, run_control, kind, at=1):
        self.run_control, self.kind, self.left = run_control, kind, at
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
    run_control = RunControl(save_every=2)
    watch = Stopping(run_control, kind, at=1 if kind == "pruned" else 2)
    with run_control.listening(), pytest.raises(prac.Interrupted, match="stopped by SIGUSR1"):
        prac.find(
            small_net(),
            train,
            settings,
            val=val,
            out=tmp_path / "cut",
            callback=watch,
            run_control=run_control,
        )
    # Nothing was begun after it but the step under way.
    rest = watch.events[watch.events.index(kind) + 1 :]
    assert rest.count(kind) <= 1
    prac.find(small_net(), train, settings, val=val, out=tmp_path / "cut")
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
        run_control = RunControl(max_seconds=1e-9)
        try:
            prac.find(
                small_net(), train, settings, val=val, out=tmp_path / "cut", run_control=run_control
            )
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

    monkeypatch.setattr("prac.runs.folder.write_tensors", slowly)
    run_control, seen = RunControl(), []

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
    with run_control.listening(), pytest.raises(kinds[ending]):
        prac.find(
            small_net(),
            train,
            settings,
            val=val,
            out=tmp_path / "cut",
            callback=end,
            run_control=run_control,
        )
    newest = max((tmp_path / "cut" / "state").iterdir())
    assert read_state(newest)[0].step == seen[-1]
    prac.find(small_net(), train, settings, val=val, out=tmp_path / "cut")
    assert run_files(tmp_path / "cut", *RESULTS) == run_files(tmp_path / "whole", *RESULTS)


def test_a_limit_in_time_is_kept(small_net, train, config, tmp_path):
    endless = config("imp", train=prac.TrainConfig(epochs=10**6, batch_size=50))
    started = time.monotonic()
    with pytest.raises(Interrupted, match="max-seconds at level 0, epoch"):
        prac.find(
            small_net(),
            train,
            endless,
            out=tmp_path / "run",
            run_control=RunControl(max_seconds=1.5),
        )
    assert time.monotonic() - started < 30


def test_a_signal_is_no_failure_of_what_it_comes_upon():
    # As while an image is decoded, or steps are tried: what fails there is caught.
    assert not issubclass(Interrupted, Exception)
