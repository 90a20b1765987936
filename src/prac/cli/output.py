"""What a command prints on standard output: JSON for machines, text and tables for people."""

from __future__ import annotations

import json
import sys
from typing import Any


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    json.dump(value, sys.stdout, indent=2)
    print()


def print_text(shown: Any) -> None:
    """Print what rich can show, such as a table, as wide as the terminal."""
    from rich.console import Console  # Where it is used only: `--json` needs none of it.

    Console(highlight=False).print(shown)
