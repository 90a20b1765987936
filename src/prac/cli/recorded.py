"""The problem a command works on: what a preset, a run or a ticket says of it, and its data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.cli.given import early_value
from prac.cli.options import options_and_recipe
from prac.cli.parser import Parser
from prac.config import (
    JudgeRecipe,
    Recipe,
    RetrainRecipe,
    flat,
    is_own_code,
    own_code,
    starting_settings,
)
from prac.errors import PracError
from prac.io import has_trained, shown, unrecorded_settings, with_unrecorded
from prac.monitor import Progress

if TYPE_CHECKING:
    from torch import nn

    from prac.data import LoadedData
    from prac.training import Task


def named_settings(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the settings of the preset and the method that a command line names.

    A method that is asked for wins over a preset.
    """
    preset, method = (early_value(arguments, name) for name in ("preset", "method"))
    values = starting_settings(preset, method)
    if early_value(arguments, "epochs") is not None:
        # The user's length takes the place of a preset's, whatever that counts in.
        values.pop("iterations", None)
    return values


def own_settings(
    path: str | Path,
    known: Mapping[str, Any],
    cls: type[JudgeRecipe | RetrainRecipe],
    arguments: Sequence[str],
) -> dict[str, Any]:
    """Return which of the `known` settings, recorded in `path`, are defaults of a command's.

    Raises:
        PracError: If model or data is not known, or model or task is code that only the file names.
    """
    known = with_unrecorded(known)
    own = {name: known[name] for name in flat(cls()) if name in known}
    for name in ("data", "model"):
        if name not in own and early_value(arguments, name) is None:
            raise PracError(
                f"{path}: was found from Python and does not name its {name}: pass --{name}"
            )
    named = {name: own[name] for name in ("model", "task") if is_own_code(str(own.get(name)))}
    for name, value in {**named, **own_code(own)}.items():
        if early_value(arguments, name) is None:
            # Code that the file alone names is never imported: the file may be anyone's.
            raise PracError(
                f"{path}: names code of its own as its {name}: pass --{name.replace('_', '-')} "
                f"{shown(value)[1:-1]} if you trust that code"
            )
    if early_value(arguments, "epochs") is not None:
        # The user's length takes the place of the search's, whatever that counts in.
        own.pop("iterations", None)
    return own


OF_OLDER = {"arm": "above-once"}
"""Defaults of prac 0.1 that are others now."""


def as_begun(
    out: Path,
    recipe: Recipe,
    arguments: Sequence[str],
    defaults: Mapping[str, Any],
    parser: Callable[[Mapping[str, Any]], Parser],
) -> Recipe:
    """Return a recipe as an older prac, which began a run or a comparison in `out`, meant it.

    It is as it was read where there is none, or one of this prac. An older one reads pictures in
    its way, and what is not asked for has the defaults of then.
    """
    of_old = begun_by_older(out)
    if not of_old:
        return recipe
    made = parser({**OF_OLDER, **defaults, **of_old})
    begun = options_and_recipe(made, arguments, Recipe)[1]
    search = replace(recipe.search, stop=begun.search.stop)
    return replace(recipe, data=begun.data, search=search)


def begun_by_older(out: Path) -> dict[str, Any]:
    """Return what an older prac did not record of a run or a comparison that it began in `out`.

    Nothing where there is none, or where its settings say it themselves.
    """
    for folder in (out, *sorted(out.glob("runs/*/seed-*"))):
        if has_trained(folder):
            return unrecorded_settings(folder)
    return {}


def problem_names(recipe: Recipe) -> tuple[str, str]:
    """Return what someone would call the data and the model, for a folder's name."""
    data = Path(recipe.data.name).name.lstrip(".").partition(".")[0]
    return data, recipe.model.name.rpartition(":")[2]


def plain(name: str) -> str:
    """Return a name in letters that no shell, terminal or file system takes for anything else."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")


def load_problem(
    recipe: JudgeRecipe | Recipe, workers: int, progress: Progress
) -> tuple[LoadedData, Callable[..., nn.Module], Task]:
    """Return a recipe's data, what makes its network, and its task.

    A network is made of a seed where that is given. What a person should know of the data is said.
    """
    from prac.data import load_data
    from prac.models import load_model
    from prac.training import load_task

    task = load_task(recipe.task.name, recipe.task.args)
    progress.say(f"loading {recipe.data.name} for {recipe.model.name}")
    data = load_data(recipe.data, workers=workers)
    for line in data.notices():
        progress.say(line)
    return data, partial(load_model, recipe.model, data.shape, len(data.classes)), task
