"""JSON and YAML that anyone may have made: parsed strictly, and read by type into dataclasses.

Whoever changed a file can have computed its checksum anew, so nothing in it is taken on trust.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import reprlib
import types
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from prac.errors import Damaged
from prac.utils import one_line

T = TypeVar("T")

DEPTH = 32
LARGEST = 2**63 - 1

_OBJECTS = (dict, Mapping)

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def strict_json(text: str) -> Any:
    """Return the value of a JSON text that can be read in one way only.

    Raises:
        ValueError: If it is no JSON, is nested deeper than `DEPTH`, names a field twice, or holds a
            number that is not finite or beyond 64 bits.

    >>> strict_json('{"a": [1, 0.5, null]}')
    {'a': [1, 0.5, None]}
    """
    try:
        value = json.loads(text, object_pairs_hook=_distinct)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    _check_plain(value, DEPTH)
    return value


def json_text(value: Any, indent: int | None = None, *, sort_keys: bool = False) -> str:
    """Return a value as JSON, which has no name for numbers that are not finite: they are null.

    >>> json_text({"val_loss": math.inf, "val_accuracy": 0.5})
    '{"val_loss": null, "val_accuracy": 0.5}'
    """
    return json.dumps(_finite(value), indent=indent, sort_keys=sort_keys, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, (list, tuple)) else value


@functools.lru_cache(maxsize=4)
def strict_yaml(content: bytes) -> Any:
    """Return the value of a YAML file, of which no few bytes stand for a great many.

    It is remembered, and so not to be changed.

    Raises:
        ValueError: In one line, if it is no YAML, has an alias, is nested deeper than `DEPTH`, or
            holds what JSON does not, such as dates, sets, objects and endless numbers.

    >>> strict_yaml(b"epochs: 20")
    {'epochs': 20}
    """
    import yaml  # Here only: training without run folders does not need it.

    try:
        text, depth = content.decode(), 0
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it has an alias (*): write the value out")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH:
                raise ValueError("it is nested too deep")
        value = yaml.safe_load(text)
    # What its constructors raise is anything: a date without such a day, an empty number.
    except Exception as error:
        raise ValueError(one_line(error)[:300]) from error
    try:
        json.dumps(value)
    except TypeError as error:
        raise ValueError("it holds a date, a set or bytes: put text into quotes") from error
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {shown(twice)} is there twice")
    return found


def _check_plain(value: Any, depth: int) -> None:
    """Raise a ValueError for what no header of prac's holds."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"it holds {value}, which is no finite number")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError("it holds a whole number beyond 64 bits")
    if isinstance(value, (list, dict)):
        if not depth:
            raise ValueError("it is nested too deep")
        for part in value.values() if isinstance(value, dict) else value:  # Names are text.
            _check_plain(part, depth - 1)


def shown(value: Any) -> str:
    """Return a value as one short line, whatever it holds."""
    try:
        text = " ".join(_SHORT.repr(value).split())
    except ValueError:  # A whole number of more digits than Python shows.
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def damaged(path: Path | str, fault: str) -> Damaged:
    """Return the error for a file whose content does not fit together."""
    return Damaged(f"{path}: is damaged: {fault}")


def fits(value: Any, kind: Any, at_least: float | None = None) -> bool:
    """Say whether a JSON value is of a type, its numbers finite, within 64 bits, and not too small.

    Args:
        value: Of JSON.
        kind: `int`, `float` (whole numbers are), `bool`, `str`, `None`, a dataclass (an object in
            JSON, whose fields are not looked at), a union of these, or `list[X]`, `tuple[X, ...]`
            (a list in JSON) or `dict[str, X]` of them.
        at_least: Smallest number allowed, however deep.

    >>> fits({"cet": 3}, dict[str, int], at_least=0), fits(True, int), fits([1, None], list[int])
    (True, False, False)
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(fits(value, one, at_least) for one in inner)
    if kind is Any:
        return True
    if kind in (None, type(None)):
        return value is None
    if kind in (int, float):
        number = isinstance(value, int | kind) and not isinstance(value, bool)
        if not number or abs(value) > LARGEST or not math.isfinite(value):
            return False
        return at_least is None or value >= at_least
    if origin in (list, tuple):
        return isinstance(value, list) and all(fits(one, inner[0], at_least) for one in value)
    if kind is dict or origin in _OBJECTS or is_dataclass(kind):
        of = inner[1] if inner else Any
        return isinstance(value, dict) and all(
            isinstance(name, str) and fits(one, of, at_least) for name, one in value.items()
        )
    return isinstance(value, kind)


class Fields:
    """The fields of a JSON object in a file, taken out one by one; every fault names the file.

    Messages call the object `of`. With `more`, fields that nobody knows are let pass, in what is
    nested too.
    """

    def __init__(
        self, path: Path | str, values: Any, of: str = "header", *, more: bool = False
    ) -> None:
        """Begin with all fields.

        Raises:
            Damaged: If `values` is no object.
        """
        self.path, self.of, self.more = path, of, more
        if not fits(values, dict):
            raise damaged(path, f"its {of} is {shown(values)}: expected fields by name")
        self._left: dict[str, Any] = dict(values)

    def __contains__(self, name: str) -> bool:
        """Say whether a field is there and not taken yet."""
        return name in self._left

    def take(self, name: str, kind: Any, at_least: float | None = None) -> Any:
        """Return a field's value as its type has it, a tuple for a list; it counts as known then.

        Type and smallest number are as `fits` takes them.

        Raises:
            Damaged: If it is missing, or is not of its type.
        """
        if name not in self._left:
            raise damaged(self.path, f"its {self.of} lacks {name}")
        value = self._left.pop(name)
        if not fits(value, kind, at_least):
            expected = f"expected {_described(kind, at_least)}"
            raise damaged(self.path, f"its {self.of} has {name} {shown(value)}: {expected}")
        return self._typed(value, kind)

    def _typed(self, value: Any, kind: Any) -> Any:
        """Return a value that fits a type as one of it: lists as tuples, dataclasses read."""
        origin, inner = get_origin(kind), get_args(kind)
        if origin in (Union, types.UnionType):
            return self._typed(value, next(one for one in inner if fits(value, one)))
        if is_dataclass(kind):
            return read_dataclass(kind, value, self.path, more=self.more)  # type: ignore[arg-type]
        if origin in (list, tuple):
            return origin(self._typed(one, inner[0]) for one in value)
        if origin in _OBJECTS:
            return {name: self._typed(one, inner[1]) for name, one in value.items()}
        return value

    def check(self, kinds: Mapping[str, Any], at_least: float | None = None) -> None:
        """Take those of the fields that are there."""
        for name, kind in kinds.items():
            if name in self:
                self.take(name, kind, at_least)

    def end(self) -> None:
        """Raise a Damaged where a field is left that nobody knows."""
        for name in () if self.more else self._left:
            raise damaged(self.path, f"its {self.of} has an unknown field {shown(name)}")


def read_dataclass(
    cls: type[T], values: Any, path: Path | str, of: str | None = None, *, more: bool = False
) -> T:
    """Return a dataclass from its JSON: the fields must be there, as their annotations say.

    Numbers are at least 0, and every field there, unless `stored` says otherwise of one. Messages
    call it `of`, by default the last word of the class's name. With `more`, other fields are let
    pass, such as values that follow from these.

    Raises:
        Damaged: Naming the file, the field and what was expected.
    """
    of = of or re.findall("[A-Z][a-z]*", cls.__name__)[-1].lower()
    fields = Fields(path, values, of, more=more)
    kinds, found = get_type_hints(cls), {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        about, name = field.metadata, field.name
        if name not in fields and about.get("older", "") in fields:
            name = about["older"]
        elif name not in fields and about.get("may_lack"):
            continue
        least = None if about.get("signed") else 0
        found[field.name] = fields.take(name, kinds[field.name], least)
    fields.end()
    return cls(**found)


def stored(*, older: str = "", signed: bool = False, may_lack: bool = False) -> dict[str, Any]:
    """Return the metadata of a dataclass's field whose JSON is not like that of others.

    Args:
        older: What older files call it; nothing where they do as these.
        signed: Whether a number may be below 0.
        may_lack: Whether it may be missing, as in older files: it has its default then.
    """
    return {"older": older, "signed": signed, "may_lack": may_lack}


PROVENANCE = {
    "level": int,
    "density": float,
    "settings": dict,
    "classes": list[str],
    "versions": dict,
    "set_parts": dict[str, int],
    "by_class": list[int] | None,
    "architecture": str,
    "fingerprint": str,
}
"""What prac itself says of a ticket's or a set's origin; others may say more."""


def check_provenance(path: Path | str, provenance: Any) -> None:
    """Raise a Damaged where what is known of a provenance is not of its type."""
    Fields(path, provenance, "provenance").check(PROVENANCE, at_least=0)


def _described(kind: Any, at_least: float | None) -> str:
    bound = "" if at_least is None else f" of at least {at_least:g}"
    words = {
        int: f"a whole number{bound}",
        float: f"a finite number{bound}",
        bool: "true or false",
        str: "text",
        dict: "fields by name",
        type(None): "null",
    }
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(_described(one, at_least) for one in inner)
    if origin in (list, tuple):
        return f"a list, each {_described(inner[0], at_least)}"
    if origin in _OBJECTS:
        return f"fields by name, each {_described(inner[1], at_least)}"
    return "fields by name" if is_dataclass(kind) else words.get(kind, "any value")
