"""What a network is trained for: a loss, a rule of which examples count as right, a metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from prac.config import check_bounds, checked
from prac.errors import PracError
from prac.runs import ACCURACY, SHARE_RIGHT, Measure
from prac.training.given import Hinting, check_function
from prac.training.metric import IGNORED, Metric, shifted
from prac.training.ready import (
    all_labels_right,
    classified_right,
    counted_cross_entropy,
    cross_entropies,
    label_loss,
    label_losses,
    mostly_right,
    predicted_class,
    right_or_ignored,
    squared_loss,
    squared_losses,
    token_loss,
    within_reach,
)
from prac.utils import Tree, arguments, changed_fields, described, mapped, with_article


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


def _name_of(part: Any) -> str:
    """Return a function's name, that of a partial one's too; what anything else shows."""
    return getattr(getattr(part, "func", part), "__name__", repr(part))


def _check_number(name: str, value: float, **bounds: float) -> None:
    """Raise a PracError unless a ready task's keyword is a number within bounds."""
    check_bounds(name, checked(name, value, float), bounds)


@dataclass(frozen=True, repr=False)
class Task(Hinting):
    """A loss, the rules by which examples are judged, and a metric; classification by default.

    Outputs and targets are tensors, or tuples, lists and mappings of them. Ready are
    `Task.classification`, `regression`, `multi_label`, `segmentation` and `language_model`.

    Attributes:
        loss: (outputs, targets) -> scalar, the mean over the batch; or where the model's own is
            found in what it returns, as `outputs` says it.
        correct: (outputs, targets) -> bool (n,), which examples count as right: forgetting
            statistics, and error barriers, are made of it. It may be given several batches as one.
        prediction: outputs -> integer (n,), what two networks must agree on for an example not to
            be a critical example for pruning. None takes `correct` itself: they disagree where one
            is right and the other wrong.
        losses: (outputs, targets) -> float (n,), of which `loss` is the mean. InfoBatch needs it;
            known of classification by cross entropy.
        outputs: What of what the model returns is judged, where that is not one tensor: the name of
            an attribute or a key, a position, or a function of it.
        target_name: The argument by which the model itself takes the targets, such as "labels" for
            its own loss; None where it does not.
        metric: What best epochs, verdicts and reports go by; None for the share of examples that
            `correct` calls right, which for classes is the accuracy.
        ignore_index: A label that says that an example has no class, where there is such; `loss`
            and `correct` leave it out.

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
    metric: Metric | None = None
    ignore_index: int | None = None

    def __post_init__(self) -> None:
        """Check what is given, and know each example's loss where the loss is the usual one.

        Raises:
            PracError: If a part is of another type.
        """
        if not isinstance(self.loss, str):
            check_function("the task's loss", self.loss)
        check_function("the task's correct", self.correct)
        for name in ("prediction", "losses"):
            if getattr(self, name) is not None:
                check_function(f"the task's {name}", getattr(self, name))
        metric: object = self.metric
        if metric is not None and not isinstance(metric, Metric):
            raise PracError(
                f"the task's metric is {_name_of(metric)}: expected a prac.Metric, such as "
                f"Metric.accuracy(), or Metric.of_all(NAME, FUNCTION) for a function of outputs "
                f"and targets"
            )
        checked("the task's target_name", self.target_name, str | None)
        checked("the task's ignore_index", self.ignore_index, int | None)
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
        told = (f"{name}={_name_of(of)}" for name, of in changed.items())
        return f"Task({', '.join(told)})"

    @classmethod
    def classification(
        cls, *, ignore_index: int | None = None, label_smoothing: float = 0.0
    ) -> Task:
        """Return classification by cross entropy, measured by the accuracy.

        Outputs are (n, classes); targets (n,) classes, or class probabilities (n, classes).

        Args:
            ignore_index: A label that says that an example has no class: it is left out of loss
                and accuracy, and counts as right.
            label_smoothing: How much of each target is spread over all classes.
        """
        if ignore_index is not None:
            loss = partial(
                counted_cross_entropy, ignore_index=ignore_index, label_smoothing=label_smoothing
            )
            return cls(
                loss=loss,
                correct=partial(right_or_ignored, ignore_index=ignore_index),
                metric=Metric.accuracy(ignore_index),
                ignore_index=ignore_index,
            )
        if not label_smoothing:
            return CLASSIFICATION
        return cls(
            loss=partial(F.cross_entropy, label_smoothing=label_smoothing),
            losses=partial(cross_entropies, label_smoothing=label_smoothing),
        )

    @classmethod
    def regression(cls, *, within: float) -> Task:
        """Return regression by squared errors, measured by their mean.

        Outputs and targets are (n,) or (n, numbers).

        Args:
            within: How far off every number of an example may be for it to count as right, in the
                targets' unit: choose it so that some examples are, and some are not.
        """
        _check_number("within", within, at_least=0)
        return cls(
            loss=squared_loss,
            correct=partial(within_reach, within=within),
            prediction=None,
            losses=squared_losses,
            metric=Metric.mean_squared_error(),
        )

    @classmethod
    def multi_label(cls) -> Task:
        """Return the finding of labels, any number of them an example, measured by macro F1.

        Outputs are scores (n, labels), found above 0; targets are as many of 0 and 1. The loss is
        binary cross entropy; right is an example with all of its labels right.
        """
        return cls(
            loss=label_loss,
            correct=all_labels_right,
            prediction=None,
            losses=label_losses,
            metric=Metric.f1("macro"),
        )

    @classmethod
    def segmentation(cls, *, ignore_index: int = IGNORED, right_share: float = 0.9) -> Task:
        """Return the classification of every pixel by cross entropy, measured by the mean IoU.

        Outputs are (n, classes, height, width); targets (n, height, width).

        Args:
            ignore_index: The target of pixels that are left out.
            right_share: Share of its pixels from which on an example counts as right.
        """
        right = partial(mostly_right, share=right_share, ignore_index=ignore_index, dim=1)
        _check_number("right_share", right_share, at_least=0, at_most=1)
        return cls(
            loss=partial(counted_cross_entropy, ignore_index=ignore_index),
            correct=right,
            prediction=None,
            metric=Metric.mean_iou(ignore_index),
        )

    @classmethod
    def language_model(
        cls, *, ignore_index: int = IGNORED, right_share: float = 0.5, shift: bool = False
    ) -> Task:
        """Return the prediction of tokens by cross entropy, measured by the perplexity.

        Outputs are (n, length, vocabulary); targets (n, length), at each place the token that is to
        be predicted there, which for a causal model is the next one.

        Causal models of transformers take the sequences themselves as `labels`, and shift them in
        their own loss. Their task shifts them too: `dataclasses.replace(Task.language_model(
        shift=True), outputs="logits", loss="loss", target_name="labels")`.

        Args:
            ignore_index: The target of places that are left out, such as padding.
            right_share: Share of its tokens, given those before, from which on a sequence counts
                as right: about what the trained network reaches, so that some do.
            shift: Whether targets are the sequences themselves: each place is then judged by the
                token one place further on, and the last one is not.
        """
        right: Callable[..., Tensor]
        right = partial(mostly_right, share=right_share, ignore_index=ignore_index, dim=-1)
        loss: Callable[..., Tensor] = partial(token_loss, ignore_index=ignore_index)
        _check_number("right_share", right_share, at_least=0, at_most=1)
        if checked("shift", shift, bool):
            right, loss = partial(shifted, of=right), partial(shifted, of=loss)
        return cls(
            loss=loss,
            correct=right,
            prediction=None,
            metric=Metric.perplexity(ignore_index, shift=shift),
        )

    @property
    def measure(self) -> Measure:
        """What best epochs, verdicts and reports go by: name, direction and form."""
        if self.metric is not None:
            return self.metric.measure
        return ACCURACY if self.correct is classified_right else SHARE_RIGHT

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
        if self.metric is not None:
            parts = (self.metric.statistics, self.metric.value)
            own["own_metric"] = " ".join(
                described(part, by_source=by_source, data=data) for part in parts
            )
        return own


CLASSIFICATION = Task()


def check_is_task(task: object) -> None:
    """Raise a PracError unless a task is given."""
    if isinstance(task, Task):
        return
    remedy = "leave it out for classification"
    if isinstance(task, Metric):
        remedy = "pass prac.Task(metric=...) for classification measured by it"
    elif callable(task):
        remedy = "call it, if it makes one"
    raise PracError(
        f"task is {_name_of(task)}: expected a prac.Task, such as prac.Task.multi_label(); {remedy}"
    )
