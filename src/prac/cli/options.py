"""Settings dataclasses as command-line options: names, defaults and help come from the fields."""

from __future__ import annotations

import argparse
import typing
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from prac.cli.given import check_exclusive
from prac.cli.parser import Parser
from prac.config import ABOUT_METHODS, PRESETS, Settings, flag_of, from_flat, leaves, without_none
from prac.monitor import TRACKERS, Progress
from prac.training import Interval, RunControl

S = TypeVar("S", bound=Settings)


TITLES = {"train": "training", "prune": "pruning", "sample": "sampling", "stop": "stopping"}
"""Settings by the names of their fields, as `--help` heads them."""


def add_settings(
    parser: Parser,
    cls: type[Settings],
    title: str,
    defaults: Mapping[str, Any] | None = None,
    *,
    recorded: bool = False,
    hidden: Sequence[str] = (),
) -> None:
    """Add an option for every setting below `cls`, in a help group for each class of settings.

    Args:
        parser: Gets the options.
        cls: The settings.
        title: Of the group of those directly in `cls`.
        defaults: By flat name, what takes the place of the fields' own, as `--help` tells.
        recorded: Whether a run or a ticket has the defaults, so that `--help` shows none.
        hidden: Settings, by flat name, that `--help` leaves out.
    """
    groups: dict[tuple[str, ...], Any] = {}
    for path, field, hint in leaves(cls):
        place = path[:-1]
        if place not in groups:
            name = (title, *place)[-1]
            groups[place] = parser.add_argument_group(f"{TITLES.get(name, name)} settings")
        flag = flag_of(field)
        option = flag.replace("_", "-")
        text = field.metadata["help"]
        if flag in hidden:
            text = argparse.SUPPRESS
        elif not recorded:
            text += f" (default: {_shown((defaults or {}).get(flag, field.default))})"
        if hint is bool:
            parser.flag(option, text, group=groups[place], default=field.default)
            continue
        parser.option(
            option,
            hint,
            metavar=field.metadata["unit"] or _metavar(hint),
            help=text,
            default=field.default,
            names=field.metadata["names"] or _choices(hint),
            group=groups[place],
            **field.metadata["bounds"],
        )
    parser.set_defaults(**(defaults or {}))


METHODS_LISTED = "methods:\n" + "\n".join(f"  {n:<15} {text}" for n, text in ABOUT_METHODS.items())
"""What ends the help of commands that take methods by name."""


def add_preset(parser: Parser) -> None:
    """Add `--preset NAME,...`, settings that all other options take the place of."""
    parser.option(
        "preset",
        str | None,
        metavar="NAME,...",
        help="start from these settings; of several presets the later ones win",
        names=tuple(PRESETS),
    )


def add_run_options(parser: Parser, *, tracked: bool = False) -> None:
    """Add what says how a command runs and what it prints, none of it a setting.

    Args:
        parser: Of the command.
        tracked: Whether what it trains can be tracked.
    """
    group = parser.add_argument_group("how it runs")
    parser.option(
        "device",
        str,
        default="auto",
        metavar="NAME",
        help="auto, cpu, cuda or cuda:N (default: auto)",
        names=("auto", "cpu", "cuda"),
        group=group,
    )
    parser.option(
        "workers",
        int,
        default=2,
        metavar="N",
        help="processes that decode images that do not fit in memory (default: 2)",
        at_least=0,
        group=group,
    )
    parser.add(
        group,
        "--save-every",
        type=_checked_interval,
        metavar="N|TIME",
        help="save within epochs too, every N iterations or 90s, 10min, 2h (default: epochs' ends)",
    )
    parser.option(
        "max-seconds",
        float | None,
        metavar="X",
        help="save and stop before this limit; the same command continues (default: none)",
        above=0,
        group=group,
    )
    parser.flag(
        "accept-changes",
        "resume even under another torch, prac or device, though bits may differ",
        group=group,
    )
    if tracked:
        parser.flag(
            "tensorboard",
            "write curves, histograms and pictures into the run folder, for TensorBoard",
            group=group,
        )
        parser.option(
            "track",
            tuple[str, ...],
            default=(),
            metavar="NAME,...",
            help="send the same to wandb, mlflow or package.module:callable (default: none)",
            names=TRACKERS,
            group=group,
        )
    parser.flag("json", "print a summary as JSON", group=group)
    parser.flag("quiet", "show no progress", group=group)


def trackers_of(options: Namespace) -> tuple[str, ...]:
    """Return the trackers that a command line names, each once."""
    named = (*(["tensorboard"] if options.tensorboard else []), *(options.track or ()))
    return tuple(dict.fromkeys(named))


def _checked_interval(given: Any) -> Any:
    if given is not None:
        Interval.parse(given)
    return given


def run_control_of(options: Namespace, progress: Progress) -> RunControl:
    """Return when a command saves and stops, as its options say."""
    return RunControl(
        save_every=options.save_every, max_seconds=options.max_seconds, tell=progress.say
    )


def _choices(hint: Any) -> tuple[str, ...]:
    """Return the only values of a setting, where its type says them."""
    inner = without_none(hint)
    return typing.get_args(inner) if typing.get_origin(inner) is Literal else ()


def _metavar(hint: Any) -> str:
    inner = without_none(hint)
    if choices := _choices(hint):
        return "{" + ",".join(choices) + "}"
    if typing.get_origin(inner) is tuple:
        name = _metavar(typing.get_args(inner)[0])
        return f"{name},..."
    return {int: "N", float: "X", str: "NAME"}.get(inner, "VALUE")


def _shown(value: Any) -> str:
    if value is None or value in ((), []):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return ",".join(map(_shown, value))
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
    names = [flag_of(field) for _, field, _ in leaves(cls)]
    return options, from_flat(cls, {name: values[name] for name in names})
