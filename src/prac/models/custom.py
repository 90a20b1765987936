"""Custom models, named as `package.module:callable`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from prac.errors import PracError
from prac.utils import imported, with_article

CLASSES = ("num_classes", "classes", "n_classes", "nb_classes", "num_labels")
CHANNELS = ("in_channels", "in_chans", "input_channels")
SIDES = ("image_size", "img_size")

_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_REFUSED = re.compile(
    r"unexpected keyword argument(?:\(s\):)? \[?'(\w+)'"
    r"|multiple values for (?:keyword )?argument '(\w+)'"
    r"|'(\w+)' is an invalid keyword argument"
)


def build_own(name: str, *, image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Import the callable that `name` points to and call it for a model, as `build` documents."""
    factory = imported(name, "model")
    # A model is callable too, but calling it is its forward pass.
    if isinstance(factory, nn.Module):
        kind = with_article(type(factory).__name__)
        raise PracError(
            f"model {name!r} is {kind}: name the class or function that makes the model"
        )
    offered = _offered(image_shape, classes)
    parameters: Mapping[str, inspect.Parameter] = {}
    with suppress(ValueError):  # Some callables written in C tell nothing about their parameters.
        parameters = inspect.signature(factory).parameters
    accepted: dict[str, Any] = {}
    for parameter, described in parameters.items():
        fitting = [v for v in offered.get(parameter, ()) if _fits(described.default, v)]
        if fitting and described.kind in _BY_KEYWORD:
            accepted[parameter] = fitting[0]
    for parameter, described in parameters.items():
        is_required = described.default is described.empty and described.kind not in _VARIADIC
        if is_required and parameter not in accepted:
            raise PracError(
                f"model {name!r} needs the argument {parameter!r}: give it a default, or name a "
                f"function that needs no more than {', '.join(offered)}"
            )
    passes_on = any(of.kind is inspect.Parameter.VAR_KEYWORD for of in parameters.values())
    # What takes the classes by a name of its own has been told, or means something else by it.
    hidden = {"num_classes": classes} if passes_on and not parameters.keys() & set(CLASSES) else {}
    model = _made(factory, accepted, hidden)
    if not isinstance(model, nn.Module):
        kind = with_article(type(model).__name__)
        raise PracError(f"model {name!r} returned {kind}, expected a torch.nn.Module")
    return model


def _made(
    factory: Callable[..., object], keywords: Mapping[str, Any], hidden: Mapping[str, Any]
) -> object:
    """Return what `call_with` makes; what is hidden may be refused in any words at all.

    Where the callable fails without it too, what it raised with it is raised: its own error.
    """
    state = torch.get_rng_state()
    try:
        return call_with(factory, keywords, hidden)
    except Exception:
        torch.set_rng_state(state)
        if hidden:
            with suppress(Exception):
                return factory(**keywords)
        raise


def call_with(
    factory: Callable[..., object], keywords: Mapping[str, Any], optional: Mapping[str, Any]
) -> object:
    """Return what a callable makes of keywords, and of those optional ones that it takes.

    A bare `**kwargs` does not tell what is taken behind it: what is refused there is left out and
    the callable is called again, with torch's generator as it was, for the weights of a first call.
    """
    state = torch.get_rng_state()
    try:
        return factory(**keywords, **optional)
    except TypeError as error:
        told = _REFUSED.search(str(error))
        refused = None if told is None else told[told.lastindex or 0]
        if refused not in optional:
            raise
        torch.set_rng_state(state)
        # From here, so that what goes wrong next is shown with what went wrong before.
        others = {name: value for name, value in optional.items() if name != refused}
        return call_with(factory, keywords, others)


def _offered(image_shape: tuple[int, int, int], classes: int) -> dict[str, tuple[Any, ...]]:
    """Return by a parameter's name what it may be given, the first first."""
    channels, height, width = image_shape
    side = (height,) if height == width else ()
    return {
        "image_shape": (image_shape,),
        **dict.fromkeys(CHANNELS, (channels,)),
        **dict.fromkeys(CLASSES, (classes,)),
        **dict.fromkeys(SIDES, (*side, (height, width))),
    }


def _fits(default: object, value: object) -> bool:
    """Say whether a parameter with such a default, if it has one, means such a value."""
    if default is None or default is inspect.Parameter.empty:
        return True
    if isinstance(default, int) and not isinstance(default, bool):
        return isinstance(value, int)
    return (
        isinstance(default, Sequence)
        and isinstance(value, Sequence)
        and len(default) == len(value)
        and all(isinstance(one, int) for one in default)
    )
