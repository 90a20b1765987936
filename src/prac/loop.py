"""The one training loop: a generator that yields at every epoch's end and at the rewind point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from prac.algorithms.schedule import Plan, batch_sizes
from prac.config import TrainConfig
from prac.data.examples import Examples
from prac.errors import PracError
from prac.modules import apply_masks_
from prac.task import Task
from prac.world import World, derived_seed


@dataclass(frozen=True)
class Segment:
    """A stretch of training without a break: an epoch, or its part before or after a mark.

    Attributes:
        step: Iterations done when it ended.
        iterations: Iterations in it.
        ids: int64 (k,), the examples presented, once each.
        correct: bool (k,), whether each was predicted right as it was presented.
        loss: Training loss, the mean over batches.
        ends_epoch: Whether the epoch ended here.
    """

    step: int
    iterations: int
    ids: Tensor
    correct: Tensor
    loss: float
    ends_epoch: bool

    @property
    def loss_is_finite(self) -> bool:
        """Whether training has not diverged."""
        return math.isfinite(self.loss)

    def after(self, earlier: Segment) -> Segment:
        """Return this segment together with the one before it, as if no mark had parted them."""
        iterations = earlier.iterations + self.iterations
        loss = earlier.loss * earlier.iterations + self.loss * self.iterations
        return replace(
            self,
            iterations=iterations,
            ids=torch.cat([earlier.ids, self.ids]),
            correct=torch.cat([earlier.correct, self.correct]),
            loss=loss / iterations,
        )


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the configured optimiser over all the model's parameters that train."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    optimizer: torch.optim.Optimizer = kinds[config.optimizer](
        parameters, config.lr, betas=(config.momentum, 0.999), weight_decay=config.weight_decay
    )
    return optimizer


def fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Examples,
    members: Tensor,
    plan: Plan,
    *,
    masks: Mapping[str, Tensor],
    task: Task,
    world: World,
    batch_size: int,
    seed: int,
    start: int = 0,
    mark: int | None = None,
) -> Iterator[Segment]:
    """Train `model` in place on the members of `data`, yielding a Segment at each break.

    Breaks are the epochs' ends, the plan's end, and `mark`. Pruned weights are exactly zero after
    every step, whatever momentum and weight decay do. Inside a segment nothing is read
    back from the device: losses and outcomes stay there until its end.

    Args:
        model: On the world's device.
        optimizer: Over the model's parameters; its rates are set from the plan.
        data: All training examples.
        members: int64, those to train on.
        plan: Length and learning rates.
        masks: Keep-masks by parameter name.
        task: Loss and correctness.
        world: Device and precision.
        batch_size: Examples an iteration.
        seed: Source of order and augmentation; each epoch derives its own.
        start: Iterations done before, at an epoch's end.
        mark: An iteration count to break at as well.
    """
    parameters = dict(model.named_parameters())
    pairs = [(parameters[name], mask.to(parameters[name].device)) for name, mask in masks.items()]
    apply_masks_(pairs)
    step = start
    while step < plan.iterations:
        epoch, done = divmod(step, plan.iterations_per_epoch)
        batches = epoch_batches(members, batch_size, derived_seed(seed, "order", epoch))
        end = min((epoch + 1) * plan.iterations_per_epoch, plan.iterations)
        if mark is not None and step < mark < end:
            end = mark
        part = batches[done : done + end - step]
        loss, correct = _train(
            model, optimizer, data, part, plan, step, pairs, task, world,
            derived_seed(seed, "segment", step),
        )  # fmt: skip
        step = end
        ends_epoch = step % plan.iterations_per_epoch == 0 or step == plan.iterations
        yield Segment(step, len(part), torch.cat(part), correct, loss, ends_epoch)


def _train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Examples,
    batches: list[Tensor],
    plan: Plan,
    step: int,
    pairs: list[tuple[nn.Parameter, Tensor]],
    task: Task,
    world: World,
    seed: int,
) -> tuple[float, Tensor]:
    losses, correct = [], []
    devices = [world.device] if world.device.type == "cuda" else []
    # Dropout and the like draw from torch's own generators: seeded here, given back afterwards.
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        model.train()
        for offset, (x, y) in enumerate(data.stream(batches, seed=seed)):
            for group in optimizer.param_groups:
                group["lr"] = plan.lr_at(step + offset)
            with world.autocast():
                outputs = model(x)
                loss = batch_loss(task, outputs, y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            apply_masks_(pairs)
            losses.append(loss.detach())
            correct.append(task.correct(outputs.detach(), y))
    return float(torch.stack(losses).mean()), torch.cat(correct).cpu()


def batch_loss(task: Task, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the task's loss.

    Raises:
        PracError: If a target has no output, as a label beyond the model's classes.
    """
    try:
        return task.loss(outputs, targets)
    except IndexError as error:
        raise PracError(
            f"a batch has targets from {targets.min().item()} to {targets.max().item()} for "
            f"outputs of shape {tuple(outputs.shape)}: {error}"
        ) from error


def epoch_batches(members: Tensor, batch_size: int, seed: int) -> list[Tensor]:
    """Return one epoch's index batches: the members in an order drawn from `seed`.

    >>> [len(batch) for batch in epoch_batches(torch.arange(5), 2, seed=0)]
    [2, 3]
    """
    order = torch.randperm(len(members), generator=torch.Generator().manual_seed(seed))
    return list(members[order].split(batch_sizes(len(members), batch_size)))


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's state as CPU tensors by flat name, "parameter/key"."""
    return {
        f"{index}/{key}": torch.as_tensor(value).detach().to("cpu", copy=True)
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
        if value is not None
    }


def restore_optimizer_(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` returned.

    Raises:
        PracError: Naming the first tensor that is not of this optimiser.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    known = OPTIMIZER_KEYS[type(optimizer)]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition("/")
        # Written back, so that no other way of writing a number is taken for it.
        number = int(index) if index.isascii() and index.isdecimal() and len(index) < 10 else -1
        if str(number) != index or number >= len(parameters) or key not in known:
            raise PracError(f"{name!r} is nothing that this optimiser keeps of its parameters")
        wanted = torch.Size() if key == "step" else parameters[number].shape
        if tensor.shape != wanted or not tensor.is_floating_point():
            raise PracError(
                f"the optimiser's {name!r} is {tensor.dtype} {list(tensor.shape)}: expected "
                f"floating point {list(wanted)}"
            )
        # A copy: load_state_dict keeps what it is given, and steps would change the caller's.
        state.setdefault(number, {})[key] = tensor.clone()
    for number, kept in state.items():
        # Steps would begin anew, or fail, where a part of a parameter's state is missing.
        if kept.keys() != known:
            raise PracError(f"the optimiser's state of parameter {number} is not whole")
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )


OPTIMIZER_KEYS: dict[type, set[str]] = {
    torch.optim.SGD: {"momentum_buffer"},
    torch.optim.Adam: {"step", "exp_avg", "exp_avg_sq"},
    torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"},
}
"""What each optimiser keeps of a parameter."""
