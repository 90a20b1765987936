"""The global names that a function's bytecode reads."""

from __future__ import annotations

import dis
import re
from collections.abc import Iterator, Mapping
from types import CodeType, MappingProxyType
from typing import Any

IMPORT = "<"
"""Before a module's name: no other name begins with it."""


def names_read(
    code: CodeType, around: Mapping[str, tuple[str, ...]] = MappingProxyType({})
) -> Iterator[tuple[str, ...]]:
    """Yield the global names that code reads, with the attributes that follow them directly.

    What it imports itself begins with the module's name behind IMPORT, whatever it calls it;
    `around` has what the code around it imports, by local name.
    """
    chain: tuple[str, ...] = ()
    imported = dict(around)
    module: tuple[str, ...] = ()  # What the next name is given to.
    level, takes_names = 0, False
    for operation, value in _instructions(code):
        if operation in ("LOAD_ATTR", "LOAD_METHOD") and chain:
            chain += (str(value),)
            continue
        if chain:
            yield chain
        chain = ()
        if operation in ("LOAD_CONST", "LOAD_SMALL_INT"):  # Where an import follows, what it takes.
            level = value if isinstance(value, int) else level
            takes_names = isinstance(value, tuple)
        elif operation == "IMPORT_NAME":
            # `import a.b` and `import a.b as c` begin with `a`, `from a.b import c` with `a.b`.
            name = str(value) if takes_names else str(value).partition(".")[0]
            module = (f"{IMPORT}{'.' * level}{name}",)
        elif operation == "IMPORT_FROM":
            module = (*module[:1], str(value)) if takes_names else (*module, str(value))
            yield module
        elif operation in ("STORE_FAST", "STORE_DEREF") and module:
            imported[str(value)] = module
            module = module[:1] if takes_names else ()
        elif operation.startswith(("LOAD_FAST", "LOAD_DEREF")) and value in imported:
            chain = imported[value]
        elif operation in ("LOAD_GLOBAL", "LOAD_NAME") and not str(value).startswith("__"):
            chain = (str(value),)
        elif operation == "POP_TOP" and takes_names:
            module = ()
    if chain:
        yield chain
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_read(constant, imported)


def _instructions(code: CodeType) -> Iterator[tuple[str, Any]]:
    """Yield operations with what they work on; those that Python 3.13 joins, one by one."""
    for instruction in dis.get_instructions(code):
        operation, value = instruction.opname, instruction.argval
        joined = re.findall("(?:LOAD|STORE)_FAST", operation)
        if len(joined) == 2:
            yield from zip(joined, value, strict=True)
        else:
            yield operation, value
