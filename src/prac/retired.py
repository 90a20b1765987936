"""Old public names: each works for one version more, with a warning that tells the new one."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

RETIRED: dict[str, tuple[str, str]] = {}
"""`module.old`: what that module calls it now, and the version that drops the old name."""


def current_name(module: str, name: str) -> str:
    """Return what a module's public name is called now, for use in that module's `__getattr__`.

    An old name warns whoever asked for it.

    >>> current_name("prac", "Ticket")
    'Ticket'
    """
    if f"{module}.{name}" not in RETIRED:
        return name
    new, version = RETIRED[f"{module}.{name}"]
    # The levels: `_warn`, this function, the module's `__getattr__`, the line that asked.
    _warn(f"{module}.{name}", f"{module}.{new}", version, stacklevel=4)
    return new


def renamed_arguments(version: str, **names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function take arguments by their old names too, with a warning.

    Args:
        version: The version that drops the old names.
        **names: The new name of each old one.

    >>> @renamed_arguments("0.3", watch="callback")
    ... def run(*, callback=None):
    ...     return callback
    >>> run(callback=1)
    1
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old in names.keys() & kwargs.keys():
                new = names[old]
                if new in kwargs:
                    raise TypeError(f"got both {new!r} and {old!r}, its old name")
                called = f"the argument {old!r} of {function.__name__}"
                # The levels: `_warn`, this function, the line that calls it.
                _warn(called, repr(new), version, stacklevel=3)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def _warn(old: str, new: str, version: str, *, stacklevel: int) -> None:
    message = f"{old} is now called {new}: the old name goes away in version {version}"
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel)
