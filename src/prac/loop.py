"""The one training loop: a generator that yields at epochs' ends and where else it is asked to."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass

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
    """A stretch of training without a break, within one epoch.

    Attributes:
        step: Iterations done when it ended.
        ids: int64 (k,), the examples presented, once each.
        correct: bool (k,), whether each was predicted right as it was presented.
        losses: float32, the training loss of each iteration.
        ends_epoch: Whether the epoch ended here.
    """

    step: int
    ids: Tensor
    correct: Tensor
    losses: Tensor
    ends_epoch: bool

    @property
    def diverged_at(self) -> int | None:
        """The first iteration, counted from 1, whose loss is not finite; None if there is none."""
        bad = (~self.losses.isfinite()).nonzero()
        return self.step - len(self.losses) + int(bad[0]) + 1 if len(bad) else None


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
    breaks: Callable[[int], bool] = lambda step: False,
) -> Generator[Segment, None, None]:
    """Train `model` in place on the members of `data`, yielding a Segment at each break.

    Breaks are the epochs' ends, the plan's end, and wherever `breaks` says so. They change nothing:
    whatever is random is drawn from the seed and the iteration. Pruned weights are exactly zero
    after every step, whatever momentum and weight decay do. Inside a segment nothing is read back
    from the device: losses and outcomes stay there until its end.

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
        seed: Source of order, augmentation and dropout.
        start: Iterations done before.
        breaks: Asked after each iteration, with the number done, whether to break there as well.
    """
    parameters = dict(model.named_parameters())
    pairs = [(parameters[name], mask.to(parameters[name].device)) for name, mask in masks.items()]
    apply_masks_(pairs)

    def train_step(batch: Batch) -> tuple[Tensor, Tensor]:
        for group in optimizer.param_groups:
            group["lr"] = plan.lr_at(batch.step)
        with world.autocast():
            outputs = model(batch.x)
            loss = batch_loss(task, outputs, batch.y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        apply_masks_(pairs)
        return loss.detach(), task.correct(outputs.detach(), batch.y)

    step = start
    while step < plan.iterations:
        epoch, done = divmod(step, plan.iterations_per_epoch)
        end = min(step - done + plan.iterations_per_epoch, plan.iterations)
        order = derived_seed(seed, "order", epoch)
        ids = epoch_batches(members, batch_size, order)[done : done + end - step]
        epoch_seed = derived_seed(seed, "segment", step - done)
        seeds = [derived_seed(epoch_seed, done + number) for number in range(len(ids))]
        with closing(_batches(data, ids, seeds, step)) as batches:
            while step < end:
                segment = _segment(model, train_step, batches, world, end, breaks)
                step = segment.step
                if segment.ends_epoch:
                    next(batches, None)  # Lets the stream come to its own end.
                yield segment


@dataclass(frozen=True)
class Batch:
    """What one iteration trains on: examples `ids` as (x, y), at `step` iterations, from `seed`."""

    step: int
    seed: int
    ids: Tensor
    x: Tensor
    y: Tensor


def _batches(
    data: Examples, ids: list[Tensor], seeds: list[int], start: int
) -> Generator[Batch, None, None]:
    stream = data.stream(ids, seeds=seeds)
    for step, (batch, seed, (x, y)) in enumerate(zip(ids, seeds, stream, strict=True), start):
        yield Batch(step, seed, batch, x, y)


def _segment(
    model: nn.Module,
    train_step: Callable[[Batch], tuple[Tensor, Tensor]],
    batches: Iterator[Batch],
    world: World,
    end: int,
    breaks: Callable[[int], bool],
) -> Segment:
    """Train on `batches` up to the first break."""
    ids, losses, correct, step = [], [], [], end
    model.train()
    with _own_randomness(world.device) as generators:
        for batch in batches:
            # Dropout and the like draw from torch's own generators.
            for generator in generators:
                generator.manual_seed(batch.seed)
            loss, right = train_step(batch)
            ids.append(batch.ids)
            losses.append(loss)
            correct.append(right)
            step = batch.step + 1
            if step == end or breaks(step):
                break
    return Segment(
        step, torch.cat(ids), torch.cat(correct).cpu(), torch.stack(losses).cpu(), step == end
    )


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[list[torch.Generator]]:
    """Lend torch's own generators for the CPU and `device`; their state is put back afterwards."""
    generators = [torch.default_generator]
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index or 0])
    states = [generator.get_state() for generator in generators]
    try:
        yield generators
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


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
