"""Other people's functions: found by name, and told apart so that a run resumes with its own."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import linecache
import operator
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from types import CellType, CodeType
from typing import Any

from prac.errors import PracError

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))


def described(part: object, *, by_source: bool = True) -> str:
    """Return a function's name and a digest of what it does, as far as Python shows it.

    In the digest are its source but for comments and layout, its defaults, and the values that it
    closes over or, for an object, holds: plain ones, containers, tensors and arrays, and objects of
    these. What it calls by a global name is not. Where there is no source, as of what was typed or
    made by `exec`, it is the bytecode, which another version of Python may compile otherwise. Runs
    of prac 0.1 were begun without `by_source`: they must go on with the same functions.

    >>> described(lambda x: x + 1) == described(lambda x: x + 2)
    False
    >>> described(functools.partial(max, 1)) == described(functools.partial(max, 2))
    False
    """
    named = part if hasattr(part, "__qualname__") else type(part)
    name = f"{getattr(named, '__module__', '?')}.{getattr(named, '__qualname__', '?')}"
    facts = repr(_facts(part, (), by_source))
    return f"{name}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"


def _facts(value: Any, above: tuple[int, ...], by_source: bool) -> Any:
    """Return nested tuples and plain values that differ where `value` does.

    `above` are the identities of the values it was reached through, which it may hold again.
    """
    if isinstance(value, PLAIN):
        return repr(value)
    if id(value) in above:
        return "itself"
    inside = functools.partial(_facts, above=(*above, id(value)), by_source=by_source)
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
        closed = tuple(
            "empty" if cell == CellType() else inside(cell.cell_contents)
            for cell in value.__closure__ or ()
        )
        defaults = (inside(value.__defaults__), inside(value.__kwdefaults__))
        source = _source(value.__code__) if by_source else None
        return ("function", source or inside(value.__code__), defaults, closed)
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


def _source(code: CodeType) -> Any:
    """Return a function's syntax tree as nested tuples; None where it cannot be told for certain.

    It is the same in every version of Python that can parse it, unlike `ast.dump`.
    """
    linecache.checkcache(code.co_filename)
    nodes, codes = _parsed("".join(linecache.getlines(code.co_filename)))
    if code not in codes:  # The file was changed since, or something rewrote its code.
        return None
    found = [node for node in nodes if _is_named(node, code)]
    # Of several lambdas in a line, it is the innermost that has all that is executed in its body.
    if len(found) > 1:
        places = [
            ((line, column), (last, end))
            for line, last, column, end in code.co_positions()
            if line and last and None not in (column, end) and (line, column) < (last, end)
        ]
        found = [
            node
            for node in found
            if isinstance(node, ast.Lambda)
            and places
            and all(_start(node.body) <= start and end <= _end(node.body) for start, end in places)
        ]
    return _tree(max(found, key=_start)) if found else None


@functools.lru_cache(maxsize=8)
def _parsed(text: str) -> tuple[list[ast.AST], set[CodeType]]:
    """Return the nodes of a module's source, and the code of all in it."""
    try:
        tree = ast.parse(text)
        return list(ast.walk(tree)), set(_codes(compile(text, "", "exec", dont_inherit=True)))
    except (SyntaxError, ValueError, RecursionError):
        return [], set()


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _codes(value)


def _is_named(node: ast.AST, code: CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return False
    first = min(part.lineno for part in (node, *node.decorator_list))
    return node.name == code.co_name and first == code.co_firstlineno


def _start(node: Any) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _end(node: Any) -> tuple[int, int]:
    return node.end_lineno, node.end_col_offset


def _tree(node: Any) -> Any:
    if isinstance(node, list):
        return tuple(map(_tree, node))
    if not isinstance(node, ast.AST):
        return repr(node)
    # Versions differ in which fields there are, not in what those say that say anything.
    fields = [(n, _tree(v)) for n, v in ast.iter_fields(node) if v is not None and v != []]
    return (type(node).__name__, *fields)


def imported(name: str, what: str) -> Callable[..., object]:
    """Return the callable that a `package.module:callable` points to; `what` is what it makes.

    The current directory can be imported from.

    Raises:
        PracError: The module cannot be imported, or the attribute is missing or not callable.
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
        target = operator.attrgetter(attribute)(module)
    except AttributeError as error:
        raise PracError(f"{what} {name!r}: {module_name!r} has no {attribute!r}") from error
    if not callable(target):
        kind = type(target).__name__
        raise PracError(
            f"{what} {name!r} is a {kind}: name the class or function that makes the {what}"
        )
    return target  # type: ignore[no-any-return]
