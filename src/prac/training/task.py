"""What a network is trained for: a loss, and a rule that says which examples count as right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from prac.errors import PracError
from prac.utils import Tree, arguments, changed_fields, described, mapped, with_article


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


class Made(NamedTuple):
    """What a model makes of a batch: the outputs that are judged, and its own loss if asked for."""

    outputs: Tree
    own_loss: Tensor | None = None


def floated(outputs: Tree) -> Tree:
    """Return outputs as float32, as losses and sums over many of them want it."""
    return mapped(lambda of: of.float() if of.is_floating_point() else of, outputs)


def _picked(returned: Any, which: Callable[[Any], Any] | str | int) -> Any:
    """Return a part of what a model returned.

    Raises:
        PracError: If it has none such.
    """
    if callable(which):
        return which(returned)
    try:
        if isinstance(which, str) and not isinstance(returned, Mapping):
            return getattr(returned, which)
        return returned[which]
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        has = f" of {', '.join(map(repr, returned))}" if isinstance(returned, Mapping) else ""
        raise PracError(
            f"the model returns {with_article(type(returned).__name__)}{has}, and the task asks "
            f"for {which!r} of it: name another part, or give a function"
        ) from error


@dataclass(frozen=True, repr=False)
class Task:
    """A loss and the rules by which examples are judged; classification by default.

    Outputs and targets are tensors, or tuples, lists and mappings of them.

    Attributes:
        loss: (outputs, targets) -> scalar, the mean over the batch; or where the model's own is
            found in what it returns, as `outputs` says it.
        correct: (outputs, targets) -> bool (n,), which examples count as right. Forgetting
            statistics and accuracies are made of it. It may be given several batches as one.
        prediction: outputs -> integer (n,), what two networks must agree on for an example not to
            be a critical example for pruning. None takes `correct` itself: they disagree where one
            is right and the other wrong.
        losses: (outputs, targets) -> float (n,), of which `loss` is the mean. InfoBatch needs it;
            known of classification by cross entropy.
        outputs: What of what the model returns is judged, where that is not one tensor: the name of
            an attribute or a key, a position, or a function of it.
        target_name: The argument by which the model itself takes the targets, such as "labels" for
            its own loss; None where it does not.

    >>> import torch
    >>> near = lambda outputs, targets: (outputs - targets).abs().squeeze(1) < 0.1
    >>> regression = Task(loss=torch.nn.functional.mse_loss, correct=near, prediction=None)
    >>> regression.answers(torch.tensor([[1.0]]), torch.tensor([[1.05]])).tolist()
    [1]
    """

    loss: Callable[[Tree, Tree], Tensor] | str = F.cross_entropy
    correct: Callable[[Tree, Tree], Tensor] = classified_right
    prediction: Callable[[Tree], Tensor] | None = predicted_class
    losses: Callable[[Tree, Tree], Tensor] | None = None
    outputs: Callable[[Any], Tree] | str | int | None = None
    target_name: str | None = None

    def __post_init__(self) -> None:
        """Know each example's loss where the loss is the usual one."""
        if self.losses is None and self.loss is F.cross_entropy:
            object.__setattr__(self, "losses", cross_entropies)

    def __repr__(self) -> str:
        """Return what is not classification's, functions by their names.

        >>> Task(prediction=None)
        Task(prediction=None)
        """
        changed = changed_fields(self)
        if self.loss is F.cross_entropy and self.losses is cross_entropies:
            changed.pop("losses", None)
        told = (f"{name}={getattr(of, '__name__', repr(of))}" for name, of in changed.items())
        return f"Task({', '.join(told)})"

    def made(self, model: Callable[..., Any], x: Tree, y: Tree) -> Made:
        """Return what a model makes of a batch, with its own loss where that is the task's.

        Raises:
            PracError: If what the model returns does not have what the task asks for.
        """
        given, named = arguments(x)
        if self.target_name is not None:
            named[self.target_name] = y
        returned = model(*given, **named)
        own = None
        if isinstance(self.loss, str):
            own = _picked(returned, self.loss)
            if not isinstance(own, Tensor):
                raise PracError(
                    f"the model's own loss {self.loss!r} is {with_article(type(own).__name__)}: "
                    f"expected a tensor; name the argument by which it takes the targets by "
                    f"Task(target_name=...)"
                )
        return Made(returned if self.outputs is None else _picked(returned, self.outputs), own)

    def answers(self, outputs: Tree, targets: Tree) -> Tensor:
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
        if self.outputs is not None:
            own["own_outputs"] = described(self.outputs, by_source=by_source, data=data)
        if self.target_name is not None:
            own["target_name"] = self.target_name
        return own


CLASSIFICATION = Task()
