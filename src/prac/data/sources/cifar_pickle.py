"""Reading the pickles that CIFAR is distributed as, without letting a pickle run anything.

Two gates, either of which would do. First the opcodes are listed without being executed: only those
that build plain values pass, with bounds on how many objects they may ask for. Then an unpickler
whose every global is a stand-in of this module builds the values; numpy's own functions are never
handed to the file, since their `__setstate__` trusts what it is given.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prac.errors import PracError
from prac.utils import one_line, with_article

# Opcodes that build plain values.
_MADE = "EMPTY_LIST LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT BUILD"
_CONTAINERS, _PUTS = frozenset(_MADE.split()), frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
_OTHERS = """
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8
    UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 APPEND APPENDS SETITEM SETITEMS
    PROTO FRAME STOP MARK POP MEMOIZE GET BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE
"""
_OPCODES = _CONTAINERS.union(_PUTS, _OTHERS.split())
# The real files hold about ten containers. The bound keeps nests too shallow to exhaust the stack.
_MAX_CONTAINERS = 1000
# The largest, CIFAR-100's training batch, has about 300,000.
_MAX_OPCODES = 2_000_000
_DTYPES = frozenset(("b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"))


class _Refused(Exception):
    """Something in the pickle that plain data has no need of."""


class _DType:
    """Stands in for a numpy dtype while it is being unpickled."""

    __slots__ = ("code",)

    def __init__(self, code: str) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) < 2:
            raise _Refused("a malformed dtype")
        order = _text(state[1])
        if order not in ("<", ">", "|", "="):
            raise _Refused(f"byte order {order!r}")
        self.code = order + self.code.lstrip("<>|=")


class _Array:
    """Stands in for a numpy array while it is being unpickled."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: NDArray[Any] | None = None

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise _Refused("a malformed array")
        _, shape, dtype, fortran, raw = state
        if not isinstance(dtype, _DType) or not isinstance(raw, bytes):
            raise _Refused("a malformed array")
        if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
            raise _Refused("an array of malformed shape")
        # `reshape` checks the claimed shape against the bytes that are really there.
        flat = np.frombuffer(raw, dtype=np.dtype(dtype.code))
        self.value = flat.reshape(shape, order="F" if fortran else "C")


class _Global:
    """A stand-in for what a pickle may name; a file cannot give it attributes."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise _Refused("a change to a function")


class _Reconstruct(_Global):
    """Stands in for numpy's maker of empty arrays, whose content the state then brings."""

    __slots__ = ()

    def __call__(self, kind: object, shape: object, code: object) -> _Array:
        return _Array()


class _MakeDType(_Global):
    """Stands in for the type `numpy.dtype`."""

    __slots__ = ()

    def __call__(self, code: object, align: object = False, copy: object = True) -> _DType:
        text = _text(code)
        if text.lstrip("<>|=") not in _DTYPES:
            raise _Refused(f"an array of dtype {text!r}")
        return _DType(text)


class _Encode(_Global):
    """Stands in for `_codecs.encode`, by which old protocols store bytes as text."""

    __slots__ = ("_left",)

    def __init__(self, budget: int) -> None:
        self._left = budget

    def __call__(self, text: object, encoding: object) -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise _Refused("a text encoding other than latin1")
        # One text may be referred to many times, each a copy; honest files encode each once.
        self._left -= len(text)
        if self._left < 0:
            raise _Refused("more encoded text than the file has bytes")
        return text.encode("latin-1")


class _PlainUnpickler(pickle.Unpickler):
    def __init__(self, data: bytes) -> None:
        # Strings of Python 2 come as bytes: they hold pixels as well as names.
        super().__init__(io.BytesIO(data), encoding="bytes")
        # Instances, not classes: a pickle can call them, and instantiate or inherit nothing.
        self._allowed: dict[tuple[str, str], object] = {
            ("numpy", "ndarray"): _Global(),  # Named but never called.
            ("numpy", "dtype"): _MakeDType(),
            ("numpy.core.multiarray", "_reconstruct"): _Reconstruct(),
            ("numpy._core.multiarray", "_reconstruct"): _Reconstruct(),
            ("_codecs", "encode"): _Encode(len(data)),
        }

    def find_class(self, module: str, name: str, /) -> Any:
        try:
            return self._allowed[module, name]
        except KeyError:
            raise _Refused(f"the global '{module}.{name}'") from None

    def persistent_load(self, pid: Any, /) -> Any:
        raise _Refused("a persistent id")


def load_plain(data: bytes, where: str) -> dict[str, Any]:
    """Unpickle a dict of plain values: numbers, strings, bytes, lists, tuples, dicts, numpy arrays.

    Its keys are text; arrays are found at the top level only. `where` names the pickle in messages.

    Raises:
        PracError: the pickle is damaged, or asks for anything but plain values. No code named by it
            has run then, or ever.
    """
    # The unpickler raises nearly any kind of error on damaged input.
    try:
        _check_opcodes(data)
        value = _PlainUnpickler(data).load()
        if isinstance(value, dict):
            value = _without_stand_ins(value)
    except _Refused as error:
        raise PracError(
            f"{where}: this pickle asks for {error}, which plain data has no need of: "
            "it is refused and nothing of it was run; take the file from its official source"
        ) from error
    except Exception as error:
        reason = one_line(error)
        raise PracError(f"{where}: the pickle is damaged or incomplete ({reason})") from error
    if not isinstance(value, dict):
        kind = with_article(type(value).__name__)
        raise PracError(f"{where}: the pickle holds {kind}, expected a dict")
    return value


def _without_stand_ins(value: dict[Any, Any]) -> dict[str, Any]:
    """The dict with its arrays and with text for keys, once no stand-in is left in it."""
    result = {
        _text(key): item.value if isinstance(item, _Array) else item
        for key, item in value.items()
        if isinstance(key, bytes | str)
    }
    # Each container once: they may hold each other, or one another many times over.
    seen: set[int] = set()
    left: list[Any] = [item for item in result.values() if not isinstance(item, np.ndarray)]
    while left:
        item = left.pop()
        if isinstance(item, dict | list | tuple):
            if id(item) not in seen:
                seen.add(id(item))
                left.extend((*item, *item.values()) if isinstance(item, dict) else item)
        elif not isinstance(item, bool | int | float | str | bytes | None):
            raise _Refused("an unfinished array or a function in place of a value")
    return result


def _check_opcodes(data: bytes) -> None:
    containers = 0
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name not in _OPCODES:
            raise _Refused(f"the opcode {opcode.name}")
        if count == _MAX_OPCODES:
            raise _Refused(f"more than {_MAX_OPCODES} steps")
        containers += opcode.name in _CONTAINERS
        if containers > _MAX_CONTAINERS:
            raise _Refused(f"more than {_MAX_CONTAINERS} containers")
        # Of longer ones any number can have the same hash, and a dict of them takes for ever.
        if isinstance(argument, int) and abs(argument) >= 1 << 64:
            raise _Refused("an integer of more than 64 bits")
        # The unpickler allocates its memo up to the largest index.
        if opcode.name in _PUTS and not 0 <= int(argument or 0) <= _MAX_OPCODES:
            raise _Refused(f"memo index {argument}")


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return value if isinstance(value, str) else repr(value)
