"""Tasks by name, for the command line: ready ones, and anyone's own in code."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from prac.config import TASK_NAMES
from prac.errors import PracError, unknown_name
from prac.training.task import CLASSIFICATION, Task
from prac.training.trial import ModelFault
from prac.utils import found_by_name, one_line, with_article

READY: dict[str, Callable[..., Task]] = {
    "classification": Task.classification,
    "language-model": Task.language_model,
    "multi-label": Task.multi_label,
    "regression": Task.regression,
    "segmentation": Task.segmentation,
}


def load_task(name: str, keywords: Mapping[str, Any] = MappingProxyType({})) -> Task:
    """Return the task of a name: a ready one's, or `package.module:attribute` of your own code.

    What is found there is a `Task`, or is called with the keywords, and returns one.

    Raises:
        PracError: If there is none such, or it does not take the keywords.
    """
    if name == "classification" and not keywords:
        return CLASSIFICATION
    if name not in READY and ":" not in name:
        raise unknown_name("task", name, TASK_NAMES)
    found: Any = READY[name] if name in READY else found_by_name(name, "task")
    if not isinstance(found, Task) and callable(found):
        _check_keywords(name, found, keywords)
        try:
            found = found(**keywords)
        except ModelFault as error:
            raise PracError(
                f"task {name!r} cannot be made: {one_line(error)}; give what it needs by task_args"
            ) from error
    elif keywords:
        raise PracError(f"task_args are set but task {name!r} is one already: leave them out")
    if not isinstance(found, Task):
        raise PracError(
            f"task {name!r} is {with_article(type(found).__name__)}: name a prac.Task, or a "
            f"function that returns one"
        )
    return found


def _check_keywords(name: str, make: Callable[..., Any], keywords: Mapping[str, Any]) -> None:
    """Raise a PracError for a keyword that is not taken, or is needed and not there."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters)
    taken = [one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    for keyword in keywords:
        if not takes_any and keyword not in (known := [one.name for one in taken]):
            near = difflib.get_close_matches(keyword, known, n=1)
            hint = (
                f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known) or 'none'}"
            )
            raise PracError(f"task_args has {keyword!r}, which task {name!r} does not take: {hint}")
    for one in taken:
        if one.default is one.empty and one.name not in keywords:
            raise PracError(
                f"task {name!r} needs {one.name}: give it by task_args, such as --task-args "
                f"{one.name}=0.5"
            )
