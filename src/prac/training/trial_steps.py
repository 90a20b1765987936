"""The first steps of a network, taken by a copy of it before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prac.config import OPTIMIZERS, TrainConfig
from prac.errors import PracError
from prac.models import LastLayer, Structure, copied, structure
from prac.training.batch_transform import BatchTransform, Mixed, batch_transform_of
from prac.training.descent import Descent
from prac.training.optimizer import (
    PLAIN_OPTIMIZERS,
    check_takes_decay,
    make_optimizer,
    optimizer_tensors,
    restore_optimizer_,
)
from prac.training.runtime import Runtime
from prac.training.step import split_targets, training_loss
from prac.training.task import Made, Task
from prac.training.trial import FirstBatch, ModelFault, form_of, judged, made_of
from prac.utils import (
    Tree,
    derive_seed,
    generator,
    global_states,
    leaves,
    mapped,
    named_leaves,
    one_line,
    seeded,
    split,
)

FURTHER_STEPS = 7
"""That an optimiser takes from its state put back, to be compared with one that goes on."""


@dataclass(frozen=True)
class TriedSteps:
    """What a copy of a model did in its first steps.

    Attributes:
        used: The copy's modules after them.
        output_layer: Name of the layer that made the outputs; None where none is known.
        has_sparse_gradients: Whether the gradient of any weight is sparse.
        counting: Numbers among modules' attributes, and buffers, that each step makes others.
        task_draws: Whether the task draws random numbers to say which outputs are right.
        untrained: Names of parameters that need a gradient, and that the optimiser does not have.
    """

    used: Structure
    output_layer: str | None
    has_sparse_gradients: bool
    counting: tuple[str, ...]
    task_draws: bool
    untrained: tuple[str, ...] = ()


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
    trained = _TrialSteps(trial, task, runtime, config, batch)
    trained.descend(loss)
    trained.descend()
    check_takes_decay(config)
    trained.check_resumes()
    used = structure(trial, model)
    counting = tuple(_counting(model, fresh, first, used))
    sparse, untrained = bool(trained.sparse), trained.untrained()
    return TriedSteps(used, last.name, sparse, counting, draws, untrained)


class _TrialSteps:
    """Steps of training, of a copy of a model on one batch."""

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        runtime: Runtime,
        config: TrainConfig,
        batch: FirstBatch,
    ) -> None:
        self._model, self._task, self._runtime, self._config = model, task, runtime, config
        self._batch = batch
        self._descent = Descent.of(config, runtime)
        self._transform = _transform_for(task, config)
        self._optimizer: torch.optim.Optimizer | None = None
        self.sparse: list[str] = []  # Names of weights that have sparse gradients.
        self._steps = 0

    def descend(self, loss: Tensor | None = None) -> None:
        """Take a step, by a loss of the whole batch as it is where that is known already."""
        x, y, count = self._batch
        if self._optimizer is not None:
            self._optimizer.zero_grad()
        if self._transform is not None:
            x, y = _transformed(self._transform, self._config, x, y, self._steps)
        sizes = self._descent.sizes(count)
        if len(sizes) == 1:
            if loss is None or self._transform is not None:
                loss = self._loss(x, y, count)
            self._backward(loss)
        else:
            _check_pieces(self._config, x, y, count)
            pieces = zip(sizes, split(x, sizes), split_targets(y, sizes), strict=True)
            for rows, part, targets in pieces:
                self._backward(self._loss(part, targets, rows) * (rows / count))
        if self._optimizer is None:
            named = self._model.named_parameters()
            self.sparse = [name for name, of in named if _is_sparse(of.grad)]
            self._optimizer = self._made(self._model)
        self._step(self._optimizer)
        self._steps += 1

    def untrained(self) -> tuple[str, ...]:
        """Return the names of parameters that need a gradient and are not the optimiser's."""
        assert self._optimizer is not None, "a step was taken"
        trained = {id(of) for group in self._optimizer.param_groups for of in group["params"]}
        named = self._model.named_parameters()
        return tuple(name for name, of in named if of.requires_grad and id(of) not in trained)

    def check_resumes(self) -> None:
        """Raise a PracError where an optimiser put back from its state would step otherwise."""
        optimizer = self._optimizer
        assert optimizer is not None, "a step was taken"
        if type(optimizer) in PLAIN_OPTIMIZERS and self._config.optimizer in OPTIMIZERS:
            return
        name = self._config.optimizer
        twin = copied(self._model)
        other = self._made(twin)
        self._put_back(other)
        pairs = list(zip(self._model.parameters(), twin.parameters(), strict=True))
        for own, copy in pairs:
            copy.grad = None if own.grad is None else own.grad.clone()
        for number in range(FURTHER_STEPS):
            for each in (optimizer, other):
                with seeded(derive_seed("trial", number), self._runtime.device):
                    each.step()
        self._put_back(self._made(copied(twin)))  # It may keep more by now.
        for one, copied_one in (*pairs, *_kept(optimizer, other)):
            if not _are_equal(one, copied_one):
                raise PracError(
                    f"optimizer {name!r} steps otherwise after its state is put back, so that no "
                    f"run could resume: what it counts or keeps must lie in its `state`, or as "
                    f"numbers in its `param_groups`; choose another optimizer"
                )

    def _put_back(self, other: torch.optim.Optimizer) -> None:
        """Put what the optimiser keeps into another, or raise a PracError."""
        assert self._optimizer is not None, "a step was taken"
        try:
            restore_optimizer_(other, optimizer_tensors(self._optimizer))
        except PracError as error:
            raise PracError(
                f"optimizer {self._config.optimizer!r} cannot be put back from what it keeps, so "
                f"that no run could resume: {error}"
            ) from error

    def _made(self, model: nn.Module) -> torch.optim.Optimizer:
        return make_optimizer(model, self._config, self._runtime, sparse=bool(self.sparse))

    def _loss(self, x: Tree, y: Tree | Mixed, count: int) -> Tensor:
        own = y.own if isinstance(y, Mixed) else y
        with self._runtime.autocast():
            made = made_of(self._task, self._model, "training", x, own)
            loss = _checked_loss(self._task, made, own, count)
            return training_loss(self._task, made, y) if isinstance(y, Mixed) else loss

    def _backward(self, loss: Tensor) -> None:
        try:
            self._descent.backward(loss)
        except ModelFault as error:
            raise PracError(
                f"the loss cannot be taken backward through the model: {one_line(error)}; a model "
                f"may keep no tensor of one batch's graph for the next: detach() what it keeps"
            ) from error

    def _step(self, optimizer: torch.optim.Optimizer) -> None:
        config = self._config
        try:
            self._descent.step_(optimizer)
        except ModelFault as error:
            if not self.sparse:
                raise PracError(
                    f"optimizer {config.optimizer!r} does not take the model's gradients: "
                    f"{one_line(error)}; choose another one"
                ) from error
            clipped = "" if config.clip_norm is None else f", clipped to {config.clip_norm:g},"
            raise PracError(
                f"optimizer {config.optimizer!r} with weight decay {config.weight_decay:g}"
                f"{clipped} does not take sparse gradients, as weight {self.sparse[0]!r} has them: "
                f"make its layer without sparse=True, or train by sgd with weight decay 0"
            ) from error


def _transform_for(task: Task, config: TrainConfig) -> BatchTransform | None:
    """Return what batches go through.

    Raises:
        PracError: If there is none of the name, or the task's loss is not one of targets.
    """
    transform = batch_transform_of(config)
    if config.batch_transform in ("mixup", "cutmix") and isinstance(task.loss, str):
        raise PracError(
            f"batch_transform {config.batch_transform!r} takes the loss for two targets, and the "
            f"task's is the model's own, {task.loss!r}: pass Task(loss=...) of outputs and "
            f"targets, or a batch_transform of your own"
        )
    return transform


def _transformed(
    transform: BatchTransform, config: TrainConfig, x: Tree, y: Tree, number: int
) -> tuple[Tree, Tree | Mixed]:
    """Return a batch as its transform gives it, its form checked."""
    name = config.batch_transform
    try:
        made: Any = transform(x, y, generator(derive_seed("trial"), number))
    except ModelFault as error:
        raise PracError(
            f"batch_transform {name!r} fails on a batch of {form_of(x)}: {one_line(error)}"
        ) from error
    if not isinstance(made, tuple) or len(made) != 2:
        raise PracError(
            f"batch_transform {name!r} gives {type(made).__name__}: expected (inputs, targets)"
        )
    before, after = leaves(x), leaves(made[0])
    if not all(isinstance(of, Tensor) for of in after) or len(after[0]) != len(before[0]):
        raise PracError(
            f"batch_transform {name!r} makes other inputs of a batch of {form_of(x)}: expected as "
            f"many examples, in their places"
        )
    return made


def _check_pieces(config: TrainConfig, x: Tree, y: Tree | Mixed, count: int) -> None:
    """Raise a PracError unless a batch can be cut along its examples."""
    targets = y.own if isinstance(y, Mixed) else y
    for place, of in (*named_leaves(x, "x"), *named_leaves(targets, "y")):
        if not of.ndim or len(of) != count:
            raise PracError(
                f"accumulate is {config.accumulate}, but {place} of a batch of {count} is "
                f"{tuple(of.shape)}: expected the examples along its first axis, to be cut there"
            )


def _kept(
    optimizer: torch.optim.Optimizer, other: torch.optim.Optimizer
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pairs of what two optimisers keep."""
    one, two = optimizer_tensors(optimizer), optimizer_tensors(other)
    for name in one.keys() | two.keys():
        yield one.get(name, torch.zeros(0)), two.get(name, torch.ones(0, 1))


def _are_equal(one: Tensor, other: Tensor) -> bool:
    """Say whether two tensors have the same numbers, or none in the same places."""
    one, other = one.detach(), other.detach()
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())


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
