"""A network, its data and its task on a device: what every training and scoring pass is about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from prac.config import TrainConfig
from prac.data import Examples, as_examples
from prac.errors import PracError
from prac.models import (
    LastLayer,
    begin_training_,
    check_plain,
    copied,
    evaluating,
    evaluating_modules,
    structure,
    structure_lines,
)
from prac.training.finite import check_values
from prac.training.optimizer import make_optimizer
from prac.training.runtime import Runtime
from prac.training.task import CLASSIFICATION, Task
from prac.training.threads import is_small
from prac.utils import derive_seed, held_generators, one_line, seeded, with_article


@dataclass(frozen=True)
class Problem:
    """What is trained and on what.

    Attributes:
        model: On the runtime's device; trained in place.
        train: All training examples, D0.
        val: Held-out examples that choose the best epoch; None takes the last one.
        task, runtime: As their classes say.
        batch_size: Examples a step. Scoring passes take as many, so that what training and scoring
            free fits what the other asks for: memory falls to pieces otherwise.
        modules: A line a module of the model: its name, class and settings.
        output_layer: Name of the layer that makes the model's outputs; None where none is known.
        own_parts: What the task's own functions are told by, None for those that are not own.
    """

    model: nn.Module
    train: Examples
    val: Examples | None
    task: Task
    runtime: Runtime
    batch_size: int
    modules: tuple[str, ...] = ()
    output_layer: str | None = None
    own_parts: Mapping[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take the modules as they are where no pass has told which of their values last."""
        if not self.modules:
            now = structure(self.model)
            object.__setattr__(self, "modules", structure_lines(now, now))
        if not self.own_parts:
            object.__setattr__(self, "own_parts", self.task.own_parts())

    @classmethod
    def of(
        cls,
        model: nn.Module,
        train: Any,
        val: Any = None,
        *,
        task: Task = CLASSIFICATION,
        runtime: Runtime,
        batch_size: int = 2,
        config: TrainConfig | None = None,
    ) -> Problem:
        """Return the problem on the runtime's device, checked with a few examples.

        Where the runtime leaves the number of threads open, a small network on a CPU gets one. The
        model is in training mode then, but for what is in evaluation mode by choice. What it is
        trained with, `config`, is tried on a copy, and says the size of batches.

        Raises:
            PracError: If the data is of no known kind, its shape does not fit the model, or a
                label has no output, or a step of training fails.
        """
        check_plain(model)
        batch_size = batch_size if config is None else config.batch_size
        begin_training_(model)
        fresh, names = structure(model), set(model.state_dict())
        runtime.prepare_(model)
        problem = cls(
            model,
            as_examples(train, "the training data").to(runtime.device),
            None if val is None else as_examples(val, "the validation data").to(runtime.device),
            task,
            runtime,
            batch_size,
        )
        with runtime.reproducible():
            problem.check("training", problem.train)
            if made := sorted(set(model.state_dict()) - names):
                raise PracError(
                    f"the model made {made[0]!r} in its first pass, from no seed of the run's: "
                    f"call it once with a batch before, after torch.manual_seed(N)"
                )
            if not any(parameter.requires_grad for parameter in model.parameters()):
                raise PracError("the model has no parameter that trains: are all of them frozen?")
            used, output_layer = problem.check_step(min(batch_size, 4), config)
            if problem.val is not None:
                problem.check("validation", problem.val)
        # What a pass changes, such as a counter or a cache, is no part of network or task.
        modules = structure_lines(fresh, structure(used, model))
        after, alone = task.own_parts(), task.own_parts(data=False)
        own = {n: of if after[n] == of else alone[n] for n, of in problem.own_parts.items()}
        problem = replace(problem, modules=modules, output_layer=output_layer, own_parts=own)
        return problem._with_threads()

    def _with_threads(self) -> Problem:
        if self.runtime.threads is not None or self.runtime.device.type != "cpu":
            return self
        x, _ = first_batch(self.train, 4)
        size = min(self.batch_size, len(self.train))
        threads = 1 if is_small(self.model, x, size) else None
        return replace(self, runtime=replace(self.runtime, threads=threads))

    def identity(self) -> dict[str, Any]:
        """Return what tells this problem from another, JSON values by name."""
        return {
            "modules": list(self.modules),
            "fingerprint": self.train.fingerprint,
            "val_fingerprint": None if self.val is None else self.val.fingerprint,
            **self.own_parts,
        }

    def identity_of_old(self) -> dict[str, Any]:
        """Return the parts of the identity that prac 0.1 told otherwise; None: not at all."""
        return {"modules": None, **self.task.own_parts(by_source=False)}

    @property
    def is_classification(self) -> bool:
        """Whether the task's predictions are classes."""
        return self.task.prediction is CLASSIFICATION.prediction

    def notices(self) -> Iterator[str]:
        """Yield what a run should say of the problem at its start, a line each."""
        classes = self._classes() if self.is_classification else None
        if classes is not None and (outputs := self._count_outputs()) != classes:
            have = f"{outputs:,} output{'s' * (outputs != 1)}"
            held = f"{classes:,} class{'es' * (classes != 1)}"
            want = f"{classes:,} output{'s' * (classes != 1)}"
            yield (
                f"the model has {have}, the data {held}: make it with {want}, unless this is meant"
            )
        resting = evaluating_modules(self.model)
        if any(of.requires_grad for module in resting.values() for of in module.parameters()):
            every = sum(1 for _ in self.model.modules())
            first = next(repr(name) if name else "the model itself" for name in resting)
            yield (
                f"{len(resting)} of the model's {every} modules are in evaluation mode, the first "
                f"{first}, and stay so while the others train: call model.train() before, unless "
                f"this is meant"
            )

    def check(self, name: str, examples: Examples) -> None:
        """Raise a PracError unless the model and the task take the examples in evaluation mode."""
        x, y = first_batch(examples, 2)
        with evaluating(self.model), self._trial(), torch.no_grad():
            outputs = self._outputs(name, x, self.model)
            if self.is_classification:
                _check_classes(name, examples, outputs, y)
            self._judged(name, outputs, y)
        check_values(self, name, examples)

    def check_step(
        self, examples: int, config: TrainConfig | None = None
    ) -> tuple[nn.Module, str | None]:
        """Return a copy of the model that was trained on a few examples, and its last layer.

        It takes two whole steps, if it is said with what: some models fail at the second, on what
        they kept of the first.

        Raises:
            PracError: If it does not take them, its loss is none to train by, or a step fails.
        """
        x, y = first_batch(self.train, examples)
        with self._trial():
            model, last = copied(self.model), LastLayer()
            with last.watching(model), self.runtime.autocast():
                outputs = self._outputs("training", x, model)
                loss = self._checked_loss(outputs, y)
            last.made(outputs)
            if config is not None:
                optimizer = make_optimizer(model, config, self.runtime)
                self._check_backward(loss, model, optimizer, config)
                with self.runtime.autocast():
                    loss = self._checked_loss(self._outputs("training", x, model), y)
                self._check_backward(loss, model, optimizer, config)
        return model, last.name

    def _trial(self) -> AbstractContextManager[None]:
        """Let a trial draw the same each time, and no later draw depend on it."""
        return seeded(derive_seed("trial"), self.runtime.device, held_generators(self.model))

    def _checked_loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the loss of outputs in training mode, one number that can be trained by."""
        loss = self._judged("training", outputs, y)
        if not isinstance(loss, Tensor) or loss.ndim or not loss.is_floating_point():
            shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise PracError(
                f"the task's loss gave {shape} for a batch: expected one number, the batch's mean"
            )
        if not loss.requires_grad:
            raise PracError("the loss depends on no parameter that trains: are all of them frozen?")
        return loss

    def _check_backward(
        self,
        loss: Tensor,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        config: TrainConfig,
    ) -> None:
        """Do the rest of a step; raise a PracError where it fails, saying of what."""
        optimizer.zero_grad(set_to_none=True)
        try:
            loss.backward()
        except ModelFault as error:
            raise PracError(
                f"the loss cannot be taken backward through the model: {one_line(error)}; a model "
                f"may keep no tensor of one batch's graph for the next: detach() what it keeps"
            ) from error
        try:
            optimizer.step()
        except ModelFault as error:
            gradients = {name: of.grad for name, of in model.named_parameters()}
            sparse = [n for n, of in gradients.items() if of is not None and of.is_sparse]
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

    def check_losses(self) -> None:
        """Raise a PracError unless the task tells each example's loss, one number an example."""
        if self.task.losses is None:
            raise PracError(
                "sampling is 'infobatch', which needs each example's loss, but the task's loss "
                "gives their mean: pass Task(losses=...) too, or sample otherwise"
            )
        x, y = first_batch(self.train, 4)
        with self._trial(), torch.no_grad():
            outputs = self._outputs("training", x, copied(self.model))
            try:
                losses: Any = self.task.losses(outputs, y)
            except ModelFault as error:
                raise PracError(
                    f"the task's `losses` does not take the model's outputs of shape "
                    f"{tuple(outputs.shape)}: {one_line(error)}"
                ) from error
        _check_judged("losses", losses, len(y))

    def _classes(self) -> int | None:
        """Return how many classes the data has, by their names or its labels, if it tells."""
        if self.train.classes:
            return len(self.train.classes)
        sets = [self.train] if self.val is None else [self.train, self.val]
        highest = [int(of.labels.max()) for of in sets if of.labels is not None]
        return max(highest) + 1 if highest else None

    def _count_outputs(self) -> int:
        """Return how many outputs the model, which was checked, has for an example."""
        x, _ = first_batch(self.train, 2)
        # What a model draws for itself is not to depend on whether somebody asks.
        with evaluating(self.model), self._trial(), torch.no_grad():
            return self._outputs("training", x, self.model).shape[1]

    def _outputs(self, name: str, x: Tensor, model: nn.Module) -> Tensor:
        try:
            outputs: Any = model(x)
        except ModelFault as error:
            told = one_line(error) or type(error).__name__
            weights = next((of.dtype for of in model.parameters() if of.is_floating_point()), None)
            convert = f"; the model's weights are {weights}: convert the data to that"
            raise PracError(
                f"the model does not take the {name} data: a batch of shape {tuple(x.shape)} and "
                f"type {x.dtype} gave: {told}{convert * ('type' in told and x.dtype != weights)}"
            ) from error
        if not isinstance(outputs, Tensor):
            mode = "training" if model.training else "evaluation"
            kind = with_article(type(outputs).__name__)
            raise PracError(
                f"the model returns {kind} in {mode} mode: expected one tensor; wrap the "
                f"model in a module that returns what the loss takes"
            )
        return outputs

    def _judged(self, name: str, outputs: Tensor, y: Tensor) -> Any:
        try:
            loss = self.task.loss(outputs, y)
            judged = {"correct": self.task.correct(outputs.detach(), y)}
            if self.task.prediction is not None:
                judged["prediction"] = self.task.prediction(outputs.detach())
        except ModelFault as error:
            raise PracError(
                f"the task does not take the model's outputs of shape {tuple(outputs.shape)} with "
                f"{name} targets of shape {tuple(y.shape)}: {one_line(error)}"
            ) from error
        for part, values in judged.items():
            _check_judged(part, values, len(y))
        return loss


def _check_judged(part: str, values: Any, examples: int) -> None:
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

# Own code and libraries' refuse a size by assertions too, and by dividing by what is left of it.
ModelFault = (
    *(RuntimeError, ValueError, TypeError, LookupError, AttributeError),
    *(AssertionError, ArithmeticError),
)


def first_batch(examples: Examples, count: int) -> tuple[Tensor, Tensor]:
    """Return the first `count` examples, or all there are, as one batch without augmentation."""
    return next(iter(examples.stream([torch.arange(min(len(examples), count))])))


def _as_classes(y: Tensor) -> str:
    """Return how a batch of labels could be made one integer an example, if that is plain."""
    if y.ndim == 2 and y.shape[1] == 1:
        return ", such as y[:, 0] gives"
    if y.ndim == 2 and bool(((y == 0) | (y == 1)).all() & (y.sum(1) == 1).all()):
        return ", such as argmax(1) gives of one-hot ones"
    if y.ndim != 1:
        return ""
    if y.is_floating_point() and bool(y.isnan().any()):
        return ", and some are missing (NaN): leave these examples out"
    is_whole = y.dtype == torch.bool or bool((y == y.floor()).all())
    return ", such as y.astype(int) or y.long() gives" if is_whole else ""


def _check_classes(name: str, examples: Examples, outputs: Tensor, y: Tensor) -> None:
    if outputs.ndim != 2:
        raise PracError(
            f"the model's outputs have shape {tuple(outputs.shape)}: expected (examples, classes); "
            f"for another task pass task=prac.Task(...)"
        )
    if y.dtype.is_floating_point or y.dtype == torch.bool or y.ndim != 1:
        raise PracError(
            f"the {name} labels are {y.dtype}, {y.ndim}-dimensional in a batch: expected one "
            f"integer class an example{_as_classes(y)}; for another task pass task=prac.Task(...)"
        )
    labels, classes = y if examples.labels is None else examples.labels, outputs.shape[1]
    outside = ((labels < 0) | (labels >= classes)).nonzero()
    if len(outside):
        first = int(outside[0])
        raise PracError(
            f"{name} example {first} has label {int(labels[first])}, but the model has {classes} "
            f"outputs: expected labels from 0 to {classes - 1}"
        )
