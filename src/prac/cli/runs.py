"""`prac runs`: every run below a folder in one table, or how two of them differ."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prac.cli.output import print_json, print_text
from prac.cli.parser import Parser
from prac.config import Recipe, every_setting, flag_of
from prac.errors import PracError, unknown_name
from prac.io import other_kind
from prac.report import (
    RUN_COLUMNS,
    RunFacts,
    differences,
    in_short,
    in_short_with_settings,
    row,
    with_names,
)
from prac.runs import searches_below
from prac.utils import printable

NARROW = ("levels", "density", "test", "vs dense", "verdict", "saved")
"""The columns that leave room for a path in 80."""

SORTED_BY = (
    *("path", "density", "metric", "value", "accuracy", "difference", "iterations", "saved"),
    "verdict",
    *(flag_of(field).replace("_", "-") for _, field, _ in every_setting(Recipe)),
)
"""What completion offers for `--sort`."""


def parser() -> Parser:
    """Return the parser of `prac runs`."""
    made = Parser(
        prog="prac runs",
        usage="%(prog)s DIR [DIR ...] [OPTION ...]",
        description="Show every run below a folder in one table; of two runs, how they differ.",
        examples=(
            "prac runs runs",
            "prac runs runs --sort saved --reverse --where model=lenet_300_100,seed=0",
            "prac runs runs/quickstart-prac runs/quickstart-imp --diff",
        ),
    )
    made.argument("folders", nargs="+", metavar="DIR", help="folders with runs in them")
    made.option(
        "sort",
        str,
        default="path",
        metavar="COLUMN",
        help="setting, or path, density, metric, value, accuracy, difference, iterations, saved or "
        "verdict (default: path)",
        names=SORTED_BY,
    )
    made.flag("reverse", "sort in descending order")
    made.option(
        "where",
        tuple[str, ...],
        default=(),
        metavar="NAME=VALUE,...",
        help="only runs of which these columns or settings have these values (default: all)",
    )
    made.flag("diff", "show how two runs differ, in settings and in results")
    made.flag("json", "print them as JSON")
    return made


def run(arguments: Sequence[str]) -> int:
    """Run `prac runs` and return its exit status."""
    options = parser().parse(arguments)
    below = {folder: searches_below(Path(folder)) for folder in options.folders}
    paths = [path for found in below.values() for path in found]
    without = [folder for folder, found in below.items() if not found]
    if not paths:
        raise other_kind(without[0], "runs")
    for folder in without:
        print(f"note: {printable(str(other_kind(folder, 'runs')))}", file=sys.stderr)
    runs = [RunFacts.read(path) for path in dict.fromkeys(paths)]
    chosen = [one for one in runs if _is_asked_for(one, options.where)]
    runs = _sorted(chosen, options.sort, options.reverse)
    if options.diff and len(runs) != 2:
        raise PracError(f"--diff compares two runs, but there are {len(runs)}: name the two")
    if options.json:
        print_json([in_short_with_settings(one) for one in runs])
        return 0
    print_text(_differing(runs) if options.diff else _listed(runs))
    for one in runs:
        for line in one.damaged:
            print(f"note: {printable(line)}", file=sys.stderr)
    return 0


def _known(one: RunFacts, name: str) -> Any:
    """Return what runs are sorted and chosen by: a setting, or what was found."""
    known, name = {**one.search.settings, **in_short(one)}, name.replace("-", "_")
    if name not in known:
        raise unknown_name("column or setting", name, known)
    return known[name]


def _is_asked_for(one: RunFacts, where: Sequence[str]) -> bool:
    for condition in where:
        name, equals, value = condition.partition("=")
        if not equals:
            raise PracError(f"where has {condition!r}: expected NAME=VALUE")
        found = _known(one, name)
        if value not in (str(found), json.dumps(found)):
            return False
    return True


def _sorted(runs: list[RunFacts], name: str, reverse: bool) -> list[RunFacts]:
    def key(one: RunFacts) -> tuple[bool, Any]:
        value = _known(one, name)
        return (False, value) if isinstance(value, int | float) else (True, str(value))

    # What is not known comes last, whichever way the others go.
    known = [one for one in runs if _known(one, name) is not None]
    rest = [one for one in runs if _known(one, name) is None]
    return [*sorted(known, key=key, reverse=reverse), *rest]


def _listed(runs: Sequence[RunFacts]) -> Any:
    from rich.text import Text

    from prac.report import new_table

    table = new_table("run", *NARROW)
    for one in runs:
        cells = row(one)
        table.add_row(Text(printable(str(one.search.path))), *(cells[name] for name in NARROW))
    table.caption = "of each run the sparsest ticket that matches dense, or was trained alone"
    return table


def _differing(runs: Sequence[RunFacts]) -> Any:
    from rich.console import Group
    from rich.text import Text

    from prac.report import new_table

    names = [printable(name) for name, _ in with_names(runs)]
    settings, results = new_table("setting", *names), new_table("result", *names)
    rows = differences([one.search.settings for one in runs])
    for cells in rows:
        settings.add_row(*(Text(printable(cell)) for cell in cells))
    for name in RUN_COLUMNS:
        results.add_row(name, *(row(one)[name] for one in runs))
    return Group(settings if rows else "The settings are the same.", results)
