"""Work in the background: one piece at a time, never given up, its errors told."""

import os
import signal
import threading
import time
from functools import partial

import pytest

from prac.runs.writer import Background


def add(done: list[int], number: int, seconds: float) -> None:
    time.sleep(seconds)
    done.append(number)


def test_work_is_done_while_its_giver_goes_on():
    background, go_on, done = Background(), threading.Event(), []
    background.start(lambda: (go_on.wait(10), done.append(1))[1])
    assert done == []
    go_on.set()
    background.wait()
    assert done == [1]
    background.wait()


def test_one_piece_at_a_time_in_order():
    background, done = Background(), []
    for number in range(20):
        background.start(partial(add, done, number, 0.001))
        assert len(done) >= number
    background.wait()
    assert done == list(range(20))


@pytest.mark.parametrize("error", [ValueError("no"), MemoryError(), KeyboardInterrupt()])
def test_an_error_is_told_once_by_the_next_that_waits(error):
    def fail():
        raise error

    background, done = Background(), []
    for ask in (background.wait, lambda: background.start(lambda: done.append(1))):
        background.start(fail)
        with pytest.raises(type(error)) as caught:
            ask()
        assert caught.value is error
        background.wait()
        assert done == []


def interrupted(background, times=1):
    """Have this process interrupted from outside while it waits for the background."""

    def interrupt():
        for _ in range(times):
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        background.wait()
    finally:
        thread.join()


def test_an_interruption_does_not_leave_work_half_done():
    background, done = Background(), []
    background.start(partial(add, done, 1, 0.5))
    with pytest.raises(KeyboardInterrupt):
        interrupted(background, times=3)
    assert done == [1]
    background.wait()


def test_of_an_error_and_an_interruption_the_error_is_told():
    def fail():
        time.sleep(0.3)
        raise ValueError("a full disk")

    background = Background()
    background.start(fail)
    with pytest.raises(ValueError, match="a full disk"):
        interrupted(background)


def test_signals_are_left_to_the_main_thread():
    background, blocked = Background(), []
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    background.start(lambda: blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
    background.wait()
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1} <= blocked[0]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_without_another_thread_the_work_is_done_all_the_same(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    background, done = Background(), []
    background.start(lambda: done.append(1))
    background.wait()
    assert done == [1]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_process_forked_meanwhile_has_no_part_in_the_work():
    background, go_on = Background(), threading.Event()
    background.start(lambda: (go_on.wait(10), None)[1])
    child = os.fork()
    if not child:
        background.wait()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    go_on.set()
    background.wait()
