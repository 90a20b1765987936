"""Custom models, named as `package.module:callable`."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from prac.errors import PracError
from prac.utils import imported

_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def build_own(name: str, *, image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Import the callable that `name` points to and call it for a model.

    It is called with those of the keywords `image_shape`, `in_channels`, `classes` and
    `num_classes` that its signature names; a bare `**kwargs` gets none of them, since what lies
    behind it might refuse them.

    Args:
        name: `package.module:callable`; the current directory can be imported from.
        image_shape: `(channels, height, width)` of one image.
        classes: Number of classes.

    Raises:
        PracError: The module cannot be imported, the attribute is missing or cannot be called with
            those keywords alone, or what it returns is not an `nn.Module`.
    """
    factory = imported(name, "model")
    # A model is callable too, but calling it is its forward pass.
    if isinstance(factory, nn.Module):
        raise PracError(
            f"model {name!r} is a {type(factory).__name__}: name the class or function that makes "
            "the model"
        )
    offered: dict[str, Any] = {
        "image_shape": image_shape,
        "in_channels": image_shape[0],
        "classes": classes,
        "num_classes": classes,
    }
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except ValueError:
        # Some callables written in C tell nothing about their parameters.
        parameters = []
    accepted = {
        parameter.name: offered[parameter.name]
        for parameter in parameters
        if parameter.kind in _BY_KEYWORD and parameter.name in offered
    }
    unmet = [
        parameter.name
        for parameter in parameters
        if parameter.default is inspect.Parameter.empty
        and parameter.kind not in _VARIADIC
        and parameter.name not in accepted
    ]
    if unmet:
        raise PracError(
            f"model {name!r} needs the argument {unmet[0]!r}: give it a default, or name a "
            f"function that needs no more than {', '.join(offered)}"
        )
    model = factory(**accepted)
    if not isinstance(model, nn.Module):
        raise PracError(
            f"model {name!r} returned a {type(model).__name__}, expected a torch.nn.Module"
        )
    return model
