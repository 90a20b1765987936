"""`prac judge`: retrain tickets and controls over seeds, and say which of them win."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prac.cli.given import check_used, early_value, not_used
from prac.cli.jobs import add_jobs, followed, work_ahead
from prac.cli.options import add_run_options, add_settings, options_and_recipe, running
from prac.cli.output import print_json, print_text
from prac.cli.parser import Parser
from prac.cli.recorded import load_problem, own_settings
from prac.config import JudgeRecipe, flat
from prac.errors import PracError
from prac.io import check_new, write_json
from prac.monitor import Progress
from prac.search import Search
from prac.utils import printable

if TYPE_CHECKING:
    from prac.evaluation import SeedPlan, Verdict

CONTROL_OPTIONS = {
    "reinit": "reinitialised",
    "shuffle": "shuffled",
    "random": "random",
    "smart_ratio": "smart-ratio",
    "corrupt_labels": "corrupted-labels",
    "corrupt_inputs": "corrupted-inputs",
}
"""Controls by flag."""

SANITY_OPTIONS = ("shuffle", "smart_ratio", "corrupt_labels", "corrupt_inputs")
"""What --sanity stands for."""


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
            "prac judge runs/quickstart-prac --plan",
            "prac judge runs/quickstart-prac --levels 8 --sanity",
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
    made.flag(
        "smart-ratio",
        "control: a random mask of as many weights, the first layers denser by a rule",
    )
    made.flag("corrupt-labels", "control: the mask of the same search on random labels")
    made.flag("corrupt-inputs", "control: the mask of the same search on shuffled inputs")
    made.flag(
        "sanity",
        "sanity checks: --shuffle, --smart-ratio, --corrupt-labels and --corrupt-inputs",
    )
    made.flag("barriers", "error barrier between the first two seeds' networks of each level")
    made.flag(
        "pools",
        "average each ticket's networks with its judged neighbours', where that validates better",
    )
    made.flag(
        "plan",
        "give no verdict; say how many seeds tell half a point here, and the hours, from two seeds",
    )
    about = "what --plan is to tell: points of a share, else the metric's own unit (default: 0.5)"
    made.option("difference", float | None, metavar="POINTS", help=about, above=0)
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
    from prac.evaluation import check_is_no_control

    check_is_no_control(search)  # Before its data is asked for, which a control does not name.
    own = own_settings(path, search.settings, JudgeRecipe, arguments)
    options, recipe = options_and_recipe(parser(own), arguments, JudgeRecipe)
    check_used(arguments, flat(recipe))
    _check_meant(options)
    controls = _controls(options)
    if options.cache is not None:
        check_new(options.cache, "kept", "cache")  # Before any data is loaded.
    progress = Progress(quiet=options.quiet)
    with running(options, progress, started) as run_options:
        from prac.evaluation import CORRUPTED

        # Masks of searches on corrupted data are what several processes would all wait for.
        searches_first = not set(controls).isdisjoint(CORRUPTED)

        def have_ahead() -> None:
            command, control = ("judge", *arguments), run_options.run_control
            work_ahead(command, recipe, options, progress, control, started=started)

        if not is_ahead and not options.find_rewind_point:
            from prac.evaluation import PLANNED, SEEDS, check_controls, check_seeds, judged_levels

            # Before data is loaded, or seeds are shared out.
            if options.seeds is None:
                options.seeds = PLANNED if options.plan else SEEDS
            check_seeds(options.seeds, options.barriers)
            levels = judged_levels(search, options.levels)
            check_controls(controls, levels, search.path)
            if options.plan:
                _check_plan(options, levels, recipe, path)
            if not searches_first:
                have_ahead()

        from prac.evaluation import (
            JUDGED,
            MANY,
            Judging,
            as_executed,
            find_rewind_point,
            judged_levels,
        )

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
            asked = options.seeds, judged_levels(search, options.levels), controls
            shared = config, task, options.cache, run_options
            with progress:
                judging = Judging.of(search, make_model, train, val, test, *shared)
                if is_ahead:
                    judging.trials(*asked)
                    return 0
                judging.check_pools(options.pools)
                if searches_first:
                    judging.search_corrupted(*asked[1:])
            if searches_first:
                have_ahead()
            with progress:
                judged = *asked, options.barriers, options.pools
                # A plan's few seeds do not take the place of a verdict by more.
                found = judging.verdict(*judged, write=not options.plan)
                if options.plan:
                    found = _plan(found, options)
    _show(found, search, options)
    if options.plan and not options.json:
        if found.next_seeds is not None:
            print(f"next: {_judging(arguments, found.next_seeds)}")
        elif found.needed is not None:
            print(f"next: more than {MANY} seeds are rarely worth it: plan a larger --difference")
    return 0


def _controls(options: Any) -> tuple[str, ...]:
    """Return the controls that are asked for, those of --sanity among them."""
    asked = {flag for flag in CONTROL_OPTIONS if getattr(options, flag)}
    asked |= set(SANITY_OPTIONS if options.sanity else ())
    return tuple(of for flag, of in CONTROL_OPTIONS.items() if flag in asked)


def _check_meant(options: Any) -> None:
    """Raise a PracError where an option is given that nothing would look at."""
    for_verdict = ("levels", *CONTROL_OPTIONS, "sanity", "barriers", "pools", "jobs", "plan")
    unused = dict.fromkeys(for_verdict, "--find-rewind-point judges nothing")
    if not options.find_rewind_point:
        unused = {"points": "--find-rewind-point is not given"}
        if options.plan:
            unused |= dict.fromkeys(("barriers", "pools"), "--plan gives no verdict")
    if not options.plan:
        unused["difference"] = "--plan is not given"
    for name, why in unused.items():
        if getattr(options, name) not in (None, False):
            raise not_used(name, why)


def _check_plan(options: Any, levels: Sequence[int], recipe: JudgeRecipe, path: str) -> None:
    """Raise a PracError where no plan could be made, before anything is trained for it."""
    from prac.evaluation import check_planned, difference_for
    from prac.training import load_task

    check_planned(options.seeds, levels, path)
    measure = load_task(recipe.task.name, recipe.task.args).measure
    if options.difference is None:
        difference_for(measure)
    elif measure.is_share and options.difference > measure.factor:
        raise PracError(
            f"--difference is {options.difference:g} points of a share: expected at most "
            f"{measure.factor}; half a point is 0.5"
        )


def _plan(verdict: Verdict, options: Any) -> SeedPlan:
    """Return the plan that a verdict's seeds are enough for."""
    from prac.evaluation import plan_seeds

    difference = options.difference
    if difference is not None:
        difference /= verdict.measure.factor
    return plan_seeds(verdict, difference, jobs=options.jobs or 1)


OF_PLANS = ("--plan", "--difference", "--seeds", "--json")
"""What another command, which judges, does not take from one that plans."""


def _judging(arguments: Sequence[str], seeds: Sequence[int]) -> str:
    """Return the command that judges with some seeds what another one plans.

    >>> _judging(["runs/x", "--plan", "--difference", "1", "--levels=8"], (0, 1, 2))
    'prac judge runs/x --levels=8 --seeds 0,1,2'
    """
    words = [*_kept(arguments)]
    end = words.index("--") if "--" in words else len(words)
    words[end:end] = ["--seeds", ",".join(map(str, seeds))]
    return printable(shlex.join(["prac", "judge", *words]))


def _kept(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the words of a command line that another command takes from one that plans."""
    left = iter(arguments)
    for word in left:
        option, equals, _ = word.partition("=")
        if option not in OF_PLANS:
            yield word
        elif option in ("--difference", "--seeds") and not equals:
            next(left, None)


def _show(found: Any, search: Search, options: Any) -> None:
    """Show a verdict; or a plan of seeds or a rewind point, which are written too."""
    from prac.evaluation import JUDGED, PLAN_FILE
    from prac.report import plan_text, rewind_point_text, verdict_text

    text: Any = verdict_text
    kind, name = "verdict", "verdict.json"
    if options.plan:
        kind, name, text = "plan", PLAN_FILE, plan_text
    if options.find_rewind_point:
        kind, name, text = "points", "rewind_point.json", rewind_point_text
    if name != "verdict.json":
        write_json(search.path / JUDGED / name, found.to_json())
    if options.json:
        print_json(found.to_json())
    else:
        print_text(text(found))
        print(f"\n{kind}: {printable(str(search.path / JUDGED / name))}")
