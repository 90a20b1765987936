"""Libraries that not every user needs: imported where they are used, with a remedy if missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from prac.errors import PracError


def needed(module: str, extra: str | None, purpose: str) -> ModuleType:
    """Return a library that an extra installs, or None does; `purpose` is a sentence's subject.

    Raises:
        PracError: If it is not installed; the line says how to install it.

    >>> needed("json", "report", "a report").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # What the library needs itself may be what is missing.
        name = (error.name or module).partition(".")[0]
        remedy = f"pip install {name}" if extra is None else f"pip install 'prac-lth[{extra}]'"
        raise PracError(f"{purpose} needs {name}, which is not installed: {remedy}") from error
