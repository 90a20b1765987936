"""The page of docs that torture writes: tables of figures, and what they mean."""

from typing import Any


def of(found: dict[str, Any]) -> str:
    raise NotImplementedError
