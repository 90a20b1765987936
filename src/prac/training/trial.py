"""A network tried on a few examples before anything is written: what fails is told in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from prac.data import Examples, TensorExamples
from prac.errors import PracError
from prac.training.ready import label_loss, mostly_right
from prac.training.step import batch_loss
from prac.training.task import CLASSIFICATION, Made, Task, floated
from prac.utils import (
    Tree,
    is_own,
    leaves,
    mapped,
    named_leaves,
    one_line,
    with_article,
)

# Own code and libraries' refuse a size by assertions too, and by dividing by what is left of it.
ModelFault = (
    *(RuntimeError, ValueError, TypeError, LookupError, AttributeError),
    *(AssertionError, ArithmeticError),
)


class FirstBatch(NamedTuple):
    """Inputs and targets of the first `rows` examples."""

    x: Tree
    y: Tree
    rows: int


def first_batch(examples: Examples, count: int) -> FirstBatch:
    """Return the first `count` examples, or all there are, as one batch without augmentation."""
    count = min(len(examples), count)
    return FirstBatch(*next(iter(examples.stream([torch.arange(count)]))), count)


def made_of(task: Task, model: nn.Module, name: str, x: Tree, y: Tree) -> Made:
    """Return what a model makes of a batch of the `name` data, as a task judges it.

    Raises:
        PracError: If it does not take it, or returns anything but tensors.
    """
    try:
        made = task.made(model, x, y)
    except ModelFault as error:
        told = one_line(error) or type(error).__name__
        weights = next((of.dtype for of in model.parameters() if of.is_floating_point()), None)
        convert = f"; the model's weights are {weights}: convert the data to that"
        raise PracError(
            f"the model does not take the {name} data: a batch of {form_of(x)} gave: "
            f"{told}{convert * ('type' in told and _first(x).dtype != weights)}"
        ) from error
    parts = leaves(made.outputs)
    is_plain = isinstance(made.outputs, Tensor) or task.outputs is not None
    is_plain |= _is_all_own(task) and all(getattr(part, "ndim", 0) for part in parts)
    if not is_plain or not parts or not all(isinstance(part, Tensor) for part in parts):
        mode = "training" if model.training else "evaluation"
        kind = with_article(type(made.outputs).__name__)
        raise PracError(
            f"the model returns {kind} in {mode} mode: expected one tensor; say by "
            f"Task(outputs=...) what of it is judged, by outputs=lambda returned: returned all of "
            f"its tensors"
        )
    return made


def _is_all_own(task: Task) -> bool:
    """Say whether all that looks at a batch's outputs is the user's code, which knows its form."""
    parts = [task.loss, task.correct] + [task.prediction] * (task.prediction is not None)
    return all(is_own(getattr(part, "__module__", None)) for part in parts)


def form_of(tree: Tree) -> str:
    """Return the shapes and types of a batch's parts as words."""
    if isinstance(tree, Tensor):
        return f"shape {tuple(tree.shape)} and type {tree.dtype}"
    parts = (f"{place} {tuple(of.shape)} {of.dtype}" for place, of in named_leaves(tree))
    return f"{with_article(type(tree).__name__)} of {', '.join(parts)}"


def _first(tree: Tree) -> Tensor:
    return leaves(tree)[0]


def judged(task: Task, name: str, made: Made, y: Tree, count: int) -> Any:
    """Return a task's loss for a batch of `count` of the `name` data, its parts checked."""
    outputs = mapped(torch.detach, made.outputs)
    try:
        loss = batch_loss(task, made, y)
        parts = {"correct": task.correct(outputs, y)}
        if task.prediction is not None:
            parts["prediction"] = task.prediction(outputs)
    except ModelFault as error:
        raise PracError(
            f"the task does not take the model's outputs of {form_of(outputs)} with {name} targets "
            f"of {form_of(y)}: {one_line(error)}"
        ) from error
    for part, values in parts.items():
        check_judged(part, values, count)
    _check_metric(task, name, outputs, y)
    return loss


def _check_metric(task: Task, name: str, outputs: Tree, y: Tree) -> None:
    """Raise a PracError unless a task's metric takes a batch of the `name` data.

    What it makes of all of a set is not asked of a few examples, which may have no such value.
    """
    metric = task.metric
    if metric is None:
        return
    found = metric.begun()
    try:
        found.add(floated(outputs), y)
        if not metric.gathers:
            found.value()
    except ModelFault as error:
        raise PracError(
            f"the metric {metric.name!r} does not take the model's outputs of {form_of(outputs)} "
            f"with {name} targets of {form_of(y)}: {one_line(error)}"
        ) from error


def check_judged(part: str, values: Any, examples: int) -> None:
    """Raise a PracError unless a task's part gave one value an example, of the type it should."""
    wanted, is_wanted = _JUDGED[part]
    shown = type(values).__name__
    if isinstance(values, Tensor):
        if values.shape == (examples,) and is_wanted(values):
            return
        shown = f"{values.dtype} of shape {tuple(values.shape)}"
    raise PracError(
        f"the task's `{part}` gave {shown} for {examples} examples: expected a tensor with one "
        f"{wanted} an example"
    )


_JUDGED: dict[str, tuple[str, Callable[[Tensor], bool]]] = {
    "correct": ("bool", lambda values: values.dtype == torch.bool),
    "prediction": ("integer", lambda v: not (v.is_floating_point() or v.is_complex())),
    "losses": ("floating-point number", torch.is_floating_point),
}


def check_class_scores(task: Task, name: str, examples: Examples, outputs: Tree, y: Tree) -> None:
    """Raise a PracError unless outputs are scores of classes, and labels one class an example."""
    another = "for another task pass task=prac.Task(...)"
    if task is not CLASSIFICATION:
        another = "for another task pass Task(..., correct=..., prediction=None)"
    if not isinstance(outputs, Tensor) or not isinstance(y, Tensor):
        raise PracError(
            f"the model's outputs are {form_of(outputs)}, the {name} targets {form_of(y)}: "
            f"expected scores (examples, classes) and one integer class an example; {another}"
        )
    if outputs.ndim != 2:
        raise PracError(
            f"the model's outputs have shape {tuple(outputs.shape)}: expected (examples, classes); "
            f"{another}"
        )
    if y.dtype.is_floating_point and y.shape == outputs.shape:
        _check_soft(name, y, another)
        return
    if y.dtype.is_floating_point or y.dtype == torch.bool or y.ndim != 1:
        raise PracError(
            f"the {name} labels are {y.dtype}, {y.ndim}-dimensional in a batch: expected one "
            f"integer class an example{_as_classes(y)}; {another}"
        )
    labels, classes = y if examples.labels is None else examples.labels, outputs.shape[1]
    is_outside = (labels < 0) | (labels >= classes)
    if task.ignore_index is not None:
        is_outside &= labels != task.ignore_index
    outside = is_outside.nonzero()
    if len(outside):
        first = int(outside[0])
        raise PracError(
            f"{name} example {first} has label {int(labels[first])}, but the model has {classes} "
            f"outputs: expected labels from 0 to {classes - 1}"
        )

    ignored = task.ignore_index
    if ignored is not None and examples.labels is not None and name == "training":
        _check_some_left(name, (labels != ignored).any(), ignored)


def check_targets(task: Task, name: str, examples: Examples, outputs: Tree, y: Tree) -> None:
    """Raise a PracError unless a ready task's targets have values that it takes.

    Where examples lie in memory, all are looked at; a GPU would not tell which one is wrong.
    """
    all_there = isinstance(examples, TensorExamples)
    targets = examples.y if isinstance(examples, TensorExamples) else y
    if not isinstance(targets, Tensor) or not isinstance(outputs, Tensor) or outputs.ndim < 2:
        return
    if task.loss is label_loss:
        outside = targets[(targets < 0) | (targets > 1)]
        if len(outside):
            raise PracError(
                f"a {name} target is {outside[0].item():g}: expected 0 or 1 for each label, "
                f"whether the example has it"
            )
    rule: Any = task.correct
    rule = getattr(rule, "keywords", {}).get("of", rule)  # Of a shifted one.
    if getattr(rule, "func", None) is not mostly_right:
        return
    classes, ignored = outputs.shape[rule.keywords["dim"]], rule.keywords["ignore_index"]
    some_left = False
    for part in targets.split(LOOKED_AT):
        kept = part[part.long() != ignored]
        some_left |= len(kept) > 0
        outside = kept[(kept < 0) | (kept >= classes)]
        if len(outside):
            value = outside[0].item()
            raise PracError(
                f"a {name} target is {value}, and the model's outputs are of {classes} classes: "
                f"expected 0 to {classes - 1}, or {ignored} for what has none; pass the task "
                f"ignore_index={value} if it is meant to be left out"
            )
    if all_there and name == "training":
        _check_some_left(name, some_left, ignored)


def _check_some_left(name: str, some_left: bool | Tensor, ignored: int | None) -> None:
    """Raise a PracError where all of a set's targets are left out."""
    if not some_left:
        raise PracError(
            f"all {name} targets are {ignored}, the task's ignore_index: expected some that are "
            f"not, since nothing can be learned of those"
        )


LOOKED_AT = 1024
"""Examples whose targets are looked at together, so that little memory is needed."""

SOFT = 1e-2
"""How far class probabilities may add up to something else than 1, in half precision too."""


def _check_soft(name: str, y: Tensor, another: str) -> None:
    """Raise a PracError unless targets are class probabilities."""
    is_sound = (y >= 0).all(1) & ((y.float().sum(1) - 1).abs() <= SOFT)
    if not bool(is_sound.all()):
        raise PracError(
            f"the {name} targets are {y.dtype} in the outputs' shape, and those of an example "
            f"add up to {float(y[~is_sound][0].float().sum()):.4g}, or are below 0: expected class "
            f"probabilities, which add up to 1, or one integer class an example; {another}"
        )


def _as_classes(y: Tensor) -> str:
    """Return how a batch of labels could be made one integer an example, if that is plain."""
    if y.ndim == 2 and y.shape[1] == 1 and not y.is_floating_point():
        return ", such as y[:, 0] gives"
    if y.ndim == 2 and bool(((y == 0) | (y == 1)).all() & (y.sum(1) == 1).all()):
        return ", such as argmax(1) gives of one-hot ones"
    if y.ndim != 1:
        return ""
    if y.is_floating_point() and bool(y.isnan().any()):
        return ", and some are missing (NaN): leave these examples out"
    is_whole = y.dtype == torch.bool or bool((y == y.floor()).all())
    return ", such as y.astype(int) or y.long() gives" if is_whole else ""
