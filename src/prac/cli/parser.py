"""A parser of command lines and `--config` files whose every complaint is one line."""

from __future__ import annotations

import argparse
import difflib
import re
import shutil
import textwrap
import typing
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NoReturn

from prac.cli.given import read_options
from prac.config import check_bounds, checked, parsed, without_none
from prac.errors import PracError
from prac.io import KINDS, kind_at


class Parser(argparse.ArgumentParser):
    """An argument parser whose every complaint is one PracError line.

    Abbreviations are off, since a new option could change their meaning.

    Attributes:
        actions: Options and arguments by destination, in the order of `--help`.
        names: Values that these are known to take, by destination, for completion.
        given_by_name: Destinations of values by name that the command line has had so far.
    """

    def __init__(self, *, examples: Sequence[str], epilog: str = "", **more: Any) -> None:
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
        self.given_by_name: set[str] = set()
        self._groups: dict[str, Any] = {}
        self.group("arguments")
        self.group("options")
        about = "show this help message and exit"
        self._group.add_argument("-h", "--help", action="help", help=about)

    def group(self, title: str) -> None:
        """Add the options that follow to a group of `--help`, a new one or one that is there."""
        if title not in self._groups:
            self._groups[title] = self.add_argument_group(title)
        self._group = self._groups[title]

    def argument(
        self, name: str, *, metavar: str, help: str, names: Sequence[str] = (), **more: Any
    ) -> None:
        """Add an argument that is known by its place; the rest is as of `option`."""
        read = reader(name, str)
        self.add(name, help=help, names=names, metavar=metavar, type=read, **more)

    def option(
        self,
        flag: str,
        hint: Any = str | None,
        *,
        help: str,
        metavar: str | None = None,
        default: Any = None,
        short: str | None = None,
        names: Sequence[str] = (),
        **bounds: float | None,
    ) -> None:
        """Add an option with a value, checked as settings are.

        Placeholder and values for completion are by default those of the type; FILE, TICKET, PATH,
        DIR and RUN are completed as such. As a help `argparse.SUPPRESS` hides it. Bounds are as
        `prac.config.settings.setting` takes them.
        """
        self.add(
            *([] if short is None else [f"-{short}"]),
            f"--{flag}",
            help=help,
            names=names or _choices(hint),
            metavar=metavar or _metavar(hint),
            default=default,
            type=reader(flag.replace("-", "_"), hint, **bounds),
            **({"action": _Together} if typing.get_origin(hint) is Mapping else {}),
        )

    def numbers(self, flag: str, help: str, *, default: tuple[int, ...] | None = None) -> None:
        """Add an option with whole numbers from 0 on between commas."""
        hint = tuple[int, ...] | None if default is None else tuple[int, ...]
        self.option(flag, hint, default=default, help=help, at_least=0)

    def flag(self, flag: str, help: str, *, default: Any = None) -> None:
        """Add an option without a value; with a default, `--no-FLAG` says the contrary."""
        if default is None:
            self.add(f"--{flag}", help=help, action="store_true")
            return
        # With a default, argparse's own action would add it to the help a second time.
        self.add(f"--{flag}", help=help, action=argparse.BooleanOptionalAction)
        self.set_defaults(**{flag.replace("-", "_"): default})

    def add(self, *flags: str, help: str, names: Sequence[str] = (), **more: Any) -> None:
        """Add an option or an argument by what argparse is to know of it."""
        group = self._group if flags[0].startswith("-") else self._groups["arguments"]
        action = group.add_argument(*flags, help=_wrapped(help), **more)
        self.actions[action.dest], self.names[action.dest] = action, tuple(names)

    def config_file(self) -> None:
        """Add `--config FILE`, YAML of options by name, and `--print-config`, which prints it."""
        self.add(
            "--config",
            action=_FromFile,
            metavar="FILE",
            help="YAML file of options by name; options that follow it win",
        )
        self.flag("print-config", "print all settings as YAML, for --config, instead of running")

    @property
    def in_files(self) -> list[str]:
        """Names of the options that a `--config` file may hold."""
        found = [name for name, action in self.actions.items() if action.option_strings]
        return [name for name in found if name not in ("config", "print_config")]

    def parse(self, arguments: Sequence[str]) -> Namespace:
        """Return the options of a command line.

        Raises:
            PracError: Naming what is not known, with the nearest names, or what is out of range.
        """
        self.given_by_name.clear()
        options, rest = self.parse_known_args(list(arguments))
        for given in rest:
            if given.startswith("-") and given != "--":
                raise self.unknown_option(given)
            raise PracError(f"unexpected argument {given!r}: see {self.prog} --help")
        return options

    def error(self, message: str) -> NoReturn:
        """Raise what was wrong with the command line."""
        raise PracError(message)

    def unknown_option(self, given: str) -> PracError:
        """Return the error for an option, or a key of a config file, that is not known."""
        flags = [flag for action in self.actions.values() for flag in action.option_strings]
        options = sorted(flag for flag in ("--help", *flags) if flag.startswith("--"))
        name = "--" + given.partition("=")[0].lstrip("-").replace("_", "-")
        near = difflib.get_close_matches(name, options, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else f"see {self.prog} --help"
        return PracError(f"unknown option {given}: {hint}")


class _Together(argparse.Action):
    """Puts values by name together where an option comes several times; a default is replaced."""

    def __call__(self, parser: Any, namespace: Namespace, values: Any, flag: Any = None) -> None:
        given: set[str] = parser.given_by_name
        before = getattr(namespace, self.dest) if self.dest in given else {}
        given.add(self.dest)
        # Behind a bare -- argparse gives a list, which the settings refuse.
        is_named = isinstance(values, dict)
        setattr(namespace, self.dest, {**before, **values} if is_named else values)


class _FromFile(argparse.Action):
    """Takes the options in a YAML file as if they stood on the command line in its place."""

    def __call__(self, parser: Any, namespace: Namespace, path: Any, flag: Any = None) -> None:
        for given, value in read_options(path).items():
            name = given.replace("-", "_")
            try:
                if name not in parser.in_files:
                    raise parser.unknown_option(given)
                read = parser.actions[name].type or reader(name, bool)
                setattr(namespace, name, read(value))
            except PracError as error:
                raise _not_taken(path, parser.prog, error) from error


def _not_taken(path: str, command: str, fault: PracError) -> PracError:
    """Return the error for a file's option that a command does not take."""
    if kind_at(path) != "config":
        return PracError(f"{path}: {fault}")
    kind = KINDS["config"]
    other = "" if command in kind.remedy else f"; {kind.remedy}"
    return PracError(f"{path}: is {kind.words}, not all for {command}: {fault}{other}")


def _choices(hint: Any) -> tuple[str, ...]:
    """Return the only values of an option, where its type says them."""
    inner = without_none(hint)
    return typing.get_args(inner) if typing.get_origin(inner) is Literal else ()


def _metavar(hint: Any) -> str:
    inner = without_none(hint)
    if choices := _choices(hint):
        return "{" + ",".join(choices) + "}"
    if typing.get_origin(inner) is tuple:
        return f"{_metavar(typing.get_args(inner)[0])},..."
    if typing.get_origin(inner) is Mapping:
        return "NAME=VALUE,..."
    return {int: "N", float: "X", str: "NAME"}.get(inner, "VALUE")


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


def reader(name: str, hint: Any, **bounds: float | None) -> Callable[[Any], Any]:
    """Return what turns an option's text, or a YAML value, into a checked setting."""

    def read(given: Any) -> Any:
        # As of an unset variable: it would pass for the default, or for the current folder. Of a
        # list it says that there is nothing in it.
        if given == "" and typing.get_origin(hint) not in (tuple, Mapping):
            raise PracError(f"{name} is empty: expected a value; for the default leave it out")
        value = checked(name, parsed(given, hint) if isinstance(given, str) else given, hint)
        check_bounds(name, value, bounds)
        return value

    return read
