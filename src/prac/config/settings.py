"""A setting is a dataclass field that carries its default, help and bounds: one fact, one place.

The command line, the YAML files, the reference pages and the checks below all read them there.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import operator
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self, TypeVar, Union

from prac.errors import PracError, unknown_name
from prac.io import shown, strict_yaml
from prac.utils import changed_fields

S = TypeVar("S", bound="Settings")


def setting(
    default: Any,
    help: str,
    *,
    flag: str | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    unit: str | None = None,
    names: Sequence[str] = (),
) -> Any:
    """Declare a field of a settings dataclass; bounds hold for each element of a tuple.

    A mapping as the default is copied for each object, and is none of what it is hashed by.
    `flag` is its flat name on the command line and in YAML, where that is not the field's; `unit`
    its placeholder in `--help`; `names` what shells complete, where the type does not say it.
    """
    bounds = {"at_least": at_least, "at_most": at_most, "above": above, "below": below}
    metadata = {"help": help, "flag": flag, "bounds": bounds, "unit": unit, "names": tuple(names)}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=default.copy, hash=False, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def flag_of(field: dataclasses.Field[Any]) -> str:
    """Return a field's flat name."""
    return field.metadata.get("flag") or field.name


def default_of(field: dataclasses.Field[Any]) -> Any:
    """Return a field's default, a new one where it is a mapping."""
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


class Settings:
    """Base of the settings dataclasses: checks every value when one is made.

    Raises:
        PracError: Naming the setting, its value and what was expected.
        TypeError: If there is no setting of a name, with the nearest, or with the part it is of.
    """

    def __new__(cls, *values: Any, **named: Any) -> Self:
        """Refuse names of no field, before the dataclass would without a hint."""
        for name, value in named.items():
            if name not in cls.__dataclass_fields__:  # type: ignore[attr-defined]
                raise TypeError(f"{cls.__name__} has no setting {name!r}{_hint(cls, name, value)}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        """Check types and bounds, and turn whole numbers into floats where floats are meant."""
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = checked(flag_of(field), getattr(self, field.name), hints[field.name])
            check_bounds(flag_of(field), value, field.metadata.get("bounds", {}))
            # Frozen dataclasses are set once more here, so that 1 and 1.0 are one configuration.
            object.__setattr__(self, field.name, value)
        self._check_together()

    def _check_together(self) -> None:
        """Check settings that depend on each other, each of them being right by itself."""

    def __repr__(self) -> str:
        """Return the call that makes these settings: those that differ from the defaults."""
        told = (f"{name}={value!r}" for name, value in changed_fields(self).items())
        return f"{type(self).__name__}({', '.join(told)})"


def _hint(cls: type[Settings], name: str, value: Any) -> str:
    """Return where a setting is that a class has not itself, or its nearest name; or nothing."""
    places: dict[str, list[str]] = {}
    for path, field, _ in every_setting(cls):
        for one in {flag_of(field), field.name}:
            places.setdefault(one, []).append(".".join(path))
    places |= {field.name: [field.name] for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    near = [name] if name in places else difflib.get_close_matches(name, places, n=1)
    calls = [_call(cls, path.split("."), value) for one in near for path in places[one]]
    verb = "pass" if name in places else "did you mean"
    return f": {verb} {' or '.join(calls)}{'' if name in places else '?'}" if calls else ""


def _call(cls: type[Settings], path: Sequence[str], value: Any) -> str:
    """Return how a setting of a class, or of a part of it, is given as a keyword argument."""
    first, *rest = path
    if not rest:
        return first if dataclasses.is_dataclass(value) else f"{first}={shown(value)}"
    part = typing.get_type_hints(cls)[first]
    return f"{first}={part.__name__}({_call(part, rest, value)})"


def checked(name: str, value: Any, hint: Any) -> Any:
    """Return `value` as the type `hint` says, or raise a PracError that names the setting."""
    inner = without_none(hint)
    if inner is not hint:
        return None if value is None else checked(name, value, inner)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if not isinstance(value, str):
            raise PracError(f"{name} is {shown(value)}: expected one of {', '.join(arguments)}")
        if value not in arguments:
            raise unknown_name(name, value, arguments)
        return value
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            raise PracError(f"{name} is {shown(value)}: expected a list")
        return tuple(checked(name, element, arguments[0]) for element in value)
    if origin is Mapping:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise PracError(f"{name} is {shown(value)}: expected values by name, such as alpha=0.2")
        return {key: _plain(f"{name}: {key}", one) for key, one in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise PracError(f"{name} is too large: expected a finite number") from error
    if isinstance(value, int) and abs(value) > 2**64:
        # Beyond 4,300 digits Python would not even show it.
        raise PracError(f"{name} is too large: expected a number of 64 bits")
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        kinds = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        expected = kinds.get(hint, f"a {getattr(hint, '__name__', hint)}")
        raise PracError(f"{name} is {shown(value)}: expected {expected}")
    return value


def _plain(name: str, value: Any) -> Any:
    """Return a value as YAML has it: tuples are lists; or raise a PracError."""
    if isinstance(value, (list, tuple)):
        return [_plain(name, one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise PracError(f"{name} is {value!r}: expected a finite number")
    if value is not None and type(value) not in (bool, int, float, str):
        raise PracError(
            f"{name} is {shown(value)}: expected a number, true or false, text, or a list of these"
        )
    if isinstance(value, int) and abs(value) > 2**64:
        raise PracError(f"{name} is too large: expected a number of 64 bits")
    return value


LIMITS = {
    "at_least": operator.ge,
    "at_most": operator.le,
    "above": operator.gt,
    "below": operator.lt,
}


def check_bounds(name: str, value: Any, bounds: Mapping[str, float | None]) -> None:
    """Raise a PracError unless every number of `value` is finite and within `bounds`."""
    limits = [(key, bound) for key, bound in bounds.items() if bound is not None]
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            continue
        if isinstance(number, float) and not math.isfinite(number):
            raise PracError(f"{name} is {number!r}: expected a finite number")
        if not all(LIMITS[key](number, bound) for key, bound in limits):
            wanted = " and ".join(
                f"{key.replace('_', ' ')} {bound if isinstance(bound, int) else f'{bound:g}'}"
                for key, bound in limits
            )
            raise PracError(f"{name} is {number!r}: expected {wanted}")


def every_setting(cls: type) -> Iterator[tuple[tuple[str, ...], dataclasses.Field[Any], Any]]:
    """Yield (path, field, type) of every setting below a settings dataclass, in order."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if isinstance(hint, type) and issubclass(hint, Settings):
            for path, leaf, leaf_hint in every_setting(hint):
                yield (field.name, *path), leaf, leaf_hint
        else:
            yield (field.name,), field, hint


def flat(settings: Settings) -> dict[str, Any]:
    """Return {flat name: plain value} of every setting, ready for YAML, JSON and comparison."""
    result: dict[str, Any] = {}
    for path, field, _ in every_setting(type(settings)):
        value: Any = functools.reduce(getattr, path, settings)
        if isinstance(value, dict):
            value = {key: _plain(key, one) for key, one in value.items()}
        result[flag_of(field)] = list(value) if isinstance(value, tuple) else value
    return result


def from_flat(cls: type[S], values: Mapping[str, Any]) -> S:
    """Return the settings that `flat` wrote; missing ones take their defaults.

    Raises:
        PracError: On an unknown name, offering the nearest, or a value out of range.
    """
    known = {flag_of(field) for _, field, _ in every_setting(cls)}
    for name in values:
        if name not in known:
            raise unknown_name("setting", name, known)
    return own_part(cls, values)


def own_part(cls: type[S], values: Mapping[str, Any]) -> S:
    """Return the settings of a class that are among values by flat name, as `from_flat` does."""
    arguments: dict[str, Any] = {}
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        hint = hints[field.name]
        if isinstance(hint, type) and issubclass(hint, Settings):
            arguments[field.name] = own_part(hint, values)
        elif flag_of(field) in values:
            arguments[field.name] = values[flag_of(field)]
    return cls(**arguments)


def parsed(text: str, hint: Any) -> Any:
    """Return text as YAML reads it where the hint asks for more than text; commas make lists.

    >>> parsed("alpha=0.9,betas=[0.9,1e-4]", Mapping[str, Any])
    {'alpha': 0.9, 'betas': [0.9, 0.0001]}
    """
    inner = without_none(hint)
    if inner is not hint and text in ("none", "null", ""):
        return None
    if typing.get_origin(inner) is tuple:
        if text.strip() in ("", "[]"):
            return []
        element = typing.get_args(inner)[0]
        return [parsed(part.strip(), element) for part in text.strip("[]").split(",")]
    if typing.get_origin(inner) is Mapping:
        return _by_name(text)
    if inner is str or typing.get_origin(inner) is Literal:
        return text
    try:
        # YAML 1.1 takes 1e-4 for text.
        return float(text) if inner is float else strict_yaml(text.encode())
    except ValueError:
        return text


def _by_name(text: str) -> Any:
    """Return `name=value,...` as a mapping, or what YAML makes of another text."""
    inside = text.strip()
    try:
        if inside in ("", "none"):
            return {}
        if inside[0] == "{":
            return _numbers(strict_yaml(inside.encode()))
        pairs = [part.partition("=") for part in re.split(r",(?![^\[]*\])", inside)]
        if not all(name.strip() and equals for name, equals, _ in pairs):
            return text
        values = {name.strip(): strict_yaml(value.encode()) for name, _, value in pairs}
        return _numbers(values) if len(values) == len(pairs) else text
    except ValueError:
        return text


def _numbers(value: Any) -> Any:
    """Return a value with numbers in the place of texts such as 1e-4, which YAML 1.1 leaves."""
    if isinstance(value, dict):
        return {key: _numbers(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", value):
        return float(value)
    return value


def without_none(hint: Any) -> Any:
    """Return what a value is where it is given, of a hint that also allows None."""
    if typing.get_origin(hint) in (Union, types.UnionType):
        return next(a for a in typing.get_args(hint) if a is not type(None))
    return hint
