"""One training step: forward, loss, backward, optimiser, masks; eager, compiled or captured."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from prac.errors import PracError
from prac.task import Task
from prac.world import World

Forward = Callable[[Tensor], Tensor]

# Before a step is captured it must have run, so that all it needs has been set up.
STEPS_BEFORE_CAPTURE = 3


class Step:
    """One training step of a model in place; what it gives stays on the device, not waited for.

    Batches of the usual size run as the world's execution says. Any other, such as an epoch's last,
    runs eagerly: which of two compiled variants would take it could depend on what came before, and
    a resumed run must do as an uninterrupted one.

    Args:
        model: On the world's device, prepared by `World.prepare_`.
        optimizer: Over the model's parameters; its rates are set at every step.
        masks: Keep-masks by parameter name. Pruned weights are exactly zero after every step,
            whatever momentum and weight decay do.
        task: The loss.
        world: Device, precision and execution.
        batch_size: The usual size.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        masks: Mapping[str, Tensor],
        *,
        task: Task,
        world: World,
        batch_size: int,
    ) -> None:
        """Prune the weights, and get ready."""
        self._model, self._optimizer, self._task, self._world = model, optimizer, task, world
        self._batch_size = batch_size
        parameters = dict(model.named_parameters())
        # As the weights are in type and layout: several times as fast as multiplying by bools. A
        # layer that keeps everything needs none.
        pruned = {name: mask for name, mask in masks.items() if not bool(mask.all())}
        self._weights: list[Tensor] = [parameters[name] for name in pruned]
        self._masks = [torch.empty_like(parameters[n]).copy_(mask) for n, mask in pruned.items()]
        self._apply_masks_()
        self._usual: Forward = model
        if world.compiles:
            self._usual = torch.compile(model, dynamic=False, fullgraph=True)
        self._graph: _Graph | None = None
        self._until_capture = STEPS_BEFORE_CAPTURE

    def __call__(
        self, x: Tensor, y: Tensor, lr: float, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Train on a batch at a learning rate.

        Args:
            x: (n, ...), the inputs.
            y: (n, ...), the targets.
            lr: Of this step.
            weights: float32 (n,), what each example's loss counts in the mean; None for 1 each.

        Returns:
            The loss, and the outputs, (n, ...).
        """
        x = self._world.placed(x)
        self._set_rate_(lr)
        if len(x) != self._batch_size:
            return self._train(self._model, x, y, weights)
        if not self._world.captures or weights is not None:
            return self._train(self._usual, x, y, weights)
        with torch.cuda.device(self._world.device):
            return self._captured(x, y)

    def _captured(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if self._graph is None and self._until_capture:
            self._until_capture -= 1
            return _aside(lambda: self._train(self._usual, x, y))
        if self._graph is None:
            self._graph = _Graph(lambda x, y: self._train(self._usual, x, y), x, y)
        return self._graph(x, y)

    def _train(
        self, forward: Forward, x: Tensor, y: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        with self._world.autocast():
            outputs = forward(x)
            if weights is None:
                loss = batch_loss(self._task, outputs, y)
            else:
                loss = (example_losses(self._task, outputs, y) * weights).mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        self._apply_masks_()
        return loss.detach(), outputs.detach()

    @torch.no_grad()
    def _apply_masks_(self) -> None:
        if self._masks:
            torch._foreach_mul_(self._weights, self._masks)  # One kernel for all, on a GPU.

    def _set_rate_(self, lr: float) -> None:
        for group in self._optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)  # A captured step reads it from the device.
            else:
                group["lr"] = lr


class _Graph:
    """A training step as a CUDA graph, replayed with other contents of the same tensors."""

    def __init__(
        self, train: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], x: Tensor, y: Tensor
    ) -> None:
        """Capture the step on tensors like `x` and `y`; nothing is trained yet."""
        self._x, self._y = torch.empty_like(x), torch.empty_like(y)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._loss, self._outputs = train(self._x, self._y)

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        self._x.copy_(x, non_blocking=True)
        self._y.copy_(y, non_blocking=True)
        self._graph.replay()
        # Copies: the next replay writes over them.
        return self._loss.clone(), self._outputs.clone()


def _aside(work: Callable[[], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Do work on another stream, as what is captured later must have run on one."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        result = work()
    torch.cuda.current_stream().wait_stream(stream)
    return result


def example_losses(task: Task, outputs: Tensor, targets: Tensor) -> Tensor:
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


def batch_loss(task: Task, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the task's loss.

    Raises:
        PracError: If a target has no output, as a label beyond the model's classes.
    """
    return _judged(task.loss, outputs, targets)


def _judged(loss: Callable[[Tensor, Tensor], Tensor], outputs: Tensor, targets: Tensor) -> Tensor:
    try:
        return loss(outputs, targets)
    except IndexError as error:
        raise PracError(
            f"a batch has targets from {targets.min().item()} to {targets.max().item()} for "
            f"outputs of shape {tuple(outputs.shape)}: {error}"
        ) from error
