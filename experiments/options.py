"""The options of the experiments' own programs, and the commands that these run."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any


def problems_parser(doc: str | None, known: Iterable[str]) -> argparse.ArgumentParser:
    """Return the parser of an experiment over several problems, whose docstring `doc` is."""
    names = list(known)
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--data", default="data", help="folder that holds mnist/ and cifar10/")
    parser.add_argument("--runs", default="runs", help="where the run folders go")
    parser.add_argument(
        "--problems",
        type=_of(names),
        default=names,
        metavar="NAME[,NAME...]",
        help=f"which of {', '.join(names)} (default: all)",
    )
    parser.add_argument(
        "--no-run", action="store_true", help="only write the page, of the figures that are there"
    )
    return parser


def _of(known: Sequence[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        found = text.split(",")
        if unknown := [name for name in found if name not in known]:
            raise argparse.ArgumentTypeError(
                f"no problem {unknown[0]!r}: expected of {', '.join(known)}"
            )
        return found

    return names


def ran(words: Sequence[str]) -> None:
    """Run a `prac` command to its end; where it fails it has said why, and all ends."""
    done = subprocess.run([sys.executable, "-m", *words])
    if done.returncode:
        sys.exit(done.returncode)


def printed(words: Sequence[str]) -> dict[str, Any]:
    """Run a `prac` command likewise, and return what it prints for machines."""
    done = subprocess.run([sys.executable, "-m", *words, "--json"], stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(done.returncode)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def without(words: Sequence[str], *names: str) -> list[str]:
    """Return a command's options without some that take a value.

    >>> without(["--levels", "8", "--arm", "above-once", "--epochs", "20"], "--arm")
    ['--levels', '8', '--epochs', '20']
    """
    left = list(words)
    for name in names:
        if name in left:
            at = left.index(name)
            del left[at : at + 2]
    return left
