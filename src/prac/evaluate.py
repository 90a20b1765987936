"""Scoring passes: evaluation mode, no augmentation, no gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from prac.data.examples import Examples
from prac.step import batch_loss
from prac.task import Task
from prac.world import World

# Fixed, so that predictions do not depend on a setting that may change between runs.
BATCH = 256


def nothing() -> None:
    """Do nothing between two batches."""


def forward(
    model: nn.Module, examples: Examples, world: World, between: Callable[[], None] = nothing
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (outputs, targets) on the device for every batch, in index order.

    `between` is called before each batch; what it raises ends the pass.
    """
    was_training = model.training
    model.eval()
    try:
        for x, y in examples.stream(list(torch.arange(len(examples)).split(BATCH))):
            between()
            with torch.no_grad(), world.autocast():
                outputs = model(world.placed(x))
            yield outputs, y
    finally:
        model.train(was_training)


def accuracy_and_loss(
    model: nn.Module,
    examples: Examples,
    task: Task,
    world: World,
    between: Callable[[], None] = nothing,
) -> tuple[float, float]:
    """Return the share of examples that count as right, and the mean loss."""
    right, loss = [], []
    for outputs, y in forward(model, examples, world, between):
        right.append(task.correct(outputs, y).sum())
        loss.append(batch_loss(task, outputs.float(), y).detach() * len(y))
    # One transfer at the end: the loop over batches never waits for the device.
    return (
        float(torch.stack(right).sum()) / len(examples),
        float(torch.stack(loss).sum()) / len(examples),
    )


def predictions(
    model: nn.Module,
    examples: Examples,
    task: Task,
    world: World,
    between: Callable[[], None] = nothing,
) -> Tensor:
    """Return int32 (n,), the model's answer to every example, on the CPU."""
    return torch.cat(
        [task.answers(outputs, y) for outputs, y in forward(model, examples, world, between)]
    ).cpu()
