"""Values in the data that are not finite: named where a network or a loss does not take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from prac.data import Examples, TensorExamples, odd_rows
from prac.errors import PracError, is_out_of_memory
from prac.models import evaluating, tensors_put_back
from prac.training.runtime import Runtime
from prac.training.step import batch_loss
from prac.training.task import Task, floated
from prac.utils import (
    Tree,
    derive_seed,
    held_generators,
    leaves,
    mapped,
    named_leaves,
    seeded,
)

USUAL = 1e6  # Values beyond it are why a loss does not stay finite, rather than a rate.
BESIDE = 64  # Examples that one with such values is tried with, as a batch has others too.


class Trainable(Protocol):
    """What of a `Problem` examples are tried with."""

    @property
    def model(self) -> nn.Module:
        """On the runtime's device."""

    @property
    def task(self) -> Task:
        """Whose loss is to be finite."""

    @property
    def runtime(self) -> Runtime:
        """Where and how the model runs."""

    @property
    def batch_size(self) -> int:
        """Examples that are read at once."""


def check_values(problem: Trainable, name: str, examples: Examples) -> None:
    """Raise a PracError where the examples are known to have values that are not taken.

    Those of `name` that lie in memory are all known, of others those that were looked at.
    """
    known = getattr(examples, "not_finite", {})
    if not known:
        return
    is_sound = torch.ones(len(examples), dtype=torch.bool)
    is_sound[torch.cat(list(known.values()))] = False
    beside = torch.cat([_spaced(is_sound.nonzero()[:, 0]), _spaced((~is_sound).nonzero()[:, 0])])
    for first in sorted(int(ids[0]) for ids in known.values()):
        ids = torch.cat([torch.tensor([first]), beside[beside != first]])[: 1 + BESIDE]
        _check_batch(problem, name, ids, *next(iter(examples.stream([ids]))))


def _spaced(ids: Tensor) -> Tensor:
    """Return up to `BESIDE` of the examples, from all over."""
    return ids[torch.linspace(0, len(ids) - 1, min(len(ids), BESIDE)).long()]


def check_again(
    problem: Trainable, name: str, examples: Examples, ids: Tensor | None = None
) -> None:
    """Raise a PracError where some of the examples, which gave a loss that is not finite, are why.

    Args:
        problem: Its model's weights are finite.
        name: What the examples are of: "training", "validation" or "test".
        examples: Those that do not lie in memory are read again.
        ids: int64 (k,), those that the loss is of, as they were trained on; None for all of them,
            without augmentation.
    """
    if isinstance(examples, TensorExamples):
        check_values(problem, name, examples)  # What is stored; normalised, it may be other.
    batches = (torch.arange(len(examples)) if ids is None else ids).split(problem.batch_size)
    seeds: Sequence[int] | None = None if ids is None else [0] * len(batches)
    for batch, (x, y) in zip(batches, examples.stream(batches, seeds=seeds), strict=True):
        _check_batch(problem, name, batch, x, y)


def check_scale(problem: Trainable, examples: Examples, ids: Tensor) -> None:
    """Raise a PracError where values of a batch `ids` are too large for a loss that stays finite.

    That is so where the loss is not finite with the problem's weights, or values are beyond any
    usual scale.
    """
    x, y = next(iter(examples.stream([ids])))
    held = (*named_leaves(x, "x"), *named_leaves(y, "y"))
    pair = [(part, of) for part, of in held if not of.is_complex()]
    largest = max([float(of.abs().max()) for _, of in pair if of.is_floating_point()], default=0)
    if largest > USUAL or not _is_taken(problem, x, y):
        ends = ((part, of.double()) for part, of in pair)
        ranges = " and ".join(f"{p} from {of.min():.3g} to {of.max():.3g}" for p, of in ends)
        raise PracError(
            f"the loss does not stay finite, with {ranges} in a batch: scale the data to about 1, "
            f"or look for what the model or the loss divides by"
        )


def _check_batch(problem: Trainable, name: str, ids: Tensor, x: Tree, y: Tree) -> None:
    """Raise a PracError for the first kind of values in a batch that makes its loss not finite."""
    if any(of.ndim == 0 or len(of) != len(ids) for of in leaves((x, y))):
        return  # An own collation's: which rows are whose, only it knows.
    kinds = list(odd_rows(x, y))
    trains = name == "training"
    if not kinds or _is_taken(problem, x, y, trains=trains):
        return
    is_odd = torch.stack([rows for _, rows in kinds])
    sound = ~is_odd.any(0)
    if bool(sound.any()) and not _is_taken(problem, *_rows(x, y, sound), trains=trains):
        return  # It is the network's or the task's own.
    for (part, holds), rows in kinds:
        # Beside others of its kind: a loss may leave missing targets out, but not all there are.
        together = sound | (rows & (is_odd.sum(0) == 1))
        together[rows.nonzero()[0]] = True
        if not _is_taken(problem, *_rows(x, y, together), trains=trains):
            raise PracError(
                f"{part} of example {int(ids[int(rows.nonzero()[0])])} of the {name} data holds "
                f"{holds}, and the loss with it is no finite number: mend such examples or leave "
                f"them out, or pass a model or a loss that takes them"
            )


def _rows(x: Tree, y: Tree, chosen: Tensor) -> tuple[Tree, Tree]:
    """Return the chosen examples of a batch."""
    rows: tuple[Tree, Tree] = mapped(lambda of: of[chosen], (x, y))
    return rows


def _is_taken(problem: Trainable, x: Tree, y: Tree, *, trains: bool = False) -> bool:
    """Say whether model and task make something finite of a batch, in evaluation mode.

    If it `trains`, gradients are to be finite too: a ReLU may hide what they still come to.
    """
    model, runtime = problem.model, problem.runtime
    # What a model draws for itself is not to depend on what is looked at.
    drawing = seeded(derive_seed("trial"), runtime.device, held_generators(model))
    try:
        with tensors_put_back(model), evaluating(model), drawing, torch.set_grad_enabled(trains):
            with runtime.autocast():
                made = problem.task.made(model, runtime.to_memory_format(x), y)
            loss = batch_loss(problem.task, made._replace(outputs=floated(made.outputs)), y)
            found = [loss.isfinite().all(), *(~of.isnan().any() for of in leaves(made.outputs))]
            if trains:
                weights = [weight for weight in model.parameters() if weight.requires_grad]
                gradients: Sequence[Any] = torch.autograd.grad(loss, weights, allow_unused=True)
                found += [of.isfinite().all() for of in gradients if of is not None]
        return bool(torch.stack(found).all())
    except Exception as error:  # Own code, and distributions of torch's, refuse such values.
        if is_out_of_memory(error):
            raise
        return False
