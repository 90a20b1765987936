"""Custom models, named as `package.module:callable`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from torch import nn

from prac.errors import PracError
from prac.utils import imported

_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def build_own(name: str, *, image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Import the callable that `name` points to and call it for a model, as `build` documents.

    A bare `**kwargs` gets none of the keywords, since what lies behind it might refuse them.
    """
    factory = imported(name, "model")
    # A model is callable too, but calling it is its forward pass.
    if isinstance(factory, nn.Module):
        kind = type(factory).__name__
        raise PracError(
            f"model {name!r} is a {kind}: name the class or function that makes the model"
        )
    offered: dict[str, Any] = {
        "image_shape": image_shape,
        "in_channels": image_shape[0],
        "classes": classes,
        "num_classes": classes,
    }
    parameters: Mapping[str, inspect.Parameter] = {}
    with suppress(ValueError):  # Some callables written in C tell nothing about their parameters.
        parameters = inspect.signature(factory).parameters
    accepted = {
        parameter: offered[parameter]
        for parameter, described in parameters.items()
        if described.kind in _BY_KEYWORD and parameter in offered
    }
    for parameter, described in parameters.items():
        is_required = described.default is described.empty and described.kind not in _VARIADIC
        if is_required and parameter not in accepted:
            raise PracError(
                f"model {name!r} needs the argument {parameter!r}: give it a default, or name a "
                f"function that needs no more than {', '.join(offered)}"
            )
    model = factory(**accepted)
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise PracError(f"model {name!r} returned a {kind}, expected a torch.nn.Module")
    return model
