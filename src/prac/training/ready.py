"""Losses and rules of the ready tasks: which examples count as right where targets are no class."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from prac.training.metric import as_classes, as_targets


def classified_right(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return bool (n,): whether the highest of (n, classes) outputs is the target class.

    Of class probabilities, (n, classes), the target is the likeliest class.
    """
    return outputs.argmax(1) == as_classes(targets, outputs)


def predicted_class(outputs: Tensor) -> Tensor:
    """Return int64 (n,): the class with the highest of (n, classes) outputs."""
    return outputs.argmax(1)


def cross_entropies(outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Return float (n,): the cross entropy of each of (n, classes, ...) outputs with its target.

    Where an example has several positions, as the pixels of a picture, it is their mean.
    """
    losses = F.cross_entropy(outputs, targets, reduction="none", label_smoothing=label_smoothing)
    return losses.flatten(1).mean(1) if losses.ndim > 1 else losses


def counted_cross_entropy(
    outputs: Tensor, targets: Tensor, *, ignore_index: int, label_smoothing: float = 0.0
) -> Tensor:
    """Return the mean cross entropy over targets that are not ignored; 0 where all of them are.

    torch's own has no value then, and training would end with it.
    """
    total = F.cross_entropy(
        outputs,
        targets,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction="sum",
    )
    return total / (targets != ignore_index).sum().clamp(min=1)


def right_or_ignored(outputs: Tensor, targets: Tensor, *, ignore_index: int) -> Tensor:
    """Return bool (n,): whether the class is right, or the example has none.

    What has no class cannot be forgotten: it counts as right.
    """
    return (outputs.argmax(1) == targets) | (targets == ignore_index)


def token_loss(outputs: Tensor, targets: Tensor, *, ignore_index: int) -> Tensor:
    """Return the mean cross entropy of (n, length, vocabulary) outputs over counted positions."""
    return counted_cross_entropy(
        outputs.flatten(0, -2), targets.flatten(), ignore_index=ignore_index
    )


def mostly_right(
    outputs: Tensor, targets: Tensor, *, share: float, ignore_index: int, dim: int
) -> Tensor:
    """Return bool (n,): whether at least a share of an example's counted positions is right.

    An example without any is right. The classes are the outputs' dimension `dim`.
    """
    found = outputs.argmax(dim)
    counted = (targets != ignore_index).flatten(1)
    right = (found == targets).flatten(1) & counted
    return right.sum(1) >= share * counted.sum(1)


def within_reach(outputs: Tensor, targets: Tensor, *, within: float) -> Tensor:
    """Return bool (n,): whether all of an example's numbers are at most `within` off."""
    errors = (as_targets(outputs, targets) - targets).abs()
    return (errors <= within).reshape(len(targets), -1).all(1)


def squared_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error, of outputs in the targets' shape."""
    return F.mse_loss(as_targets(outputs, targets), targets)


def squared_losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return float (n,): each example's mean squared error."""
    errors = as_targets(outputs, targets) - targets
    return errors.square().reshape(len(targets), -1).mean(1)


def label_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean binary cross entropy of (n, labels) scores with targets of 0 and 1."""
    return F.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype))


def label_losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return float (n,): each example's mean binary cross entropy."""
    found = F.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype), reduction="none")
    return found.flatten(1).mean(1)


def all_labels_right(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return bool (n,): whether just the labels that are there have scores above 0."""
    right: Tensor = ((outputs > 0) == (targets > 0.5)).flatten(1).all(1)
    return right
