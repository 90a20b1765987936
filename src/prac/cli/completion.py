"""`prac completion`: a script with which a shell completes commands, options and values."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from prac._version import __version__
from prac.cli.command import COMMANDS
from prac.cli.parser import Parser
from prac.errors import unknown_name
from prac.utils import needed

SHELLS = ("bash", "zsh", "fish")
FILES = {"FILE", "PATH", "TICKET"}
FOLDERS = {"DIR", "RUN"}
"""Placeholders of paths in `--help`."""


def parser() -> Parser:
    """Return the parser of `prac completion`."""
    made = Parser(
        prog="prac completion",
        usage="%(prog)s SHELL",
        description="Print a script with which a shell completes commands, options and values.",
        examples=(
            'eval "$(prac completion bash)"    # in ~/.bashrc, for every shell to come',
            "prac completion fish > ~/.config/fish/completions/prac.fish",
        ),
    )
    made.argument("shell", metavar="SHELL", help=f"one of {', '.join(SHELLS)}", names=SHELLS)
    return made


def run(arguments: Sequence[str]) -> int:
    """Run `prac completion` and return its exit status."""
    shell = parser().parse(arguments).shell
    if shell not in SHELLS:
        raise unknown_name("shell", shell, SHELLS)
    print(script(shell), end="")
    return 0


def script(shell: str) -> str:
    """Return what a shell reads; it runs nothing of prac when it completes."""
    shtab = needed("shtab", "completion", "prac completion")
    lines: str = shtab.complete(program(), shell)
    if shell == "bash":
        lines += (resources.files("prac.cli") / "completion.bash").read_text(encoding="utf-8")
    return lines


def program() -> argparse.ArgumentParser:
    """Return one parser of all commands, whose options carry what completes them."""
    whole = argparse.ArgumentParser(prog="prac")
    whole.add_argument(
        "-V", "--version", action="version", version=__version__, help="show the version"
    )
    commands = whole.add_subparsers(metavar="COMMAND", help="what to do")
    for name, about in COMMANDS.items():
        made: Parser = importlib.import_module(f"prac.cli.{name}").parser()
        for name_of_action, action in made.actions.items():
            _complete_(action, made.names[name_of_action])
        commands.add_parser(name, help=about, description=about, parents=[made], add_help=False)
    return whole


def _complete_(action: Any, names: Sequence[str]) -> None:
    """Let an option carry what shtab completes it with.

    Args:
        action: An option or an argument, changed in place.
        names: Values it is known to take.
    """
    import shtab

    shown = action.metavar or ""
    kinds = set(shown.split("|"))
    action.help = " ".join(action.help.split())  # Lines are for a terminal.
    if names and shown.endswith(",..."):
        action.complete = _some_of(names, f"_prac_list_{action.dest}")
    elif names and kinds & FILES:
        # By "_file" shtab's script tells paths from words.
        action.complete = _one_of_or_a_path(names, f"_prac_file_{action.dest}")
    elif names:
        action.choices = list(names)
    elif kinds & FILES:
        action.complete = shtab.FILE
    elif kinds & FOLDERS:
        action.complete = shtab.DIRECTORY


def _some_of(names: Sequence[str], function: str) -> dict[str, Any]:
    """Return what completes several names between commas, in fish the first of them.

    Args:
        names: To complete.
        function: A name for the shells' function.
    """
    words = " ".join(names)
    defined = {
        "bash": f'{function}() {{ _prac_list "{words}" "$1"; }}',
        "zsh": f"{function}() {{ _values -s , name {words}; }}",
    }
    return {"bash": function, "zsh": function, "fish": words, "preamble": defined}


def _one_of_or_a_path(names: Sequence[str], function: str) -> dict[str, Any]:
    """Return what completes a name or a path; arguments as of `_some_of`."""
    words = " ".join(names)
    defined = {
        "bash": f'{function}() {{ compgen -f -W "{words}" -- "$1"; }}',
        "zsh": f"{function}() {{ compadd -- {words}; _files; }}",
    }
    fish = f"{words} (__fish_complete_path (commandline -ct))"
    return {"bash": function, "zsh": function, "fish": fish, "preamble": defined}
