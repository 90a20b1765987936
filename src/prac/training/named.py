"""Tasks by name, for the command line: ready ones, and anyone's own in code."""

from __future__ import annotations

from collections.abc import Callable

from prac.config import TASK_NAMES
from prac.errors import PracError, unknown_name
from prac.training.task import CLASSIFICATION, Task
from prac.training.trial import ModelFault
from prac.utils import found_by_name, one_line, with_article

READY: dict[str, Callable[[], Task]] = {
    "classification": lambda: CLASSIFICATION,
    "language-model": Task.language_model,
    "multi-label": Task.multi_label,
    "segmentation": Task.segmentation,
}


def load_task(name: str) -> Task:
    """Return the task of a name: a ready one's, or `package.module:attribute` of your own code.

    What is found there is a `Task`, or is called without arguments and returns one.

    Raises:
        PracError: If there is none such.
    """
    if name in READY:
        return READY[name]()
    if ":" not in name:
        raise unknown_name("task", name, TASK_NAMES)
    found = found_by_name(name, "task")
    if not isinstance(found, Task) and callable(found):
        try:
            found = found()
        except ModelFault as error:
            raise PracError(
                f"task {name!r} cannot be made without arguments: {one_line(error)}; name a "
                f"prac.Task, or a function of no arguments that returns one"
            ) from error
    if not isinstance(found, Task):
        raise PracError(
            f"task {name!r} is {with_article(type(found).__name__)}: name a prac.Task, or a "
            f"function of no arguments that returns one"
        )
    return found
