"""Settings dataclasses as command-line options: names, defaults and help come from the fields."""

from __future__ import annotations

import argparse
import difflib
import re
import shutil
import textwrap
import typing
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NoReturn, TypeVar

from prac.cli.given import check_exclusive, read_options
from prac.errors import PracError
from prac.methods import ABOUT_METHODS
from prac.pace import Interval, Pace
from prac.presets import PRESETS
from prac.progress import Progress
from prac.settings import (
    Settings,
    check_bounds,
    checked,
    flag_of,
    from_flat,
    leaves,
    parsed,
    without_none,
)
from prac.trackers import TRACKERS

S = TypeVar("S", bound=Settings)


class Parser(argparse.ArgumentParser):
    """An argument parser whose every complaint is one PracError line.

    Attributes:
        actions: Options and arguments by destination, in the order of `--help`.
        names: Values that these are known to take, by destination, for completion.
    """

    def __init__(self, *, examples: Sequence[str], epilog: str = "", **more: Any) -> None:
        """Make a parser; abbreviations are off, since a new option could change their meaning.

        Args:
            examples: Command lines that end `--help`.
            epilog: What stands before them.
            more: As argparse takes it.
        """
        shown = "\n".join(["examples:", *(f"  {example}" for example in examples)])
        super().__init__(
            allow_abbrev=False,
            add_help=False,
            formatter_class=argparse.RawTextHelpFormatter,
            epilog=f"{epilog}\n\n{shown}".lstrip(),
            **more,
        )
        self.actions: dict[str, argparse.Action] = {}
        self.names: dict[str, tuple[str, ...]] = {}
        self._arguments = self.add_argument_group("arguments")
        self._options = self.add_argument_group("options")
        about = "show this help message and exit"
        self._options.add_argument("-h", "--help", action="help", help=about)

    def argument(
        self, name: str, *, metavar: str, help: str, names: Sequence[str] = (), **more: Any
    ) -> None:
        """Add an argument that is known by its place.

        Args:
            name: Of the parsed value.
            metavar: Placeholder in `--help`; FILE, TICKET, PATH, DIR and RUN are completed as such.
            help: One phrase.
            names: Values for completion.
            more: As argparse takes it.
        """
        read = reader(name, str)
        self.add(self._arguments, name, help=help, names=names, metavar=metavar, type=read, **more)

    def option(
        self,
        flag: str,
        hint: Any,
        *,
        metavar: str,
        help: str,
        default: Any = None,
        short: str | None = None,
        names: Sequence[str] = (),
        group: Any = None,
        **bounds: float | None,
    ) -> None:
        """Add an option with a value, checked as settings are.

        Args:
            flag: Without its dashes.
            hint: The value's type.
            metavar: Placeholder in `--help`.
            help: One phrase; `argparse.SUPPRESS` hides it.
            default: Where it is not given.
            short: A letter that says the same.
            names: Values for completion.
            group: Where `--help` shows it, other than among the first options.
            bounds: As `prac.settings.setting` takes them.
        """
        self.add(
            group,
            *([] if short is None else [f"-{short}"]),
            f"--{flag}",
            help=help,
            names=names,
            metavar=metavar,
            default=default,
            type=reader(flag.replace("-", "_"), hint, bounds),
        )

    def flag(self, flag: str, help: str, *, group: Any = None, default: bool | None = None) -> None:
        """Add an option without a value.

        Args:
            flag: Without its dashes.
            help: One phrase; `argparse.SUPPRESS` hides it.
            group: Where `--help` shows it, other than among the first options.
            default: Of a setting, which `--no-FLAG` switches off.
        """
        if default is None:
            self.add(group, f"--{flag}", help=help, action="store_true")
            return
        # With a default, argparse's own action would add it to the help a second time.
        self.add(group, f"--{flag}", help=help, action=argparse.BooleanOptionalAction)
        self.set_defaults(**{flag.replace("-", "_"): default})

    def add(
        self, group: Any, *flags: str, help: str, names: Sequence[str] = (), **more: Any
    ) -> None:
        """Add what argparse is to know, in a group of `--help`, by default the first options'."""
        place = self._options if group is None else group
        action = place.add_argument(*flags, help=_wrapped(help), **more)
        self.actions[action.dest] = action
        self.names[action.dest] = tuple(names)

    def config_file(self) -> None:
        """Add `--config FILE`, YAML of options by name, and `--print-config`, which prints it."""
        self.add(
            None,
            "--config",
            action=_FromFile,
            metavar="FILE",
            help="YAML file of options by name; later ones win",
        )
        self.flag("print-config", "print all settings as YAML, for --config, instead of running")

    @property
    def in_files(self) -> list[str]:
        """Options that a `--config` file may hold."""
        aside = ("config", "print_config")
        return [n for n, action in self.actions.items() if action.option_strings and n not in aside]

    def take(self, values: Mapping[str, Any], options: Namespace) -> None:
        """Set options to the values of a file, checked as those on the command line are."""
        for given, value in values.items():
            name = given.replace("-", "_")
            if name not in self.in_files:
                raise self._unknown(given)
            read: Any = self.actions[name].type or reader(name, bool)
            setattr(options, name, read(value))

    def parse(self, arguments: Sequence[str]) -> Namespace:
        """Return the options of a command line.

        Raises:
            PracError: Naming what is not known, with the nearest names, or what is out of range.
        """
        options, rest = self.parse_known_args(list(arguments))
        for given in rest:
            if given.startswith("-") and given != "--":
                raise self._unknown(given)
            raise PracError(f"unexpected argument {given!r}: see {self.prog} --help")
        return options

    def error(self, message: str) -> NoReturn:
        """Raise what was wrong with the command line."""
        raise PracError(message)

    def _unknown(self, given: str) -> PracError:
        """Return the error for an option, or a key of a config file, that is not known."""
        flags = [flag for action in self.actions.values() for flag in action.option_strings]
        options = sorted(flag for flag in ("--help", *flags) if flag.startswith("--"))
        name = "--" + given.partition("=")[0].lstrip("-").replace("_", "-")
        near = difflib.get_close_matches(name, options, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else f"see {self.prog} --help"
        return PracError(f"unknown option {given}: {hint}")


class _FromFile(argparse.Action):
    """Takes the options in a YAML file as if they stood on the command line in its place."""

    def __call__(self, parser: Any, namespace: Namespace, path: Any, flag: Any = None) -> None:
        parser.take(read_options(path), namespace)


HELP_COLUMN = 24
"""Where argparse begins what it says of an option, at the latest."""


def _wrapped(text: str) -> str:
    """Return help as argparse is to show it, line by line.

    Lines are broken between words only: no name at its hyphens, and no short "(default: ...)".
    """
    if text == argparse.SUPPRESS:
        return text
    width = max(shutil.get_terminal_size().columns - 2 - HELP_COLUMN, 11)
    kept = re.sub(r"\(default: [^()]{,30}\)", lambda found: found[0].replace(" ", "\0"), text)
    lines = textwrap.wrap(kept, width, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ").replace("%", "%%")


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
        help="save and stop in time to take no longer; the same command continues (default: none)",
        above=0,
        group=group,
    )
    parser.flag(
        "accept-changes",
        "resume under another torch, prac or device as well, though bits may differ",
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
            help="hand them to wandb, mlflow or package.module:callable (default: none)",
            names=TRACKERS,
            group=group,
        )
    parser.flag("json", "print a summary for machines", group=group)
    parser.flag("quiet", "show no progress", group=group)


def trackers_of(options: Namespace) -> tuple[str, ...]:
    """Return the trackers that a command line names, each once."""
    named = (*(["tensorboard"] if options.tensorboard else []), *(options.track or ()))
    return tuple(dict.fromkeys(named))


def _checked_interval(given: Any) -> Any:
    if given is not None:
        Interval.parse(given)
    return given


def pace_of(options: Namespace, progress: Progress) -> Pace:
    """Return when a command saves and stops, as its options say."""
    return Pace(save_every=options.save_every, max_seconds=options.max_seconds, tell=progress.say)


def reader(
    name: str, hint: Any, bounds: Mapping[str, float | None] | None = None
) -> Callable[[Any], Any]:
    """Return what turns an option's text, or a YAML value, into a checked setting."""

    def read(given: Any) -> Any:
        value = checked(name, parsed(given, hint) if isinstance(given, str) else given, hint)
        check_bounds(name, value, bounds or {})
        return value

    return read


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
