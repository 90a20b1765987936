"""Scoring passes: evaluation mode, no augmentation, no gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from prac.algorithms import error_norms
from prac.data import Examples, TensorExamples, in_layout
from prac.errors import PracError
from prac.training.finite import check_again
from prac.training.problem import Problem
from prac.training.step import batch_loss
from prac.training.task import Made, floated
from prac.utils import (
    Tree,
    derive_seed,
    generators_put_back,
    held_generators,
    leaves,
    own_generators,
    seed_generators_,
)

# Batches smaller than this are put together for a scoring pass.
LEAST_BATCH = 64
# On a GPU, where each batch costs its launches, a pass takes more of what lies there already: some
# training batches, since there is no backward pass to keep anything for, but not without bounds.
TRAINING_BATCHES = 16
MOST_EXAMPLES = 2_500
MOST_BYTES = 2**26  # Of float32 inputs, and of outputs.


def nothing() -> None:
    """Do nothing between two batches."""


def forward(
    problem: Problem, examples: Examples, between: Callable[[], None] = nothing
) -> Iterator[tuple[Made, Tree]]:
    """Yield what the model makes of every batch, and the targets, on the device in index order.

    `between` is called before each batch; what it raises ends the pass.
    """
    model, runtime = problem.model, problem.runtime
    examples = in_layout(examples, runtime.layout)
    size = problem.batch_size * math.ceil(LEAST_BATCH / problem.batch_size)
    is_there = runtime.device.type == "cuda" and isinstance(examples, TensorExamples)
    ids = torch.arange(len(examples))
    held, number = held_generators(model), 0
    generators = [*own_generators(runtime.device), *held]
    with problem.measuring(), generators_put_back(runtime.device, held):
        while len(ids):
            # The first batch tells how large outputs are.
            part = ids[:size] if is_there else ids
            for x, y in examples.stream(list(part.split(size))):
                between()
                # What still draws, such as dropout that is left on, draws the same in every pass.
                seed_generators_(derive_seed("evaluation", number), generators)
                number += 1
                with torch.no_grad(), runtime.autocast():
                    made = problem.task.made(model, runtime.to_memory_format(x), y)
                yield made, y
            ids = ids[len(part) :]
            if is_there and len(ids):
                inputs = sum(of[0].numel() * 4 for of in leaves(x))
                an_example = max(inputs, sum(of[0].nbytes for of in leaves(made.outputs)), 1)
                most = (TRAINING_BATCHES * problem.batch_size, MOST_EXAMPLES)
                size = max(size, min(*most, MOST_BYTES // an_example))
                is_there = False


class Scores(NamedTuple):
    """What a network reaches on a set.

    Attributes:
        metric: The value of the task's metric; not finite where it has none.
        right: Share of examples that count as right.
        loss: Mean loss; not finite where it has overflowed.
    """

    metric: float
    right: float
    loss: float


def scores_of(
    problem: Problem, examples: Examples, between: Callable[[], None] = nothing
) -> Scores:
    """Return the metric, the share of examples that count as right, and the mean loss.

    Raises:
        PracError: If values in the examples that are not finite make the loss so.
    """
    task, right, loss = problem.task, [], []
    measured = None if task.metric is None else task.metric.begun()
    for made, y in forward(problem, examples, between):
        are_right = task.correct(made.outputs, y)
        right.append(are_right.sum())
        made = made._replace(outputs=floated(made.outputs))
        loss.append(batch_loss(task, made, y).detach() * len(are_right))
        if measured is not None:
            measured.add(made.outputs, y)
    # One transfer at the end: the loop over batches never waits for the device, if the metric's
    # statistics do not.
    count = len(examples)
    share, mean = (float(torch.stack(each).sum()) / count for each in (right, loss))
    if not math.isfinite(mean):
        known = {id(problem.train): "training", id(problem.val): "validation"}
        check_again(problem, known.get(id(examples), "test"), examples)
    return Scores(share if measured is None else measured.value(), share, mean)


def predictions(
    problem: Problem, examples: Examples, between: Callable[[], None] = nothing
) -> Tensor:
    """Return int32 (n,), the model's answer to every example, on the CPU.

    Answers of more than 32 bits, as codes of many labels may be, are int64.
    """
    answers = problem.task.answers
    parts = [answers(made.outputs, y) for made, y in forward(problem, examples, between)]
    found = _of_each(parts, examples)
    small = found.to(torch.int32)
    return small if torch.equal(small.to(torch.int64), found) else found


def el2n_scores(
    problem: Problem, examples: Examples, between: Callable[[], None] = nothing
) -> Tensor:
    """Return float32 (n,), the L2 norm of every example's error (EL2N), on the CPU.

    The task is classification: others' outputs are no scores of classes.
    """
    passes = forward(problem, examples, between)
    found = [error_norms(made.outputs.float().softmax(1), y) for made, y in passes]
    return _of_each(found, examples)


def _of_each(found: list[Tensor], examples: Examples) -> Tensor:
    """Return a pass's values on the CPU, which are told by example, in index order."""
    values = torch.cat(found).cpu()
    if len(values) != len(examples):
        raise PracError(
            f"the data's `stream` gave {len(values)} examples where it was asked for all "
            f"{len(examples)}: expected each of them once, in the order of the indices"
        )
    return values
