"""Telling one function from another across processes, so that a run resumes with its own parts."""

from __future__ import annotations

import functools
import hashlib
from types import CodeType
from typing import Any


def described(part: object) -> str:
    """Return a function's name and a digest of what it does, as far as Python shows it.

    Bytecode, constants, defaults and plain values that it closes over or, for an object, holds are
    in the digest; what it calls is not.

    >>> described(lambda x: x + 1) == described(lambda x: x + 2)
    False
    >>> described(functools.partial(max, 1)) == described(functools.partial(max, 2))
    False
    """
    named = part if hasattr(part, "__qualname__") else type(part)
    name = f"{getattr(named, '__module__', '?')}.{getattr(named, '__qualname__', '?')}"
    facts = repr(_facts(part))
    return f"{name}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"


def _facts(value: Any) -> Any:
    if isinstance(value, functools.partial):
        return (_facts(value.func), _facts(value.args), _facts(sorted(value.keywords.items())))
    if isinstance(value, CodeType):
        return (value.co_code.hex(), value.co_names, [_facts(c) for c in value.co_consts])
    if isinstance(value, (list, tuple)):
        return [_facts(element) for element in value]
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if hasattr(value, "__func__"):
        return (_facts(value.__func__), _facts(value.__self__))
    if hasattr(value, "__code__"):
        closed = [cell.cell_contents for cell in value.__closure__ or ()]
        return (_facts(value.__code__), _facts(value.__defaults__), _facts(closed))
    plain = getattr(value, "__dict__", {}) if not hasattr(value, "__qualname__") else {}
    held = {k: v for k, v in plain.items() if isinstance(v, (bool, int, float, str))}
    return (getattr(value, "__qualname__", type(value).__qualname__), sorted(held.items()))
