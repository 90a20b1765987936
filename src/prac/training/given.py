"""What is given to tasks and metrics, told in a line where it is something else."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Self

from prac.errors import PracError


class Hinting:
    """Base of dataclasses that name the nearest argument where there is none of a name."""

    def __new__(cls, *values: Any, **named: Any) -> Self:
        """Refuse names of no field, before the dataclass would without a hint."""
        fields: Mapping[str, Any] = cls.__dataclass_fields__  # type: ignore[attr-defined]
        for name in named:
            if name not in fields:
                near = difflib.get_close_matches(name, fields, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(fields)}"
                raise TypeError(f"{cls.__name__} has no argument {name!r}: {hint}")
        return super().__new__(cls)


def check_function(name: str, given: object) -> None:
    """Raise a PracError unless a function is given."""
    if not callable(given):
        raise PracError(f"{name} is {given!r}: expected a function")
