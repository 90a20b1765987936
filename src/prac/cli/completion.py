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
        for action in made.actions.values():
            _complete_(action, made.names[action.dest])
        commands.add_parser(name, help=about, description=about, parents=[made], add_help=False)
    return whole


def _complete_(action: Any, names: Sequence[str]) -> None:
    """Let an option or an argument, changed in place, carry what shtab completes it with."""
    import shtab

    shown = action.metavar or ""
    kinds = set(shown.split("|"))
    words = " ".join(names)
    action.help = " ".join(action.help.split())  # Lines are for a terminal.
    if names and shown.endswith(",..."):  # Several names between commas, in fish the first of them.
        function = f"_prac_list_{action.dest}"
        bash, zsh, fish = f'_prac_list "{words}" "$1"', f"_values -s , name {words}", words
    elif names and kinds & FILES:
        function = f"_prac_file_{action.dest}"  # By "_file" shtab's script tells paths from words.
        bash, zsh = f'compgen -f -W "{words}" -- "$1"', f"compadd -- {words}; _files"
        fish = f"{words} (__fish_complete_path (commandline -ct))"
    else:
        if names:
            action.choices = list(names)
        elif kinds & FILES:
            action.complete = shtab.FILE
        elif kinds & FOLDERS:
            action.complete = shtab.DIRECTORY
        return
    defined = {"bash": f"{function}() {{ {bash}; }}", "zsh": f"{function}() {{ {zsh}; }}"}
    action.complete = {"bash": function, "zsh": function, "fish": fish, "preamble": defined}
