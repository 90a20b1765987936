"""How a run goes on, as against what it finds: one value that every long function takes whole."""

from __future__ import annotations

import difflib
import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypedDict, cast

from prac import retired
from prac.config import check_bounds, checked
from prac.events import Callback, Event
from prac.io import has_trained, read_environment
from prac.runs import RunFolder
from prac.training.run_control import MOST_THREADS, RunControl
from prac.training.runtime import Runtime, environment


class RunKeywords(TypedDict, total=False):
    """The keyword arguments of `find`, `retrain`, `judge`, `compare` and `find_rewind_point`.

    They are the fields of `RunOptions`, which says what each is.
    """

    device: str
    callback: Callback | None
    run_control: RunControl | None
    accept_changes: bool
    threads: int | None


def _levels_of_prac() -> int:
    """Return the `stacklevel` at which a warning is about the line that called prac."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("prac."):
        frame, level = frame.f_back, level + 1
    return level


def ignore(event: Event) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class RunOptions:
    """Where a run works, whom it tells, when it stops: what is no setting of what it finds.

    Attributes:
        device: "auto", "cpu", "cuda" or "cuda:N".
        callback: Called with an `Event` as the run goes on.
        run_control: When to save within epochs, and when to stop; never, by default.
        accept_changes: Resume under another torch, prac or device as well, though bits may differ.
        threads: Of the CPU, that work is done with. By default a run that goes on keeps its number;
            a new one takes one where its network is small, else torch's own number.
    """

    device: str = "auto"
    callback: Callback = ignore
    run_control: RunControl = field(default_factory=RunControl)
    accept_changes: bool = False
    threads: int | None = None

    def __post_init__(self) -> None:
        """Check the number of threads."""
        checked("threads", self.threads, int | None)
        check_bounds("threads", self.threads, {"at_least": 1, "at_most": MOST_THREADS})

    @classmethod
    def of(cls, keywords: RunKeywords) -> RunOptions:
        """Return the options of a call's keyword arguments; None is the default.

        Raises:
            TypeError: If there is no such keyword argument.
        """
        given: Mapping[str, Any] = cast(Mapping[str, Any], keywords)
        chosen: dict[str, Any] = {}
        for name, value in given.items():
            if name in retired.KEYWORDS:
                # The levels: `warn`, this method, the function that takes the keywords, its caller.
                retired.warn(f"argument {name!r}", f"{retired.KEYWORDS[name]!r}", stacklevel=4)
            elif name not in RunKeywords.__annotations__:
                near = difflib.get_close_matches(name, RunKeywords.__annotations__, n=1)
                hint = f": did you mean {near[0]!r}?" if near else ""
                raise TypeError(f"there is no keyword argument {name!r}{hint}")
            new = retired.KEYWORDS.get(name, name)
            if new in chosen:
                raise TypeError(f"{new!r} is given twice, once by its old name")
            if value is not None:
                chosen[new] = value
        return cls(**chosen)

    @property
    def keywords(self) -> RunKeywords:
        """What passes all of it on to another function that takes it."""
        return cast(RunKeywords, {one.name: getattr(self, one.name) for one in fields(self)})

    def runtime(self, precision: str, folder: Path | None = None) -> Runtime:
        """Return the device, with an arithmetic by name, as a run in a folder is to have it.

        Raises:
            PracError: If the device is not there or cannot be used.
        """
        runtime = replace(Runtime.choose(self.device, precision), threads=self.threads)
        return runtime if folder is None else self.as_begun(runtime, folder)

    def as_begun(self, runtime: Runtime, folder: Path) -> Runtime:
        """Return a runtime with the threads of the run in a folder, which goes on with its bits.

        Other threads win where they were asked for. A GPU's bits do not hang on them.
        """
        if self.threads is not None or runtime.device.type != "cpu" or not has_trained(folder):
            return runtime
        begun = read_environment(folder)
        known: Any = begun.get("threads")
        is_usable = isinstance(known, int) and 1 <= known <= MOST_THREADS
        if begun.get("device") != "cpu" or not is_usable:
            return runtime
        known = int(known)
        if known > (cores := os.cpu_count() or 1):
            self.warn(
                f"{folder}: goes on with {known} threads, as it was begun, on {cores} cores: that "
                f"is slow, but keeps its bits; --threads {cores} gives them up"
            )
        return replace(runtime, threads=known)

    def open_folder(
        self,
        path: Path,
        settings: Mapping[str, Any],
        identity: Mapping[str, Any],
        runtime: Runtime,
        *,
        of_old: Mapping[str, Any] | None = None,
    ) -> RunFolder:
        """Return a run's folder as `RunFolder` takes it, to be opened by `with`."""
        return RunFolder(
            path,
            settings,
            identity,
            environment(runtime),
            of_old=of_old,
            accept_changes=self.accept_changes,
            note=self.warn,
        )

    def tell(self, kind: str, level: int = 0, /, **facts: Any) -> None:
        """Tell of an event."""
        self.callback(Event(kind, level, facts))

    def note(self, text: str) -> None:
        """Tell something that a person should know."""
        self.tell("note", text=text)

    def warn(self, text: str) -> None:
        """Tell something that a person must not miss: where nobody listens, as a Python warning."""
        self.note(text)
        if self.callback is ignore:
            warnings.warn(text, stacklevel=_levels_of_prac())
