"""The one error a user's mistake raises, and the nearest-name helper that words it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PracError(Exception):
    """A mistake that the user can mend: one line naming the thing, what was expected, the remedy.

    The command line prints the message and exits with status 2; from Python it is raised as is.
    """


class Damaged(PracError):
    """A file's content is not what was written: truncated, changed, or never one of prac's."""


class FolderError(PracError):
    """A folder stands in the way: begun with something else, in use, or not writable.

    Whoever does several things one after the other stops at it, since it is no matter of one.
    """


class Unreadable(PracError, OSError):
    """Data that is no longer there, or that the system does not read: still an OSError.

    Whoever does several things with it one after the other stops at it.
    """


def is_out_of_memory(error: BaseException | None) -> bool:
    """Say whether torch, or a library below it, has found no memory; asked without importing it.

    While a step is captured, that error is only the context of another.
    """
    while error is not None:
        told = str(error)
        if type(error).__name__ == "OutOfMemoryError" or any(sign in told for sign in _NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


_NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "ALLOC_FAILED")


def check_listed(what: str, names: object) -> None:
    """Raise a PracError for one name where several are taken: a string is a list of its letters."""
    if isinstance(names, str):
        raise PracError(f"{what} is the text {names!r}: expected a list of names, [{names!r}]")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> PracError:
    """Return the error for a name that is not among `known`, offering the nearest ones.

    >>> str(unknown_name("model", "resnet20", ["resnet20s", "conv2"]))
    "unknown model 'resnet20': did you mean 'resnet20s'? (known: conv2, resnet20s)"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f": did you mean {' or '.join(map(repr, near))}?" if near else ""
    return PracError(f"unknown {kind} {name!r}{hint} (known: {', '.join(names)})")
