"""Other people's functions and classes, found by name."""

from __future__ import annotations

import difflib
import importlib
import inspect
import operator
import os
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

from prac.errors import PracError
from prac.utils.text import with_article


def imported(name: str, what: str) -> Callable[..., object]:
    """Return the callable that a `package.module:callable` points to; `what` is what it makes.

    The current directory can be imported from.

    Raises:
        PracError: The module cannot be imported, or the attribute is missing or not callable.
    """
    target = found_by_name(name, what)
    if not callable(target):
        kind = with_article(type(target).__name__)
        raise PracError(
            f"{what} {name!r} is {kind}: name the class or function that makes the {what}"
        )
    return target


def found_by_name(name: str, what: str) -> object:
    """Return whatever a `package.module:attribute` points to, which is, or makes, a `what`.

    Raises:
        PracError: The module cannot be imported, or the attribute is missing.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or module_name.startswith(".") or not attribute:
        raise PracError(f"{what} {name!r} is not of the form 'package.module:callable'")
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
            f"{what} {name!r}: cannot import {module_name!r} ({type(error).__name__}: {error})"
        ) from error
    try:
        return operator.attrgetter(attribute)(module)
    except AttributeError as error:
        raise PracError(f"{what} {name!r}: {module_name!r} has no {attribute!r}") from error


def callable_named(name: str, what: str) -> Callable[..., object]:
    """Return the callable of a name as `imported` takes it, or with dots alone: torch.optim.SGD.

    Raises:
        PracError: As `imported`.
    """
    return imported(name if ":" in name else ":".join(name.rsplit(".", 1)), what)


def check_keywords(
    make: Callable[..., Any], keywords: Collection[str], what: str, taken: Collection[str] = ()
) -> None:
    """Raise a PracError where a callable does not take a keyword, with the nearest that it does.

    `what` is the setting whose keywords they are; those `taken` are given by other settings.
    """
    parameters = signature_of(make) or {}
    known = {name for name, of in parameters.items() if of.kind in _BY_NAME} - set(taken)
    takes_any = not parameters or any(
        of.kind is inspect.Parameter.VAR_KEYWORD for of in parameters.values()
    )
    for name in keywords:
        if name in taken:
            raise PracError(
                f"{what}_args has {name!r}, which is given to the {what} already: drop it"
            )
        if name not in known and not takes_any:
            near = difflib.get_close_matches(name, known, n=1)
            takes = ", ".join(sorted(known)) or "none"
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {takes}"
            raise PracError(f"{what}_args has {name!r}, which the {what} does not take: {hint}")


def signature_of(make: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    """Return a callable's parameters by name; None where Python cannot tell."""
    try:
        return inspect.signature(make).parameters
    except (TypeError, ValueError):
        return None


def positional(make: Callable[..., Any], count: int) -> tuple[str, ...]:
    """Return the names of a callable's first parameters by position, at most so many.

    >>> positional(lambda x, y, *, scale=1: x, 3)
    ('x', 'y')
    """
    parameters = (signature_of(make) or {}).items()
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(name for name, of in parameters if of.kind in places)[:count]


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
