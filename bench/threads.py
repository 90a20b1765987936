"""Section `threads`: what a second thread gains, by the arithmetic that a step has.

From it follows below which size a network trains on one thread: `prac.training.threads.SMALL`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

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
SECONDS = 0.2
"""Of a sample: some steps that take so long with one thread."""


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
    *(Case("lenet_300_100", MNIST, size) for size in (32, 60, 128, 512)),
    *(Case("resnet20s", DIGIT, size) for size in (32, 128)),
    *(Case("resnet20s", CIFAR, size) for size in (2, 8, 32, 128)),
    *(Case("conv2", DIGIT, size) for size in (32, 128)),
    *(Case("conv2", CIFAR, size) for size in (8, 32, 60, 128)),
)


def measure(options: Options) -> Section:
    """Measure steps on one thread and on two, in turns."""
    before = torch.get_num_threads()
    rows, facts = [], {}
    try:
        for case in options.of(CASES, CASES[:1]):
            size, steps_of = _made(case, options)
            one = statistics.median(steps_of(1, 3) for _ in range(3))
            steps = options.of(max(3, round(SECONDS / one)), 1)
            runs = {str(count): partial(steps_of, count, steps) for count in (1, THREADS)}
            found = interleaved(runs, options.of(9, 2))
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


def _made(case: Case, options: Options) -> tuple[float, Callable[[int, int], float]]:
    """Return an operation's multiplications, and what gives the seconds of a step.

    The latter is told how many threads to take, and how many steps; one more goes before them, with
    which threads are begun.
    """
    runtime = Runtime.choose("cpu", "fp32")
    with seeded(options.seed):
        model = build(case.model, image_shape=case.shape, classes=10)
        x = torch.rand(case.batch_size, *case.shape)
        y = torch.randint(10, (case.batch_size,))
    config = TrainConfig(batch_size=case.batch_size)
    optimizer, size = make_optimizer(model, config, runtime), case.batch_size
    step = Step(model, optimizer, {}, task=CLASSIFICATION, runtime=runtime, batch_size=size)

    def seconds(threads: int, steps: int) -> float:
        torch.set_num_threads(threads)
        step(x, y, 0.0)
        started = time.perf_counter()
        for _ in range(steps):
            step(x, y, 0.0)
        return (time.perf_counter() - started) / steps

    return multiplications(model, x, size), seconds
