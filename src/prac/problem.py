"""A network, its data and its task on a device: what every training and scoring pass is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from prac.data.examples import Examples, as_examples
from prac.errors import PracError
from prac.task import CLASSIFICATION, Task
from prac.world import World


@dataclass(frozen=True)
class Problem:
    """What is trained and on what.

    Attributes:
        model: On the world's device; trained in place.
        train: All training examples, D0.
        val: Held-out examples that choose the best epoch; None takes the last one.
        task: Loss and correctness.
        world: Device and precision.
    """

    model: nn.Module
    train: Examples
    val: Examples | None
    task: Task
    world: World

    @classmethod
    def of(
        cls,
        model: nn.Module,
        train: Any,
        val: Any = None,
        *,
        task: Task = CLASSIFICATION,
        world: World,
    ) -> Problem:
        """Return the problem on the world's device, checked with one forward pass.

        Raises:
            PracError: If the data is of no known kind, its shape does not fit the model, or a
                label has no output.
        """
        problem = cls(
            model.to(world.device),
            as_examples(train).to(world.device),
            None if val is None else as_examples(val).to(world.device),
            task,
            world,
        )
        for name, examples in (("training", problem.train), ("validation", problem.val)):
            if examples is not None:
                problem.check(name, examples)
        return problem

    def check(self, name: str, examples: Examples) -> None:
        """Raise a PracError unless the model and the task take the examples."""
        some = torch.arange(min(len(examples), 2))
        x, y = next(iter(examples.stream([some])))
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                outputs = self.model(x)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise PracError(
                f"the model does not take the {name} data: a batch of shape {tuple(x.shape)} and "
                f"type {x.dtype} gave: {' '.join(str(error).split())}"
            ) from error
        finally:
            self.model.train(was_training)
        if self.task.prediction is CLASSIFICATION.prediction:
            if y.dtype.is_floating_point or y.dtype == torch.bool or y.ndim != 1:
                raise PracError(
                    f"the {name} labels are {y.dtype}, {y.ndim}-dimensional in a batch: expected "
                    f"one integer class an example; for another task pass task=prac.Task(...)"
                )
            _check_classes(name, examples, outputs.shape)
        try:
            with torch.no_grad():
                self.task.loss(outputs, y)
                correct = self.task.correct(outputs, y)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise PracError(
                f"the task does not take the model's outputs of shape {tuple(outputs.shape)} with "
                f"{name} targets of shape {tuple(y.shape)}: {' '.join(str(error).split())}"
            ) from error
        if correct.shape != (len(some),) or correct.dtype != torch.bool:
            raise PracError(
                f"the task's `correct` gave {correct.dtype} of shape {tuple(correct.shape)} for "
                f"{len(some)} examples: expected one bool an example"
            )


def _check_classes(name: str, examples: Examples, shape: torch.Size) -> None:
    if len(shape) != 2:
        raise PracError(
            f"the model's outputs have shape {tuple(shape)}: expected (examples, classes); for "
            f"another task pass task=prac.Task(...)"
        )
    labels = examples.labels
    if labels is None:
        return
    outside = ((labels < 0) | (labels >= shape[1])).nonzero()
    if len(outside):
        first = int(outside[0])
        raise PracError(
            f"{name} example {first} has label {int(labels[first])}, but the model has "
            f"{shape[1]} outputs: expected labels from 0 to {shape[1] - 1}"
        )
