"""The optimiser: made as configured, taken apart into named tensors, put together again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from prac.config import TrainConfig
from prac.errors import PracError
from prac.models import is_dense
from prac.training.runtime import Runtime
from prac.utils import on_cpu


def make_optimizer(
    model: nn.Module, config: TrainConfig, runtime: Runtime, *, sparse: bool = False
) -> torch.optim.Optimizer:
    """Return the configured optimiser over all the model's parameters that train.

    Its steps are fused, one pass over all weights, where their types allow it: fused kernels take
    no `sparse` gradients, and weights and gradients for flat memory, in which a weight that is a
    view has gaps.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    sparse |= any(getattr(module, "sparse", False) is True for module in model.modules())
    fused = not sparse and all(p.is_floating_point() and is_dense(p) for p in parameters)
    # A captured step reads its rate from the device.
    rate = (
        torch.tensor(config.lr, dtype=torch.float32, device=runtime.device)
        if runtime.captures
        else config.lr
    )
    shared: dict[str, Any] = {"lr": rate, "weight_decay": config.weight_decay, "fused": fused}
    if config.optimizer == "sgd":
        sgd = torch.optim.SGD(parameters, momentum=config.momentum, **shared)
        _begin_momentum_(sgd)
        return sgd
    shared |= {"betas": (config.momentum, 0.999), "capturable": runtime.captures}
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    adam: torch.optim.Optimizer = kinds[config.optimizer](parameters, **shared)
    return adam


def _begin_momentum_(optimizer: torch.optim.Optimizer) -> None:
    """Begin the momentum that has not begun, with zero, which is what the first step makes of it.

    A fused step takes no mixture of parameters that have had a gradient before and that have not.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"] if group.get("momentum") else ():
            state = optimizer.state[parameter]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(parameter)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's state as CPU tensors by flat name, "parameter/key"."""
    return on_cpu(
        {
            f"{index}/{key}": torch.as_tensor(value)
            for index, values in optimizer.state_dict()["state"].items()
            for key, value in values.items()
            if value is not None
        }
    )


def restore_optimizer_(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` returned.

    Raises:
        PracError: Naming the first tensor that is not of this optimiser.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    known = OPTIMIZER_KEYS[type(optimizer)]
    places = {f"{i}/{key}": (i, key) for i in range(len(parameters)) for key in known}
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name not in places:
            raise PracError(f"{name!r} is nothing that this optimiser keeps of its parameters")
        number, key = places[name]
        wanted = torch.Size() if key == "step" else parameters[number].shape
        is_complex = key != "step" and parameters[number].is_complex()
        is_number = tensor.is_complex() if is_complex else tensor.is_floating_point()
        if tensor.shape != wanted or not is_number:
            found = f"{tensor.dtype} {list(tensor.shape)}"
            raise PracError(
                f"the optimiser's {name!r} is {found}: expected "
                f"{'complex' if is_complex else 'floating point'} {list(wanted)}"
            )
        # A copy: load_state_dict keeps what it is given, and steps would change the caller's. It
        # lies in memory as its parameter does, which fused steps take for granted.
        like = tensor if key == "step" else parameters[number]
        copied = torch.empty_like(like, dtype=tensor.dtype, device="cpu", requires_grad=False)
        state.setdefault(number, {})[key] = copied.copy_(tensor)
    for number, kept in state.items():
        # Steps would begin anew, or fail, where a part of a parameter's state is missing.
        if kept.keys() != known:
            raise PracError(f"the optimiser's state of parameter {number} is not whole")
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
    _begin_momentum_(optimizer)


def mask_optimizer_(
    optimizer: torch.optim.Optimizer, model: nn.Module, masks: Mapping[str, Tensor]
) -> None:
    """Set what an optimiser has gathered for pruned weights to zero, such as their momentum."""
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        parameter = parameters[name]
        for kept in optimizer.state.get(parameter, {}).values():
            if isinstance(kept, Tensor) and kept.shape == parameter.shape:
                kept.mul_(mask.to(kept.device))


OPTIMIZER_KEYS: dict[type, set[str]] = {
    torch.optim.SGD: {"momentum_buffer"},
    torch.optim.Adam: {"step", "exp_avg", "exp_avg_sq"},
    torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"},
}
"""What each optimiser keeps of a parameter."""
