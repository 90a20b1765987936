"""Lightning: a callback by which its Trainer trains a level of a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import RandomSampler

from prac.errors import PracError
from prac.loops.examples import ids_of
from prac.loops.following import Following, measured
from prac.search import AskedLevel
from prac.utils import needed

_Callback: Any = needed("lightning.pytorch", "lightning", "prac.loops.lightning").Callback


class LevelCallback(_Callback):  # type: ignore[misc]
    """Follows one level of a search through a Lightning Trainer's `fit`.

    The network gets the weights that the level starts from, and its masks; presentations are
    recorded, the rewind point is marked, epochs are ended with the metric of a validation, and the
    Trainer is stopped where the level's length is reached or its mask is stable. At the end the
    masks come off, also after an error. For one process and one optimiser.

    `training_step` returns a dict with `loss` and `correct`, bool (k,): which of the batch's
    examples were predicted right.

    Args:
        level: What `search.ask()` gave.
        module: The network that the search is of; by default the one part of the `LightningModule`
            that has weights of its names and shapes.
        ids: Batch -> integers (k,), the places of its examples; by default those that
            `prac.loops.with_ids` put there.
        correct: (What `training_step` returned, batch) -> bool (k,); by default its `correct`.
        monitor: The search's metric, by which best epochs go, as `self.log` names it; by default
            `val_` and its name, such as `val_accuracy`, if it is there. `val_loss` is noted, too.

    Raises:
        PracError: While training, in one line, where one of these is missing or does not fit.
    """

    def __init__(
        self,
        level: AskedLevel,
        *,
        module: nn.Module | None = None,
        ids: Callable[[Any], Any] | None = None,
        correct: Callable[[Any, Any], Any] | None = None,
        monitor: str | None = None,
    ) -> None:
        super().__init__()
        self._following = Following(level, module)
        self._ids = ids or (lambda batch: ids_of(batch, "id"))
        self._correct = correct or _correct_of
        self._monitor, self._is_validated = monitor, False

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Give the network the level's weights, before anything else copies them."""
        if stage == "fit":
            self._following.load(pl_module)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Hold the masks."""
        if len(trainer.optimizers) != 1:
            raise PracError(
                f"the LightningModule has {len(trainer.optimizers)} optimizers: LevelCallback "
                f"follows one; for several see docs/howto/own-loop.md"
            )
        for callback in trainer.callbacks:
            if any(kind.__name__ == "WeightAveraging" for kind in type(callback).__mro__):
                raise PracError(
                    f"the trainer has {type(callback).__name__}, whose averages are validated in "
                    f"the place of the weights that the level keeps as its best: leave it out"
                )
        self._is_validated = False  # What was validated before was a trial.
        self._following.begin(
            trainer.optimizers, step=trainer.global_step, ranks=trainer.world_size
        )

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        """Note the rate."""
        self._following.begin_step(trainer.optimizers[0])

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record what was presented, and the step where this batch has ended one."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        loss = loss if isinstance(loss, Tensor) else None
        self._following.record(self._ids(batch), self._correct(outputs, batch), loss)
        # A batch whose gradients are added to the next one's is no step.
        while self._following.level.steps < trainer.global_step:
            trainer.should_stop = self._following.end_step() or trainer.should_stop

    def on_validation_end(self, *_: Any) -> None:
        """Note that metrics are new."""
        self._is_validated = True

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """End the level's epoch."""
        metric = loss = None
        if self._is_validated:
            usual = self._following.metric_name("val_")
            metric = measured(trainer.callback_metrics, self._monitor, usual)
            loss = measured(trainer.callback_metrics, None, "val_loss")
        self._is_validated = False
        trainer.should_stop = self._following.end_epoch(metric, loss) or trainer.should_stop

    def on_train_end(self, *_: Any) -> None:
        """Take the masks off, and check them."""
        self._following.end()

    def on_exception(self, *_: Any) -> None:
        """Take the masks off."""
        self._following.abandon()


def predicted(trainer: Any, module: Any, loader: Any) -> Tensor:
    """Return the classes that Lightning's `trainer.predict` gives for the examples of a loader.

    `tell` takes them, integers (n,), where the loader gives each training example once, in order:
    `search.tell(level, net, predictions=lambda net: predicted(trainer, module, loader))`. The
    module's `predict_step` returns classes, integers (k,), or logits (k, classes).

    Raises:
        PracError: If the loader shuffles, or this is not what `predict_step` returns.
    """
    if isinstance(getattr(loader, "sampler", None), RandomSampler):
        raise PracError(
            "the loader of examples to predict shuffles them: expected shuffle=False, since "
            "predictions are told in the examples' order"
        )
    parts = trainer.predict(module, loader) or []
    for part in parts:
        is_logits = isinstance(part, Tensor) and part.is_floating_point()
        if not isinstance(part, Tensor) or part.ndim != (2 if is_logits else 1):
            what = f"shape {tuple(part.shape)}" if isinstance(part, Tensor) else f"{type(part)}"
            raise PracError(
                f"predict_step returned {what}: expected classes, integers (k,), or logits "
                f"(k, classes)"
            )
    return torch.cat([part.argmax(1) if part.ndim == 2 else part for part in parts])


def _correct_of(outputs: Any, batch: Any) -> Any:
    if isinstance(outputs, Mapping) and "correct" in outputs:
        return outputs["correct"]
    raise PracError(
        "training_step returned no 'correct': return a dict with 'loss' and 'correct', bool (k,), "
        "or pass LevelCallback(..., correct=) that makes it of (outputs, batch)"
    )
