"""What a network is trained for: a loss, and a rule that says which examples count as right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from prac.utils import described


def classified_right(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return bool (n,): whether the highest of (n, classes) outputs is the target class."""
    return outputs.argmax(1) == targets


def predicted_class(outputs: Tensor) -> Tensor:
    """Return int64 (n,): the class with the highest of (n, classes) outputs."""
    return outputs.argmax(1)


def cross_entropies(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return float (n,): the cross entropy of each of (n, classes, ...) outputs with its target.

    Where an example has several positions, as the pixels of a picture, it is their mean.
    """
    losses = F.cross_entropy(outputs, targets, reduction="none")
    return losses.flatten(1).mean(1) if losses.ndim > 1 else losses


@dataclass(frozen=True)
class Task:
    """A loss and the rules by which examples are judged; classification by default.

    Attributes:
        loss: (outputs, targets) -> scalar, the mean over the batch.
        correct: (outputs, targets) -> bool (n,), which examples count as right. Forgetting
            statistics and accuracies are made of it. It may be given several batches as one.
        prediction: outputs -> integer (n,), what two networks must agree on for an example not to
            be a critical example for pruning. None takes `correct` itself: they disagree where one
            is right and the other wrong.
        losses: (outputs, targets) -> float (n,), of which `loss` is the mean. InfoBatch needs it;
            known of classification by cross entropy.

    >>> import torch
    >>> near = lambda outputs, targets: (outputs - targets).abs().squeeze(1) < 0.1
    >>> regression = Task(loss=torch.nn.functional.mse_loss, correct=near, prediction=None)
    >>> regression.answers(torch.tensor([[1.0]]), torch.tensor([[1.05]])).tolist()
    [1]
    """

    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy
    correct: Callable[[Tensor, Tensor], Tensor] = classified_right
    prediction: Callable[[Tensor], Tensor] | None = predicted_class
    losses: Callable[[Tensor, Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        """Know each example's loss where the loss is the usual one."""
        if self.losses is None and self.loss is F.cross_entropy:
            object.__setattr__(self, "losses", cross_entropies)

    def answers(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return int64 (n,): what is compared between the dense and a pruned network."""
        if self.prediction is None:
            return self.correct(outputs, targets).to(torch.int64)
        return self.prediction(outputs).to(torch.int64)

    def own_parts(self, *, by_source: bool = True, data: bool = True) -> dict[str, str | None]:
        """Return the parts that are not classification's, described; None for those that are."""
        own: dict[str, str | None] = {}
        for name in ("loss", "correct", "prediction", "losses"):
            part = getattr(self, name)
            is_usual = part is getattr(CLASSIFICATION, name) or (name == "losses" and part is None)
            own[f"own_{name}"] = (
                None if is_usual else described(part, by_source=by_source, data=data)
            )
        return own


CLASSIFICATION = Task()
