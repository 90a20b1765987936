"""What a network is measured by over a set of examples: sums over batches, and a value of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from prac.config import checked
from prac.errors import PracError
from prac.runs import Measure
from prac.training.given import Hinting, check_function
from prac.utils import Tree, leaves, mapped, with_article

IGNORED = -100
"""The target of what is left out of losses and metrics, as `F.cross_entropy` has it."""

ROUNDING = 1e-6

Average = Literal["macro", "micro", "binary"]


@dataclass(frozen=True, repr=False)
class Metric(Hinting):
    """A measure of a network over a set: its name, which way is better, and its value.

    Its value is that of the whole set, whatever batches it is read in: what sums is summed over the
    batches on the device, in double precision, and the value is made of the sums at the end.

    Attributes:
        name: As tables, charts and verdicts call it, such as "perplexity".
        statistics: (outputs, targets) of a batch -> what is summed: a tensor, or a tuple, a list or
            a mapping of tensors.
        value: The sums, on the CPU -> one number.
        higher_is_better: Which way is better: best epochs and verdicts go by it.
        is_share: Whether values are shares, from 0 to 1, and are written in percent.
        gathers: Whether what `statistics` gives is put together, (n, ...) of all examples in order,
            instead of summed; see `Metric.of_all`.

    >>> absolute = Metric(
    ...     "mean absolute error",
    ...     lambda outputs, targets: ((outputs - targets).abs().sum(), torch.tensor(len(targets))),
    ...     lambda sums: sums[0] / sums[1],
    ...     higher_is_better=False,
    ... )
    >>> batches = [
    ...     (torch.tensor([1.0, 2.0]), torch.zeros(2)),
    ...     (torch.tensor([6.0]), torch.zeros(1)),
    ... ]
    >>> absolute.over(batches)
    3.0
    """

    name: str
    statistics: Callable[[Tree, Tree], Tree]
    value: Callable[[Any], Any]
    higher_is_better: bool = True
    is_share: bool = False
    gathers: bool = False

    def __post_init__(self) -> None:
        """Check what is given.

        Raises:
            PracError: If the name is no line of text, or a part is of another type.
        """
        name: object = self.name
        if not isinstance(name, str) or not name.strip() or "\n" in name:
            raise PracError(
                f"a metric's name is {self.name!r}: expected a few words, such as 'perplexity'"
            )
        for part in ("statistics", "value"):
            check_function(f"the metric {name!r}: its {part}", getattr(self, part))
        for part in ("higher_is_better", "is_share", "gathers"):
            checked(f"the metric {name!r}: its {part}", getattr(self, part), bool)

    def __repr__(self) -> str:
        """Return its name, and which way is better.

        >>> Metric.perplexity()
        Metric('perplexity', lower is better)
        """
        better = "higher" if self.higher_is_better else "lower"
        return f"Metric({self.name!r}, {better} is better)"

    @property
    def measure(self) -> Measure:
        """What folders record of it."""
        return Measure(self.name, self.higher_is_better, self.is_share)

    def over(self, batches: Any) -> float:
        """Return the value over batches of (outputs, targets).

        Raises:
            PracError: If there is no batch, or the value is not one number.
        """
        found = self.begun()
        for outputs, targets in batches:
            found.add(outputs, targets)
        return found.value()

    def begun(self) -> Accumulated:
        """Return what batches are added to, one after the other."""
        return Accumulated(self)

    @classmethod
    def of_all(
        cls,
        name: str,
        function: Callable[[Any, Any], Any],
        *,
        higher_is_better: bool = True,
        is_share: bool = False,
    ) -> Metric:
        """Return a metric of all outputs and targets of a set at once, for what does not sum.

        Such are a median, or the area under a curve. All are held in memory, on the CPU; the
        functions of scikit-learn and torchmetrics can be given.

        Args:
            name: As it is called.
            function: (outputs, targets) of the whole set, on the CPU -> one number.
            higher_is_better: Which way is better.
            is_share: Whether values are shares, written in percent.

        >>> worst = Metric.of_all(
        ...     "largest error",
        ...     lambda outputs, targets: (outputs - targets).abs().max(),
        ...     higher_is_better=False,
        ... )
        >>> worst.over([(torch.tensor([1.0]), torch.tensor([0.5])), (torch.ones(2), torch.ones(2))])
        0.5
        """
        check_function(f"the metric {name!r}: its function", function)
        return cls(name, _both, partial(_of_both, function), higher_is_better, is_share, True)

    @classmethod
    def accuracy(cls, ignore_index: int = IGNORED, *, name: str = "accuracy") -> Metric:
        """Return the share of predicted classes that are right.

        Outputs are (n, classes, ...), targets (n, ...), or class probabilities (n, classes, ...).
        Where an example has several positions, all count: name it "pixel accuracy", say.
        """
        count = partial(_classes_right, ignore_index=ignore_index)
        return cls(name, count, _ratio, is_share=True)

    @classmethod
    def mean_squared_error(cls) -> Metric:
        """Return the mean of squared errors over all numbers of all targets."""
        return cls("mean squared error", _squared_errors, _ratio, higher_is_better=False)

    @classmethod
    def perplexity(cls, ignore_index: int = IGNORED, *, shift: bool = False) -> Metric:
        """Return the exponential of the mean cross entropy over all positions of all sequences.

        Outputs are (n, length, vocabulary), targets (n, length): the token that comes next at each
        place, or `ignore_index`. To `shift` says that targets are the sequences themselves, whose
        next token each place predicts.
        """
        sums: Callable[..., Tree] = partial(_token_losses, ignore_index=ignore_index)
        if shift:
            sums = partial(shifted, of=sums)
        return cls("perplexity", sums, _exponential_ratio, higher_is_better=False)

    @classmethod
    def mean_iou(cls, ignore_index: int = IGNORED) -> Metric:
        """Return the intersection over union of predicted and true positions, a mean over classes.

        Outputs are (n, classes, ...), targets (n, ...). Intersections and unions are those of the
        whole set; classes that neither occur nor are predicted are left out (Everingham et al.,
        "The PASCAL Visual Object Classes Challenge", 2010).
        """
        counts = partial(_class_counts, ignore_index=ignore_index)
        return cls("mean IoU", counts, _mean_iou, is_share=True)

    @classmethod
    def f1(cls, average: Average = "macro", ignore_index: int = IGNORED) -> Metric:
        """Return F1, the harmonic mean of precision and recall, of the whole set.

        Outputs are (n, classes, ...) with targets (n, ...), or scores (n, labels) with targets of
        the same shape, 0 or 1, of which those above 0 are predicted.

        Args:
            average: "macro" for the mean over classes or labels that occur or are predicted,
                "micro" for F1 of the counts of all of them, "binary" for class 1 alone.
            ignore_index: The target of what is left out.

        Raises:
            PracError: If there is no such average.
        """
        if average not in ("macro", "micro", "binary"):
            raise PracError(f"average is {average!r}: expected 'macro', 'micro' or 'binary'")
        counts = partial(_class_counts, ignore_index=ignore_index)
        name = "F1" if average == "binary" else f"{average} F1"
        return cls(name, counts, partial(_f1, average=average), is_share=True)


class Accumulated:
    """A metric's statistics of the batches so far."""

    def __init__(self, metric: Metric) -> None:
        """Begin with none."""
        self.metric = metric
        self._parts: list[Tree] = []

    def add(self, outputs: Tree, targets: Tree) -> None:
        """Take a batch.

        Raises:
            PracError: If the metric's statistics are not tensors.
        """
        metric = self.metric
        found = metric.statistics(outputs, targets)
        if not (parts := leaves(found)) or not all(isinstance(of, Tensor) for of in parts):
            kinds = ", ".join(with_article(type(of).__name__) for of in parts) or "nothing"
            raise PracError(
                f"the metric {metric.name!r} has statistics of {kinds}: expected a tensor, or a "
                f"tuple, a list or a mapping of tensors, to be summed over batches"
            )
        if metric.gathers:
            self._parts.append(mapped(lambda of: of.detach().cpu(), found))
            return
        found = mapped(lambda of: of.detach().to(torch.float64), found)
        self._parts = [mapped(torch.add, *self._parts, found)] if self._parts else [found]

    def value(self) -> float:
        """Return the metric's value; not finite where it has none.

        Raises:
            PracError: If it is not one number, or no share where the metric is one of them.
        """
        if not self._parts:
            raise PracError(f"the metric {self.metric.name!r} was asked for no examples")
        total = mapped(
            (lambda *of: torch.cat(of)) if self.metric.gathers else (lambda of: of.cpu()),
            *self._parts,
        )
        found = self.metric.value(total)
        try:
            value = float(found)
        except (TypeError, ValueError, RuntimeError) as error:
            kind = shape_of(found)
            raise PracError(
                f"the metric {self.metric.name!r} gave {kind} for a set: expected one number"
            ) from error
        # Rounding may lead a little beyond.
        if self.metric.is_share and (value < -ROUNDING or value > 1 + ROUNDING):
            raise PracError(
                f"the metric {self.metric.name!r} gave {value:.4g} for a set, and it is one of "
                f"shares: expected 0 to 1; divide by as much as there is, or leave is_share out"
            )
        return value


def shape_of(found: object) -> str:
    """Return what something is as words: a tensor's shape, or a class."""
    if isinstance(found, Tensor):
        return f"a tensor of shape {tuple(found.shape)}"
    return with_article(type(found).__name__)


def shifted(outputs: Tensor, targets: Tensor, *, of: Callable[[Tensor, Tensor], Any]) -> Any:
    """Return a function of (n, length, ...) outputs and of the targets one place further on."""
    return of(outputs[:, :-1], targets[:, 1:])


def as_classes(targets: Tensor, outputs: Tensor) -> Tensor:
    """Return targets as classes: of class probabilities, in the outputs' shape, the likeliest."""
    is_soft = targets.is_floating_point() and targets.shape == outputs.shape
    return targets.argmax(1) if is_soft else targets


def as_targets(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return outputs in the targets' shape, which may differ in dimensions of 1: (n, 1) for (n,).

    Raises:
        PracError: If it is another: they would be broadcast, each compared with all.
    """
    if outputs.shape == targets.shape:
        return outputs
    shapes = [(len(of), *(size for size in of.shape[1:] if size != 1)) for of in (outputs, targets)]
    if shapes[0] != shapes[1]:
        raise PracError(
            f"the model's outputs have shape {tuple(outputs.shape)}, the targets "
            f"{tuple(targets.shape)}: expected the same, a number of the one for each of the other"
        )
    return outputs.reshape(targets.shape)


def _both(outputs: Tree, targets: Tree) -> Tree:
    return [outputs, targets]


def _of_both(function: Callable[[Any, Any], Any], both: Sequence[Any]) -> Any:
    return function(*both)


def _ratio(sums: tuple[Tensor, Tensor]) -> Tensor:
    return sums[0] / sums[1]


def _exponential_ratio(sums: tuple[Tensor, Tensor]) -> Tensor:
    return (sums[0] / sums[1]).exp()


def _classes_right(outputs: Tensor, targets: Tensor, *, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Return how many positions are predicted right, and how many there are."""
    targets = as_classes(targets, outputs)
    counts = targets != ignore_index
    return ((outputs.argmax(1) == targets) & counts).sum(), counts.sum()


def _squared_errors(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of squared errors and how many there are."""
    errors = as_targets(outputs, targets).double() - targets
    return errors.square().sum(), _count(errors)


def _token_losses(outputs: Tensor, targets: Tensor, *, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Return the sum of positions' cross entropies, and how many positions count."""
    losses = F.cross_entropy(
        outputs.flatten(0, -2), targets.flatten(), ignore_index=ignore_index, reduction="none"
    )
    return losses.double().sum(), (targets != ignore_index).sum()


def _class_counts(
    outputs: Tensor, targets: Tensor, *, ignore_index: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return by class how often it is predicted where it is, is predicted, and is there.

    The counts are (classes,).
    """
    if outputs.shape == targets.shape and outputs.ndim <= 2:  # Labels, each there or not.
        if outputs.ndim == 1:
            outputs, targets = outputs[:, None], targets[:, None]
        predicted, true = outputs > 0, targets > 0.5
        counts = targets != ignore_index
        predicted, true = predicted & counts, true & counts
        return (predicted & true).sum(0), predicted.sum(0), true.sum(0)
    classes = outputs.shape[1]
    found, there = outputs.argmax(1).flatten(), targets.flatten()
    counted = there != ignore_index
    found, there = found[counted], there[counted]
    # It waits for the device, which a loss need not; `bincount` does anyway.
    outside = ((there < 0) | (there >= classes)).nonzero()
    if len(outside):
        raise PracError(
            f"a target is {int(there[outside[0]])}, and the outputs are of {classes} classes: "
            f"expected 0 to {classes - 1}, or ignore_index, {ignore_index}"
        )

    def times(of: Tensor) -> Tensor:
        return torch.bincount(of, minlength=classes)

    return times(there[found == there]), times(found), times(there)


def _mean_iou(sums: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    both, found, there = sums
    united = found + there - both
    return (both / united)[united > 0].mean()


def _f1(sums: tuple[Tensor, Tensor, Tensor], *, average: Average) -> Tensor:
    both, found, there = sums
    if average == "binary":
        both, found, there = both[-1:], found[-1:], there[-1:]
    elif average == "micro":
        both, found, there = (of.sum(0, keepdim=True) for of in (both, found, there))
    either = found + there
    # Without any of a class, predicted or there, nothing is to be found and nothing is missed.
    return (2 * both / either)[either > 0].mean()


def _count(of: Tensor) -> Tensor:
    return torch.tensor(of.numel(), device=of.device)
