"""`prac judge`: retrain tickets and controls over seeds, and say which of them win."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prac.cli.given import check_used, early_value, not_used
from prac.cli.jobs import add_jobs, followed, work_ahead
from prac.cli.options import add_run_options, add_settings, options_and_recipe, running
from prac.cli.output import print_json, print_text
from prac.cli.parser import Parser
from prac.cli.recorded import load_problem, own_settings
from prac.config import JudgeRecipe, flat
from prac.io import check_new, write_json
from prac.monitor import Progress
from prac.search import Search
from prac.utils import printable

CONTROL_OPTIONS = {"reinit": "reinitialised", "shuffle": "shuffled", "random": "random"}
"""Controls by flag."""


def parser(defaults: Mapping[str, Any] | None = None) -> Parser:
    """Return the parser of `prac judge`, with a run's own settings as defaults."""
    made = Parser(
        prog="prac judge",
        usage="%(prog)s RUN [OPTION ...]",
        description="Retrain a run's tickets over seeds, beside the dense network and controls,\n"
        "and say which of them win, by the search's settings unless told otherwise. The\n"
        "same command again resumes; what was trained once is not trained again.",
        examples=(
            "prac judge runs/quickstart-prac",
            "prac judge runs/quickstart-prac --levels 6,8 --seeds 0,1,2,3,4 --reinit",
            "prac judge runs/quickstart-prac --find-rewind-point",
        ),
    )
    made.argument("run", metavar="RUN", help="a run folder")
    made.config_file()
    made.numbers("levels", "levels whose tickets are judged (default: all)")
    about = "seeds of order and augmentation, for each of which all is trained (default: 0,1,2)"
    made.numbers("seeds", about)
    made.flag("reinit", "control: the same mask with re-initialised weights")
    made.flag("shuffle", "control: the mask shuffled within each layer")
    made.flag("random", "control: a random mask of the same layerwise densities, and new weights")
    made.flag("barriers", "error barrier between the first two seeds' networks of each level")
    made.flag(
        "pools",
        "average each ticket's networks with its judged neighbours', where that validates better",
    )
    made.flag(
        "find-rewind-point",
        "judge nothing; find the earliest point to rewind to, from which the dense network is "
        "stable",
    )
    about = "iterations to try as rewind points (default: 0, then 0.1 to 50 % of the schedule)"
    made.numbers("points", about)
    add_jobs(made)
    made.option(
        "cache",
        metavar="DIR",
        help="folder of the trainings, which runs may share (default: RUN/judged)",
    )
    add_run_options(made)
    add_settings(made, JudgeRecipe, "other", defaults, recorded=True)
    return made


def run(arguments: Sequence[str]) -> int:
    """Run `prac judge` and return its exit status."""
    arguments, is_ahead, started = followed(arguments)
    path = parser().parse(arguments).run
    search = Search.load(path)
    own = own_settings(path, search.settings, JudgeRecipe, arguments)
    options, recipe = options_and_recipe(parser(own), arguments, JudgeRecipe)
    check_used(arguments, flat(recipe))
    _check_meant(options)
    if options.cache is not None:
        check_new(options.cache, "kept", "cache")  # Before any data is loaded.
    progress = Progress(quiet=options.quiet)
    with running(options, progress, started) as run_options:
        if not is_ahead and not options.find_rewind_point:
            from prac.evaluation import SEEDS, check_seeds, judged_levels

            # Before data is loaded, or seeds are shared out.
            options.seeds = SEEDS if options.seeds is None else options.seeds
            check_seeds(options.seeds, options.barriers)
            judged_levels(search, options.levels)
            command, control = ("judge", *arguments), run_options.run_control
            work_ahead(command, recipe, options, progress, control, started=started)

        from prac.evaluation import JUDGED, Judging, as_executed, find_rewind_point, judged_levels

        data, make_model, task = load_problem(recipe, options.workers, progress)
        train, val, test, config = data.train, data.val, data.test, recipe.train
        if is_ahead and test is None:
            return 0  # The command says so.
        if early_value(arguments, "execution") is None:
            config = as_executed(config, search, options.device)
        if options.find_rewind_point:
            seed = int(search.settings.get("seed", 0))
            dense = search.tickets[0].apply(make_model(seed))
            given = {"points": options.points, "cache": options.cache or search.path / JUDGED}
            given["task"] = task
            if options.seeds is not None:
                given["seeds"] = options.seeds
            given |= run_options.keywords
            with progress:
                found: Any = find_rewind_point(dense, train, config, test=test, seed=seed, **given)
        else:
            controls = tuple(of for flag, of in CONTROL_OPTIONS.items() if getattr(options, flag))
            asked = options.seeds, judged_levels(search, options.levels), controls
            shared = config, task, options.cache, run_options
            with progress:
                judging = Judging.of(search, make_model, train, val, test, *shared)
                if is_ahead:
                    judging.trials(*asked)
                    return 0
                judging.check_pools(options.pools)
                found = judging.verdict(*asked, options.barriers, options.pools)
    _show(found, search, options)
    return 0


def _check_meant(options: Any) -> None:
    """Raise a PracError where an option is given that nothing would look at."""
    for_verdict = ("levels", *CONTROL_OPTIONS, "barriers", "pools", "jobs")
    for name in for_verdict if options.find_rewind_point else ("points",):
        if getattr(options, name) not in (None, False):
            why = "judges nothing" if options.find_rewind_point else "is not given"
            raise not_used(name, f"--find-rewind-point {why}")


def _show(found: Any, search: Search, options: Any) -> None:
    """Show a verdict, or a rewind point, which is written too."""
    from prac.evaluation import JUDGED
    from prac.report import rewind_point_text, verdict_text

    text: Any = verdict_text
    kind, name = "verdict", "verdict.json"
    if options.find_rewind_point:
        kind, name, text = "points", "rewind_point.json", rewind_point_text
        write_json(search.path / JUDGED / name, found.to_json())
    if options.json:
        print_json(found.to_json())
    else:
        print_text(text(found))
        print(f"\n{kind}: {printable(str(search.path / JUDGED / name))}")
