"""Other people's functions, classes and objects told apart, so that a run resumes with its own.

What Python shows of a thing is turned into *facts*: nested tuples and plain values that differ
where the thing does, and are the same in every process.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import pathlib
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import CellType, CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any

from prac.utils.names_read import IMPORT, names_read
from prac.utils.syntax import syntax_of

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))

_SHOWN = ("decimal", "fractions", "datetime", "re", "operator", "uuid")
"""Modules of Python's own whose objects are values, told by how they are shown."""

DEEPEST = 40
"""What lies deeper within a thing is not told: nobody means it by that thing."""

# What an interpreter or a decorator of Python's own puts into a class.
_NO_CODE = {
    *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__"),
    *("__firstlineno__", "__static_attributes__", "__annotate__", "__annotate_func__"),
    *("__annotations_cache__", "__dataclass_fields__", "__dataclass_params__", "__match_args__"),
    *("__slots__", "__parameters__", "__orig_bases__", "__abstractmethods__", "_abc_impl"),
    "__slotnames__",  # Of `copy.deepcopy`.
}


NOTHING: Mapping[int, str] = MappingProxyType({})


def described(
    part: object, *, by_source: bool = True, data: bool = True, known: Mapping[int, str] = NOTHING
) -> str:
    """Return a function's name and a digest of what it does, as far as Python shows it.

    In the digest are its source but for comments, docstrings, annotations and layout, its defaults,
    and the values that it closes over or, for an object, holds: plain ones, containers, tensors and
    arrays, and objects of these. Of the user's own code there are also the global values, functions
    and classes that it reads by name, and what those read, and the code of an object's class; not
    what installed libraries hold. Where there is no source, as of what was typed or made by `exec`,
    it is the bytecode, which another version of Python may compile otherwise. Runs of prac 0.1 were
    begun without `by_source`: they must go on with the same functions. Without `data` it is the
    code alone, as of what keeps a counter or a cache.

    >>> described(lambda x: x + 1) == described(lambda x: x + 2)
    False
    >>> described(functools.partial(max, 1)) == described(functools.partial(max, 2))
    False
    """
    named = part if hasattr(part, "__qualname__") else type(part)
    name = f"{getattr(named, '__module__', '?')}.{getattr(named, '__qualname__', '?')}"
    return f"{name}-{digester(by_source=by_source, data=data, known=known)(part)}"


def digester(
    *, by_source: bool = True, data: bool = True, known: Mapping[int, str] = NOTHING
) -> Callable[[object], str]:
    """Return what gives 12 hex digits that differ where what Python shows of a thing does.

    It is for one thing after another: own functions and classes that several of them read are told
    with the first one only, since large libraries of one's own would be read again for each. What
    is `known` by another way, such as a model's weights, is told by its name, by identity.
    """
    facts = _Facts(by_source, data, known)

    def digest_of(part: object) -> str:
        told = repr(facts.of(part, ()))
        return hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()[:12]

    return digest_of


@functools.cache
def is_own(module: str | None) -> bool:
    """Whether a module is the user's: no part of Python, of prac, or of an installed library.

    >>> is_own("torch"), is_own("json"), is_own("my_package")
    (False, False, True)
    """
    top = str(module).partition(".")[0]
    if module is None or top == "prac" or top in sys.stdlib_module_names:
        return False
    found = sys.modules.get(module) or sys.modules.get(top)
    file = getattr(found, "__file__", None)
    if file is None:  # Typed, or not yet in place; else it is a part of an interpreter.
        return found is None or module == "__main__" or hasattr(found, "__path__")
    if {"site-packages", "dist-packages"} & set(pathlib.Path(file).parts):
        return False
    # Elsewhere, as by `pip install --target`, installers leave their records beside the package.
    package = pathlib.Path(getattr(sys.modules.get(top), "__file__", None) or file)
    place = package.parent.parent if package.name == "__init__.py" else package.parent
    return not any(place.glob("*.dist-info"))


class _Facts:
    """One telling of a thing's facts; what is reached twice is told once."""

    def __init__(
        self, by_source: bool, data: bool = True, known: Mapping[int, str] = NOTHING
    ) -> None:
        self._by_source, self._data, self._known = by_source, data, known
        self._told: dict[int, object] = {}  # Kept, so that no other object takes an identity over.

    def of(self, value: Any, above: tuple[int, ...]) -> Any:
        """Return a value's facts.

        `above` are the identities of the values it was reached through, which it may hold again.
        """
        try:
            return self._of(value, above)
        except Exception:  # Asking for an attribute may run anyone's code, such as a late import.
            if not self._by_source:
                raise
            return ("untold", type(value).__qualname__)

    def _of(self, value: Any, above: tuple[int, ...]) -> Any:
        if isinstance(value, PLAIN):
            return repr(value)
        if id(value) in self._known:
            return ("known", self._known[id(value)])
        if id(value) in above:
            return "itself"
        if self._by_source and len(above) > DEEPEST:
            return "deeper"
        inside = functools.partial(self.of, above=(*above, id(value)))
        if isinstance(value, Mapping):
            return ("mapping", _ordered((inside(k), inside(v)) for k, v in value.items()))
        if isinstance(value, (set, frozenset)):
            if self._by_source:  # In no order: none is told by what another has told.
                alone = (_Facts(True, self._data, self._known).of(v, above) for v in value)
                return ("set", sorted(map(repr, alone)))
            return ("set", sorted(map(repr, map(inside, value))))
        if isinstance(value, (list, tuple)):
            return (type(value).__name__, *map(inside, value))
        if isinstance(value, CodeType):
            shape = (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount)
            consts = tuple(map(inside, value.co_consts))
            return ("code", shape, value.co_flags, value.co_code.hex(), value.co_names, consts)
        if isinstance(value, functools.partial):
            return ("partial", inside(value.func), inside(value.args), inside(value.keywords))
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        if isinstance(value, type):
            return (kind, value.__qualname__, *self._of_class(value, inside))
        if (array := _of_array(value)) is not None:
            return array
        if self._by_source and is_own(type(value).__module__):
            return self._of_object(value, kind, inside)
        if hasattr(value, "__wrapped__") and not (self._by_source and _is_own_function(value)):
            wrapper = getattr(getattr(value, "__code__", None), "co_qualname", "")
            by = (kind, wrapper) if self._by_source else ()
            return ("wrapped", *by, inside(value.__wrapped__))
        if hasattr(value, "__func__"):
            return ("method", inside(value.__func__), inside(value.__self__))
        if hasattr(value, "__code__"):
            return self._of_function(value, inside)
        if hasattr(value, "__qualname__"):
            return (kind, value.__qualname__)
        return self._of_object(value, kind, inside)

    def _of_function(self, value: Any, inside: Any) -> Any:
        is_read = self._by_source and _is_own_function(value)
        if is_read:
            if id(value) in self._told:
                return ("told", list(self._told).index(id(value)))
            self._told[id(value)] = value
        cells = value.__closure__ or ()
        held = ("empty" if cell == CellType() else cell.cell_contents for cell in cells)
        closed = tuple(of if of == "empty" else inside(of) for of in held if self._counts(of))
        defaults = (inside(value.__defaults__), inside(value.__kwdefaults__)) if self._data else ()
        source = syntax_of(value.__code__) if self._by_source else None
        facts = ("function", source or inside(value.__code__), defaults, closed)
        if is_read:
            found = _globals_read(value)
            read = {name: inside(of) for name, of in found if self._counts(of)}
            return (*facts, sorted(read.items())) if read else facts
        return facts

    def _counts(self, value: Any) -> bool:
        """Whether a value is told: without data only what is code."""
        return self._data or isinstance(value, type) or hasattr(value, "__code__")

    def _of_class(self, value: type, inside: Any) -> tuple[Any, ...]:
        """Return the facts of what a class's code does; none of a library's."""
        if not self._by_source or not is_own(value.__module__) or id(value) in self._told:
            return ()
        self._told[id(value)] = value
        held: dict[str, Any] = {}
        for name, attribute in _attributes(value):
            if isinstance(attribute, property):
                parts = (attribute.fget, attribute.fset, attribute.fdel)
                held[name] = tuple(inside(part) for part in parts)
            elif isinstance(attribute, functools.cached_property):
                held[name] = inside(attribute.func)
            elif (
                name not in _NO_CODE
                and not ("__dataclass_fields__" in vars(value) and _is_generated(attribute))
                and (self._data or callable(attribute) or hasattr(attribute, "__func__"))
            ):
                held[name] = inside(attribute)
        return (
            "class",
            sorted(held.items()),
            *(self._of_class(b, inside) for b in value.__bases__),
        )

    def _of_object(self, value: Any, kind: str, inside: Any) -> Any:
        if not self._by_source:
            return (kind, inside(_held(value)))
        cls = type(value)
        if isinstance(value, pathlib.PurePath):  # Its slots fill up as it is used.
            return (kind, str(value))
        # A dtype, a device, a layout; or what is told by how it is shown.
        if cls.__module__ in ("torch", *_SHOWN) or isinstance(value, (range, slice, bytearray)):
            return (kind, repr(value))
        if isinstance(value, deque):
            return (kind, *map(inside, value))
        is_namespace = cls.__name__ in ("Namespace", "SimpleNamespace")
        if not (is_own(cls.__module__) or is_namespace or hasattr(cls, "named_parameters")):
            return (kind,)  # A logger, a lock, a library's: what it holds is its own affair.
        held = (inside(_held(value)),) if self._data else ()
        return (kind, *held, *self._of_class(cls, inside))


def _is_own_function(value: Any) -> bool:
    """Whether a function is the user's by where it is written: a wrapper borrows another's name."""
    return isinstance(value, FunctionType) and is_own(value.__globals__.get("__name__"))


def _held(value: Any) -> dict[str, Any]:
    """Return what an object holds, by attribute."""
    by_class = (getattr(c, "__slots__", ()) for c in type(value).__mro__)
    named = [(of,) if isinstance(of, str) else of for of in by_class]
    slots = [name for of in named for name in of if name[:2] != "__"]
    return {name: getattr(value, name, None) for name in slots} | getattr(value, "__dict__", {})


def _ordered(items: Iterator[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    pairs = list(items)
    try:
        return sorted(pairs)
    except TypeError:  # Keys of several kinds have no order.
        return sorted(pairs, key=repr)


def _of_array(value: Any) -> tuple[Any, ...] | None:
    """Return the facts of a tensor or an array; None for anything else."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        name = str(value.dtype).removeprefix("torch.")
        if value.layout is not torch.strided or value.is_quantized:
            value = value.to_dense() if not value.is_quantized else value.dequantize()
        shape = tuple(value.shape)
        content = value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif hasattr(value, "dtype") and callable(getattr(value, "tobytes", None)):
        name, shape, content = str(value.dtype), value.shape, value.tobytes()
    else:
        return None
    return ("array", name, shape, hashlib.sha256(content).hexdigest())


def _attributes(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield what a class itself has, but for what its use adds.

    Torch wraps the `step` of an optimiser's class at its first use, also one that it inherits.
    """
    for name, attribute in vars(cls).items():
        if getattr(attribute, "hooked", False) is True and hasattr(attribute, "__wrapped__"):
            attribute = attribute.__wrapped__
            inherited = (vars(base).get(name) for base in cls.__mro__[1:])
            if any(attribute in (of, getattr(of, "__wrapped__", None)) for of in inherited):
                continue
        yield name, attribute


def _is_generated(attribute: object) -> bool:
    """Whether a dataclass's attribute is a method that was made of its fields, or for all of them.

    Each version of Python makes others, and compiles them otherwise.
    """
    function = getattr(attribute, "__wrapped__", attribute)
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    is_made = code.co_filename == "<string>" and code.co_name[:2] == "__"
    return is_made or not _is_own_function(function)


def _globals_read(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the value of each global that a function's own code reads.

    Of modules it is the attribute that is read; what belongs to a library is left out.
    """
    for name, *attributes in sorted(set(names_read(function.__code__))):
        if name[:1] == IMPORT:
            value: Any = _imported(name[1:], function.__globals__.get("__package__"))
        elif name in function.__globals__:
            value = function.__globals__[name]
        else:  # A builtin, or not there yet.
            continue
        shown = name
        for attribute in attributes:
            if not isinstance(value, ModuleType) or not is_own(value.__name__):
                break
            shown = f"{shown}.{attribute}"
            try:
                value = getattr(value, attribute)
            except Exception:  # Maybe a module of a package, which nobody has imported yet.
                value = _imported(f"{value.__name__}.{attribute}", None)
        if _is_told(value):
            yield shown, value


def _imported(name: str, package: str | None) -> ModuleType | None:
    """Return an own module that a function imports when it is called; None for a library's."""
    with suppress(Exception):  # Whatever its import does: the function itself is not called here.
        name = importlib.util.resolve_name(name, package)
        if _may_be_own(name):
            return importlib.import_module(name)
    return None


def _may_be_own(name: str) -> bool:
    """Whether a module lies where own ones do, told without importing it."""
    if name in sys.modules or name.partition(".")[0] in sys.stdlib_module_names:
        return is_own(name)
    spec = importlib.util.find_spec(name.partition(".")[0])
    place = pathlib.Path(spec.origin) if spec is not None and spec.origin else None
    return place is not None and not {"site-packages", "dist-packages"} & set(place.parts)


def _is_told(value: Any) -> bool:
    """Whether a global's value belongs to whoever reads it: the user's, or plain data."""
    if isinstance(value, ModuleType):
        return False
    if isinstance(value, type) or hasattr(value, "__code__"):
        return is_own(value.__module__)
    is_data = isinstance(value, (*PLAIN, Mapping, set, frozenset, list, tuple, functools.partial))
    return is_data or type(value).__module__ not in ("builtins", "typing")
