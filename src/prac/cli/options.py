"""Options that commands share: settings, made from their fields, and how a command runs."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from prac.cli.given import check_exclusive
from prac.cli.memory import keep_freed_memory
from prac.cli.parser import Parser
from prac.config import (
    ABOUT_METHODS,
    PRESETS,
    Settings,
    default_of,
    every_setting,
    flag_of,
    from_flat,
)
from prac.monitor import TRACKERS, Progress
from prac.training import MOST_THREADS, RunControl, save_interval

if TYPE_CHECKING:
    from prac.data import Examples
    from prac.training import RunKeywords, RunOptions

S = TypeVar("S", bound=Settings)

TITLES = {"train": "training", "prune": "pruning", "sample": "sampling", "stop": "stopping"}
"""Settings by the names of their fields, as `--help` heads them."""


def add_settings(
    parser: Parser,
    cls: type[Settings],
    title: str,
    defaults: Mapping[str, Any] | None,
    *,
    recorded: bool = False,
    hidden: Collection[str] = (),
) -> None:
    """Add an option for every setting below `cls`, in a help group for each class of settings.

    The title is of the group of those directly in `cls`; defaults, by flat name, take the place of
    the fields' own. `--help` tells them, unless they are recorded by a run or a ticket, and leaves
    the hidden settings out.
    """
    defaults = defaults or {}
    for path, field, hint in every_setting(cls):
        name = (title, *path)[-2]
        parser.group(f"{TITLES.get(name, name)} settings")
        flag = flag_of(field)
        option = flag.replace("_", "-")
        text = field.metadata["help"]
        if flag in hidden:
            text = argparse.SUPPRESS
        elif not recorded:
            text += f" (default: {_shown(defaults.get(flag, default_of(field)))})"
        if hint is bool:
            parser.flag(option, text, default=default_of(field))
            continue
        parser.option(
            option,
            hint,
            metavar=field.metadata["unit"],
            help=text,
            default=default_of(field),
            names=field.metadata["names"],
            **field.metadata["bounds"],
        )
    parser.set_defaults(**defaults)


METHODS_LISTED = "methods:\n" + "\n".join(f"  {n:<15} {text}" for n, text in ABOUT_METHODS.items())
"""What ends the help of commands that take methods by name."""


def add_preset(parser: Parser) -> None:
    """Add `--preset NAME,...`, settings that all other options take the place of."""
    parser.option(
        "preset",
        metavar="NAME,...",
        help="start from these settings; of several presets the later ones win",
        names=tuple(PRESETS),
    )


def add_run_options(parser: Parser, *, tracked: bool = False) -> None:
    """Add what says how a command runs, tracks and prints, none of it a setting."""
    parser.group("how it runs")
    parser.option(
        "device",
        str,
        default="auto",
        help="auto, cpu, cuda or cuda:N (default: auto)",
        names=("auto", "cpu", "cuda"),
    )
    parser.option(
        "threads",
        int | None,
        help="CPU threads to train with (default: as the run was begun; one where the network is "
        "small; else torch's own number)",
        at_least=1,
        at_most=MOST_THREADS,
    )
    parser.option(
        "workers",
        int,
        default=2,
        help="processes that decode images that do not fit in memory (default: 2)",
        at_least=0,
    )
    parser.add(
        "--save-every",
        type=_checked_interval,
        metavar="N|TIME",
        help="save within epochs too, every N iterations or 90s, 10min, 2h (default: epochs' ends)",
    )
    parser.option(
        "max-seconds",
        float | None,
        help="save and stop before this limit; the same command continues (default: none)",
        above=0,
    )
    parser.flag(
        "accept-changes", "resume even under another torch, prac or device, though bits may differ"
    )
    if tracked:
        parser.flag(
            "tensorboard",
            "write curves, histograms and pictures into the run folder, for TensorBoard",
        )
        parser.option(
            "track",
            tuple[str, ...],
            default=(),
            help="send the same to wandb, mlflow or package.module:callable (default: none)",
            names=TRACKERS,
        )
    parser.flag("json", "print a summary as JSON")
    parser.flag("quiet", "show no progress")


def trackers_of(options: Namespace) -> tuple[str, ...]:
    """Return the trackers that a command line names, each once."""
    return tuple(dict.fromkeys((*["tensorboard"] * options.tensorboard, *(options.track or ()))))


def _checked_interval(given: Any) -> Any:
    if given is not None:
        save_interval(given)
    return given


@contextmanager
def running(
    options: Namespace, progress: Progress, started: float | None = None
) -> Iterator[RunOptions]:
    """Hear signals, and yield how a command runs: when it saves and stops, as its options say.

    A time limit is counted from `started` of `time.monotonic` on; by default from now.
    """
    keep_freed_memory()
    control = RunControl(
        save_every=options.save_every,
        max_seconds=options.max_seconds,
        tell=progress.say,
        started=started,
    )
    with control.listening():
        from prac.training import RunOptions

        yield RunOptions(options.device, progress, control, options.accept_changes, options.threads)


@contextmanager
def tracked(
    run: RunOptions, options: Namespace, progress: Progress, out: Path, examples: Examples
) -> Iterator[RunKeywords]:
    """Show and track what is trained in a folder; what is trained takes the keywords yielded."""
    from prac.events import chain_callbacks
    from prac.monitor import Tracking

    tracking = Tracking(out, *trackers_of(options), examples=examples, note=progress.say)
    with tracking, progress:
        yield replace(run, callback=chain_callbacks(progress, tracking)).keywords
        tracking.catch_up()  # Where nothing was left to do.


def _shown(value: Any) -> str:
    if value is None or value in ((), [], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return ",".join(map(_shown, value))
    if isinstance(value, dict):
        return ",".join(f"{name}={_shown(one)}" for name, one in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def options_and_recipe(made: Parser, arguments: Sequence[str], cls: type[S]) -> tuple[Namespace, S]:
    """Return the options of a command line, and the settings among them; `--print-config` exits.

    Raises:
        PracError: If an option is not known, out of range, or contradicts another.
    """
    check_exclusive(arguments)
    options = made.parse(arguments)
    values = vars(options)
    if options.print_config:
        import yaml  # Here only: most commands print none.

        shown = {name: values[name] for name in made.in_files}
        print(yaml.safe_dump(shown, sort_keys=False), end="")
        raise SystemExit(0)
    names = [flag_of(field) for _, field, _ in every_setting(cls)]
    return options, from_flat(cls, {name: values[name] for name in names})
