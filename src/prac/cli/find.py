"""`prac find`: search for tickets, and retrain some of them at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.cli.given import check_used, early_value
from prac.cli.options import (
    METHODS_LISTED,
    add_preset,
    add_run_options,
    add_settings,
    options_and_recipe,
    running,
    tracked,
    trackers_of,
)
from prac.cli.output import print_json, print_text
from prac.cli.parser import Parser
from prac.cli.recorded import (
    as_begun,
    load_problem,
    named_settings,
    plain,
    problem_names,
)
from prac.config import DATA_NAMES, METHODS, PRESETS, Recipe, combined, flat
from prac.errors import PracError
from prac.io import (
    check_kind,
    check_same,
    has_trained,
    in_level,
    kind_at,
    other_kind,
    read_environment,
    read_settings,
    state_paths,
)
from prac.monitor import Progress
from prac.report import search_summary
from prac.search import Search
from prac.utils import printable

if TYPE_CHECKING:
    from prac.training import RunOptions

PRESETS_LISTED = "presets:\n" + "\n".join(f"  {n:<26} {p.about}" for n, p in PRESETS.items())


def parser(defaults: Mapping[str, Any] | None = None) -> Parser:
    """Return the parser of `prac find`, with a preset's and a method's defaults put in."""
    made = Parser(
        prog="prac find",
        usage="%(prog)s [--preset NAME,...] [OPTION ...]",
        description="Search for tickets. The same command again resumes, or says it is done.\n"
        "With --preset or --method, --help shows what they set as defaults.",
        epilog=f"{METHODS_LISTED}\n\n{PRESETS_LISTED}",
        examples=(
            "prac find --preset quickstart --report",
            "prac find --preset cifar10-resnet20s --data data/cifar10 --method imp",
            "prac find --model package.module:Net --data photos --image-size 64",
        ),
    )
    add_preset(made)
    made.option(
        "method",
        str,
        default="prac",
        help="one of the methods listed below (default: prac)",
        names=tuple(METHODS),
    )
    made.config_file()
    made.option("out", metavar="DIR", help="run folder (default: runs/NAME)")
    made.option("subset", metavar="FILE", help="search on a set of examples found before")
    about = "go on from the ticket of another search of this problem, and add up what both cost"
    made.option("after", metavar="TICKET", help=about)
    retrained = ",".join(map(str, (defaults or {}).get("retrain", ()))) or "none"
    about = f"levels whose tickets are retrained at the end, on all data (default: {retrained})"
    made.numbers("retrain", about, default=())
    made.flag("report", "write report.html into the run folder at the end")
    add_run_options(made, tracked=True)
    add_settings(made, Recipe, "search", defaults)
    return made


def run(arguments: Sequence[str]) -> int:
    """Run `prac find` and return its exit status."""
    options, recipe = options_and_recipe(parser(_defaults(arguments)), arguments, Recipe)
    if options.subset is not None:
        options.subset = in_level(options.subset, "subset.safetensors")
        search = replace(recipe.search, subset=replace(recipe.search.subset, rule="fixed"))
        recipe = replace(recipe, search=search)
        if not options.subset.exists():
            raise PracError(f"{options.subset}: there is no such file: expected a subset file")
        check_kind(options.subset, "subset", "subset")
    options.after = None if options.after is None else _found(options.after)
    check_used(arguments, flat(recipe))
    given = early_value(arguments, "retrain") is not None
    retrain = _levels(options.retrain or (), recipe.search.levels, given=given)
    if options.report:
        from prac.report import renderer

        renderer()  # Before the search, which may take days.
    out = Path(options.out or f"runs/{run_name(recipe, options)}")
    progress = Progress(quiet=options.quiet)
    check_kind(out, "run", "search")
    recipe = as_begun(out, recipe, arguments, _defaults(arguments), parser)
    if has_trained(out):  # Before any data is loaded, which may take long.
        check_same(out, read_settings(out), flat(recipe))
    is_finished = _is_finished(out, retrain)
    is_named = options.subset is None and options.after is None
    if is_finished:  # One that went on from another's ticket is no search without.
        is_named = is_named and read_environment(out).get("after") is None
    is_same = is_named and _is_told_by_names(recipe)
    if not is_finished or not is_same or trackers_of(options):
        with running(options, progress) as run_options:
            _search(out, recipe, retrain, options, progress, run_options)
    if is_finished:
        progress.say(f"{out}: already finished")
    if options.report:
        from prac.report import REPORT_FILE, Report

        progress.say(Report.of(out).write(out / REPORT_FILE))
    return _show(out, options.json)


def _defaults(arguments: Sequence[str]) -> dict[str, Any]:
    """Return what takes the place of the fields' defaults, and the levels a preset retrains."""
    values = named_settings(arguments)
    if early_value(arguments, "set_sizes") not in (None, "none", "[]", ""):
        # Sizes take the place of a method's share.
        values["kept_fraction"] = None
    if (preset := early_value(arguments, "preset")) is not None:
        values["retrain"] = combined(preset).retrain
    return values


def run_name(recipe: Recipe, options: Any) -> str:
    """Return a run folder's name: what someone would call the run, in plain letters."""
    data, model = map(plain, problem_names(recipe))
    problem = f"{data or 'data'}-{model or 'model'}"
    if options.preset is not None:
        problem = plain(options.preset)
    after = "" if options.after is None else f"-after-{options.after[1]:02d}"
    return f"{problem}-{options.method}{'-subset' if options.subset else ''}{after}"


def _found(path: str) -> tuple[Path, int]:
    """Return the run folder that a ticket lies in, and its level.

    Raises:
        PracError: If it is no ticket, or lies where no search wrote it.
    """
    ticket = in_level(path, "ticket.safetensors")
    level, run = ticket.parent, ticket.parent.parent.parent
    if kind_at(ticket) != "ticket":
        raise other_kind(path, "after")
    if kind_at(level) != "level" or kind_at(run) != "search" or not level.name.isdecimal():
        raise PracError(
            f"{path}: lies in no search's run folder: --after takes a ticket where prac find wrote "
            f"it, RUN/levels/NN"
        )
    if not int(level.name):
        raise PracError(
            f"{path}: is the dense network's, with which a search begins anyway: leave --after "
            f"out, or name a later level"
        )
    return run, int(level.name)


def _levels(levels: Sequence[int], last: int, *, given: bool) -> tuple[int, ...]:
    """Return the levels to retrain; a preset's own list gives way to a shorter search."""
    beyond = [level for level in levels if level > last]
    if beyond and given:
        raise PracError(f"retrain names level {beyond[0]}, but the search ends at level {last}")
    return tuple(sorted(set(levels) - set(beyond)))


def _is_told_by_names(recipe: Recipe) -> bool:
    """Say whether data and network are what their names say, without being looked at.

    The user's own code and files may have changed; files that are gone cannot be compared.
    """
    data = recipe.data.name
    is_file = data not in DATA_NAMES and Path(data).expanduser().exists()
    is_own = ":" in recipe.model.name or ":" in recipe.task.name
    return not is_own and not is_file


def _is_finished(out: Path, retrain: Sequence[int]) -> bool:
    """Say whether there is nothing left to do, not even to remove states."""
    if not (out / "config.yaml").exists():
        return False
    search = Search.load(out)
    folders = (out, *(search.retrain_path(level) for level in retrain))
    return (
        search.finished
        and all(search.retrained(level) is not None for level in retrain)
        and not any(state_paths(folder) for folder in folders)
    )


def _search(
    out: Path,
    recipe: Recipe,
    retrain: Sequence[int],
    options: Any,
    progress: Progress,
    run_options: RunOptions,
) -> None:
    from prac.evaluation import retrain as retrain_ticket
    from prac.runs import Subset
    from prac.search import find

    subset = Subset.load(options.subset) if options.subset is not None else None
    data, make_model, task = load_problem(recipe, options.workers, progress)
    model = make_model(recipe.search.seed)
    with tracked(run_options, options, progress, out, data.train) as keywords:
        search = find(
            model,
            data.train,
            recipe.search,
            val=data.val,
            out=out,
            task=task,
            subset=subset,
            after=options.after,
            recipe=recipe.names,
            **keywords,
        )
        # As the search was, whatever measuring would choose by now. One that trained nothing has
        # measured nothing.
        execution = recipe.search.train.execution
        if recipe.search.prune.when != "at-init":
            execution = read_environment(out)["execution"]
        for level in retrain:
            retrain_ticket(
                search.tickets[level],
                model,
                data.train,
                replace(recipe.search.train, execution=execution),
                val=data.val,
                test=data.test,
                seed=recipe.search.seed,
                out=search.retrain_path(level),
                task=task,
                **keywords,
            )


def _show(out: Path, as_json: bool) -> int:
    search = Search.load(out)
    if as_json:
        print_json(search_summary(search))
    else:
        from prac.report import search_table

        print_text(search_table(search_summary(search)))
        print(f"tickets: {printable(str(out))}/levels/*/ticket.safetensors")
    return 0
