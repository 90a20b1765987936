"""Telling one function from another across processes, so that a run resumes with its own parts."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from types import CodeType
from typing import Any

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))


def described(part: object) -> str:
    """Return a function's name and a digest of what it does, as far as Python shows it.

    In the digest are its code, signature, constants, defaults, and the values that it closes over
    or, for an object, holds: plain ones, containers, tensors and arrays, and objects of these. What
    it calls by a global name is not.

    >>> described(lambda x: x + 1) == described(lambda x: x + 2)
    False
    >>> described(functools.partial(max, 1)) == described(functools.partial(max, 2))
    False
    """
    named = part if hasattr(part, "__qualname__") else type(part)
    name = f"{getattr(named, '__module__', '?')}.{getattr(named, '__qualname__', '?')}"
    facts = repr(_facts(part, ()))
    return f"{name}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"


def _facts(value: Any, above: tuple[int, ...]) -> Any:
    """Return nested tuples and plain values that differ where `value` does.

    Args:
        value: Anything.
        above: Identities of the values it was reached through, which it may hold again.
    """
    if isinstance(value, PLAIN):
        return repr(value)
    if id(value) in above:
        return "itself"
    inside = functools.partial(_facts, above=(*above, id(value)))
    if isinstance(value, Mapping):
        return ("mapping", sorted((inside(k), inside(v)) for k, v in value.items()))
    if isinstance(value, (set, frozenset)):
        return ("set", sorted(map(repr, map(inside, value))))
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, *map(inside, value))
    if isinstance(value, CodeType):
        shape = (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount)
        consts = tuple(map(inside, value.co_consts))
        return ("code", shape, value.co_flags, value.co_code.hex(), value.co_names, consts)
    if isinstance(value, functools.partial):
        return ("partial", inside(value.func), inside(value.args), inside(value.keywords))
    if hasattr(value, "__wrapped__"):
        return ("wrapped", inside(value.__wrapped__))
    if hasattr(value, "__func__"):
        return ("method", inside(value.__func__), inside(value.__self__))
    if hasattr(value, "__code__"):
        closed = tuple(_cell(cell, inside) for cell in value.__closure__ or ())
        defaults = (inside(value.__defaults__), inside(value.__kwdefaults__))
        return ("function", inside(value.__code__), defaults, closed)
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if hasattr(value, "tobytes") and hasattr(value, "dtype"):
        return ("array", str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).hexdigest())
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if hasattr(value, "__qualname__"):
        return (kind, value.__qualname__)
    slots = [n for c in type(value).__mro__ for n in getattr(c, "__slots__", ()) if n[:2] != "__"]
    held = {name: getattr(value, name, None) for name in slots} | getattr(value, "__dict__", {})
    return (kind, inside(held))


def _cell(cell: Any, inside: Any) -> Any:
    try:
        return inside(cell.cell_contents)
    except ValueError:
        return "empty"
