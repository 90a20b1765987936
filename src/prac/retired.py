"""Old public names: each works for one version more, with a warning that tells the new one."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

VERSION = "0.3"
"""The version in which what is listed here goes away."""

NAMES = {
    "prac.Chosen": "Selection",
    "prac.Evidence": "LevelStats",
    "prac.Pace": "RunControl",
    "prac.together": "chain_callbacks",
    "prac.algorithms.counts_to_come": "kept_per_level",
    "prac.algorithms.hardest_by": "top_k_by_score",
    "prac.algorithms.topped_up": "pad_to_size",
    "prac.algorithms.difficulty.hardest_by": "top_k_by_score",
    "prac.algorithms.exemplars.topped_up": "pad_to_size",
    "prac.algorithms.masks.counts_to_come": "kept_per_level",
    "prac.comparison.Rivalry": "PairedComparison",
}
"""`module.old`: what that module calls it now."""

KEYWORDS = {"watch": "callback", "pace": "run_control"}
"""Keyword arguments of the functions that take `RunOptions`: what each is called now."""

MODULES = {
    "prac.callables": "prac.utils",
    "prac.compared": "prac.comparison",
    "prac.cost": "prac.runs",
    "prac.gradients": "prac.search.gradients",
    "prac.ledger": "prac.runs",
    "prac.results": "prac.runs",
    "prac.rewind_point": "prac.evaluation",
    "prac.rivalry": "prac.comparison",
    "prac.statistics": "prac.evaluation.statistics",
    "prac.trackers": "prac.monitor",
    "prac.verdict": "prac.evaluation",
}
"""Modules of version 0.1 that its documentation named or people import: where their names are."""


def current_name(module: str, name: str) -> str:
    """Return what a module's public name is called now, for use in that module's `__getattr__`.

    An old name warns whoever asked for it.

    >>> current_name("prac", "Ticket")
    'Ticket'
    """
    new = NAMES.get(f"{module}.{name}", name)
    if new != name:
        # The levels: `warn`, this function, the module's `__getattr__`, the line that asked.
        warn(f"{module}.{name}", f"{module}.{new}", stacklevel=4)
    return new


def getter_of(module: dict[str, Any]) -> Callable[[str], Any]:
    """Return a `__getattr__` for a module of these globals that knows its retired names."""

    def __getattr__(name: str) -> Any:
        if (new := current_name(module["__name__"], name)) == name:
            raise AttributeError(f"module {module['__name__']!r} has no attribute {name!r}")
        return module[new]

    return __getattr__


class Attribute:
    """The old name of an attribute or a method, in its class: `old = Attribute("new")`."""

    def __init__(self, new: str) -> None:
        self._new = new

    def __set_name__(self, owner: type, name: str) -> None:
        self._old = name

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        warn(f"{owner.__name__}.{self._old}", self._new, stacklevel=3)
        return getattr(instance, self._new)


def warn(old: str, new: str, *, stacklevel: int) -> None:
    """Warn of an old name.

    Args:
        old: As it was asked for.
        new: What to write instead.
        stacklevel: Of the line to name: 2 is whoever calls this function.
    """
    message = f"{old} is now called {new}: the old name goes away in version {VERSION}"
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel)


def keep_old_modules() -> None:
    """Let the modules of `MODULES` be imported by their old names."""
    if not any(isinstance(finder, _OldModules) for finder in sys.meta_path):
        sys.meta_path.append(_OldModules())


class _OldModules(MetaPathFinder, Loader):
    """Makes a module of an old name out of the one that holds its names now."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in MODULES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        # The import system's own frames are not counted.
        warn(spec.name, MODULES[spec.name], stacklevel=3)
        home = importlib.import_module(MODULES[spec.name])
        module = ModuleType(spec.name, f"The old name of {home.__name__}.")
        # Who imports it is warned already.
        module.__getattr__ = lambda name: getattr(  # type: ignore[method-assign]
            home, NAMES.get(f"{home.__name__}.{name}", name)
        )
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass
