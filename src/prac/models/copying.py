"""Copies of networks, whatever their modules hold beside weights."""

from __future__ import annotations

import copy
from types import ModuleType
from typing import Any, TypeVar

from torch import Tensor, nn

from prac.errors import PracError, is_out_of_memory
from prac.utils import one_line

M = TypeVar("M", bound=nn.Module)
Memo = dict[int, Any]


def copied(model: M) -> M:
    """Return a copy of a model that shares no weights with it.

    Of what its modules hold besides, tensors of a training graph, such as a penalty kept by the
    last forward pass, are copied as their values; what cannot be copied, such as a lock or an open
    file, is shared.

    Raises:
        PracError: If it cannot be copied even so.
    """
    try:
        return copy.deepcopy(model)
    except Exception as fault:
        if is_out_of_memory(fault):
            raise
        memo: Memo = {}
        try:
            for module in model.modules():
                for name, value in vars(module).items():
                    if name != "_modules":
                        _stand_in(value, memo)
            return copy.deepcopy(model, memo)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise PracError(
                f"the model cannot be copied, to be tried before anything is written: "
                f"{one_line(error) or type(error).__name__}; keep what cannot be copied out of it"
            ) from error


def _stand_in(value: Any, memo: Memo) -> None:
    """Put into `memo` what stands in a copy for those parts of a value that cannot be copied."""
    if id(value) in memo:
        return
    if isinstance(value, ModuleType):  # Of Python: numpy, say.
        memo[id(value)] = value
        return
    try:
        copy.deepcopy(value, dict(memo))
        return
    except Exception:
        memo[id(value)] = value
    if isinstance(value, Tensor):
        memo[id(value)] = value.detach().clone()
        return
    parts = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(parts, (list, tuple, set)):
        parts = list(vars(value).values()) if hasattr(value, "__dict__") else ()
    for part in parts:
        _stand_in(part, memo)
    # With stand-ins for its parts it can be copied, unless it is itself what cannot.
    shared = memo.pop(id(value))
    try:
        copy.deepcopy(value, dict(memo))
    except Exception:
        memo[id(value)] = shared
