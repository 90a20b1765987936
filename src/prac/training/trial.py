"""A network tried on a few examples before anything is written: what fails is told in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from prac.config import TrainConfig
from prac.data import Examples
from prac.errors import PracError
from prac.models import LastLayer, Structure, copied, structure
from prac.training.optimizer import make_optimizer
from prac.training.runtime import Runtime
from prac.training.step import batch_loss
from prac.training.task import CLASSIFICATION, Made, Task, floated
from prac.utils import (
    Tree,
    global_states,
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


@dataclass(frozen=True)
class TriedSteps:
    """What a copy of a model did in its first steps.

    Attributes:
        used: The copy's modules after them.
        output_layer: Name of the layer that made the outputs; None where none is known.
        has_sparse_gradients: Whether the gradient of any weight is sparse.
        counting: Numbers among modules' attributes, and buffers, that each step makes others.
        task_draws: Whether the task draws random numbers to say which outputs are right.
    """

    used: Structure
    output_layer: str | None
    has_sparse_gradients: bool
    counting: tuple[str, ...]
    task_draws: bool


def tried_steps(
    model: nn.Module,
    fresh: Structure,
    batch: FirstBatch,
    *,
    task: Task,
    runtime: Runtime,
    config: TrainConfig | None,
) -> TriedSteps:
    """Train a copy of a model, told by `fresh`, on a few examples, and return what it did.

    It takes two whole steps, if `config` says with what: some models fail at the second, on what
    they kept of the first.

    Raises:
        PracError: If it does not take them, its loss is none to train by, or a step fails.
    """
    x, y, count = batch
    trial, last = copied(model), LastLayer()
    with last.watching(trial), runtime.autocast():
        made = made_of(task, trial, "training", x, y)
        loss = _checked_loss(task, made, y, count)
    last.made(leaves(made.outputs)[0])
    _check_tensors(model, trial)
    first = structure(trial, model)
    before = global_states(runtime.device)
    task.correct(mapped(torch.detach, made.outputs), y)
    draws = before != global_states(runtime.device)
    if config is None:
        return TriedSteps(first, last.name, False, (), draws)
    _backward(trial, loss)
    sparse = [name for name, of in trial.named_parameters() if _is_sparse(of.grad)]
    optimizer = make_optimizer(trial, config, runtime, sparse=bool(sparse))
    _step(optimizer, config, sparse)
    optimizer.zero_grad(set_to_none=True)
    with runtime.autocast():
        loss = _checked_loss(task, made_of(task, trial, "training", x, y), y, count)
    _backward(trial, loss)
    _step(optimizer, config, sparse)
    used = structure(trial, model)
    return TriedSteps(
        used, last.name, bool(sparse), tuple(_counting(model, fresh, first, used)), draws
    )


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
    if not is_plain or not parts or not all(isinstance(part, Tensor) for part in parts):
        mode = "training" if model.training else "evaluation"
        kind = with_article(type(made.outputs).__name__)
        raise PracError(
            f"the model returns {kind} in {mode} mode: expected one tensor; say by "
            f"Task(outputs=...) what of it is judged"
        )
    return made


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


def _checked_loss(task: Task, made: Made, y: Tree, count: int) -> Tensor:
    """Return the loss of outputs in training mode, one number that can be trained by."""
    loss = judged(task, "training", made, y, count)
    if not isinstance(loss, Tensor) or loss.ndim or not loss.is_floating_point():
        shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise PracError(
            f"the task's loss gave {shape} for a batch: expected one number, the batch's mean"
        )
    if not loss.requires_grad:
        raise PracError("the loss depends on no parameter that trains: are all of them frozen?")
    return loss


def _backward(model: nn.Module, loss: Tensor) -> None:
    try:
        loss.backward()
    except ModelFault as error:
        raise PracError(
            f"the loss cannot be taken backward through the model: {one_line(error)}; a model "
            f"may keep no tensor of one batch's graph for the next: detach() what it keeps"
        ) from error


def _step(optimizer: torch.optim.Optimizer, config: TrainConfig, sparse: list[str]) -> None:
    try:
        optimizer.step()
    except ModelFault as error:
        if not sparse:
            raise PracError(
                f"optimizer {config.optimizer!r} does not take the model's gradients: "
                f"{one_line(error)}; choose another one"
            ) from error
        raise PracError(
            f"optimizer {config.optimizer!r} with weight decay {config.weight_decay:g} does "
            f"not take sparse gradients, as weight {sparse[0]!r} has them: make its layer "
            f"without sparse=True, or train by sgd with weight decay 0"
        ) from error


def _is_sparse(gradient: Tensor | None) -> bool:
    return gradient is not None and gradient.layout is not torch.strided


def _check_tensors(model: nn.Module, trial: nn.Module) -> None:
    """Raise a PracError where a pass made parameters or buffers, or others of those there are."""
    kept, after = model.state_dict(), trial.state_dict()
    check_no_more(kept, after)
    for name, value in kept.items():
        found = after.get(name)
        if not isinstance(value, Tensor) or not isinstance(found, Tensor):
            continue
        if (value.shape, value.dtype) != (found.shape, found.dtype):
            raise PracError(
                f"the model's {name!r} is {value.dtype} of shape {tuple(value.shape)}, and "
                f"{found.dtype} of shape {tuple(found.shape)} after a batch: no state of it can be "
                f"put back; register it with persistent=False, or keep it as an attribute"
            )


def check_no_more(kept: Any, after: Any) -> None:
    """Raise a PracError where a pass made parameters or buffers of new names."""
    if made := sorted(after.keys() - kept.keys()):
        raise PracError(
            f"the model made {made[0]!r} in its first pass, from no seed of the run's: call it "
            f"once with a batch before, after torch.manual_seed(N)"
        )


def _counting(
    model: nn.Module, fresh: Structure, first: Structure, used: Structure
) -> Iterator[str]:
    """Yield numbers among modules' attributes, and buffers, that one step after another changes.

    Other tensors may be there for the loss alone, to be written before they are read.
    """
    for path, module in model.named_modules():
        for name, text in fresh[path].items():
            is_number = isinstance(vars(module).get(name), (int, float))
            told = {text, first.get(path, {}).get(name), used.get(path, {}).get(name)}
            if (is_number or name in module._buffers) and len(told) == 3:
                yield f"{path}.{name}" if path else name
