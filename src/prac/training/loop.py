"""The one training loop: a generator that yields at epochs' ends and where else it is asked to."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn

from prac.algorithms import Plan, batch_sizes
from prac.data import Examples, TensorExamples, in_layout, to_device
from prac.errors import PracError
from prac.models import begin_training_, modes_of, set_modes_
from prac.training.average import WeightAverage
from prac.training.batch_transform import BatchTransform
from prac.training.descent import PLAIN, Descent
from prac.training.runtime import Runtime
from prac.training.step import Objective, Step, example_losses
from prac.training.task import Task, floated
from prac.utils import (
    Tree,
    derive_seed,
    generator,
    generators_put_back,
    leaves,
    mapped,
    named_leaves,
    seed_generators_,
)

JUDGED_BYTES = 2**20  # Of outputs and targets that wait to be judged.


@dataclass(frozen=True)
class Segment:
    """A stretch of training without a break, within one epoch.

    Attributes:
        start: Where in the plan it began, in iterations.
        step: Where it ended: the next epoch's beginning, also after an epoch of fewer batches.
        ids: int64 (k,), the examples presented, once each.
        correct: bool (k,), whether each was predicted right as it was presented.
        losses: float32, the training loss of each iteration.
        example_losses: float32 (k,), as they were presented; None unless asked for.
    """

    start: int
    step: int
    ids: Tensor
    correct: Tensor
    losses: Tensor
    ends_epoch: bool
    example_losses: Tensor | None = None

    @property
    def diverged_at(self) -> int | None:
        """The first iteration, counted from 1, whose loss is not finite; None if there is none."""
        bad = (~self.losses.isfinite()).nonzero()
        return self.start + int(bad[0]) + 1 if len(bad) else None


# Of an epoch, counted from 0: int64 (k,) examples to present, and float32 (k,) what each one's loss
# counts, or None where all count the same.
Sample = Callable[[int], tuple[Tensor, Tensor | None]]


def fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Examples,
    members: Tensor | Sample,
    plan: Plan,
    *,
    masks: Mapping[str, Tensor],
    task: Task,
    runtime: Runtime,
    batch_size: int,
    seed: int,
    start: int = 0,
    breaks: Callable[[int], bool] = lambda step: False,
    with_losses: bool = False,
    judges_alone: bool = False,
    objective: Objective | None = None,
    descent: Descent = PLAIN,
    average: WeightAverage | None = None,
    transform: BatchTransform | None = None,
) -> Generator[Segment, None, None]:
    """Train `model` in place on the members of `data`, yielding a Segment at each break.

    Breaks are the epochs' ends, the plan's end, and wherever `breaks` says so. They change nothing:
    whatever is random is drawn from the seed and the iteration. Pruned weights are exactly zero
    after every step, whatever momentum and weight decay do. Inside a segment nothing is read back
    from the device: losses and outcomes stay there until its end.

    Args:
        model: On the runtime's device.
        optimizer: Over the model's parameters; its rates are set from the plan.
        data: All training examples.
        members: int64, those to train on; or what says it of each epoch, asked before it begins,
            and with `with_losses` not before the one before it was yielded. An epoch of fewer
            batches than the plan's leaves out the rest of its iterations.
        plan: Length and learning rates.
        masks: Keep-masks by parameter name.
        task: Loss and correctness.
        runtime: Device, precision and execution.
        batch_size: Examples an iteration.
        seed: Source of order, augmentation and dropout.
        start: Iterations done before.
        breaks: Asked after each iteration, with its end's place in the plan, whether to break
            there as well.
        with_losses: Whether segments have their examples' losses.
        judges_alone: Whether the task judges each batch by itself, since it draws in it.
        objective: What is descended instead of the task's loss of the model's outputs.
        descent: What is done to gradients.
        average: Of the weights, told of each iteration.
        transform: What batches go through before they are trained on; whether examples are
            predicted right is told by the targets that they have themselves.

    Raises:
        PracError: If examples' losses are needed and the task does not tell them.
    """
    sample: Sample = members if callable(members) else lambda epoch: (members, None)
    begin_training_(model)
    modes = modes_of(model)
    data = in_layout(data, runtime.layout)
    train_step = Step(
        model,
        optimizer,
        masks,
        task=task,
        runtime=runtime,
        batch_size=batch_size,
        objective=objective,
        descent=descent,
    )
    each = EachBatch(train_step, transform, average)
    # What asks for losses may look at an epoch's before it says what the next presents; and loading
    # processes are those of one epoch at a time.
    looks_ahead = isinstance(data, TensorExamples) and not with_losses
    ahead: list[_Epoch] = []

    def at(step: int) -> _Epoch:
        return ahead.pop() if ahead else _Epoch(step, data, sample, plan, batch_size, seed)

    def look_ahead(end: int) -> None:
        if looks_ahead and end < plan.iterations:
            epoch = at(end)
            ahead.append(epoch)
            epoch.begin()

    step = start
    try:
        while step < plan.iterations:
            with closing(at(step)) as epoch:
                while step < epoch.last:
                    set_modes_(modes)  # Whatever was done with the model between two segments.
                    segment = _segment(
                        each,
                        epoch,
                        plan,
                        step,
                        breaks,
                        look_ahead,
                        with_losses=with_losses,
                        judges_alone=judges_alone,
                    )
                    step = segment.step
                    yield segment
            step = epoch.end
    finally:
        for epoch in ahead:
            epoch.close()


class Batch(NamedTuple):
    """What one iteration trains on: examples `ids` as (x, y), at `step` iterations, from `seed`.

    `weights`, float32 (n,) or None, is what each example's loss counts.
    """

    step: int
    seed: int
    ids: Tensor
    x: Tree
    y: Tree
    weights: Tensor | None


class EachBatch(NamedTuple):
    """What is done with each batch: the step, and what comes before it and after it."""

    step: Step
    transform: BatchTransform | None
    average: WeightAverage | None

    def __call__(self, batch: Batch, lr: float) -> tuple[Tensor, Tree]:
        """Train on a batch; return its loss and the outputs."""
        x, y = batch.x, batch.y
        if self.transform is not None:
            x, y = self.transform(x, y, generator(batch.seed, "batch transform"))
        found = self.step(x, y, lr, batch.weights, size=len(batch.ids))
        if self.average is not None:
            self.average.update_()
        return found


class _Epoch:
    """The batches of an epoch, or of what is left of it, made as they are asked for.

    Attributes:
        batches: Those not taken yet.
        last: Where its last batch ends, in iterations.
        end: Where the next epoch begins, whether or not this one has as many batches.
    """

    def __init__(
        self, step: int, data: Examples, sample: Sample, plan: Plan, batch_size: int, seed: int
    ) -> None:
        """Order what is presented from iteration `step` on."""
        epoch, done = divmod(step, plan.iterations_per_epoch)
        begin = step - done
        presented, weights = sample(epoch)
        order = getattr(data, "epoch_order", shuffled)
        ids = epoch_batches(presented, batch_size, derive_seed(seed, "order", epoch), order)
        ids = ids[done : plan.iterations - begin]
        self.last = step + len(ids)
        self.end = min(begin + plan.iterations_per_epoch, plan.iterations)
        epoch_seed = derive_seed(seed, "segment", begin)
        seeds = [derive_seed(epoch_seed, done + number) for number in range(len(ids))]
        by_example: Tensor | None = None
        if weights is not None:
            by_example = torch.zeros(len(data), dtype=torch.float32)
            by_example[presented] = weights
        self._made = _batches(data, ids, seeds, step, by_example)
        self.batches: Iterator[Batch] = self._made

    def begin(self) -> None:
        """Make the first batches, which on a device takes no longer than to ask for them."""
        self.batches = chain([next(self._made)], self._made)

    def close(self) -> None:
        """Make no more."""
        self._made.close()


def _batches(
    data: Examples, ids: list[Tensor], seeds: list[int], start: int, weights: Tensor | None
) -> Generator[Batch, None, None]:
    stream = data.stream(ids, seeds=seeds)
    for step, (batch, seed, (x, y)) in enumerate(zip(ids, seeds, stream, strict=True), start):
        if any(len(of) != len(batch) for of in (x, y) if isinstance(of, Tensor)):
            inputs, targets = (len(leaves(of)[0]) for of in (x, y))
            raise PracError(
                f"the data's `stream` gave {inputs} inputs and {targets} targets for a batch of "
                f"{len(batch)} examples: expected one of each, in the order of the indices"
            )
        counts = None if weights is None else to_device(weights[batch], x.device)
        yield Batch(step, seed, batch, x, y, counts)


def _segment(
    each: EachBatch,
    epoch: _Epoch,
    plan: Plan,
    start: int,
    breaks: Callable[[int], bool],
    look_ahead: Callable[[int], None],
    *,
    with_losses: bool,
    judges_alone: bool,
) -> Segment:
    """Train on an epoch's batches up to the first break."""
    ids, losses, step, train_step = [], [], epoch.last, each.step
    outcomes = _Outcomes(train_step.task, with_losses=with_losses, alone=judges_alone)
    # Dropout and the like draw from the process's generators, whose state is put back.
    with generators_put_back(train_step.runtime.device, train_step.held):
        for batch in epoch.batches:
            seed_generators_(batch.seed, train_step.generators)
            loss, outputs = each(batch, plan.lr_at(batch.step))
            ids.append(batch.ids)
            losses.append(loss)
            outcomes.add(outputs, batch.y)
            step = batch.step + 1
            if step == epoch.last or breaks(step):
                break
    train_step.settle_()
    ends_epoch = step == epoch.last
    if ends_epoch:
        next(epoch.batches, None)  # Lets the stream come to its own end.
        look_ahead(epoch.end)  # The device is still at work.
    return Segment(
        start,
        epoch.end if ends_epoch else step,
        torch.cat(ids),
        outcomes.correct(),
        torch.stack(losses).cpu(),
        ends_epoch,
        outcomes.losses(),
    )


class _Outcomes:
    """Which examples were predicted right, judged for several batches at once where they are small.

    For a small network, judging a batch takes as long as a good part of its step. A task that draws
    in it judges each batch `alone`, after its step, from whose seed it then draws.
    """

    def __init__(self, task: Task, *, with_losses: bool, alone: bool) -> None:
        self._task, self._with_losses, self._alone = task, with_losses, alone
        self._waiting: list[tuple[Tree, Tree]] = []
        self._form: list[tuple[str, torch.Size]] = []
        self._bytes = 0
        self._judged: list[Tensor] = []
        self._losses: list[Tensor] = []

    def add(self, outputs: Tree, y: Tree) -> None:
        """Take a batch's outputs (n, ...) and targets (n, ...)."""
        form = _shapes((outputs, y))
        if self._waiting and form != self._form:
            self._judge()
        self._form = form
        self._waiting.append((outputs, y))
        self._bytes += sum(of.nbytes for of in leaves((outputs, y)))
        if self._alone or self._bytes >= JUDGED_BYTES:
            self._judge()

    def _judge(self) -> None:
        outputs, targets = mapped(lambda *parts: torch.cat(parts), *self._waiting)
        self._judged.append(self._task.correct(outputs, targets))
        if self._with_losses:
            self._losses.append(example_losses(self._task, floated(outputs), targets))
        self._waiting, self._bytes = [], 0

    def correct(self) -> Tensor:
        """Return bool (n,) of all batches, on the CPU."""
        if self._waiting:
            self._judge()
        return torch.cat(self._judged).cpu()

    def losses(self) -> Tensor | None:
        """Return float32 (n,) of all batches judged, on the CPU; None where none was asked for."""
        return torch.cat(self._losses).float().cpu() if self._with_losses else None


def _shapes(batch: Tree) -> list[tuple[str, torch.Size]]:
    """Return the shapes of a batch's parts, but for how many examples it has."""
    return [(place, of.shape[1:]) for place, of in named_leaves(batch)]


def shuffled(members: Tensor, seed: int) -> Tensor:
    """Return int64 (n,), the members in an order drawn from `seed`."""
    return members[torch.randperm(len(members), generator=generator(seed))]


def epoch_batches(
    members: Tensor,
    batch_size: int,
    seed: int,
    order: Callable[[Tensor, int], Tensor] = shuffled,
) -> list[Tensor]:
    """Return one epoch's index batches: the members in an order drawn from `seed`.

    >>> [len(batch) for batch in epoch_batches(torch.arange(5), 2, seed=0)]
    [2, 3]
    """
    return list(order(members, seed).split(batch_sizes(len(members), batch_size)))
