"""The options of the experiments' own programs, and of the commands that these run."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any


def of_problems(doc: str, known: Iterable[str], arguments: Sequence[str] | None) -> Any:
    """Return the options of an experiment over several problems, whose docstring `doc` is."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder that holds mnist/ and cifar10/")
    parser.add_argument("--runs", default="runs", help="where the run folders go")
    parser.add_argument("--problems", default=",".join(known), help="which, with commas")
    parser.add_argument("--no-run", action="store_true", help="only write the page")
    return parser.parse_args(arguments)


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
