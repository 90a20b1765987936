"""Libraries that not every user needs: imported where they are used, with a remedy if missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from prac.errors import PracError


def needed(module: str, extra: str, purpose: str) -> ModuleType:
    """Return a library that an extra installs; `purpose` is the subject of a sentence.

    Raises:
        PracError: If it is not installed; the line says how to install it.

    >>> needed("json", "report", "a report").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        remedy = f"pip install 'prac-lth[{extra}]'"
        name = module.partition(".")[0]
        raise PracError(f"{purpose} needs {name}, which is not installed: {remedy}") from error
