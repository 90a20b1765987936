"""A network, its data and its task on a device: what every training and scoring pass is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from prac.config import TrainConfig, flat, own_code
from prac.data import Examples, as_examples
from prac.errors import PracError
from prac.models import (
    begin_training_,
    check_plain,
    copied,
    evaluating,
    evaluating_modules,
    modes_put_back,
    structure,
    structure_lines,
    tensors_put_back,
    unregistered,
)
from prac.training.finite import check_values
from prac.training.runtime import Runtime
from prac.training.task import CLASSIFICATION, Task, check_is_task
from prac.training.threads import is_small
from prac.training.trial import (
    ModelFault,
    check_class_scores,
    check_judged,
    check_targets,
    first_batch,
    form_of,
    judged,
    made_of,
)
from prac.training.trial_steps import check_no_more, tried_steps
from prac.utils import (
    brief,
    callable_named,
    derive_seed,
    described,
    held_generators,
    one_line,
    seeded,
)


def own_training(config: TrainConfig | None, *, data: bool = True) -> dict[str, str | None]:
    """Return what a training's optimiser, schedule and transform are told by, where they are own.

    Raises:
        PracError: If one cannot be imported.
    """
    named = {} if config is None else own_code(flat(config))
    return {
        f"own_{name}": described(callable_named(value, name), data=data)
        for name, value in named.items()
    }


@dataclass(frozen=True, repr=False)
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
        own_parts: What the task's own functions and the training's are told by, None for those
            that are not own.
        unsteady: Names of parameters and buffers that a pass in evaluation mode changes.
        has_sparse_gradients: Whether the gradient of any weight is sparse.
        counting: Numbers that modules hold, and buffers, that each step changes and no state keeps.
        task_draws: Whether the task draws random numbers to say what is right.
        untrained: Names of weights, not vectors, that need a gradient and no optimiser has.
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
    unsteady: tuple[str, ...] = ()
    has_sparse_gradients: bool = False
    counting: tuple[str, ...] = ()
    task_draws: bool = False
    untrained: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return the network, how many examples there are, the task and the device."""
        val = "no validation" if self.val is None else f"{len(self.val):,} validation examples"
        network, train = type(self.model).__name__, f"{len(self.train):,} training"
        return brief(self, network, train, val, repr(self.task), str(self.runtime.device))

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
        check_is_task(task)
        check_plain(model)
        batch_size = batch_size if config is None else config.batch_size
        begin_training_(model)
        fresh, names = structure(model), model.state_dict()
        runtime.prepare_(model)
        problem = cls(
            model,
            as_examples(train, "the training data").to(runtime.device),
            None if val is None else as_examples(val, "the validation data").to(runtime.device),
            task,
            runtime,
            batch_size,
        )
        trained_by = own_training(config)
        with runtime.reproducible(), tensors_put_back(model) as kept:
            problem.check("training", problem.train)
            check_no_more(names, model.state_dict())
            problem = replace(problem, unsteady=kept.changed())
            if not any(parameter.requires_grad for parameter in model.parameters()):
                raise PracError("the model has no parameter that trains: are all of them frozen?")
            kept.put_back_()
            with problem._trial():
                batch = first_batch(problem.train, min(batch_size, 4))
                tried = tried_steps(model, fresh, batch, task=task, runtime=runtime, config=config)
            kept.put_back_()  # What a copy's functions may have changed of the model itself.
            if problem.val is not None:
                problem.check("validation", problem.val)
        # What a pass changes, such as a counter or a cache, is no part of network or task.
        modules = structure_lines(fresh, tried.used)
        after, alone = task.own_parts(), task.own_parts(data=False)
        after |= own_training(config)
        alone |= own_training(config, data=False)
        before = {**problem.own_parts, **trained_by}
        own = {n: of if after[n] == of else alone[n] for n, of in before.items()}
        problem = replace(
            problem,
            modules=modules,
            own_parts=own,
            output_layer=tried.output_layer,
            has_sparse_gradients=tried.has_sparse_gradients,
            counting=tried.counting,
            task_draws=tried.task_draws,
            untrained=tuple(n for n in tried.untrained if model.get_parameter(n).ndim > 1),
        )
        return problem._with_threads()

    def _with_threads(self) -> Problem:
        if self.runtime.threads is not None or self.runtime.device.type != "cpu":
            return self
        x, _, count = first_batch(self.train, 4)
        size = min(self.batch_size, len(self.train))
        threads = 1 if is_small(self.model, x, size, count) else None
        return replace(self, runtime=replace(self.runtime, threads=threads))

    def identity(self) -> dict[str, Any]:
        """Return what tells this problem from another, JSON values by name."""
        return {
            "modules": list(self.modules),
            "fingerprint": self.train.fingerprint,
            "val_fingerprint": None if self.val is None else self.val.fingerprint,
            "metric": self.task.measure.to_json(),
            **self.own_parts,
        }

    def identity_of_old(self) -> dict[str, Any]:
        """Return the parts of the identity that prac 0.1 told otherwise; None: not at all."""
        told = {"modules": None, **self.task.own_parts(by_source=False)}
        return told if self.task.metric is not None else {**told, "metric": None}

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
        resting = self._resting()
        if any(of.requires_grad for module in resting.values() for of in module.parameters()):
            every = sum(1 for _ in self.model.modules())
            first = next(repr(name) if name else "the model itself" for name in resting)
            yield (
                f"{len(resting)} of the model's {every} modules are in evaluation mode, the first "
                f"{first}, and stay so while the others train: call model.train() before, unless "
                f"this is meant"
            )
        if self.untrained:
            more = f" and {len(self.untrained) - 1} more" if len(self.untrained) > 1 else ""
            yield (
                f"no group of the optimizer has weight {self.untrained[0]!r}{more}, never trained "
                f"and pruned by initial values: give it all parameters, or freeze those by "
                f"requires_grad_(False), unless this is meant"
            )
        for name in unregistered(self.model):
            yield (
                f"layers in the model's {name!r} are none of its modules, and do not train: hold "
                f"them in an nn.ModuleList, an nn.ModuleDict or an nn.ParameterList"
            )

    def remarks(self) -> Iterator[str]:
        """Yield what may matter to the problem's runs, and need not, a line each."""
        if self.counting:
            more = f" and {len(self.counting) - 1} more" if len(self.counting) > 1 else ""
            yield (
                f"each step changes the model's {self.counting[0]!r}{more}, which no state keeps: "
                f"a run that is resumed begins with it anew; make it a buffer if that matters"
            )

    def check(self, name: str, examples: Examples) -> None:
        """Raise a PracError unless the model and the task take the examples in evaluation mode."""
        x, y, count = first_batch(examples, 2)
        with self.measuring(), self._trial(), torch.no_grad():
            made = made_of(self.task, self.model, name, x, y)
            if self.is_classification:
                check_class_scores(self.task, name, examples, made.outputs, y)
            check_targets(self.task, name, examples, made.outputs, y)
            judged(self.task, name, made, y, count)
        check_values(self, name, examples)

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Put the model into evaluation mode, and all that this changes back in the end."""
        with tensors_put_back(self.model, self.unsteady), evaluating(self.model):
            yield

    def _trial(self) -> AbstractContextManager[None]:
        """Let a trial draw the same each time, and no later draw depend on it."""
        return seeded(derive_seed("trial"), self.runtime.device, held_generators(self.model))

    def check_losses(self) -> None:
        """Raise a PracError unless the task tells each example's loss, one number an example."""
        if self.task.losses is None:
            raise PracError(
                "sampling is 'infobatch', which needs each example's loss, but the task's loss "
                "gives their mean: pass Task(losses=...) too, or sample otherwise"
            )
        x, y, count = first_batch(self.train, 4)
        with tensors_put_back(self.model), self._trial(), torch.no_grad():
            outputs = made_of(self.task, copied(self.model), "training", x, y).outputs
            try:
                losses: Any = self.task.losses(outputs, y)
            except ModelFault as error:
                raise PracError(
                    f"the task's `losses` does not take the model's outputs of {form_of(outputs)}: "
                    f"{one_line(error)}"
                ) from error
        check_judged("losses", losses, count)

    def _classes(self) -> int | None:
        """Return how many classes the data has, by their names or its labels, if it tells."""
        if self.train.classes:
            return len(self.train.classes)
        sets = [self.train] if self.val is None else [self.train, self.val]
        labels = [of.labels for of in sets if of.labels is not None]
        if self.task.ignore_index is not None:
            labels = [of[of != self.task.ignore_index] for of in labels]
        highest = [int(of.max()) for of in labels if len(of)]
        return max(highest) + 1 if highest else None

    def _resting(self) -> dict[str, nn.Module]:
        """Return the modules that rest by choice, but for those that an own train() keeps so."""
        resting = evaluating_modules(self.model)
        with modes_put_back(self.model):
            self.model.train()
            return {name: module for name, module in resting.items() if module.training}

    def _count_outputs(self) -> int:
        """Return how many outputs the model, which was checked, has for an example."""
        x, y, _ = first_batch(self.train, 2)
        # What a model draws for itself is not to depend on whether somebody asks.
        with self.measuring(), self._trial(), torch.no_grad():
            return len(made_of(self.task, self.model, "training", x, y).outputs[0])
