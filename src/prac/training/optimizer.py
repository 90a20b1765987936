"""The optimiser: made as configured, taken apart into named tensors, put together again."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from prac.config import OPTIMIZERS, TrainConfig
from prac.errors import PracError
from prac.models import is_dense
from prac.training.runtime import Runtime
from prac.utils import callable_named, check_keywords, on_cpu, one_line, signature_of

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def make_optimizer(
    model: nn.Module, config: TrainConfig, runtime: Runtime, *, sparse: bool = False
) -> torch.optim.Optimizer:
    """Return the configured optimiser over all the model's parameters that train.

    Steps of torch's SGD and Adam are fused, one pass over all weights, where their types allow it:
    fused kernels take no `sparse` gradients, and weights and gradients for flat memory, in which a
    weight that is a view has gaps.

    Raises:
        PracError: If there is no optimiser of the name, or it does not take its arguments.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = parameters if config.decay_norms else _groups(model, parameters)
    if config.optimizer not in OPTIMIZERS:
        return _made_by_name(groups, config)
    more = copy.deepcopy(dict(config.optimizer_args))
    sparse |= any(getattr(module, "sparse", False) is True for module in model.modules())
    fused = not sparse and all(p.is_floating_point() and is_dense(p) for p in parameters)
    fused &= not {"foreach", "differentiable"} & more.keys()  # Other ways to step.
    # A captured step reads its rate from the device.
    rate = (
        torch.tensor(config.lr, dtype=torch.float32, device=runtime.device)
        if runtime.captures
        else config.lr
    )
    shared: dict[str, Any] = {"lr": rate, "weight_decay": config.weight_decay, "fused": fused}
    if config.optimizer == "sgd":
        # What dampening does to a momentum that has not begun, fused steps do not.
        shared |= {"momentum": config.momentum, "fused": fused and not more.get("dampening")}
        sgd = _called(torch.optim.SGD, groups, shared, more, ("params", "lr", *_SHARED, "momentum"))
        _begin_momentum_(sgd)
        return sgd
    shared |= {"betas": (config.momentum, 0.999), "capturable": runtime.captures}
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return _called(kinds[config.optimizer], groups, shared, more, ("params", "lr", *_SHARED))


_SHARED = ("weight_decay",)
PLAIN_OPTIMIZERS = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
"""Optimisers of which all that they keep is known."""


def _groups(model: nn.Module, parameters: list[nn.Parameter]) -> list[dict[str, Any]]:
    """Return parameter groups of which those of norms, biases and the like have no weight decay."""
    of_norms = {id(p) for m in model.modules() if isinstance(m, NORMS) for p in m.parameters(False)}
    spared = [p for p in parameters if p.ndim < 2 or id(p) in of_norms]
    ids = {id(p) for p in spared}
    decayed = [p for p in parameters if id(p) not in ids]
    groups: list[dict[str, Any]] = [{"params": decayed}] if decayed else []
    return groups + ([{"params": spared, "weight_decay": 0.0, SPARED: True}] if spared else [])


SPARED = "no_weight_decay"
"""Key of parameter groups that never have weight decay."""
RATE_SHARE = "lr_share"
"""Key of parameter groups to which an own optimiser gives another rate: its share of `lr`."""


def _made_by_name(groups: list[Any], config: TrainConfig) -> torch.optim.Optimizer:
    """Return an optimiser of torch's or one's own.

    Raises:
        PracError: If it is none, does not take its arguments, or needs a closure.
    """
    make: Any = callable_named(config.optimizer, "optimizer")
    if isinstance(make, type):
        _check_kind(make, config.optimizer)
    shared: dict[str, Any] = {"lr": config.lr}
    if _takes_decay(make):
        shared["weight_decay"] = config.weight_decay
    more = copy.deepcopy(dict(config.optimizer_args))
    made = _called(make, groups, shared, more, ("params", *shared))
    _check_kind(type(made), config.optimizer)
    for group in made.param_groups:
        if group["lr"] != config.lr:
            group[RATE_SHARE] = float(group["lr"]) / config.lr
    return made


def _check_kind(cls: type, name: str) -> None:
    """Raise a PracError unless a class is of optimisers whose steps need no closure."""
    if not issubclass(cls, torch.optim.Optimizer):
        raise PracError(
            f"optimizer {name!r} gives {cls.__name__}: expected a torch.optim.Optimizer"
        )
    step = signature_of(cls.step) or {}
    if "closure" in step and step["closure"].default is step["closure"].empty:
        raise PracError(
            f"optimizer {name!r} needs a closure that computes the loss again: a step here is one "
            f"pass over one batch; choose another optimizer"
        )


def _takes_decay(make: Any) -> bool:
    parameters = signature_of(make)
    takes_any = any(of.kind is of.VAR_KEYWORD for of in (parameters or {}).values())
    return parameters is None or "weight_decay" in parameters or takes_any


def check_takes_decay(config: TrainConfig) -> None:
    """Raise a PracError where an optimiser by its name takes no weight decay, and there is one.

    It is asked once steps were taken: for one that cannot train, 0 would be no remedy.
    """
    if config.optimizer in OPTIMIZERS or not config.weight_decay:
        return
    if not _takes_decay(callable_named(config.optimizer, "optimizer")):
        raise PracError(
            f"optimizer {config.optimizer!r} takes no weight decay, and weight_decay is "
            f"{config.weight_decay:g}: set it to 0"
        )


def _called(
    make: Any, groups: list[Any], shared: dict[str, Any], more: dict[str, Any], taken: Any
) -> torch.optim.Optimizer:
    """Return what an optimiser's class gives, or raise a PracError."""
    check_keywords(make, more, "optimizer", taken)
    try:
        made: torch.optim.Optimizer = make(groups, **{**shared, **more})
        return made
    except Exception as error:  # Anyone's code runs here.
        raise PracError(
            f"the optimizer does not take its settings: {one_line(error) or type(error).__name__}; "
            f"mend optimizer_args, or choose another optimizer"
        ) from error


def _begin_momentum_(optimizer: torch.optim.Optimizer) -> None:
    """Begin the momentum that has not begun, with zero, which is what the first step makes of it.

    A fused step takes no mixture of parameters that have had a gradient before and that have not.
    """
    for group in optimizer.param_groups:
        is_plain = group.get("momentum") and not group.get("dampening")
        for parameter in group["params"] if is_plain else ():
            state = optimizer.state[parameter]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(parameter)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's state as CPU tensors by flat name, "parameter/key".

    Numbers are tensors of no dimension. Of other than `PLAIN_OPTIMIZERS` the numbers that groups
    hold are among them, as "groupN/key": some count there.

    Raises:
        PracError: If it keeps anything else.
    """
    kept: dict[str, Tensor] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items() if isinstance(values, dict) else [("", values)]:
            if isinstance(value, (bool, int, float)):
                value = _as_tensor(value)
            if isinstance(value, Tensor) and isinstance(index, int):
                kept[f"{index}/{key}"] = value
            elif value is not None:
                raise PracError(
                    f"optimizer {type(optimizer).__name__} keeps {type(value).__name__} "
                    f"{str(key or index)!r}, which no state file holds: expected tensors and "
                    f"numbers of each parameter; choose another optimizer"
                )
    return on_cpu(kept | {name: _as_tensor(value) for name, value in _group_numbers(optimizer)})


def _as_tensor(value: float) -> Tensor:
    kinds = {bool: torch.bool, int: torch.int64, float: torch.float64}
    return torch.tensor(value, dtype=kinds[type(value)])


def _group_numbers(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Any]]:
    """Yield the numbers that groups hold but for those that a training sets, by flat name."""
    if type(optimizer) in PLAIN_OPTIMIZERS:
        return
    set_here = {"lr", "weight_decay", RATE_SHARE, SPARED}
    for number, group in enumerate(optimizer.param_groups):
        for key, value in group.items():
            if type(value) in (bool, int, float) and key not in set_here:
                yield f"group{number}/{key}", value


def restore_optimizer_(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` returned.

    Raises:
        PracError: Naming the first tensor that is not of this optimiser.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    is_plain = type(optimizer) in PLAIN_OPTIMIZERS
    expected = _plain_state(optimizer, parameters) if is_plain else _state_after_a_step(optimizer)
    places = {f"{i}/{key}": (i, key) for i, of in expected.items() for key in of}
    numbers = dict(_group_numbers(optimizer))
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name in numbers:
            _check_number(name, tensor, numbers[name])
            group, _, key = name.removeprefix("group").partition("/")
            optimizer.param_groups[int(group)][key] = tensor.item()
            continue
        if name not in places:
            raise PracError(f"{name!r} is nothing that this optimiser keeps of its parameters")
        number, key = places[name]
        wanted = expected[number][key]
        if not isinstance(wanted, Tensor):
            _check_number(name, tensor, wanted)
            state.setdefault(number, {})[key] = tensor.item()
            continue
        fits = _kind(tensor) == _kind(wanted) if is_plain else tensor.dtype == wanted.dtype
        if tensor.shape != wanted.shape or not fits:
            found = f"{tensor.dtype} {list(tensor.shape)}"
            raise PracError(
                f"the optimiser's {name!r} is {found}: expected {_kind(wanted)} "
                f"{list(wanted.shape)}"
            )
        # A copy: load_state_dict keeps what it is given, and steps would change the caller's. It
        # lies in memory as it does after a step, which fused steps take for granted.
        copied = torch.empty_like(wanted, dtype=tensor.dtype, device="cpu", requires_grad=False)
        state.setdefault(number, {})[key] = copied.copy_(tensor)
    for number, kept in state.items():
        # Steps would begin anew, or fail, where a part of a parameter's state is missing.
        if kept.keys() != expected[number].keys():
            raise PracError(f"the optimiser's state of parameter {number} is not whole")
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
    if is_plain:
        _begin_momentum_(optimizer)
        return
    for number, parameter in enumerate(parameters):
        for key, value in state.get(number, {}).items():
            if isinstance(value, Tensor):  # Which torch casts to the parameter's type and device.
                like = expected[number][key]
                optimizer.state[parameter][key] = torch.empty_like(like).copy_(value)


def _check_number(name: str, found: Tensor, wanted: Any) -> None:
    kinds = {bool: torch.bool, int: torch.int64, float: torch.float64}
    if found.ndim or found.dtype != kinds[type(wanted)]:
        raise PracError(
            f"the optimiser's {name!r} is {found.dtype} {list(found.shape)}: expected one number "
            f"of {kinds[type(wanted)]}"
        )


def _kind(tensor: Tensor) -> str:
    if tensor.is_complex():
        return "complex"
    return "floating point" if tensor.is_floating_point() else str(tensor.dtype)


def _plain_state(
    optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]
) -> dict[int, dict[str, Tensor]]:
    """Return what one of `PLAIN_OPTIMIZERS` keeps of each parameter, by its number: like what."""
    keys: tuple[str, ...] = ("momentum_buffer",)
    if not isinstance(optimizer, torch.optim.SGD):
        keys = ("step", "exp_avg", "exp_avg_sq")
        keys += ("max_exp_avg_sq",) * bool(optimizer.defaults["amsgrad"])
    step = torch.zeros((), dtype=torch.float32)
    like = [p.detach() for p in parameters]
    return {i: {k: step if k == "step" else of for k in keys} for i, of in enumerate(like)}


def _state_after_a_step(optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Any]]:
    """Return what an optimiser keeps of each parameter, as a copy of it does after a step."""
    error: Exception | None = None
    for sparse in (False, True):
        trial = copy.deepcopy(optimizer)
        for group in trial.param_groups:
            for parameter in group["params"]:
                like = torch.full_like(parameter, 1e-3)
                is_sparse = sparse and like.ndim
                parameter.grad = like.to_sparse(1) if is_sparse else like
        try:
            with torch.enable_grad():
                trial.step()
        except Exception as fault:  # Such as one for sparse gradients alone.
            error = fault
            continue
        state: dict[int, Any] = trial.state_dict()["state"]
        return {
            index: {key: value for key, value in values.items() if value is not None}
            for index, values in state.items()
            if isinstance(values, dict)
        }
    assert error is not None, "both kinds of gradients were tried"
    raise PracError(
        f"optimizer {type(optimizer).__name__} takes no step on a copy of its parameters, by which "
        f"its state is checked: {one_line(error)}"
    ) from error


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


def set_weight_decay_(optimizer: torch.optim.Optimizer, weight_decay: float) -> None:
    """Set the weight decay of all parameters that have any.

    Raises:
        PracError: If the optimiser has none.
    """
    for group in optimizer.param_groups:
        if "weight_decay" not in group:
            raise PracError(
                f"level_weight_decay is {weight_decay:g}, but optimizer "
                f"{type(optimizer).__name__} has no weight decay: leave it out"
            )
        if SPARED not in group:
            group["weight_decay"] = weight_decay
