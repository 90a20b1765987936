"""`prac judge`: retrain tickets and controls over seeds, and say which of them win."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.cli.given import check_used, early_value, not_used
from prac.cli.jobs import add_jobs, check_found, followed, left, shares, work_ahead
from prac.cli.options import add_run_options, add_settings, options_and_recipe, running
from prac.cli.output import print_json, print_text
from prac.cli.parser import Parser
from prac.cli.recorded import load_problem, own_settings
from prac.config import JudgeRecipe, flat
from prac.io import write_json
from prac.monitor import Progress
from prac.runs import Search
from prac.utils import printable

if TYPE_CHECKING:
    from torch import nn

    from prac.config import TrainConfig
    from prac.data import LoadedData
    from prac.evaluation import RewindPoint, Verdict
    from prac.training import RunOptions

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
        "levels", NUMBERS, help="levels whose tickets are judged (default: all)", at_least=0
    )
    made.option(
        "seeds",
        NUMBERS,
        help="seeds of order and augmentation, for each of which all is trained (default: 0,1,2)",
        at_least=0,
    )
    made.flag("reinit", "control: the same mask with re-initialised weights")
    made.flag("shuffle", "control: the mask shuffled within each layer")
    made.flag("random", "control: a random mask of the same layerwise densities, and new weights")
    made.flag("barriers", "error barrier between the first two seeds' networks of each level")
    made.flag(
        "find-rewind-point",
        "judge nothing; find the earliest point to rewind to, from which the dense network is "
        "stable",
    )
    made.option(
        "points",
        NUMBERS,
        help="iterations to try as rewind points (default: 0, then 0.1 to 50 % of the schedule)",
        at_least=0,
    )
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
    arguments, ahead_since = followed(arguments)
    path = parser().parse(arguments).run
    search = Search.load(path)
    own = own_settings(path, search.settings, JudgeRecipe, arguments)
    options, recipe = options_and_recipe(parser(own), arguments, JudgeRecipe)
    check_used(arguments, flat(recipe))
    _check_meant(options)
    progress = Progress(quiet=options.quiet)
    options.max_seconds = left(options.max_seconds, ahead_since)
    started = time.monotonic()
    with running(options, progress) as run_options:
        if ahead_since is None and not options.find_rewind_point:
            from prac.evaluation import SEEDS, check_seeds, judged_levels

            # Before data is loaded, or seeds are shared out.
            options.seeds = SEEDS if options.seeds is None else options.seeds
            check_seeds(options.seeds, options.barriers)
            judged_levels(search, options.levels)
            parts = shares(options.seeds, options.jobs, progress.say)
            if len(parts) > 1:
                check_found(recipe, options.device)
                command, control = ("judge", *arguments), run_options.run_control
                work_ahead(command, parts, options, progress, control, started=started)

        from prac.evaluation import as_executed

        data, make_model = load_problem(recipe, options.workers, progress)
        config = recipe.train
        if early_value(arguments, "execution") is None:
            config = as_executed(config, search, options.device)
        work = _Work(search, data, make_model, config, options, run_options)
        with progress:
            if ahead_since is not None:
                return work.ahead()
            found = work.rewind_point() if options.find_rewind_point else work.verdict()
    _show(found, search, options)
    return 0


def _check_meant(options: Any) -> None:
    """Raise a PracError where an option is given that nothing would look at."""
    for_verdict = ("levels", *CONTROL_OPTIONS, "barriers", "jobs")
    for name in for_verdict if options.find_rewind_point else ("points",):
        if getattr(options, name) not in (None, False):
            why = "judges nothing" if options.find_rewind_point else "is not given"
            raise not_used(name, f"--find-rewind-point {why}")


@dataclass(frozen=True)
class _Work:
    """What a judgement works on, and how."""

    search: Search
    data: LoadedData
    make_model: Callable[..., nn.Module]
    config: TrainConfig
    options: Any
    run_options: RunOptions

    @property
    def controls(self) -> tuple[str, ...]:
        return tuple(name for flag, name in CONTROL_OPTIONS.items() if getattr(self.options, flag))

    def verdict(self) -> Verdict:
        from prac.evaluation import judge

        return judge(
            self.search,
            self.make_model,
            self.data.train,
            val=self.data.val,
            test=self.data.test,
            seeds=self.options.seeds,
            levels=self.options.levels,
            controls=self.controls,
            barriers=self.options.barriers,
            cache=self.options.cache,
            config=self.config,
            **self.run_options.keywords,
        )

    def ahead(self) -> int:
        """Train what `judge` would with these seeds, and write no verdict."""
        from prac.evaluation import JUDGED, Judging, judged_levels
        from prac.training import CLASSIFICATION, Problem

        if self.data.test is None:
            return 0  # The command says so.
        runtime = self.run_options.runtime(self.config.precision)
        problem = Problem.of(
            self.make_model(),
            self.data.train,
            self.data.val,
            task=CLASSIFICATION,
            runtime=runtime,
            batch_size=self.config.batch_size,
        )
        judging = Judging(
            problem,
            self.data.test.to(runtime.device),
            self.search,
            self.make_model,
            self.config,
            Path(self.options.cache or self.search.path / JUDGED),
            self.run_options,
        )
        levels = judged_levels(self.search, self.options.levels)
        judging.trials(self.options.seeds, levels, self.controls)
        return 0

    def rewind_point(self) -> RewindPoint:
        from prac.evaluation import JUDGED, find_rewind_point

        seed = int(self.search.settings.get("seed", 0))
        seeds = {} if self.options.seeds is None else {"seeds": self.options.seeds}
        return find_rewind_point(
            self.search.tickets[0].apply(self.make_model(seed)),
            self.data.train,
            self.config,
            test=self.data.test,
            seed=seed,
            points=self.options.points,
            cache=self.options.cache or self.search.path / JUDGED,
            **seeds,
            **self.run_options.keywords,
        )


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
