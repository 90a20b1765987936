"""Comparing methods: each searches with every seed, and its tickets are trained alone."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from prac.comparison.entries import MethodSpec, levels_to_judge, method_specs, shared_settings
from prac.comparison.record import JudgedTicket, Run, SearchedLevel
from prac.comparison.result import Comparison, gathered, known_runs
from prac.config import SearchConfig, flat
from prac.data import Examples, as_examples
from prac.errors import FolderError, PracError
from prac.evaluation import SEEDS, check_seeds, retrain_cached, told_by
from prac.io import check_new, check_same, has_trained, read_settings, write_atomic
from prac.search import Search, find, parameters_of, planned
from prac.training import (
    CLASSIFICATION,
    Problem,
    RunKeywords,
    RunOptions,
    Task,
    check_device,
    check_is_task,
)
from prac.utils import one_line, seeded


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
    recipe: Mapping[str, Any] | None = None,
    **run: Unpack[RunKeywords],
) -> Comparison:
    """Search by several methods with several seeds, and train their tickets alone; say who wins.

    A seed gives the initialisation, the searches and the trainings of their tickets: methods pair
    up by seed. A method that is written `NAME@OTHER` works at the cost of OTHER: none of its levels
    takes more iterations than OTHER's with the same seed, and where its sets have a size that is
    set, they have as many examples. `random-subset@prac` is the control that a PrAC set must beat.

    Called again it continues; with more methods, seeds or levels it trains only what is new. A
    search that failed is tried again, and the others do not wait for it. comparison.json in the
    folder has all that was found so far of what was asked for.

    Args:
        make_model: Makes a fresh network, its weights drawn from torch's generator.
        train: All training examples, as `prac.find` takes them.
        config: What the methods share; each method's own parts take the place of its own.
        out: The comparison's folder.
        methods: By name, at another's cost or not; see `prac.config.methods.METHODS`.
        seeds: One search each of every method.
        judged: Levels whose tickets are trained alone, the dense network always among them; by
            default four, evenly spaced to the last.
        fraction: Share of the data that methods of a fixed size take; 0.3 by default.
        val: Held-out examples that choose the best epochs.
        test: Examples that tickets are measured on.
        task: Loss, correctness and metric.
        recipe: Settings that model and data were made from, by flat name.
        **run: device, callback, run_control, accept_changes, threads: the fields of
            `prac.RunOptions`.

    Raises:
        PracError: On what does not fit, before anything is trained; or where the folder, or one in
            it, was begun with other settings or cannot be written. What else goes wrong in a search
            is kept in its Run.
        Interrupted: If the run control says to stop; the same call continues.
    """
    options = RunOptions.of(run)
    check_is_task(task)
    check_seeds(seeds)
    competing = method_specs(methods, config, fraction)
    levels = levels_to_judge(config.levels, judged)
    if test is None:
        raise PracError(
            "a comparison is of results on test data, and there is no test data: give a data set "
            "that has a test split (in Python, pass test=)"
        )
    val = None if val is None else as_examples(val, "the validation data")
    train = as_examples(train, "the training data")
    test = as_examples(test, "the test data")
    comparing = Comparing(
        Path(out), make_model, train, val, test, config, levels, task, dict(recipe or {}), options
    )
    problem = comparing.check(competing, seeds)
    test_set = told_by(comparing.test, problem)
    runs = known_runs(comparing.path, comparing.shared, task.measure)
    todo = [(seed, spec) for seed in seeds for spec in competing]
    for number, (seed, spec) in enumerate(todo, 1):
        options.tell("contest", number=number, of=len(todo), method=spec.name, seed=seed)
        runs[spec.name, seed] = comparing.run(spec, seed)
        shared = comparing.shared
        about = shared, runs, test_set, task.measure
        comparison = gathered(comparing.path, methods, seeds, levels, *about)
        comparison.write()
    return comparison


@dataclass(frozen=True)
class Comparing:
    """A comparison under way: what all its searches share.

    Attributes:
        config: What the methods share; its training is that of every ticket judged.
        judged: Levels whose tickets are trained alone.
        recipe: Settings that model and data were made from.
    """

    path: Path
    make_model: Callable[[], nn.Module]
    train: Examples
    val: Examples | None
    test: Examples
    config: SearchConfig
    judged: tuple[int, ...]
    task: Task
    recipe: dict[str, Any]
    options: RunOptions

    @property
    def shared(self) -> dict[str, Any]:
        """What all searches are told alike, by flat name."""
        return {**shared_settings(self.config), **self.recipe}

    def folder(self, method: str, seed: int) -> Path:
        """Return where a method's search with a seed is."""
        return self.path / "runs" / method / f"seed-{seed}"

    def model(self, seed: int) -> nn.Module:
        """Return a network initialised from a seed."""
        with seeded(seed):
            return self.make_model()

    def check(self, competing: Sequence[MethodSpec], seeds: Sequence[int]) -> Problem:
        """Return the problem of the first seed.

        Raises:
            PracError: For what would stop every search, or one of them, on its way.
        """
        check_new(self.path, "new_comparison", "comparison", error=FolderError)
        known_runs(self.path, self.shared, self.task.measure)
        for spec in competing:
            self._check_begun_alike(spec, seeds)
        train, model = self.config.train, self.model(seeds[0])
        runtime = self.options.runtime(train.precision)
        problem = Problem.of(
            model, self.train, self.val, task=self.task, runtime=runtime, config=train
        )
        problem.check("test", self.test.to(problem.runtime.device))
        parameters = parameters_of(problem, self.config)
        self.options.note(parameters.sentence())
        for line in problem.notices():
            self.options.warn(line)
        check_device(train.execution, problem.runtime.device)
        for spec in competing:
            try:
                planned(problem, spec.config)
            except PracError as error:
                raise PracError(f"method {spec.name!r}: {error}") from error
        return problem

    def _check_begun_alike(self, spec: MethodSpec, seeds: Sequence[int]) -> None:
        """Raise a FolderError where a method was trained here with other settings."""
        derived = {"seed"}
        if spec.like is not None:
            derived |= {"stop_after", "set_sizes", "kept_fraction", "dense_fraction"}
        wanted = {**flat(spec.config), **self.recipe}
        same = {name: wanted[name] for name in wanted.keys() - derived}
        for folder in (self.folder(spec.name, seed) for seed in seeds):
            if has_trained(folder):
                check_same(folder, read_settings(folder), same)

    def run(self, spec: MethodSpec, seed: int) -> Run:
        """Search, and train the tickets alone; what fails is told in the run, and in a file.

        Raises:
            FolderError: If the search's folder, or a training's, is not for it.
            OSError: If data is no longer there.
        """
        folder = self.folder(spec.name, seed)
        report = folder.parent / f"{folder.name}-error.txt"
        try:
            search = self._searched(spec, seed)
            tickets = tuple(self.ticket(search, level, seed) for level in self.judged)
        except (FolderError, OSError):
            raise
        except Exception as error:  # One method's failure is not the others'.
            line = one_line(error) or type(error).__name__
            if spec.like is not None:
                line += f" (its levels take the iterations of {spec.like})"
            self.options.note(f"{spec.name}, seed {seed} failed: {line}")
            write_atomic(report, traceback.format_exc().encode(errors="backslashreplace"))
            return Run(spec.name, seed, str(folder), error=line)
        report.unlink(missing_ok=True)
        levels = tuple(
            SearchedLevel(of.index, of.set_size, of.set_parts, of.iterations, of.stopped_early)
            for of in search.levels
        )
        rewind = str(search.settings["rewind"])
        return Run(spec.name, seed, str(folder), rewind, levels, tickets)

    def _searched(self, spec: MethodSpec, seed: int) -> Search:
        """Return a method's search, done or read.

        Raises:
            PracError: If one at whose cost it works did not come to its end.
        """
        like = None
        if spec.like is not None:
            folder = self.folder(spec.like, seed)
            like = Search.load(folder) if (folder / "config.yaml").exists() else None
            if like is None or not like.finished:
                raise PracError(
                    f"the search by {spec.like} with the same seed did not come to its end"
                )
        return find(
            self.model(seed),
            self.train,
            spec.with_seed(seed, like),
            val=self.val,
            out=self.folder(spec.name, seed),
            task=self.task,
            recipe=self.recipe,
            **self.options.keywords,
        )

    def ticket(self, search: Search, level: int, seed: int) -> JudgedTicket:
        """Return a ticket trained alone on all data, now or before."""
        ticket, cost = search.tickets[level], search.cost(level)
        self.options.tell("judging", level, seed=seed)
        config, options, cache = self.config.train, self.options, self.path / "trained"
        runtime = options.runtime(config.precision)
        problem = Problem(
            self.model(seed), self.train, self.val, self.task, runtime, config.batch_size
        )
        value, folder = retrain_cached(
            cache, ticket, problem, config, self.test, options, seed=seed
        )
        return JudgedTicket(level, ticket.density, value, str(folder), cost.cost, cost.imp)
