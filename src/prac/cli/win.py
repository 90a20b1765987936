"""`prac win`: the sparsest ticket that wins, and its proof, for the least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.cli.compare import folder_name
from prac.cli.given import check_not_given, check_used
from prac.cli.options import (
    METHODS_LISTED,
    add_preset,
    add_run_options,
    add_settings,
    options_and_recipe,
    running,
)
from prac.cli.output import print_json, print_text
from prac.cli.parser import Parser
from prac.cli.recorded import load_problem, named_settings
from prac.comparison import OWN
from prac.config import METHODS, Recipe, flat
from prac.io import check_new
from prac.monitor import Progress
from prac.utils import printable
from prac.winning import LADDER, WITH_BATCHNORM, rungs

if TYPE_CHECKING:
    from prac.winning import Win

NONE_WINS = 1

OF_METHODS = dict.fromkeys(
    OWN.keys() - {"seed"}, "each method has its own: write NAME:OPTION=VALUE"
)


def parser(defaults: Mapping[str, Any] | None = None) -> Parser:
    """Return the parser of `prac win`, with a preset's settings as defaults."""
    made = Parser(
        prog="prac win",
        usage="%(prog)s [--preset NAME,...] [OPTION ...]",
        description="Find the sparsest ticket that does as well as the dense network, and prove\n"
        "it, for the least: search by the cheapest method, judge by bisection, and go\n"
        "on with the next, dearer method where it misses. Ends with one ticket file, its\n"
        "verdict and what all of it cost. The same command again resumes. Presets are\n"
        "those of prac find.",
        epilog=METHODS_LISTED,
        examples=(
            "prac win --preset quickstart",
            "prac win --preset quickstart --density 0.2 --seeds 0,1,2,3,4",
            "prac win --preset cifar10-resnet20s --data data/cifar10 --budget 40",
        ),
    )
    add_preset(made)
    made.option(
        "methods",
        tuple[str, ...] | None,
        default=None,
        help=f"methods, the cheapest first; NAME:OPTION=VALUE has another option "
        f"(default: {','.join(LADDER)}; {WITH_BATCHNORM[0]} first where the network has BatchNorm)",
        names=tuple(METHODS),
    )
    about = "seeds of the trainings that prove, two or more (default: 0,1,2)"
    made.numbers("seeds", about, default=(0, 1, 2))
    made.option(
        "within",
        int,
        default=2,
        help="levels that the sparsest ticket that matches and the densest that misses may be "
        "apart (default: 2)",
        at_least=1,
    )
    made.option(
        "budget",
        float | None,
        metavar="X",
        help="full trainings' worth of iterations that search and proof may take (default: none)",
        above=0,
    )
    made.option(
        "density",
        float | None,
        help="look only for a ticket of this density, or the next below it (default: none)",
        above=0,
        below=1,
    )
    made.option(
        "controls",
        tuple[str, ...] | None,
        default=("reinitialised",),
        help="what the ticket is held against in the end, or none: reinitialised, shuffled, "
        "random, smart-ratio (default: reinitialised)",
        names=("reinitialised", "shuffled", "random", "smart-ratio"),
    )
    made.config_file()
    made.option("out", metavar="DIR", help="its folder (default: runs/win-NAME)")
    add_run_options(made)
    # Hidden are those that a run's config.yaml has, but that are of no use here.
    add_settings(made, Recipe, "search", defaults, hidden=OF_METHODS)
    return made


def run(arguments: Sequence[str]) -> int:
    """Run `prac win`; its exit status is 1 where no ticket was found to win."""
    for name, why in OF_METHODS.items():
        check_not_given(arguments, name, why)
    made = parser(named_settings(arguments))
    options, recipe = options_and_recipe(made, arguments, Recipe)
    options.controls = options.controls or ()
    competing = rungs(options.methods or LADDER, recipe.search)
    check_used(arguments, *({**recipe.names, **flat(one.config)} for one in competing))
    if all(one.own_rewind for one in competing):
        check_not_given(arguments, "rewind", "each of these methods has its own")
    out = Path(options.out or f"runs/win-{folder_name(recipe, options.preset)}")
    check_new(out, "new_win", "win")  # Before any data is loaded.
    progress = Progress(quiet=options.quiet)
    with running(options, progress) as run_options:
        from prac.winning import check_proof, win

        check_proof(options.seeds, options.within, options.controls)
        data, make_model, task = load_problem(recipe, options.workers, progress)
        with progress:
            found = win(
                make_model,
                data.train,
                recipe.search,
                out=out,
                methods=options.methods,
                seeds=options.seeds,
                within=options.within,
                budget=options.budget,
                density=options.density,
                controls=options.controls,
                val=data.val,
                test=data.test,
                task=task,
                recipe=recipe.names,
                **run_options.keywords,
            )
    return _show(found, options.json)


def _show(found: Win, as_json: bool) -> int:
    if as_json:
        print_json(found.to_json())
    else:
        from prac.report import win_text

        print_text(win_text(found))
        where = printable(str(found.ticket if found.succeeded else found.path))
        print(f"\n{'ticket' if found.succeeded else 'folder'}: {where}")
    return 0 if found.succeeded else NONE_WINS
