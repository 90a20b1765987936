"""Settings dataclasses as command-line options: names, defaults and help come from the fields."""

from __future__ import annotations

import argparse
import difflib
import re
import textwrap
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

from jsonargparse import (  # type: ignore[attr-defined]
    ActionConfigFile,
    ActionYesNo,
    ArgumentParser,
    Namespace,
)

from prac.errors import PracError
from prac.fields import strict_yaml
from prac.pace import Interval, Pace
from prac.presets import PRESETS
from prac.progress import Progress
from prac.settings import (
    Settings,
    check_bounds,
    checked,
    flag_of,
    leaves,
    parsed,
    without_none,
)
from prac.trackers import TRACKERS


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Breaks lines between words only: no name at its hyphens, and no short "(default: ...)"."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        kept = re.sub(r"\(default: [^()]{,30}\)", lambda found: found[0].replace(" ", "\0"), text)
        lines = textwrap.wrap(" ".join(kept.split()), width, break_on_hyphens=False)
        return [line.replace("\0", " ") for line in lines]


class Parser(ArgumentParser):
    """An argument parser whose every complaint is one PracError line.

    Attributes:
        names: Values that options and arguments are known to take, by destination, for completion.
    """

    names: dict[str, tuple[str, ...]]

    def __init__(self, *, examples: Sequence[str], epilog: str = "", **arguments: Any) -> None:
        """Make a parser; abbreviations are off, since a new option could change their meaning.

        Args:
            examples: Command lines that end `--help`.
            epilog: What stands before them.
            arguments: As argparse takes them.
        """
        shown = "\n".join(["examples:", *(f"  {example}" for example in examples)])
        super().__init__(
            allow_abbrev=False,
            print_config="--print-config",
            formatter_class=_Formatter,
            epilog=f"{epilog}\n\n{shown}".lstrip(),
            **arguments,
        )
        self.names = {}
        self._positionals.title = "arguments"

    def argument(
        self, name: str, *, metavar: str, help: str, names: Sequence[str] = (), **more: Any
    ) -> None:
        """Add an argument that is known by its place.

        Args:
            name: Of the parsed value.
            metavar: Placeholder in `--help`; FILE, TICKET, PATH, DIR and RUN are completed as such.
            help: One phrase.
            names: Values for completion.
            more: As argparse takes them.
        """
        self.names[name] = tuple(names)
        self.add_argument(name, metavar=metavar, help=help, **more)

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
        **bounds: float,
    ) -> None:
        """Add an option that is no setting, checked as settings are.

        Args:
            flag: Without its dashes.
            hint: The value's type.
            metavar: Placeholder in `--help`.
            help: One phrase.
            default: Where it is not given.
            short: A letter that says the same.
            names: Values for completion.
            group: Where `--help` shows it, other than among the first options.
            bounds: As `prac.settings.setting` takes them.
        """
        name = flag.replace("-", "_")
        self.names[name] = tuple(names)
        read = reader(name, hint, bounds)
        flags = [f"--{flag}"] if short is None else [f"-{short}", f"--{flag}"]
        place = self if group is None else group
        place.add_argument(*flags, type=read, default=default, metavar=metavar, help=help)

    def error(self, message: str, *rest: Any, **more: Any) -> NoReturn:
        """Raise what was wrong with the command line, offering the nearest names."""
        line = " ".join(message.split())
        line = re.sub(r'^Parser key "(\w+)": ', "", line)
        unknown = re.match(r"unrecognized arguments: (\S+)|Option '(.+)' is not accepted", line)
        if unknown is None:
            raise PracError(line)
        option, key = unknown.groups()
        if option and not option.startswith("-"):
            raise PracError(f"unexpected argument {option!r}: see {self.prog} --help")
        raise self._unknown(option or key)

    def _unknown(self, given: str) -> PracError:
        """Return the error for an option, or a key of a config file, that is not known."""
        options = sorted(o for o in self._option_string_actions if o.startswith("--"))
        name = "--" + given.partition("=")[0].lstrip("-").replace("_", "-")
        near = difflib.get_close_matches(name, options, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else f"see {self.prog} --help"
        return PracError(f"unknown option {given}: {hint}")


TITLES = {"train": "training", "prune": "pruning", "sample": "sampling", "stop": "stopping"}
"""Settings by the names of their fields, as `--help` heads them."""


def add_settings(
    parser: Parser,
    cls: type[Settings],
    title: str,
    defaults: Mapping[str, Any] | None = None,
    *,
    recorded: bool = False,
) -> None:
    """Add an option for every setting below `cls`, in a help group for each class of settings.

    Args:
        parser: Gets the options.
        cls: The settings.
        title: Of the group of those directly in `cls`.
        defaults: By flat name, what will take the place of the fields' own, as `--help` tells.
        recorded: Whether a run or a ticket has the defaults, which `--help` does not know then.
    """
    groups: dict[tuple[str, ...], Any] = {}
    for path, field, hint in leaves(cls):
        place = path[:-1]
        if place not in groups:
            name = (title, *place)[-1]
            groups[place] = parser.add_argument_group(f"{TITLES.get(name, name)} settings")
        flag = flag_of(field)
        option = "--" + flag.replace("_", "-")
        text = field.metadata["help"]
        if not recorded:
            text += f" (default: {_shown((defaults or {}).get(flag, field.default))})"
        if hint is bool:
            action = ActionYesNo(yes_prefix="", no_prefix="no-")
            groups[place].add_argument(
                option, action=action, default=field.default, help=_plain(text)
            )
            continue
        parser.names[flag] = field.metadata["names"] or _choices(hint)
        groups[place].add_argument(
            option,
            type=reader(flag, hint, field.metadata["bounds"]),
            default=field.default,
            metavar=field.metadata["unit"] or _metavar(hint),
            help=_plain(text),
        )


def add_config_file(parser: Parser) -> None:
    """Add `--config FILE`, YAML of options by name; options after it win. And its counterpart."""
    parser.add_argument(
        "--config",
        action=ActionConfigFile,
        metavar="FILE",
        help="YAML file of options by name; later ones win",
    )
    printing = parser._option_string_actions["--print-config"]
    printing.metavar = ""
    printing.help = "print all settings as YAML, for --config, instead of running"


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
    group.add_argument(
        "--save-every",
        type=_checked_interval,
        default=None,
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
    group.add_argument(
        "--accept-changes",
        action="store_true",
        help="resume under another torch, prac or device as well, though bits may differ",
    )
    if tracked:
        group.add_argument(
            "--tensorboard",
            action="store_true",
            help="write curves, histograms and pictures into the run folder, for TensorBoard",
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
    group.add_argument("--json", action="store_true", help="print a summary for machines")
    group.add_argument("--quiet", action="store_true", help="show no progress")


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


def reader(flag: str, hint: Any, bounds: Mapping[str, float | None]) -> Callable[[Any], Any]:
    """Return what turns an option's text, or a YAML value, into a checked setting."""

    def read(given: Any) -> Any:
        value = given
        if isinstance(given, str):
            value = parsed(given, hint)
        value = checked(flag, value, hint)
        check_bounds(flag, value, bounds)
        return value

    return read


def _plain(text: str) -> str:
    """Return help that argparse shows as it is."""
    return text.replace("%", "%%")


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


def early_value(arguments: Sequence[str], name: str) -> str | None:
    """Return what an option is given, before the parser is made whose defaults depend on it.

    The last one on the command line wins over one in a `--config` file.
    """
    if last := _last_given(arguments, f"--{name.replace('_', '-')}"):
        return last
    path = _last_given(arguments, "--config")
    if path is None:
        return None
    given = _read_options(path).get(name)
    return None if given is None else str(given)


def check_config(arguments: Sequence[str]) -> None:
    """Raise a PracError unless every `--config` file is a small, plain mapping."""
    for path in _all_given(arguments, "--config"):
        _read_options(path)


OPTIONS_LIMIT = 2**16  # Bytes of a --config file.


def _read_options(path: str) -> dict[str, Any]:
    """Return the options of a `--config` file."""
    try:
        if not Path(path).exists():
            raise PracError(f"{path}: there is no such file: expected a YAML file for --config")
        if not Path(path).is_file():
            # A pipe would be waited for, and a device has no end.
            raise PracError(f"{path}: is no file: expected a YAML file for --config")
        with open(path, "rb") as file:
            content = file.read(OPTIONS_LIMIT + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PracError(f"{path}: cannot be read: {reason}") from error
    if len(content) > OPTIONS_LIMIT:
        raise PracError(f"{path}: has more than {OPTIONS_LIMIT} bytes: expected options by name")
    try:
        values = strict_yaml(content)
    except ValueError as error:
        raise PracError(f"{path}: is not YAML: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise PracError(f"{path}: expected a mapping of options, such as 'epochs: 20'")
    if "config" in values:
        raise PracError(f"{path}: names another file as config: expected all options in one")
    return values


def _all_given(arguments: Sequence[str], option: str) -> list[str]:
    values = []
    for position, argument in enumerate(arguments):
        if argument == option and position + 1 < len(arguments):
            values.append(arguments[position + 1])
        elif argument.startswith(f"{option}="):
            values.append(argument.partition("=")[2])
    return values


def _last_given(arguments: Sequence[str], option: str) -> str | None:
    return next(reversed(_all_given(arguments, option)), None)


EXCLUSIVE = (
    ("epochs", "iterations"),
    ("val_indices", "val_fraction"),
    ("include", "layers"),
    ("subset", "subset_rule"),
)


def check_exclusive(arguments: Sequence[str]) -> None:
    """Raise a PracError where two options are given that say the same thing in two ways."""
    for pair in EXCLUSIVE:
        first, second = (f"--{name.replace('_', '-')}" for name in pair)
        given = [_last_given(arguments, option) for option in (first, second)]
        if all(value not in (None, "none") for value in given):
            raise PracError(f"{first} and {second} are both given: leave one out")


UNUSED: tuple[tuple[tuple[str, ...], str, Callable[[Mapping[str, Any]], bool]], ...] = (
    (
        ("stop_rule", "epsilon", "window", "arm"),
        "pruning is 'at-init', so that no level is trained",
        lambda values: values.get("pruning") == "at-init",
    ),
    (
        ("epsilon", "window", "arm"),
        "stop_rule is 'never'",
        lambda values: values.get("stop_rule") == "never",
    ),
    (
        ("threshold",),
        "subset_rule makes no CET",
        lambda values: values.get("subset_rule") not in ("prac", "cet", None),
    ),
    (
        ("scaling",),
        "subset_rule is 'all', so that no set is smaller",
        lambda values: (
            values.get("subset_rule") == "all"
            and values["dense_fraction"] is None
            and values["sampling"] != "fresh"
        ),
    ),
    (
        ("el2n_epoch",),
        "subset_rule takes no EL2N scores",
        lambda values: values.get("subset_rule") not in ("el2n", "el2n-ccs"),
    ),
    (
        ("cutoff",),
        "subset_rule is not 'el2n-ccs'",
        lambda values: values.get("subset_rule") != "el2n-ccs",
    ),
    (
        ("sample_fraction",),
        "sampling is not 'fresh'",
        lambda values: values.get("sampling") != "fresh",
    ),
    (
        ("drop_probability",),
        "sampling is not 'infobatch'",
        lambda values: values.get("sampling") != "infobatch",
    ),
    (("gamma",), "there are no milestones", lambda values: not values["milestones"]),
    (
        ("val_seed",),
        "nothing is drawn: val_fraction is 0 or val_indices says what is held out, without a limit",
        lambda values: (
            values["limit"] is None
            and (values["val_fraction"] == 0 or values["val_indices"] is not None)
        ),
    ),
)
"""Settings that nothing looks at, why, and whether it is so."""


def is_given(arguments: Sequence[str], option: str) -> bool:
    """Say whether an option with a value stands on the command line itself."""
    return bool(_all_given(arguments, option))


def check_used(arguments: Sequence[str], *values: Mapping[str, Any]) -> None:
    """Raise a PracError where an option on the command line would change nothing.

    A `--config` file is left alone, as are presets: a run's own config.yaml has every setting.

    Args:
        arguments: As typed.
        values: All settings by flat name, as they came out; of several searches, an option must
            change one.
    """
    for names, why, is_unused in UNUSED:
        for name in names:
            option = f"--{name.replace('_', '-')}"
            if is_given(arguments, option) and all(map(is_unused, values)):
                raise PracError(f"{option} is given but not used: {why}: leave it out")


def values_of(parsed: Namespace, cls: type[Settings]) -> dict[str, Any]:
    """Return {flat name: value} of the settings among parsed options."""
    return {flag_of(field): parsed[flag_of(field)] for _, field, _ in leaves(cls)}
