"""Hugging Face transformers: a `Trainer` that trains a level of a search."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from prac.errors import PracError
from prac.loops.examples import ids_of
from prac.loops.following import Following, measured
from prac.search import AskedLevel
from prac.utils import needed

needed("accelerate", "transformers", "prac.loops.transformers")
_library = needed("transformers", "transformers", "prac.loops.transformers")
_Trainer: Any = _library.Trainer
_TrainerCallback: Any = _library.TrainerCallback


class LevelMixin:
    """Makes a `Trainer` train one level of a search: `class Mine(LevelMixin, MyTrainer)`.

    The model gets the weights that the level starts from, and its masks; the level's length takes
    the place of epochs, unless `max_steps` is set; presentations are recorded, the rewind point is
    marked, epochs are ended with the metric of an evaluation, and training is stopped where the
    mask is stable. At the end the masks come off, also after an error. For one process.

    Batches hold the places of their examples, as those of `prac.loops.with_ids(dataset, level.ids)`
    do: so `remove_unused_columns` is False. They are taken out before the model sees them. The
    optimiser and its schedule stay the Trainer's.

    Args:
        args: What the Trainer takes.
        level: What `search.ask()` gave.
        module: The network that the search is of; by default the model, or the one part of it that
            has weights of its names and shapes.
        correct: (Outputs, inputs) -> bool (k,), which examples were predicted right; by default
            those whose largest of `logits` (k, classes) is their one of `labels` (k,).
        monitor: The search's metric, by which best epochs go, as `evaluate` names it; by default
            `eval_` and its name, such as `eval_accuracy`, if it is there.
        id_name: What the places are called in a batch.
        more: What else the Trainer takes, by name.

    Raises:
        PracError: In one line, where one of these is missing or does not fit.
    """

    def __init__(
        self,
        *args: Any,
        level: AskedLevel,
        module: nn.Module | None = None,
        correct: Callable[[Any, Any], Any] | None = None,
        monitor: str | None = None,
        id_name: str = "id",
        **more: Any,
    ) -> None:
        self._following = Following(level, module)
        self._correct, self._id_name = correct or _is_argmax, id_name
        super().__init__(*args, **more)
        self.args: Any = copy.copy(self.args)  # The caller's own stay as they are.
        if self.args.remove_unused_columns:
            raise PracError(
                "remove_unused_columns is True, by which batches lose the places of examples: "
                "pass TrainingArguments(remove_unused_columns=False)"
            )
        if self.args.load_best_model_at_end:
            raise PracError(
                "load_best_model_at_end is True, by which the weights that are pruned get lost: "
                "leave it out, the level keeps its best weights itself"
            )
        if self.args.max_steps <= 0:
            self.args.max_steps = level.iterations
        self.add_callback(_LevelEvents(self._following, monitor))  # type: ignore[attr-defined]

    def train(self, *args: Any, **more: Any) -> Any:
        """Train the level, as the Trainer trains."""
        try:
            return super().train(*args, **more)  # type: ignore[misc]
        finally:
            self._following.abandon()

    def compute_loss(
        self, model: nn.Module, inputs: Mapping[str, Any], return_outputs: bool = False, **more: Any
    ) -> Any:
        """Return what the Trainer's own does, and record what is presented while it trains."""
        above = super().compute_loss  # type: ignore[misc]
        shown = dict(inputs)
        if not model.training:
            shown.pop(self._id_name, None)
            return above(model, shown, return_outputs, **more)
        ids = ids_of(shown, self._id_name)
        del shown[self._id_name]
        # A copy, since the Trainer may take labels out of what it is given.
        loss, outputs = above(model, dict(shown), True, **more)
        # Where gradients are accumulated, losses may be shares of a whole batch's.
        is_mean = self.args.gradient_accumulation_steps == 1
        with torch.no_grad():
            correct = self._correct(outputs, shown)
        self._following.record(ids, correct, loss.mean() if is_mean else None)
        return (loss, outputs) if return_outputs else loss

    def predicted(self, dataset: Any) -> Tensor:
        """Return the class of the largest logit of each example of a data set, in its order.

        `tell` takes it where the data set is that of all training examples:
        `search.tell(level, model, predictions=lambda model: trainer.predicted(train))`.
        """
        logits = self.predict(dataset).predictions  # type: ignore[attr-defined]
        first: Tensor = torch.as_tensor(logits[0] if isinstance(logits, tuple) else logits)
        if first.ndim != 2 or first.shape[1] < 2:
            raise PracError(
                f"the model's first output is of shape {tuple(first.shape)}, which are no scores "
                f"(n, classes): pass tell a function of your own, or integers, as predictions"
            )
        return first.argmax(-1)


class LevelTrainer(LevelMixin, _Trainer):  # type: ignore[misc]
    """The `Trainer` of transformers, which trains one level of a search as `LevelMixin` says."""


class _LevelEvents(_TrainerCallback):  # type: ignore[misc]
    """What a level is told of a Trainer's training."""

    def __init__(self, following: Following, monitor: str | None) -> None:
        self._following, self._monitor = following, monitor
        self._waits = False  # For the evaluation of an epoch that has ended.
        self._evaluated: tuple[int, dict[str, float]] = (-1, {})

    def on_train_begin(self, args: Any, state: Any, *_: Any, **more: Any) -> None:
        """Load the level's weights and hold its masks."""
        self._following.load(more["model"])
        self._following.begin(more["optimizer"], step=state.global_step, ranks=args.world_size)

    def on_step_begin(self, *_: Any, **more: Any) -> None:
        """Note the rate."""
        self._following.begin_step(more["optimizer"])

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Note a step."""
        if self._following.end_step():
            control.should_training_stop = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """End the level's epoch, or wait for what its evaluation says."""
        self._waits = bool(control.should_evaluate)
        if not self._waits:
            step, metrics = self._evaluated
            self._end_epoch(control, metrics if step == state.global_step else None)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any
    ) -> None:
        """Take the metrics; of several sets those that have the one that is looked for."""
        self._evaluated = state.global_step, dict(metrics or {})
        if self._waits and (self._monitor is None or self._monitor in self._evaluated[1]):
            self._waits = False
            self._end_epoch(control, self._evaluated[1])

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Raise a PracError where an evaluation said nothing of the metric."""
        if self._waits:
            self._end_epoch(control, self._evaluated[1])

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take the masks off, and check them."""
        self.on_epoch_begin(args, state, control)
        self._following.end()

    def _end_epoch(self, control: Any, metrics: dict[str, float] | None) -> None:
        metric = loss = None
        if metrics is not None:
            metric = measured(metrics, self._monitor, self._following.metric_name("eval_"))
            loss = measured(metrics, None, "eval_loss")
        if self._following.end_epoch(metric, loss):
            control.should_training_stop = True


def _is_argmax(outputs: Any, inputs: Mapping[str, Any]) -> Tensor:
    logits: Any = outputs.get("logits") if isinstance(outputs, Mapping) else outputs[1]
    labels: Any = inputs.get("labels")
    are_classes = (
        isinstance(logits, Tensor)
        and isinstance(labels, Tensor)
        and labels.ndim == 1
        and not labels.is_floating_point()
        and logits.ndim == 2
        and logits.shape[1] > 1
    )
    if not are_classes:
        raise PracError(
            "which examples are right is not known without logits (k, classes) and classes (k,): "
            "pass LevelTrainer(..., correct=), a function of (outputs, inputs)"
        )
    right: Tensor = logits.argmax(-1) == labels
    return right
