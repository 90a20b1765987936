"""What a loop of somebody's own tells of a level: weights and numbers, checked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from prac.algorithms import Masks
from prac.errors import PracError
from prac.models import number_fault, restore_
from prac.runs import Weights
from prac.utils import with_article

ModelOrWeights = nn.Module | Mapping[str, Tensor]
"""A model, bare or wrapped for compilation or several devices, or its `state_dict`."""

_WRAPPED = re.compile(r"(^|\.)(_orig_mod|_original_module|_checkpoint_wrapped_module)\.")


def weights_told(given: ModelOrWeights, own: Weights, masks: Masks, level: int) -> Weights:
    """Return a copy of a model's weights on the CPU, by the names of the user's module.

    Args:
        given: What was told at a level.
        own: The network's weights when the level began.
        masks: The level's.
        level: Its prunings.

    Raises:
        PracError: If they are another network's, not finite, or not pruned.
    """
    found = given.state_dict() if isinstance(given, nn.Module) else given
    names = _names_in(found, own)
    weights = {name: found[names[name]].detach().to("cpu", copy=True) for name in own}
    for name, weight in weights.items():
        like = own[name]
        if (weight.shape, weight.dtype) != (like.shape, like.dtype):
            raise PracError(
                f"weight {name!r} is {weight.dtype} of shape {tuple(weight.shape)}, and was "
                f"{like.dtype} of shape {tuple(like.shape)} when the search began: tell "
                f"weights of the same network"
            )
    if fault := number_fault(weights, masks):
        raise PracError(
            f"level {level}'s {fault}: its training has diverged; ask for the level "
            f"again, and train it at a lower rate"
        )
    for name, mask in masks.items():
        if revived := int((weights[name][~mask] != 0).sum()):
            raise PracError(
                f"{revived} pruned weights of {name!r} are not zero at level {level}: "
                f"start from level.apply(model), and train under "
                f"prac.attach(model, optimizer, level.masks)"
            )
    return weights


def restored(model: nn.Module, weights: Weights) -> nn.Module:
    """Put weights into a model, bare or wrapped, by the names of the user's module; return it."""
    names = _names_in(model.state_dict(), weights)
    restore_(model, {names[name]: weight for name, weight in weights.items()})
    return model


def checked_of_each(values: Tensor | None, name: str, total: int) -> Tensor | None:
    """Return values of all examples, one each, or None for none.

    Raises:
        PracError: If they are not as many.
    """
    if values is not None and values.shape != (total,):
        raise PracError(
            f"{name} is of shape {tuple(values.shape)}: expected one for each of {total} training "
            f"examples, in their order"
        )
    return values


def _names_in(found: Mapping[str, Any], own: Iterable[str]) -> dict[str, str]:
    """Return {own name: name found}, whatever a model is wrapped in.

    Raises:
        PracError: Naming the first weight that is not there.

    >>> _names_in({"module._orig_mod.0.weight": 1}, ["0.weight"])
    {'0.weight': 'module._orig_mod.0.weight'}
    """
    own = list(own)
    plain = {_WRAPPED.sub(r"\1", name): name for name in found}
    for bare in (plain, {name.removeprefix("module."): of for name, of in plain.items()}):
        if all(name in bare for name in own):
            return {name: bare[name] for name in own}
    missing = next(name for name in own if name not in plain)
    raise PracError(
        f"there is no weight {missing!r}, which the network had when the search began: give the "
        f"same model, or its state_dict"
    )


def check_measured(name: str, value: Any, *, is_share: bool) -> None:
    """Raise a PracError for what is no number, or no share where it is to be one."""
    try:
        number = None if value is None else float(value)
    except (TypeError, ValueError) as error:
        kind = with_article(type(value).__name__)
        raise PracError(f"{name} is {kind}: expected a number") from error
    if number is not None and is_share and not 0 <= number <= 1:
        raise PracError(f"{name} is {number:g}: expected a share, from 0 to 1")


def told_numbers(values: Any, name: str) -> Tensor:
    """Return anybody's numbers as a tensor on the CPU.

    Raises:
        PracError: If they are none.
    """
    try:
        return torch.as_tensor(values).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        kind = with_article(type(values).__name__)
        raise PracError(
            f"{name} is {kind} that torch does not take: expected numbers, one for each training "
            f"example"
        ) from error


def finite_or_none(value: float | None) -> float | None:
    """Return a number that JSON has a name for, or None."""
    return None if value is None or not math.isfinite(value) else float(value)
