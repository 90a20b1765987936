"""The options of every command as lines of text. `make freeze` writes them anew."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from prac.cli.command import COMMANDS

FILE = Path(__file__).with_name("cli_options.txt")


def lines() -> Iterator[str]:
    """Yield, for each command, its options and arguments: names, placeholder, default."""
    for command in COMMANDS:
        parser = import_module(f"prac.cli.{command}").parser()
        for action in parser.actions.values():
            names = ", ".join(action.option_strings) or "(argument)"
            hidden = " hidden" if action.help == argparse.SUPPRESS else ""
            placeholder = action.metavar or ""
            default = json.dumps(parser.get_default(action.dest))
            yield f"{command} {names} {placeholder} default {default}{hidden}".replace("  ", " ")


if __name__ == "__main__":
    FILE.write_text("".join(f"{line}\n" for line in lines()), encoding="utf-8")
