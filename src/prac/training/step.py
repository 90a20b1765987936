"""One training step: forward, loss, backward, optimiser, masks; eager, compiled or captured."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from prac.errors import PracError
from prac.training.batch_transform import Mixed
from prac.training.capture import Casts, Graph, StandIns, Watched, aside
from prac.training.descent import PLAIN, Descent
from prac.training.optimizer import RATE_SHARE
from prac.training.runtime import Runtime
from prac.training.task import Made, Task
from prac.utils import (
    Tree,
    held_generators,
    leaves,
    mapped,
    named_leaves,
    own_generators,
    split,
)

Forward = Callable[..., Any]
Objective = Callable[[nn.Module, Tree, Tree], tuple[Tensor, Tree]]
"""(model, inputs, targets) -> the loss to descend, and outputs (n, ...) to judge."""

# Before a step is captured it must have run, so that all it needs has been set up.
STEPS_BEFORE_CAPTURE = 3
# Of batches of as many shapes: those of sizes that seldom come again are not worth their memory.
MOST_GRAPHS = 8

NOTHING = StandIns()
"""Stands in for nothing."""


class Step:
    """One training step of a model in place; what it gives stays on the device, not waited for.

    Only batches of the usual size run compiled. Any other, such as an epoch's last, does not: which
    of two compiled variants would take it could depend on what came before, and a resumed run must
    do as an uninterrupted one. Captured are steps of each size that comes often enough, the same
    kernels being replayed.

    The model is prepared by `Runtime.prepare_`. Pruned weights are exactly zero after every step,
    whatever momentum and weight decay do. An own `objective` stands in for the forward pass and the
    task's loss; its runtime is eager, and it weighs all examples alike.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        masks: Mapping[str, Tensor],
        *,
        task: Task,
        runtime: Runtime,
        batch_size: int,
        objective: Objective | None = None,
        descent: Descent = PLAIN,
    ) -> None:
        """Prune the weights, and get ready."""
        self.model, self.task, self.runtime = model, task, runtime
        # What the model draws from, and what of that is its own: looked for once.
        self.held = held_generators(model)
        self.generators = [*own_generators(runtime.device), *self.held]
        self._optimizer, self._batch_size = optimizer, batch_size
        self._objective, self._descent = objective, descent
        parameters = dict(model.named_parameters())
        # As the weights are in type and layout: several times as fast as multiplying by bools. A
        # layer that keeps everything needs none.
        pruned = {name: mask for name, mask in masks.items() if not bool(mask.all())}
        self._weights: list[Tensor] = [parameters[name] for name in pruned]
        self._masks = [torch.empty_like(parameters[n]).copy_(mask) for n, mask in pruned.items()]
        self._apply_masks_()
        self._usual: Forward = model
        if runtime.compiles:
            self._usual = torch.compile(model, dynamic=False, fullgraph=True, **compiling(runtime))
        self._replays: dict[Any, _Replays] = {}
        self._pool: Any = None
        self._aside: Any = None
        self._casts: Casts = {}
        self._rate: float | None = None
        self._has_run: set[Forward] = set()

    def __call__(
        self,
        x: Tree,
        y: Tree | Mixed,
        lr: float,
        weights: Tensor | None = None,
        *,
        size: int | None = None,
    ) -> tuple[Tensor, Tree]:
        """Train on a batch.

        Args:
            x: (n, ...), the inputs.
            y: (n, ...), the targets, or those of mixed examples.
            lr: The learning rate.
            weights: float32 (n,), what each example's loss counts in the mean; None for 1 each.
            size: n; by default the rows of the targets.

        Returns:
            The loss, and the outputs, (n, ...).

        Raises:
            PracError: If the step is to be captured, and the model does otherwise in each.
        """
        x = self.runtime.to_memory_format(x)
        self._set_rate_(lr)
        size = len(leaves(y)[0]) if size is None else size
        if self._descent.accumulate > 1:
            return self._accumulated(x, y, weights, size)
        forward = self._usual if size == self._batch_size else self.model
        batch = (x, y) if weights is None else (x, y, weights)
        if not self.runtime.captures:
            return self._train(forward, *batch)
        device = self.runtime.device
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            return self._replayed(forward, batch)

    def _accumulated(
        self, x: Tree, y: Tree | Mixed, weights: Tensor | None, size: int
    ) -> tuple[Tensor, Tree]:
        """Do a step of a batch in pieces, each counting by its share of the examples."""
        sizes = self._descent.sizes(size)
        usual = self._descent.sizes(self._batch_size)[0]
        counts = [None] * len(sizes) if weights is None else weights.split(sizes)
        parts, targets = [x], [y]
        if len(sizes) > 1:
            parts, targets = split(x, sizes), split_targets(y, sizes)
        self._optimizer.zero_grad(set_to_none=True)
        losses, outputs = [], []
        for rows, part, of, count in zip(sizes, parts, targets, counts, strict=True):
            forward = self._usual if rows == usual else self.model
            with nullcontext() if forward in self._has_run else _no_advice():
                loss, made = self._loss(forward, part, of, count)
                loss = loss * (rows / size)
                self._descent.backward(loss)
            self._has_run.add(forward)
            losses.append(loss.detach())
            outputs.append(mapped(torch.detach, made))
        self._finish_()
        whole: Tree = mapped(lambda *parts: torch.cat(parts), *outputs)
        return torch.stack(losses).sum(), whole

    def _loss(
        self, forward: Forward, x: Tree, y: Tree | Mixed, weights: Tensor | None
    ) -> tuple[Tensor, Tree]:
        """Return a batch's loss, and the outputs."""
        with self.runtime.autocast():
            if self._objective is not None:
                return self._objective(self.model, x, y)
            made = self.task.made(forward, x, y.own if isinstance(y, Mixed) else y)
            return training_loss(self.task, made, y, weights), made.outputs

    def _finish_(self) -> None:
        """Go down the gradients that are there."""
        self._descent.step_(self._optimizer, self._weights, self._masks)
        self._apply_masks_()

    def _replayed(self, forward: Forward, batch: tuple[Tree, ...]) -> tuple[Tensor, Tree]:
        """Replay the step of such a batch, or do it, and capture it if it comes often enough."""
        key = tuple((place, one.shape, one.dtype) for place, one in named_leaves(batch))
        replays = self._replays.setdefault(key, _Replays())
        if replays.graph is None and replays.steps >= STEPS_BEFORE_CAPTURE:
            captured = sum(one.graph is not None for one in self._replays.values())
            if captured < MOST_GRAPHS:
                self._capture(replays, forward, batch)
        replays.steps += 1
        if replays.graph is not None and not replays.is_to_be_watched:
            replays.uncounted += 1
            return replays.graph(*batch)
        # What runs compiled is looked at by the compiler itself.
        looks = forward is self.model and (
            replays.steps <= STEPS_BEFORE_CAPTURE or replays.is_to_be_watched
        )
        watched = Watched(self.model, self.runtime.device) if looks else None
        if self._aside is None:
            self._aside = torch.cuda.Stream()
        result = aside(self._aside, lambda: self._train(forward, *batch, within=watched))
        replays.take(watched)
        return result

    def _capture(self, replays: _Replays, forward: Forward, batch: tuple[Tree, ...]) -> None:
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        seen, watched = replays.watched, None
        if seen is not None:
            replays.stand_ins = StandIns.of(self.model, seen, self._casts)
            replays.stand_ins.cast_()  # As all that is captured, it must have run before.
            watched = Watched(self.model, self.runtime.device)
        step = partial(self._train, forward, within=watched, stand_ins=replays.stand_ins)
        replays.graph = Graph(step, batch, self._pool)
        if seen is not None and watched is not None:
            replays.stand_ins.check(seen, watched)

    def _train(
        self,
        forward: Forward,
        x: Tree,
        y: Tree,
        weights: Tensor | None = None,
        *,
        within: Watched | None = None,
        stand_ins: StandIns = NOTHING,
    ) -> tuple[Tensor, Tree]:
        """Do a step, its forward pass within what watches it, on what stands in for weights."""
        with nullcontext() if forward in self._has_run else _no_advice():
            stand_ins.cast_()
            with stand_ins.standing(), within or nullcontext():
                loss, outputs = self._loss(forward, x, y, weights)
            self._optimizer.zero_grad(set_to_none=True)
            self._descent.backward(loss)
            stand_ins.hand_on_gradients_()
            self._finish_()
        self._has_run.add(forward)
        return loss.detach(), mapped(torch.detach, outputs)

    @torch.no_grad()
    def _apply_masks_(self) -> None:
        if self._masks:
            torch._foreach_mul_(self._weights, self._masks)  # One kernel for all, on a GPU.

    def _set_rate_(self, lr: float) -> None:
        if lr == self._rate:
            return
        self._rate = lr
        for group in self._optimizer.param_groups:
            own = lr * group[RATE_SHARE] if RATE_SHARE in group else lr
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(own)  # A captured step reads it from the device.
            else:
                group["lr"] = own

    @torch.no_grad()
    def settle_(self) -> None:
        """Count the batches that replayed steps have left uncounted in the model's BatchNorms.

        Whoever looks at the model's buffers after steps calls it first.
        """
        for replays in self._replays.values():
            stand_ins, count = replays.stand_ins, replays.uncounted
            if count and stand_ins.counters:
                each = [passes * count for passes in stand_ins.counts]
                torch._foreach_add_(stand_ins.counters, each)
            replays.uncounted = 0


class _Replays:
    """What is known of steps of one shape of batch."""

    def __init__(self) -> None:
        self.steps = 0  # Done so far, replayed or not.
        self.watched: Watched | None = None  # The newest that was; none where they run compiled.
        self.graph: Graph | None = None
        self.stand_ins = NOTHING  # What the graph finds in the model's places.
        self.uncounted = 0  # Replays that BatchNorm's counters do not know of yet.

    @property
    def is_to_be_watched(self) -> bool:
        """Whether the newest step is one of those, ever rarer, that run as the model says.

        They have the same bits, and tell of a model that has begun to do otherwise.
        """
        return self.watched is not None and self.steps & (self.steps - 1) == 0

    def take(self, watched: Watched | None) -> None:
        """Keep what a step did.

        Raises:
            PracError: If it cannot be replayed, or the one before it did otherwise.
        """
        if watched is None:
            return
        if watched.fault is not None:
            raise PracError(
                f"the model cannot be replayed: {watched.fault}: name another --execution"
            )
        if self.watched is not None:
            NOTHING.check(self.watched, watched)
        self.watched = watched


def compiling(runtime: Runtime) -> dict[str, Any]:
    """Return how torch.compile is told to give the same kernels each time, where it can be."""
    if runtime.device.type != "cuda":
        return {}
    from torch._inductor import list_options

    return {"options": {"deterministic": True}} if "deterministic" in list_options() else {}


@contextmanager
def _no_advice() -> Iterator[None]:
    """Keep back what torch would advise: that TF32 is faster, that a step could be captured."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="TensorFloat32 tensor cores")
        warnings.filterwarnings("ignore", module=r"torch\._inductor")
        warnings.filterwarnings("ignore", message="This instance was constructed with capturable")
        yield


def split_targets(y: Tree | Mixed, sizes: list[int]) -> list[Any]:
    """Return a batch's targets in pieces of so many examples."""
    if not isinstance(y, Mixed):
        return split(y, sizes)
    pairs = zip(split(y.own, sizes), split(y.other, sizes), strict=True)
    return [Mixed(own, other, y.share) for own, other in pairs]


def training_loss(
    task: Task, made: Made, targets: Tree | Mixed, weights: Tensor | None = None
) -> Tensor:
    """Return what a batch is trained by: the task's loss, or the mean of its examples' by weight.

    Of mixed examples it is that of both of their targets, by share.
    """
    if isinstance(targets, Mixed):
        own, other = (
            training_loss(task, made, each, weights) for each in (targets.own, targets.other)
        )
        return own * targets.share + other * (1 - targets.share)
    if weights is None:
        return batch_loss(task, made, targets)
    return (example_losses(task, made.outputs, targets) * weights).mean()


def example_losses(task: Task, outputs: Tree, targets: Tree) -> Tensor:
    """Return float (n,), each example's loss.

    Raises:
        PracError: If the task does not tell them, or a target has no output.
    """
    if task.losses is None:
        raise PracError(
            "each example's loss is needed, and the task's own loss gives their mean: pass "
            "Task(losses=...) too"
        )
    return _judged(task.losses, outputs, targets)


def batch_loss(task: Task, made: Made, targets: Tree) -> Tensor:
    """Return the task's loss, which may be the model's own.

    Raises:
        PracError: If a target has no output, as a label beyond the model's classes.
    """
    if made.own_loss is not None:
        return made.own_loss
    assert callable(task.loss), "a loss that is the model's own comes with its outputs"
    return _judged(task.loss, made.outputs, targets)


def _judged(loss: Callable[[Tree, Tree], Tensor], outputs: Tree, targets: Tree) -> Tensor:
    try:
        return loss(outputs, targets)
    except IndexError as error:
        if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
            raise
        raise PracError(
            f"a batch has targets from {targets.min().item()} to {targets.max().item()} for "
            f"outputs of shape {tuple(outputs.shape)}: {error}"
        ) from error
