"""Rounds of several variants that take turns, so that a slow minute hits all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Run = Callable[[], float]


def interleaved(runs: Mapping[str, Run], rounds: int) -> dict[str, list[float]]:
    """Return what each run gave, a value a round, by its name.

    Each round begins with the next variant, so that none always follows the same other one.

    >>> log = []
    >>> runs = {name: lambda name=name: log.append(name) or 1.0 for name in "ab"}
    >>> interleaved(runs, 2), log
    ({'a': [1.0, 1.0], 'b': [1.0, 1.0]}, ['a', 'b', 'b', 'a'])
    """
    names = list(runs)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(runs[name]())
    return found
