"""What a command prints on standard output: JSON for machines, text and tables for people."""

from __future__ import annotations

from typing import Any

from prac.io import json_text


def print_json(value: Any) -> None:
    """Print a value as JSON; numbers that are not finite are null."""
    print(json_text(value, indent=2))


def print_text(shown: Any) -> None:
    """Print what rich can show, such as a table, as wide as the terminal."""
    from rich.console import Console  # Where it is used only: `--json` needs none of it.

    Console(highlight=False).print(shown)
