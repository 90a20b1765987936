"""Several trainings at once on one device: images a second of all of them, alone and under MPS.

Each is a process that trains the loop of a search. All start up and compile before any of them is
measured, and those that are not wait. `python -m bench.together ...` is such a process.
"""

from __future__ import annotations

import argparse
import os
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from bench import variants
from bench.machine import ROOT
from bench.options import Options
from bench.parts import environment, module
from bench.report import Row, Section
from bench.work import RESNET, Work, load, with_batch

MPS = "nvidia-cuda-mps-control"
ROUNDS, SECONDS = 3, 2.0
"""How often, and how long each time, so many processes train."""
READY, ANSWERED = 60.0, 60.0
"""Seconds within which a process has started up and compiled, or has answered."""


def measure(work: Work, path: Path, execution: str, batches: int, options: Options) -> Section:
    """Measure one, two and four trainings at once; under MPS too, where it is to be had."""
    counts = options.of((1, 2, 4), (1, 2))
    words = [str(path), execution, options.device, str(work.train.batch_size), str(batches)]
    rows, remarks = [], []
    for name, ways in (("", _plainly), (" under MPS", _under_mps)):
        if name and (options.device != "cuda" or shutil.which(MPS) is None):
            remarks.append(f"Not measured under MPS: there is no {MPS} here.")
            continue
        try:
            with ways(options.scratch) as env, _workers(max(counts), words, env) as workers:
                for count in counts:
                    speeds = [
                        _speed(workers[:count], options) for _ in range(options.of(ROUNDS, 1))
                    ]
                    what = f"{count} training{'s' if count > 1 else ''} at once{name}"
                    rows.append(Row.of(what, "images/s", speeds))
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            if not name:
                raise
            remarks.append(f"Not measured under MPS: {' '.join(str(error).split())[:300]}")
    facts = {"execution": execution, "device": options.device}
    return Section(rows, facts, remarks)


@contextmanager
def _plainly(scratch: Path) -> Iterator[Mapping[str, str]]:
    yield {}


@contextmanager
def _under_mps(scratch: Path) -> Iterator[Mapping[str, str]]:
    """Run MPS's daemon for a while, its files in the scratch folder; the card's settings stay.

    Raises:
        RuntimeError: If it does not start.
    """
    places = {"CUDA_MPS_PIPE_DIRECTORY": scratch / "mps", "CUDA_MPS_LOG_DIRECTORY": scratch / "log"}
    for place in places.values():
        place.mkdir(exist_ok=True)
    env = {name: str(place) for name, place in places.items()}
    control = shutil.which(MPS)
    assert control is not None, "it was looked for"

    def told(word: str) -> int:
        return subprocess.run(
            [control], input=f"{word}\n".encode(), env={**os.environ, **env}, timeout=20
        ).returncode

    daemon = subprocess.Popen([control, "-f"], env={**os.environ, **env})
    try:
        end = time.monotonic() + 10
        while told("get_server_list") != 0:
            if daemon.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{MPS} did not start, status {daemon.poll()}")
            time.sleep(0.2)
        yield env
    finally:
        try:
            told("quit")
            daemon.wait(10)
        except (OSError, subprocess.SubprocessError):
            daemon.kill()
            daemon.wait()


Worker = subprocess.Popen[str]


@contextmanager
def _workers(count: int, words: Sequence[str], env: Mapping[str, str]) -> Iterator[list[Worker]]:
    """Lend so many processes that stand ready to train."""
    with ExitStack() as stack:
        workers = []
        for seed in range(count):
            process = subprocess.Popen(
                module("bench.together", *words, str(seed)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**environment(), **env},
                cwd=ROOT,
            )
            workers.append(stack.enter_context(process))
            # Before it is waited for.
            stack.callback(process.kill)
        for worker in workers:
            _answer(worker, READY)
        yield workers


def _speed(workers: Sequence[Worker], options: Options) -> float:
    """Return the images a second of all these processes."""
    for worker in workers:
        _tell(worker, options.of(SECONDS, 0.1))
    return sum(_answer(worker, ANSWERED) for worker in workers)


def _tell(worker: Worker, seconds: float) -> None:
    print(seconds, file=_pipe(worker.stdin), flush=True)


def _answer(worker: Worker, within: float) -> float:
    """Return the number that a process answers.

    Raises:
        RuntimeError: If it does not.
    """
    output = _pipe(worker.stdout)
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        line = output.readline() if selector.select(within) else ""
    if not line:
        raise RuntimeError(f"one of the trainings at once did not answer, status {worker.poll()}")
    return float(line)


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None, "it was asked for"
    return stream


def main(arguments: Sequence[str] | None = None) -> None:
    """Get ready, say so (0), then train as long as each line says, and answer with images/s."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("execution")
    parser.add_argument("device")
    parser.add_argument("batch_size", type=int)
    parser.add_argument("batches", type=int)
    parser.add_argument("seed", type=int)
    given = parser.parse_args(arguments)
    work = with_batch(RESNET, given.batch_size)
    training = variants.search_loop(
        work, given.images, given.execution, given.seed, given.device, given.batches
    )
    images = min(given.batches * given.batch_size, len(load(work, given.images).y))
    training(0)  # Whatever is still to be captured.
    print(0, flush=True)
    for line in sys.stdin:
        print(images / _epoch_seconds(training, float(line)), flush=True)


def _epoch_seconds(training: variants.Round, seconds: float) -> float:
    """Return how long an epoch takes, on average over so many seconds or a little longer."""
    started, epochs, taken = time.monotonic(), 0, 0.0
    while taken < seconds:
        training(0)
        epochs, taken = epochs + 1, time.monotonic() - started
    return taken / epochs


if __name__ == "__main__":
    main()
