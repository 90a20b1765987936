"""`prac judge`: retrain tickets and controls over seeds, and say which of them win."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.cli.given import check_used, early_value
from prac.cli.jobs import add_jobs, check_found, followed, left, shares, work_ahead
from prac.cli.memory import keep_freed_memory
from prac.cli.options import add_run_options, add_settings, options_and_recipe, run_control_of
from prac.cli.output import print_json, print_text
from prac.cli.parser import Parser
from prac.cli.recorded import load_examples, own_settings
from prac.config import JudgeRecipe, flat
from prac.errors import PracError
from prac.monitor import Progress
from prac.runs import Search
from prac.training import RunControl
from prac.utils import printable

if TYPE_CHECKING:
    from prac.evaluation import RewindPoint, Verdict

CONTROL_OPTIONS = {"reinit": "reinitialised", "shuffle": "shuffled", "random": "random"}
"""Controls by flag."""

NUMBERS = tuple[int, ...] | None


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
    made.option(
        "levels",
        NUMBERS,
        metavar="N,...",
        help="levels whose tickets are judged (default: all)",
        at_least=0,
    )
    made.option(
        "seeds",
        NUMBERS,
        metavar="N,...",
        help="seeds of order and augmentation, for each of which all is trained (default: 0,1,2)",
        at_least=0,
    )
    for flag, about in (
        ("reinit", "control: the same mask with re-initialised weights"),
        ("shuffle", "control: the mask shuffled within each layer"),
        ("random", "control: a random mask of the same layerwise densities, and new weights"),
        ("barriers", "error barrier between the first two seeds' networks of each level"),
        (
            "find-rewind-point",
            "judge nothing; find the earliest point to rewind to, from which the dense network "
            "is stable",
        ),
    ):
        made.flag(flag, about)
    made.option(
        "points",
        NUMBERS,
        metavar="N,...",
        help="iterations to try as rewind points (default: 0, then 0.1 to 50 % of the schedule)",
        at_least=0,
    )
    add_jobs(made)
    made.option(
        "cache",
        str | None,
        metavar="DIR",
        help="folder of the trainings, which runs may share (default: RUN/judged)",
    )
    add_run_options(made)
    add_settings(made, JudgeRecipe, "other", defaults, recorded=True)
    return made


def run(arguments: Sequence[str]) -> int:
    """Run `prac judge` and return its exit status."""
    arguments, ahead_since = followed(arguments)
    path = parser().parse(arguments).run
    search = Search.load(path)
    own = own_settings(path, search.settings, JudgeRecipe, arguments)
    options, recipe = options_and_recipe(parser(own), arguments, JudgeRecipe)
    check_used(arguments, flat(recipe))
    _check_meant(options)
    progress = Progress(quiet=options.quiet)
    is_given = early_value(arguments, "execution") is not None
    if ahead_since is not None:
        options.max_seconds = left(options.max_seconds, ahead_since)
    started = time.monotonic()
    keep_freed_memory()
    with run_control_of(options, progress).listening() as run_control:
        if options.find_rewind_point:
            point = _find_rewind_point(search, recipe, options, is_given, progress, run_control)
        elif ahead_since is not None:
            return _work_ahead(search, recipe, options, is_given, progress, run_control)
        else:
            seeds = _checked_seeds(search, options)
            parts = shares(seeds, options.jobs, progress.say)
            if len(parts) > 1:
                check_found(recipe, options.device)
                work_ahead(
                    ("judge", *arguments), parts, options, progress, run_control, started=started
                )
            verdict = _judge(search, recipe, options, is_given, progress, run_control)
    if options.find_rewind_point:
        return _show_point(point, search, options.json)
    return _show_verdict(verdict, options.json)


def _check_meant(options: Any) -> None:
    """Raise a PracError where an option is given that nothing would look at."""
    for_verdict = ("levels", *CONTROL_OPTIONS, "barriers", "jobs")
    for name in for_verdict if options.find_rewind_point else ("points",):
        if getattr(options, name) not in (None, False):
            why = "judges nothing" if options.find_rewind_point else "is not given"
            raise PracError(
                f"--{name} is given but not used: --find-rewind-point {why}: leave it out"
            )


def _common(
    search: Search,
    recipe: JudgeRecipe,
    options: Any,
    execution_is_given: bool,
    progress: Progress,
    run_control: RunControl,
) -> tuple[Any, dict[str, Any]]:
    """Return the loaded data, and what both jobs are told."""
    from prac.evaluation import as_executed

    data = load_examples(recipe, options.workers, progress)
    train = recipe.train
    return data, {
        "config": train if execution_is_given else as_executed(train, search, options.device),
        "cache": options.cache,
        "device": options.device,
        "callback": progress,
        "run_control": run_control,
        "accept_changes": options.accept_changes,
        **({} if options.seeds is None else {"seeds": options.seeds}),
    }


def _checked_seeds(search: Search, options: Any) -> tuple[int, ...]:
    """Return the seeds, what is asked for being there: asked before data is loaded, or shared."""
    from prac.evaluation import SEEDS, check_seeds, judged_levels

    seeds: tuple[int, ...] = SEEDS if options.seeds is None else options.seeds
    check_seeds(seeds, options.barriers)
    judged_levels(search, options.levels)
    return seeds


def _judge(search: Search, recipe: JudgeRecipe, options: Any, *rest: Any) -> Verdict:
    from prac.evaluation import judge
    from prac.models import load_model

    data, common = _common(search, recipe, options, *rest)
    with common["callback"]:
        return judge(
            search,
            lambda: load_model(recipe.model, data.shape, len(data.classes)),
            data.train,
            val=data.val,
            test=data.test,
            levels=options.levels,
            controls=_controls(options),
            barriers=options.barriers,
            **common,
        )


def _controls(options: Any) -> tuple[str, ...]:
    return tuple(name for flag, name in CONTROL_OPTIONS.items() if getattr(options, flag))


def _work_ahead(search: Search, recipe: JudgeRecipe, options: Any, *rest: Any) -> int:
    """Train what `judge` would with these seeds, and write no verdict."""
    from prac.evaluation import JUDGED, Judging, judged_levels
    from prac.models import load_model
    from prac.training import CLASSIFICATION, Problem, RunOptions, Runtime

    data, common = _common(search, recipe, options, *rest)
    if data.test is None:
        return 0  # The command says so.
    config = common["config"]
    runtime = Runtime.choose(options.device, config.precision)
    problem = Problem.of(
        load_model(recipe.model, data.shape, len(data.classes)),
        data.train,
        data.val,
        task=CLASSIFICATION,
        runtime=runtime,
        batch_size=config.batch_size,
    )
    judging = Judging(
        problem,
        data.test.to(runtime.device),
        search,
        lambda: load_model(recipe.model, data.shape, len(data.classes)),
        config,
        Path(options.cache or search.path / JUDGED),
        RunOptions(
            options.device, common["callback"], common["run_control"], options.accept_changes
        ),
    )
    judging.trials(options.seeds, judged_levels(search, options.levels), _controls(options))
    return 0


def _find_rewind_point(
    search: Search, recipe: JudgeRecipe, options: Any, *rest: Any
) -> RewindPoint:
    from prac.evaluation import find_rewind_point
    from prac.models import load_model

    data, common = _common(search, recipe, options, *rest)
    seed = int(search.settings.get("seed", 0))
    model = search.tickets[0].apply(load_model(recipe.model, data.shape, len(data.classes), seed))
    cache = common.pop("cache") or search.path / "judged"
    with common["callback"]:
        return find_rewind_point(
            model,
            data.train,
            common.pop("config"),
            test=data.test,
            seed=seed,
            points=options.points,
            cache=cache,
            **common,
        )


def _show_verdict(verdict: Verdict, as_json: bool) -> int:
    if as_json:
        print_json(verdict.to_json())
        return 0
    from prac.report import verdict_text

    print_text(verdict_text(verdict))
    print(f"\nverdict: {printable(str(verdict.search.path))}/judged/verdict.json")
    return 0


def _show_point(point: RewindPoint, search: Search, as_json: bool) -> int:
    from prac.io import write_json

    path = search.path / "judged" / "rewind_point.json"
    write_json(path, point.to_json())
    if as_json:
        print_json(point.to_json())
        return 0
    from prac.report import rewind_point_text

    print_text(rewind_point_text(point))
    print(f"\npoints: {printable(str(path))}")
    return 0
