"""Comparing methods: each searches with every seed, and its tickets are trained alone."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prac.cached import retrain_cached
from prac.comparison import Comparison, JudgedTicket, Run, SearchedLevel
from prac.config import SearchConfig, StopConfig
from prac.data.examples import Examples, as_examples
from prac.errors import PracError
from prac.files import write_atomic
from prac.judging import check_seeds
from prac.methods import method_settings
from prac.pace import Pace
from prac.results import Search
from prac.search import find
from prac.settings import flat, from_flat
from prac.task import CLASSIFICATION, Task
from prac.training import Event, Watch, no_watch, noting

SEEDS = (0, 1, 2)


def compare(
    make_model: Callable[[], nn.Module],
    train: Any,
    config: SearchConfig,
    *,
    out: str | Path,
    methods: Sequence[str] = ("imp", "prac"),
    seeds: Sequence[int] = SEEDS,
    judged: Sequence[int] | None = None,
    fraction: float | None = None,
    val: Any = None,
    test: Any = None,
    task: Task = CLASSIFICATION,
    device: str = "auto",
    recipe: Mapping[str, Any] | None = None,
    watch: Watch = no_watch,
    pace: Pace | None = None,
    accept_changes: bool = False,
) -> Comparison:
    """Search by several methods with several seeds, and train their tickets alone; say who wins.

    A seed gives the initialisation, the searches and the trainings of their tickets: methods pair
    up by seed. A method that is written `NAME@OTHER` works at the cost of OTHER: each of its levels
    takes as many iterations as OTHER's with the same seed, and where its sets have a size, as many
    examples. `random-subset@prac` is the control that a PrAC set must beat.

    Called again it continues; a search that failed is tried again, and the others do not wait.
    comparison.json in the folder has all that was found so far.

    Args:
        make_model: Makes a fresh network, its weights drawn from torch's generator.
        train: All training examples, as `prac.find` takes them.
        config: What the methods share; each method's own parts take the place of its own.
        out: The comparison's folder.
        methods: By name, at another's cost or not; see `prac.methods.METHODS`.
        seeds: One search each of every method.
        judged: Levels whose tickets are trained alone, the dense network always among them; by
            default four, evenly spaced to the last.
        fraction: Share of the data that methods of a fixed size take; 0.3 by default.
        val: Held-out examples that choose the best epochs.
        test: Examples that accuracies are measured on.
        task: Loss and correctness.
        device: "auto", "cpu", "cuda" or "cuda:N".
        recipe: Settings that model and data were made from, by flat name.
        watch: Called with an Event as it goes on.
        pace: When to save within epochs, and when to stop.
        accept_changes: Resume under another torch, prac or device as well.

    Raises:
        PracError: On names or numbers that do not fit, in one line; what a search raises is kept
            in its Run.
        Interrupted: If the pace says to stop; the same call continues.
    """
    check_seeds(seeds)
    levels = judged_levels(config.levels, judged)
    if test is None:
        raise PracError(
            "a comparison is of test accuracies, and there is no test data: pass test=, or a data "
            "set that has a test split"
        )
    contestants = [Contestant.of(name, config, fraction) for name in in_order(methods)]
    path = Path(out)
    val, test = (None if data is None else as_examples(data) for data in (val, test))
    comparing = Comparing(
        path,
        make_model,
        as_examples(train),
        val,
        as_examples(test),
        config,
        levels,
        task,
        device,
        dict(recipe or {}),
        watch,
        pace or Pace(),
        accept_changes,
    )
    shared = {**flat(config), **comparing.recipe}
    runs: dict[tuple[str, int], Run] = {}
    todo = [(seed, contestant) for seed in seeds for contestant in contestants]
    for number, (seed, contestant) in enumerate(todo, 1):
        facts = {"number": number, "of": len(todo), "method": contestant.name, "seed": seed}
        watch(Event("contest", 0, facts))
        runs[contestant.name, seed] = comparing.run(contestant, seed)
        in_asked_order = tuple(
            runs[name, s] for name in dict.fromkeys(methods) for s in seeds if (name, s) in runs
        )
        comparison = Comparison(path, tuple(seeds), levels, shared, in_asked_order)
        comparison.write()
    return comparison


def judged_levels(levels: int, judged: Sequence[int] | None) -> tuple[int, ...]:
    """Return the levels whose tickets are trained alone, ascending, with the dense network's.

    Raises:
        PracError: If one is beyond the search's last.

    >>> judged_levels(15, None), judged_levels(2, None), judged_levels(15, [10])
    ((0, 4, 8, 11, 15), (0, 1, 2), (0, 10))
    """
    if judged is None:
        judged = [round(levels * part / 4) for part in range(1, 5)]
    for level in judged:
        if not 0 <= level <= levels:
            raise PracError(f"judged names level {level}, but the search ends at level {levels}")
    return tuple(sorted({0, *judged}))


def in_order(methods: Sequence[str]) -> list[str]:
    """Return methods so that those at another's cost come after it, which is added where missing.

    >>> in_order(["rs2@prac", "imp"])
    ['prac', 'rs2@prac', 'imp']
    """
    ordered: list[str] = []
    for name in methods:
        _, at, other = name.partition("@")
        if at and other not in ordered:
            ordered.append(other)
        if name not in ordered:
            ordered.append(name)
    return ordered


@dataclass(frozen=True)
class Contestant:
    """A method as it searches.

    Attributes:
        name: As asked for.
        config: Its settings, but the seed and what another's cost gives.
        like: The method at whose cost it works; None for its own.
    """

    name: str
    config: SearchConfig
    like: str | None

    @classmethod
    def of(cls, name: str, config: SearchConfig, fraction: float | None = None) -> Contestant:
        """Return a method by name.

        Raises:
            PracError: If there is none of that name, or it has no cost that could be another's.
        """
        method, at, like = name.partition("@")
        settings = {**flat(config), **method_settings(method, fraction)}
        made = from_flat(SearchConfig, settings)
        if at:
            if made.prune.when != "iterative":
                raise PracError(
                    f"method {name!r}: {method} does not train its levels, so that its cost cannot "
                    f"be that of {like!r}: leave out @{like}"
                )
            method_settings(like)
        return cls(name, made, like if at else None)

    def with_seed(self, seed: int, like: Search | None) -> SearchConfig:
        """Return the settings of one search, at the cost of `like` where it is given."""
        config = replace(self.config, seed=seed)
        return config if like is None else at_cost_of(config, like)


def at_cost_of(config: SearchConfig, other: Search) -> SearchConfig:
    """Return settings under which each level takes the iterations that another search's took.

    Where sets have a size that is set, they get the other's sizes too.

    Raises:
        PracError: If the other search trained no levels.
    """
    trained = other.levels[:-1]
    after = tuple(level.iterations for level in trained)
    if not all(after):
        raise PracError(f"{other.path}: did not train all its levels: its cost cannot be another's")
    stop = StopConfig(rule="never", after=after)
    subset = config.subset
    if subset.rule in ("random", "el2n", "el2n-ccs"):
        sizes = tuple(level.set_size for level in trained)
        subset = replace(subset, kept_fraction=None, dense_fraction=None, sizes=sizes)
    return replace(config, stop=stop, subset=subset)


@dataclass(frozen=True)
class Comparing:
    """A comparison under way: what all its searches share.

    Attributes:
        path: The comparison's folder.
        make_model: Makes a fresh network.
        train: All training examples.
        val: Held-out examples, or None.
        test: What accuracies are measured on.
        config: What the methods share; its training is that of every ticket judged.
        judged: Levels whose tickets are trained alone.
        task: Loss and correctness.
        device: By name.
        recipe: Settings that model and data were made from.
        watch: Shown what goes on.
        pace: When to save and stop.
        accept_changes: Whether to go on under other versions.
    """

    path: Path
    make_model: Callable[[], nn.Module]
    train: Examples
    val: Examples | None
    test: Examples
    config: SearchConfig
    judged: tuple[int, ...]
    task: Task
    device: str
    recipe: dict[str, Any]
    watch: Watch
    pace: Pace
    accept_changes: bool

    def folder(self, method: str, seed: int) -> Path:
        """Return where a method's search with a seed is."""
        return self.path / "runs" / method / f"seed-{seed}"

    def run(self, contestant: Contestant, seed: int) -> Run:
        """Search, and train the tickets alone; what fails is told in the run, and in error.txt."""
        folder = self.folder(contestant.name, seed)
        report = folder.parent / f"{folder.name}-error.txt"
        try:
            search = self.searched(contestant, seed)
            tickets = tuple(self.ticket(search, level, seed) for level in self.judged)
        except Exception as error:  # One method's failure is not the others'.
            line = " ".join(str(error).split()) or type(error).__name__
            noting(self.watch)(f"{contestant.name}, seed {seed} failed: {line}")
            write_atomic(report, traceback.format_exc().encode(errors="backslashreplace"))
            return Run(contestant.name, seed, str(folder), error=line)
        report.unlink(missing_ok=True)
        levels = tuple(
            SearchedLevel(level.index, level.set_size, level.iterations, level.stopped_early)
            for level in search.levels[:-1]
        )
        rewind = str(search.settings["rewind"])
        return Run(contestant.name, seed, str(folder), rewind, levels, tickets)

    def searched(self, contestant: Contestant, seed: int) -> Search:
        """Return a method's search, done or read."""
        like = None
        if contestant.like is not None:
            like = Search.load(self.folder(contestant.like, seed))
            if not like.finished:
                raise PracError(f"{like.path}: is not finished, and this is at its cost")
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            model = self.make_model()
        return find(
            model,
            self.train,
            contestant.with_seed(seed, like),
            val=self.val,
            out=self.folder(contestant.name, seed),
            task=self.task,
            device=self.device,
            recipe=self.recipe,
            watch=self.watch,
            pace=self.pace,
            accept_changes=self.accept_changes,
        )

    def ticket(self, search: Search, level: int, seed: int) -> JudgedTicket:
        """Return a ticket trained alone on all data, now or before."""
        ticket, cost = search.tickets[level], search.cost(level)
        self.watch(Event("judging", level, {"seed": seed}))
        history, folder = retrain_cached(
            self.path / "trained",
            ticket,
            self.make_model(),
            self.train,
            self.config.train,
            val=self.val,
            test=self.test,
            seed=seed,
            task=self.task,
            device=self.device,
            watch=self.watch,
            pace=self.pace,
            accept_changes=self.accept_changes,
        )
        if history.test_accuracy is None:
            raise PracError(f"{folder}: has no test accuracy: remove the folder to train it again")
        return JudgedTicket(
            level, ticket.density, history.test_accuracy, str(folder), cost.cost, cost.imp
        )
