"""`prac compare`: several methods and seeds on one problem."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.cli.given import check_not_given, check_used
from prac.cli.jobs import add_jobs, followed, told_to_parent, work_ahead
from prac.cli.options import (
    METHODS_LISTED,
    add_preset,
    add_run_options,
    add_settings,
    options_and_recipe,
    running,
)
from prac.cli.output import print_json
from prac.cli.parser import Parser
from prac.cli.recorded import (
    as_begun,
    load_problem,
    named_settings,
    plain,
    problem_names,
)
from prac.comparison import OWN, levels_to_judge, method_specs, shared_settings
from prac.config import METHODS, Recipe, flat
from prac.errors import PracError
from prac.io import check_new, json_text
from prac.monitor import Progress
from prac.utils import printable

if TYPE_CHECKING:
    from prac.comparison import Comparison
    from prac.training import RunOptions

FAILED = 1


def parser(defaults: Mapping[str, Any] | None = None) -> Parser:
    """Return the parser of `prac compare`, with a preset's settings as defaults."""
    made = Parser(
        prog="prac compare",
        usage="%(prog)s [--methods NAME,...] [--seeds N,...] [OPTION ...]",
        description="Search by several methods with several seeds, and train their tickets alone.\n"
        "The same command again resumes; a search that failed is tried again. Presets\n"
        "are those of prac find.",
        epilog=METHODS_LISTED,
        examples=(
            "prac compare --preset quickstart",
            "prac compare --preset quickstart --methods imp,prac,snip,random-subset@prac",
            "prac compare --preset cifar10-resnet20s --seeds 0,1 --judged 5,10,15",
        ),
    )
    add_preset(made)
    made.option(
        "methods",
        tuple[str, ...],
        default=("imp", "prac", "random-subset@prac"),
        help="methods; NAME@OTHER works with the iterations and set sizes of OTHER's levels "
        "(default: imp,prac,random-subset@prac)",
        names=tuple(METHODS),
    )
    about = "seeds of initialisation, order and augmentation (default: 0,1,2)"
    made.numbers("seeds", about, default=(0, 1, 2))
    about = "levels whose tickets are trained alone (default: four, evenly spaced to the last)"
    made.numbers("judged", about)
    made.option(
        "fraction",
        float | None,
        help="share of the data of random-subset, rs2, el2n and el2n-ccs (default: 0.3)",
        above=0,
        at_most=1,
    )
    add_jobs(made)
    made.config_file()
    made.option("out", metavar="DIR", help="the comparison's folder (default: runs/compare-NAME)")
    add_run_options(made)
    # Hidden are those that a run's config.yaml has, but that are of no use here.
    add_settings(made, Recipe, "search", defaults, hidden=OWN)
    return made


def run(arguments: Sequence[str]) -> int:
    """Run `prac compare`; its exit status is 1 where a search failed."""
    arguments, is_ahead, started = followed(arguments)
    for name, why in OWN.items():
        check_not_given(arguments, name, why)
    made = parser(named_settings(arguments))
    options, recipe = options_and_recipe(made, arguments, Recipe)
    _check_asked(arguments, options, recipe)
    out = Path(options.out or f"runs/compare-{folder_name(recipe, options.preset)}")
    check_new(out, "new_comparison", "comparison")  # Before any data is loaded.
    recipe = as_begun(out, recipe, arguments, named_settings(arguments), parser)
    progress = Progress(quiet=options.quiet)
    with running(options, progress, started) as run_options:
        if is_ahead:
            return _work_ahead(out, recipe, options, progress, run_options)
        command, control = ("compare", *arguments), run_options.run_control
        take = _taker(out, recipe, options)
        work_ahead(command, recipe, options, progress, control, started=started, take=take)

        from prac.comparison import compare

        data, make_model, task = load_problem(recipe, options.workers, progress)
        with progress:
            comparison = compare(
                make_model,
                data.train,
                recipe.search,
                out=out,
                methods=options.methods,
                seeds=options.seeds,
                judged=options.judged,
                fraction=options.fraction,
                val=data.val,
                test=data.test,
                task=task,
                recipe=recipe.names,
                **run_options.keywords,
            )
    return _show(comparison, options.json)


def folder_name(recipe: Recipe, preset: str | None) -> str:
    """Return what someone would call the problem, in plain letters.

    Where letters are lost it is not `prac find`'s name, but the one of folders that are there.
    """
    return plain(preset or "-".join(problem_names(recipe))) or "problem"


def _check_asked(arguments: Sequence[str], options: Any, recipe: Recipe) -> None:
    """Raise a PracError for what does not fit, before any data is loaded, which may take long."""
    competing = method_specs(options.methods, recipe.search, options.fraction)
    levels_to_judge(recipe.search.levels, options.judged)
    check_used(arguments, *({**recipe.names, **flat(one.config)} for one in competing))
    if all(one.own_rewind for one in competing):
        check_not_given(arguments, "rewind", "each of these methods has its own")

    from prac.evaluation import check_seeds

    check_seeds(options.seeds)


def _taker(out: Path, recipe: Recipe, options: Any) -> Callable[[str], None]:
    """Return what adds a run that a process tells of to comparison.json, as `compare` does.

    Raises:
        PracError: If the folder was begun with other settings.
    """
    from prac.comparison import COMPARISON_FILE, gathered, known_runs, read_run
    from prac.training import load_task

    measure = load_task(recipe.task.name, recipe.task.args).measure
    shared = json.loads(json.dumps({**shared_settings(recipe.search), **recipe.names}))
    runs = known_runs(out, shared, measure)
    levels = levels_to_judge(recipe.search.levels, options.judged)

    def take(line: str) -> None:
        run = read_run(out / COMPARISON_FILE, json.loads(line), measure)
        runs[run.method, run.seed] = run
        asked = options.methods, options.seeds, levels
        gathered(out, *asked, shared, runs, measure=measure).write()

    return take


def _work_ahead(
    out: Path, recipe: Recipe, options: Any, progress: Progress, run_options: RunOptions
) -> int:
    """Do what `compare` would for these seeds, and tell the process that has all of them."""
    from prac.comparison import Comparing

    with told_to_parent() as lines:
        data, make_model, task = load_problem(recipe, options.workers, progress)
        if data.test is None:
            return 0  # There is nothing to do ahead of being told so.
        levels = levels_to_judge(recipe.search.levels, options.judged)
        examples, names = (data.train, data.val, data.test), recipe.names
        comparing = Comparing(
            out, make_model, *examples, recipe.search, levels, task, names, run_options
        )
        competing = method_specs(options.methods, recipe.search, options.fraction)
        comparing.check(competing, options.seeds)
        for seed, spec in itertools.product(options.seeds, competing):
            run = comparing.run(spec, seed)
            print(json_text(asdict(run)), file=lines, flush=True)
    return 0


def _show(comparison: Comparison, as_json: bool) -> int:
    from prac.report import comparison_figure, renderer, write

    files = "comparison.json"
    try:
        renderer()
    except PracError as error:
        # What was trained for hours is not worth less without a picture.
        print(f"comparison.svg and .png are left out: {error}", file=sys.stderr)
    else:
        write(comparison_figure(comparison), comparison.path / "comparison")
        files += ", .svg and .png"
    if as_json:
        print_json(comparison.to_json())
    else:
        from rich.console import Console

        from prac.report import comparison_text

        console = Console(highlight=False)
        console.print(comparison_text(comparison, console.width))
        print(f"\nfigures: {printable(str(comparison.path))}/{files}")
    return FAILED if comparison.failed else 0
