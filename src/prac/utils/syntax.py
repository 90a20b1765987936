"""A function's source as a syntax tree: the same in every version of Python that can parse it."""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Iterator
from types import CodeType
from typing import Any

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_FOR_PEOPLE = ("annotation", "returns", "type_comment", "type_params")


def syntax_of(code: CodeType) -> Any:
    """Return a function's syntax tree as nested tuples; None where it cannot be told for certain.

    It is the same in every version of Python that can parse it, unlike `ast.dump`.
    """
    linecache.checkcache(code.co_filename)
    functions, codes = _parsed("".join(linecache.getlines(code.co_filename)))
    if code not in codes:  # The file was changed since, or something rewrote its code.
        return None
    found = functions.get((code.co_name, code.co_firstlineno), [])
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


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> tuple[dict[tuple[str, int], list[ast.AST]], set[CodeType]]:
    """Return a module's functions by name and first line, and the code of all in it."""
    functions: dict[tuple[str, int], list[ast.AST]] = {}
    try:
        for node in ast.walk(ast.parse(text)):
            if (place := _place(node)) is not None:
                functions.setdefault(place, []).append(node)
        return functions, set(_codes(compile(text, "", "exec", dont_inherit=True)))
    except (SyntaxError, ValueError, RecursionError):
        return {}, set()


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _codes(value)


def _place(node: ast.AST) -> tuple[str, int] | None:
    """Return the name and the first line that a function's code has; None for another node."""
    if isinstance(node, ast.Lambda):
        return "<lambda>", node.lineno
    if not isinstance(node, _FUNCTIONS):
        return None
    return node.name, min(part.lineno for part in (node, *node.decorator_list))


def _start(node: Any) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _end(node: Any) -> tuple[int, int]:
    return node.end_lineno, node.end_col_offset


def _tree(node: Any) -> Any:
    if isinstance(node, list):
        return tuple(map(_tree, node))
    if not isinstance(node, ast.AST):
        return repr(node)
    # Versions differ in which fields there are, not in what those say that say anything; and what
    # annotations and docstrings say is for people.
    said = {name: of for name, of in ast.iter_fields(node) if name not in _FOR_PEOPLE}
    if isinstance(node, _FUNCTIONS) and ast.get_docstring(node, clean=False) is not None:
        said["body"] = node.body[1:]
    fields = [(name, _tree(of)) for name, of in said.items() if of is not None and of != []]
    return (type(node).__name__, *fields)
