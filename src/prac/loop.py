"""The one training loop: a generator that yields at epochs' ends and where else it is asked to."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from prac.algorithms.schedule import Plan, batch_sizes
from prac.data.examples import Examples
from prac.step import Step
from prac.task import Task
from prac.world import World, derived_seed

JUDGED_BYTES = 2**20  # Of outputs and targets that wait to be judged.


@dataclass(frozen=True)
class Segment:
    """A stretch of training without a break, within one epoch.

    Attributes:
        step: Iterations done when it ended.
        ids: int64 (k,), the examples presented, once each.
        correct: bool (k,), whether each was predicted right as it was presented.
        losses: float32, the training loss of each iteration.
        ends_epoch: Whether the epoch ended here.
    """

    step: int
    ids: Tensor
    correct: Tensor
    losses: Tensor
    ends_epoch: bool

    @property
    def diverged_at(self) -> int | None:
        """The first iteration, counted from 1, whose loss is not finite; None if there is none."""
        bad = (~self.losses.isfinite()).nonzero()
        return self.step - len(self.losses) + int(bad[0]) + 1 if len(bad) else None


def fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Examples,
    members: Tensor,
    plan: Plan,
    *,
    masks: Mapping[str, Tensor],
    task: Task,
    world: World,
    batch_size: int,
    seed: int,
    start: int = 0,
    breaks: Callable[[int], bool] = lambda step: False,
) -> Generator[Segment, None, None]:
    """Train `model` in place on the members of `data`, yielding a Segment at each break.

    Breaks are the epochs' ends, the plan's end, and wherever `breaks` says so. They change nothing:
    whatever is random is drawn from the seed and the iteration. Pruned weights are exactly zero
    after every step, whatever momentum and weight decay do. Inside a segment nothing is read back
    from the device: losses and outcomes stay there until its end.

    Args:
        model: On the world's device.
        optimizer: Over the model's parameters; its rates are set from the plan.
        data: All training examples.
        members: int64, those to train on.
        plan: Length and learning rates.
        masks: Keep-masks by parameter name.
        task: Loss and correctness.
        world: Device, precision and execution.
        batch_size: Examples an iteration.
        seed: Source of order, augmentation and dropout.
        start: Iterations done before.
        breaks: Asked after each iteration, with the number done, whether to break there as well.
    """
    train_step = Step(model, optimizer, masks, task=task, world=world, batch_size=batch_size)
    step = start
    while step < plan.iterations:
        epoch, done = divmod(step, plan.iterations_per_epoch)
        end = min(step - done + plan.iterations_per_epoch, plan.iterations)
        order = derived_seed(seed, "order", epoch)
        ids = epoch_batches(members, batch_size, order)[done : done + end - step]
        epoch_seed = derived_seed(seed, "segment", step - done)
        seeds = [derived_seed(epoch_seed, done + number) for number in range(len(ids))]
        with closing(_batches(data, ids, seeds, step)) as batches:
            while step < end:
                segment = _segment(model, train_step, plan, batches, task, world, end, breaks)
                step = segment.step
                if segment.ends_epoch:
                    next(batches, None)  # Lets the stream come to its own end.
                yield segment


class Batch(NamedTuple):
    """What one iteration trains on: examples `ids` as (x, y), at `step` iterations, from `seed`."""

    step: int
    seed: int
    ids: Tensor
    x: Tensor
    y: Tensor


def _batches(
    data: Examples, ids: list[Tensor], seeds: list[int], start: int
) -> Generator[Batch, None, None]:
    stream = data.stream(ids, seeds=seeds)
    for step, (batch, seed, (x, y)) in enumerate(zip(ids, seeds, stream, strict=True), start):
        yield Batch(step, seed, batch, x, y)


def _segment(
    model: nn.Module,
    train_step: Step,
    plan: Plan,
    batches: Iterator[Batch],
    task: Task,
    world: World,
    end: int,
    breaks: Callable[[int], bool],
) -> Segment:
    """Train on `batches` up to the first break."""
    ids, losses, step = [], [], end
    outcomes = _Outcomes(task)
    model.train()
    with _own_randomness(world.device) as generators:
        for batch in batches:
            # Dropout and the like draw from torch's own generators.
            for generator in generators:
                generator.manual_seed(batch.seed)
            loss, outputs = train_step(batch.x, batch.y, plan.lr_at(batch.step))
            ids.append(batch.ids)
            losses.append(loss)
            outcomes.add(outputs, batch.y)
            step = batch.step + 1
            if step == end or breaks(step):
                break
    return Segment(step, torch.cat(ids), outcomes.correct(), torch.stack(losses).cpu(), step == end)


class _Outcomes:
    """Which examples were predicted right, judged for several batches at once where they are small.

    For a small network, judging a batch takes as long as a good part of its step.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._bytes = 0
        self._judged: list[Tensor] = []

    def add(self, outputs: Tensor, y: Tensor) -> None:
        """Take a batch's outputs (n, ...) and targets (n, ...)."""
        if self._waiting and not _alike(self._waiting[-1], (outputs, y)):
            self._judge()
        self._waiting.append((outputs, y))
        self._bytes += outputs.nbytes + y.nbytes
        if self._bytes >= JUDGED_BYTES:
            self._judge()

    def _judge(self) -> None:
        outputs, targets = (torch.cat(parts) for parts in zip(*self._waiting, strict=True))
        self._judged.append(self._task.correct(outputs, targets))
        self._waiting, self._bytes = [], 0

    def correct(self) -> Tensor:
        """Return bool (n,) of all batches, on the CPU."""
        if self._waiting:
            self._judge()
        return torch.cat(self._judged).cpu()


def _alike(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> bool:
    """Say whether two batches differ in nothing but their number of examples."""
    return all(a.shape[1:] == b.shape[1:] for a, b in zip(one, other, strict=True))


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[list[torch.Generator]]:
    """Lend torch's own generators for the CPU and `device`; their state is put back afterwards."""
    generators = [torch.default_generator]
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index or 0])
    states = [generator.get_state() for generator in generators]
    try:
        yield generators
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def epoch_batches(members: Tensor, batch_size: int, seed: int) -> list[Tensor]:
    """Return one epoch's index batches: the members in an order drawn from `seed`.

    >>> [len(batch) for batch in epoch_batches(torch.arange(5), 2, seed=0)]
    [2, 3]
    """
    order = torch.randperm(len(members), generator=torch.Generator().manual_seed(seed))
    return list(members[order].split(batch_sizes(len(members), batch_size)))
