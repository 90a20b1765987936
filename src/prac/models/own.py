"""Anyone's own model, named as `package.module:callable`."""

from __future__ import annotations

import importlib
import inspect
import operator
import os
import sys
from collections.abc import Callable
from typing import Any

from torch import nn

from prac.errors import PracError

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
    factory = _import(name)
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


def _import(name: str) -> Callable[..., object]:
    """Return the callable that `package.module:callable` names."""
    module_name, _, attribute = name.partition(":")
    if not module_name or module_name.startswith(".") or not attribute:
        raise PracError(f"model {name!r} is not of the form 'package.module:callable'")
    # A console script, unlike `python -m`, does not look in the current directory. The entry stays,
    # because the user's module may import its neighbours later.
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # The user's code runs here: anything can go wrong in it.
        raise PracError(
            f"model {name!r}: cannot import {module_name!r} ({type(error).__name__}: {error})"
        ) from error
    try:
        target = operator.attrgetter(attribute)(module)
    except AttributeError as error:
        raise PracError(f"model {name!r}: {module_name!r} has no {attribute!r}") from error
    # A model is callable too, but calling it is its forward pass.
    if isinstance(target, nn.Module) or not callable(target):
        raise PracError(
            f"model {name!r} is a {type(target).__name__}: name the class or function that makes "
            "the model"
        )
    return target  # type: ignore[no-any-return]
