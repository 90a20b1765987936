"""Judging a search: its tickets, the dense network and controls, retrained over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from prac.config import Rewind, TrainConfig, own_code, own_part
from prac.data import Examples, as_examples
from prac.errors import PracError, check_listed, unknown_name
from prac.evaluation.cache import retrain_cached
from prac.evaluation.connectivity import NOTHING_RIGHT, cached_barrier
from prac.evaluation.controls import CONTROLS, MakeModel, control_of, initial_weights
from prac.evaluation.corrupted_search import (
    CorruptedSearch,
    check_is_no_control,
    check_repeatable,
)
from prac.evaluation.pools import cached_pool
from prac.evaluation.retraining import told_by
from prac.evaluation.sanity import CORRUPTED
from prac.evaluation.verdict import JUDGED, Barrier, LevelVerdict, Trial, Trials, Verdict
from prac.io import check_new, difference, read_environment, write_json
from prac.runs import Ticket
from prac.search import Search, planned
from prac.training import CLASSIFICATION, Problem, RunKeywords, RunOptions, Runtime, Task
from prac.utils import derive_seed

SEEDS = (0, 1, 2)


def judge(
    search: Search | str | Path,
    make_model: MakeModel,
    train: Any,
    *,
    val: Any = None,
    test: Any = None,
    seeds: Sequence[int] = SEEDS,
    levels: Sequence[int] | None = None,
    controls: Sequence[str] = (),
    barriers: bool = False,
    pools: bool = False,
    cache: str | Path | None = None,
    config: TrainConfig | None = None,
    task: Task = CLASSIFICATION,
    **run: Unpack[RunKeywords],
) -> Verdict:
    """Retrain tickets and controls over seeds, beside the dense network; say which of them win.

    A ticket wins (from initialisation) or matches (from a rewind point) where its mean test
    accuracy, or the task's own metric, is no worse than the dense network's by more than one
    standard deviation of the dense runs, as in PrAC-LTH (arXiv 2106.03225). The same call continues
    where it was stopped, and trains only what is not kept yet: another seed, level or control costs
    no more than itself. The verdict is written to `judged/verdict.json` in the run folder.

    Args:
        search: What `prac.find` returned, or its run folder, finished or not.
        make_model: Makes a fresh network; for controls it draws its weights from torch's generator.
        train: All training examples, as `prac.find` takes them.
        val: Held-out examples that choose each training's best epoch.
        test: Examples that tickets are measured on.
        seeds: Of the trainings' order and augmentation; tickets, dense network and controls are
            trained with each of them.
        levels: Whose tickets are judged; all of the search by default.
        controls: Of "reinitialised", "shuffled", "random", "smart-ratio", "corrupted-labels" and
            "corrupted-inputs". For the last two the search is repeated on corrupted data first.
        barriers: Whether to measure the error barrier between the first two seeds' networks.
        pools: Whether to average each ticket's trained networks with those of the next denser and
            the next sparser ticket judged, where that improves the validation metric (Lottery
            Pools, arXiv 2208.10842): nothing more is trained.
        cache: The folder that trainings are kept in; `judged` in the run folder by default.
        config: How to train; as the search did by default.
        task: Loss, correctness and metric.
        **run: device, callback, run_control, accept_changes, threads: the fields of
            `prac.RunOptions`.

    Raises:
        PracError: On what does not fit, in one line.
        Interrupted: If the run control says to stop; the same call continues.

    Example:
        `verdict = prac.judge(search, Net, train, val=val, test=test, seeds=(0, 1, 2))`, then
        `verdict.best().save("net.ticket.safetensors")`.
    """
    if not isinstance(search, Search):
        search = Search.load(search)
    check_is_no_control(search)
    check_seeds(seeds, barriers)
    wanted = judged_levels(search, levels)
    check_controls(controls, wanted, search.path)
    options = RunOptions.of(run)
    if config is None:
        for name, value in own_code(search.settings).items():
            # Code that the folder alone names is never imported: it may be anyone's.
            raise PracError(
                f"{search.path}: names code of its own as its {name}, {value!r}: pass "
                f"config=search.config.train if you trust that code"
            )
        config = as_executed(own_part(TrainConfig, search.settings), search, options.device)
    judging = Judging.of(search, make_model, train, val, test, config, task, cache, options)
    judging.check_pools(pools)
    return judging.verdict(seeds, wanted, tuple(dict.fromkeys(controls)), barriers, pools)


def check_seeds(seeds: Sequence[int], barriers: bool = False) -> None:
    """Raise a PracError unless the seeds are distinct whole numbers, enough for what is asked."""
    for seed in seeds:
        if type(seed) is not int or seed < 0:
            raise PracError(f"seeds has {seed!r}: expected whole numbers of at least 0")
        if list(seeds).count(seed) > 1:
            raise PracError(f"seeds names {seed} twice: the same run again tells nothing new")
    if len(seeds) < 1 + barriers:
        why = "a barrier is between the networks of two" if barriers else "nothing is trained"
        raise PracError(f"seeds are {list(seeds)}: {why}: name at least {1 + barriers}")


def check_controls(controls: Sequence[str], levels: Sequence[int], path: Path) -> None:
    """Raise a PracError unless the controls are known and there is a ticket that they are of."""
    check_listed("controls", controls)
    for name in controls:
        if name not in (known := (*CONTROLS, *CORRUPTED)):
            raise unknown_name("control", name, known)
    if controls and not any(levels):
        raise PracError(
            f"{path}: only the dense network is judged, and controls are of tickets: name a level "
            f"above 0, or leave {' and '.join(controls)} out"
        )


def judged_levels(search: Search, levels: Sequence[int] | None) -> tuple[int, ...]:
    """Return the levels to judge, ascending, the dense network's always among them.

    They are all that have a ticket unless some are named.

    Raises:
        PracError: If one has no ticket, or none is left.
    """
    count = len(search.tickets)
    if not count:
        raise PracError(f"{search.path}: has no ticket yet: let prac find go on first")
    for level in levels or ():
        if level not in range(count):
            raise PracError(f"{search.path}: has no ticket of level {level}: has 0 to {count - 1}")
    if levels is not None and not levels:
        raise PracError(f"levels is empty: name some of 0 to {count - 1}")
    return tuple(range(count)) if levels is None else tuple(sorted({0, *levels}))


def as_executed(config: TrainConfig, search: Search, device: str = "auto") -> TrainConfig:
    """Return the settings with the execution that a search ran in, whatever measuring would say.

    On a device of another kind they stay as they are: what was the fastest there need not be to be
    had here.
    """
    known = read_environment(search.path)
    here = Runtime.choose(device, config.precision).device.type
    if known.get("execution") is None or known.get("device", here) != here:
        return config
    return replace(config, execution=known["execution"])


Key = tuple[int, str]
"""What is trained: a level, and "ticket" or a control's name."""


@dataclass(frozen=True)
class Judging:
    """A judgement under way: what all its trainings share.

    All examples are on the device; `cache` is the folder that trainings are kept in.
    """

    problem: Problem
    test: Examples
    search: Search
    make_model: MakeModel
    config: TrainConfig
    cache: Path
    options: RunOptions

    @classmethod
    def of(
        cls,
        search: Search,
        make_model: MakeModel,
        train: Any,
        val: Any,
        test: Any,
        config: TrainConfig,
        task: Task,
        cache: str | Path | None,
        options: RunOptions,
    ) -> Judging:
        """Return the judgement of what `judge` is told, the data checked with a few examples.

        Raises:
            PracError: If there is no test data, or what is given does not fit together.
        """
        if test is None:
            raise PracError(
                "judging compares results on test data, and there is no test data: give "
                "a data set that has a test split (in Python, pass test=)"
            )
        runtime = options.runtime(config.precision)
        problem = Problem.of(make_model(), train, val, task=task, runtime=runtime, config=config)
        test = as_examples(test, "the test data").to(runtime.device)
        folder = Path(search.path / JUDGED if cache is None else cache)
        check_new(folder, "kept", "cache")
        return cls(problem, test, search, make_model, config, folder, options)

    def check_pools(self, pools: bool) -> None:
        """Raise a PracError where pools are asked for, and there is nothing to choose them by."""
        if pools and self.problem.val is None:
            raise PracError(
                "pools are chosen by results on validation data, and there is no validation data: "
                "split some off (--val-fraction; in Python, pass val=), or leave pools out"
            )

    def other_than_searched(self) -> Iterator[str]:
        """Yield what of data, task and network is not the search's: that may be meant."""
        known = read_environment(self.search.path)
        old, total = self.problem.identity_of_old(), len(self.problem.train)
        if (count := known.get("examples", total)) != total:  # Of a search in the caller's loop.
            yield difference("examples", count, total)
        for name, value in self.problem.identity().items():
            if (before := known.get(name, value)) not in (value, old.get(name, value)):
                yield difference(name, before, value)

    def search_corrupted(self, levels: Sequence[int], controls: Sequence[str]) -> None:
        """Have the searches that controls need, each only once, as far as the sparsest level.

        Raises:
            PracError: If the search cannot be repeated on corrupted data.
        """
        last = max(levels)
        wanted = [CorruptedSearch(self.search, of) for of in CORRUPTED if of in controls and last]
        if wanted:
            names = [of.name for of in wanted]
            check_repeatable(
                self.search, names, self.config, next(self.other_than_searched(), None)
            )
        missing = [of for of in wanted if not of.has(last, self.problem)]
        if missing:
            names, took = [of.name for of in missing], self.search.cost(last).cost.iterations
            plan = planned(self.problem, self.search.config)
            most = plan.before_learning
            most += sum(plan.level(level, plan.total).iterations for level in range(last))
            length = f" of up to {most:,} iterations" if most else ""
            if took < most:
                length += f" (the run's own took {took:,}, but on corrupted data little is easy)"
            each = " each" if names[1:] else ""
            self.options.note(
                f"{' and '.join(names)}: a search{each} comes first, up to ticket {last}{length}"
            )
        for number, one in enumerate(missing, 1):
            told = {"number": number, "of": len(missing), "method": one.name}
            self.options.tell("contest", seed=one.seed, **told)
            one.find(last, self.problem, self.make_model, self.options)

    def trials(
        self, seeds: Sequence[int], levels: Sequence[int], controls: Sequence[str]
    ) -> dict[Key, Trials]:
        """Return all trainings, done or read.

        A seed after the other, and in each the dense network first, then the tickets, then the
        controls: what is stopped early has told the most.
        """
        if {"reinitialised", "random", "smart-ratio"} & set(
            controls
        ):  # Else refused once the others are trained.
            initial_weights(self.make_model, derive_seed("control"), self.search.tickets[0])
        keys: list[Key] = [(level, "ticket") for level in levels]
        keys += [(level, control) for control in controls for level in levels if level]
        runs: dict[Key, list[Trial]] = {key: [] for key in keys}
        todo = [(seed, key) for seed in seeds for key in keys]
        for number, (seed, (level, name)) in enumerate(todo, 1):
            what = f"ticket {level}" if name == "ticket" else f"{name} control of ticket {level}"
            self.options.tell("trial", level, number=number, of=len(todo), what=what, seed=seed)
            ticket = self.search.tickets[level]
            if name in CORRUPTED:
                ticket = CorruptedSearch(self.search, name).control(ticket)
            elif name != "ticket":
                output = self.problem.output_layer
                ticket = control_of(ticket, name, self.make_model, seed, output)
            runs[level, name].append(self.trial(ticket, seed))
            self.options.run_control.check(f"after {number} of {len(todo)} trainings")
        return {key: Trials(tuple(found)) for key, found in runs.items()}

    def trial(self, ticket: Ticket, seed: int) -> Trial:
        """Train a ticket, or read what was trained before."""
        value, folder = retrain_cached(
            self.cache, ticket, self.problem, self.config, self.test, self.options, seed=seed
        )
        return Trial(seed, value, str(folder))

    def barrier(self, level: int, ticket: Trials) -> Barrier:
        """Return the barrier between the networks of the first two seeds."""
        one, other, *_ = (Path(run.folder) for run in ticket.runs)
        self.options.tell("barrier", level, what=f"ticket {level}")
        control = self.options.run_control
        found = cached_barrier(self.cache, self.problem, self.test, one, other, control)
        if found.tells_nothing:
            self.options.warn(NOTHING_RIGHT)
        return found

    def pooled(self, level: int, tickets: Mapping[int, Trials]) -> Trials:
        """Return the averages of a ticket's networks and its neighbours', a seed each.

        The next denser ticket judged comes first, then the next sparser one.
        """
        near = [max((n for n in tickets if 0 < n < level), default=None)]
        near.append(min((n for n in tickets if n > level), default=None))
        masks, runs = self.search.tickets[level].masks, []
        for number, own in enumerate(tickets[level].runs):
            self.options.tell("pool", level, what=f"ticket {level}", seed=own.seed)
            folders = [Path(tickets[n].runs[number].folder) for n in near if n is not None]
            found = cached_pool(
                self.cache,
                self.problem,
                self.test,
                Path(own.folder),
                masks,
                folders,
                self.options.run_control,
            )
            runs.append(Trial(own.seed, found.value, own.folder))
        return Trials(tuple(runs))

    def verdict(
        self,
        seeds: Sequence[int],
        levels: Sequence[int],
        controls: Sequence[str],
        barriers: bool,
        pools: bool = False,
        *,
        write: bool = True,
    ) -> Verdict:
        """Return what all trainings say, with barriers and pools if asked for, and write it."""
        for told in self.other_than_searched():
            self.options.warn(f"{told} is not the search's: this is judged on something else")
        self.search_corrupted(levels, controls)
        for line in self.problem.notices():
            self.options.warn(line)
        rewind = Rewind.parse(str(self.search.settings.get("rewind", "init")))
        test_set = told_by(self.test, self.problem)
        trials = self.trials(seeds, levels, controls)
        tickets = {level: trials[level, "ticket"] for level in levels}
        judged = [
            LevelVerdict(
                level,
                self.search.tickets[level].density,
                rewind.is_initialisation,
                tickets[level],
                tickets[0],
                {name: trials[level, name] for name in controls if level},
                self.barrier(level, tickets[level]) if barriers else None,
                test_set,
                self.pooled(level, tickets) if pools and level else None,
                self.problem.task.measure,
            )
            for level in levels
        ]
        verdict = Verdict(self.search, tuple(seeds), tuple(judged))
        if write:
            write_json(self.search.path / JUDGED / "verdict.json", verdict.to_json())
        return verdict
