"""`python -m bench.threads`: what a second thread gains, by the arithmetic that a step has.

From it follows below which size a network trains on one thread: `prac.training.threads.SMALL`.
Run it on an idle machine: with other work the threads wait for each other even in the fastest step.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from bench.options import Options
from bench.report import Row, Section
from bench.rounds import interleaved
from prac.config import TrainConfig
from prac.models.registry import build
from prac.training import CLASSIFICATION, Runtime
from prac.training.optimizer import make_optimizer
from prac.training.step import Step
from prac.training.threads import SMALL, multiplications
from prac.utils import seeded

THREADS = 2
SECONDS = 0.1
"""Of a sample: steps that take so long, and a few more where each waits for other work."""


@dataclass(frozen=True)
class Case:
    """A network on images of a shape, in batches."""

    model: str
    shape: tuple[int, int, int]
    batch_size: int

    @property
    def title(self) -> str:
        """Network, image and batch."""
        return f"{self.model}, {'x'.join(map(str, self.shape))}, batch {self.batch_size}"


DIGIT, MNIST, CIFAR = (1, 8, 8), (1, 28, 28), (3, 32, 32)
CASES = (
    *(Case("lenet_300_100", DIGIT, size) for size in (32, 60, 128)),
    *(Case("lenet_300_100", MNIST, size) for size in (32, 60, 128)),
    Case("resnet20s", DIGIT, 32),
    *(Case("resnet20s", CIFAR, size) for size in (8, 32, 128)),
    Case("conv2", DIGIT, 32),
    Case("conv2", CIFAR, 60),
)


def measure(options: Options) -> Section:
    """Measure steps on one thread and on two, in turns."""
    before = torch.get_num_threads()
    rows, facts = [], {}
    try:
        for case in options.of(CASES, CASES[:1]):
            size, fastest = _made(case, options)
            runs = {str(count): partial(fastest, count) for count in (1, THREADS)}
            found = interleaved(runs, options.of(7, 2))
            gains = [a / b for a, b in zip(found["1"], found[str(THREADS)], strict=True)]
            about = f"{case.title}, {size / 1e6:.3g} M multiplications an operation"
            rows.append(Row.of(f"{about}: one thread's step over two threads'", "", gains))
            facts[case.title] = {
                "multiplications": size,
                "seconds": {name: statistics.median(each) for name, each in found.items()},
            }
    finally:
        torch.set_num_threads(before)
    remark = f"A network trains on one thread below {SMALL / 1e6:g} M multiplications an operation."
    return Section(rows, facts, [remark])


def _made(case: Case, options: Options) -> tuple[float, Callable[[int], float]]:
    """Return an operation's multiplications, and what gives the seconds of the fastest step.

    The latter is told how many threads to take; one step more goes first, with which they begin.
    """
    runtime = Runtime.choose("cpu", "fp32")
    with seeded(options.seed):
        model = build(case.model, image_shape=case.shape, classes=10)
        x = torch.rand(case.batch_size, *case.shape)
        y = torch.randint(10, (case.batch_size,))
    config = TrainConfig(batch_size=case.batch_size)
    optimizer, size = make_optimizer(model, config, runtime), case.batch_size
    wanted = options.of(SECONDS, 0.0)
    step = Step(model, optimizer, {}, task=CLASSIFICATION, runtime=runtime, batch_size=size)

    def seconds(threads: int) -> float:
        torch.set_num_threads(threads)
        step(x, y, 0.0)
        found: list[float] = []
        while sum(found) < wanted or len(found) < 3:
            started = time.perf_counter()
            step(x, y, 0.0)
            found.append(time.perf_counter() - started)
        return min(found)

    return multiplications(model, x, size), seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what was measured, and how busy the machine was before and after."""
    argparse.ArgumentParser(prog="python -m bench.threads", description=__doc__).parse_args(
        arguments
    )
    before = os.getloadavg()[0]
    section = measure(Options(Path()))
    for row in section.rows:
        low, *_, high = sorted(row.samples)
        print(f"{row.what}: {row.value:.2f} ({low:.2f} to {high:.2f})")
    print(f"load {before:.1f} before, {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
