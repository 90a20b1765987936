"""How one training goes: optimiser, schedule and what is done to gradients, weights and batches.

A part that is someone's own is told by the name it is imported by. Nothing here imports torch.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

from prac.config.settings import Settings, setting
from prac.errors import PracError, unknown_name

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("multi-step", "cosine", "linear", "constant")
BATCH_TRANSFORMS = ("none", "mixup", "cutmix")
NAMED = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "batch_transform": BATCH_TRANSFORMS,
}
"""Settings that are also the name of a callable, and their own short names."""
_SHORT = {"torch.optim.SGD": "sgd", "torch.optim.Adam": "adam", "torch.optim.AdamW": "adamw"}
_OF_TORCH = {"optimizer": "torch.optim", "schedule": "torch.optim.lr_scheduler"}


@dataclass(frozen=True, repr=False)
class TrainConfig(Settings):
    """One training: optimiser, length, learning rate. The length is scaled with the set's size.

    `optimizer`, `schedule` and `batch_transform` may be callables: they are kept by the name that
    they can be imported by, and the keywords of a `functools.partial` go to their arguments.
    `torch.optim.SGD`, `Adam` and `AdamW` are "sgd", "adam" and "adamw".
    """

    epochs: int = setting(160, "full length, in epochs over all training data", at_least=1)
    iterations: int | None = setting(
        None, "full length in optimiser steps, instead of epochs", at_least=1
    )
    batch_size: int = setting(128, "examples an optimiser step", at_least=1)
    optimizer: str = setting(
        "sgd",
        "optimiser: sgd, adam, adamw, or one by its name, such as torch.optim.RMSprop or "
        "package.module:callable",
        names=OPTIMIZERS,
    )
    optimizer_args: Mapping[str, Any] = setting(
        {}, "more of its keywords, such as nesterov=true or betas=[0.9,0.98]"
    )
    lr: float = setting(0.1, "peak learning rate", above=0)
    momentum: float = setting(0.9, "momentum of sgd; first beta of adam", at_least=0, below=1)
    weight_decay: float = setting(1e-4, "weight decay", at_least=0)
    decay_norms: bool = setting(
        True, "weight decay also of norm layers, biases and all else of fewer than two dimensions"
    )
    schedule: str = setting(
        "multi-step",
        "shape of the learning rate: multi-step, cosine, linear, constant, or one by its name, "
        "such as torch.optim.lr_scheduler.PolynomialLR or package.module:callable",
        names=SCHEDULES,
    )
    schedule_args: Mapping[str, Any] = setting({}, "keywords of a schedule by its name")
    milestones: tuple[float, ...] = setting(
        (), "when a multi-step rate falls, in the unit of the length", above=0
    )
    gamma: float = setting(0.1, "factor of the rate at each milestone", above=0, at_most=1)
    warmup: float = setting(0.0, "linear warm-up, in the unit of the length", at_least=0)
    clip_norm: float | None = setting(
        None, "norm that all gradients together are scaled down to, where it is larger", above=0
    )
    accumulate: int = setting(
        1, "pieces that a batch is computed in, one after the other, to save memory", at_least=1
    )
    ema_decay: float | None = setting(
        None,
        "decay of an exponential moving average of weights, an iteration, which is validated and "
        "kept instead of them",
        above=0,
        below=1,
    )
    batch_transform: str = setting(
        "none",
        "what is done to training batches: none, mixup, cutmix or package.module:callable",
        names=BATCH_TRANSFORMS,
    )
    batch_transform_args: Mapping[str, Any] = setting({}, "its keywords, such as alpha=0.2")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = setting(
        "auto", "arithmetic; auto is bf16 where the device gains by it; fp16 scales the loss"
    )
    execution: Literal[
        "auto", "eager", "channels-last", "captured", "compiled", "compiled-captured"
    ] = setting(
        "auto", "how steps run; auto is the fastest by measuring, where a run is long enough"
    )
    validate_every: int = setting(
        1, "epochs from one validation to the next; the last one is always validated", at_least=1
    )

    def __post_init__(self) -> None:
        """Keep callables by name, and check as all settings do."""
        for name in NAMED:
            part = getattr(self, name)
            if callable(part):
                kept, keywords = _named(name, part)
                arguments = getattr(self, f"{name}_args")
                object.__setattr__(self, name, kept)
                if keywords and isinstance(arguments, Mapping):
                    object.__setattr__(self, f"{name}_args", {**keywords, **arguments})
        if isinstance(self.schedule, str):  # Before its arguments, which hold a function.
            _check_takes_no_function(self.schedule)
        if isinstance(self.optimizer, str):
            name = self.optimizer.replace(":", ".")
            object.__setattr__(self, "optimizer", _SHORT.get(name, self.optimizer))
        super().__post_init__()

    def _check_together(self) -> None:
        unit = "epochs" if self.iterations is None else "iterations"
        length = self.iterations or self.epochs
        is_short = self.optimizer in OPTIMIZERS
        for name, known in NAMED.items():
            value = getattr(self, name)
            if value not in known and not _is_dotted(value):
                raise _unknown(name, value)
        for name in self.optimizer_args:
            if name in ("lr", "weight_decay") or (name == "momentum" and is_short):
                raise PracError(
                    f"optimizer_args has {name!r}, which is given to the optimizer already: set "
                    f"{name} instead"
                )
        if not is_short and self.momentum != type(self).momentum:
            raise PracError(
                f"momentum is {self.momentum:g} but optimizer is {self.optimizer!r}, none of sgd, "
                f"adam, adamw: leave it out; where that takes one, set it by optimizer_args"
            )
        if self.schedule in SCHEDULES and self.schedule_args:
            raise PracError(
                f"schedule_args are set but schedule is {self.schedule!r}: they are keywords of a "
                f"schedule by its name"
            )
        if self.batch_transform == "none" and self.batch_transform_args:
            raise PracError(
                "batch_transform_args are set but batch_transform is 'none': leave them out"
            )
        if list(self.milestones) != sorted(set(self.milestones)):
            raise PracError(f"milestones are {list(self.milestones)}: expected an ascending list")
        if self.schedule == "multi-step" and self.milestones and self.milestones[-1] >= length:
            raise PracError(
                f"milestone {self.milestones[-1]:g} comes at or after the end of {length} {unit}: "
                f"lower it or train longer"
            )
        if self.schedule != "multi-step" and self.milestones:
            raise PracError(
                f"milestones are set but schedule is {self.schedule!r}: they need 'multi-step'"
            )
        if self.warmup >= length:
            raise PracError(
                f"warmup is {self.warmup:g} {unit}: expected less than the length, {length}"
            )
        if self.accumulate > 1 and 2 * self.accumulate > self.batch_size:
            raise PracError(
                f"accumulate is {self.accumulate} but batch_size, of an optimiser step, is "
                f"{self.batch_size}: expected pieces of at least 2 examples; lower it"
            )


def own_code(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return those settings, by flat name, that name code which is not torch's own, as given.

    >>> own_code({"optimizer": "torch.optim.RMSprop", "schedule": "mine:fall", "lr": 0.1})
    {'schedule': 'mine:fall'}
    """
    found = {name: settings[name] for name in NAMED if isinstance(settings.get(name), str)}
    return {
        name: value
        for name, value in found.items()
        if value not in NAMED[name] and not _is_torchs(value)
    }


def _is_torchs(name: str) -> bool:
    parts = name.replace(":", ".").split(".")
    return parts[:2] == ["torch", "optim"] and all(map(str.isidentifier, parts))


def _unknown(setting: str, value: str) -> PracError:
    """Return the error for a name that is none, with the class of torch's that is called so."""
    if setting in _OF_TORCH:
        place = importlib.import_module(_OF_TORCH[setting])  # Slow, and for an error alone.
        for name, of in vars(place).items():
            if name.lower() == value.lower() and isinstance(of, type):
                full = f"{_OF_TORCH[setting]}.{name}"
                hint = _SHORT.get(full, full)
                return PracError(f"unknown {setting} {value!r}: did you mean {hint!r}?")
    return unknown_name(setting, value, NAMED[setting])


def _check_takes_no_function(schedule: str) -> None:
    """Raise a PracError for those schedulers of torch's whose argument is a function."""
    place, _, name = schedule.replace(":", ".").rpartition(".")
    if name.lower() in ("lambdalr", "multiplicativelr") and place in ("", _OF_TORCH["schedule"]):
        raise PracError(
            f"schedule {name} takes a function, which no run can keep: write a function of "
            f"progress, from 0 to below 1, that gives the factor of lr, at the top of a module, "
            f"and set schedule to it"
        )


def _is_dotted(name: str) -> bool:
    module, _, rest = name.replace(":", ".").partition(".")
    return bool(module and rest) and name.count(":") <= 1


def _named(setting: str, part: Callable[..., Any]) -> tuple[str, dict[str, Any]]:
    """Return the name that a callable can be imported by, and the keywords it is given.

    Raises:
        PracError: If there is none, as of a lambda or what is defined within a function.
    """
    keywords: dict[str, Any] = {}
    while isinstance(part, functools.partial):
        if part.args:
            raise PracError(
                f"{setting} is a partial with positional arguments: give it keywords alone"
            )
        keywords = {**part.keywords, **keywords}
        part = part.func
    module, name = getattr(part, "__module__", None), getattr(part, "__qualname__", "")
    # By the package that shows it, as people write it: torch.optim.SGD, not torch.optim.sgd.SGD.
    parents = str(module).split(".")
    for depth in range(1, len(parents) + (parents[0] == "torch")):
        place = ".".join(parents[:depth])
        if place in sys.modules and getattr(sys.modules[place], name, None) is part:
            return f"{place}.{name}", keywords
    try:
        if attrgetter(name)(importlib.import_module(str(module))) is part:
            return f"{module}:{name}", keywords
    except (ImportError, AttributeError, ValueError):
        pass
    raise PracError(
        f"{setting} is {name or part!r}, which cannot be imported by a name: define it at the top "
        f"of a module, since a resumed run needs it again"
    )
