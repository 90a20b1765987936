"""Judging a search: its tickets, the dense network and controls, retrained over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from prac.config import Rewind, TrainConfig, flat, from_flat
from prac.data import Examples, as_examples
from prac.errors import PracError, unknown_name
from prac.evaluation.cache import retrain_cached, tested
from prac.evaluation.connectivity import cached_barrier
from prac.evaluation.controls import CONTROLS, MakeModel
from prac.evaluation.verdict import JUDGED, Barrier, LevelVerdict, Trial, Trials, Verdict
from prac.io import read_environment, write_json
from prac.runs import Search, Ticket
from prac.training import CLASSIFICATION, Problem, RunKeywords, RunOptions, Runtime, Task

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
    cache: str | Path | None = None,
    config: TrainConfig | None = None,
    task: Task = CLASSIFICATION,
    **run: Unpack[RunKeywords],
) -> Verdict:
    """Retrain tickets and controls over seeds, beside the dense network; say which of them win.

    A ticket wins (from initialisation) or matches (from a rewind point) where its mean test
    accuracy is at least the dense network's less one standard deviation of the dense runs, as in
    PrAC-LTH (arXiv 2106.03225). The same call continues where it was stopped, and trains only what
    is not kept yet: another seed, level or control costs no more than itself. The verdict is
    written to `judged/verdict.json` in the run folder.

    Args:
        search: What `prac.find` returned, or its run folder, finished or not.
        make_model: Makes a fresh network; for controls it draws its weights from torch's generator.
        train: All training examples, as `prac.find` takes them.
        val: Held-out examples that choose each training's best epoch.
        test: Examples that accuracies are measured on.
        seeds: Of the trainings' order and augmentation; tickets, dense network and controls are
            trained with each of them.
        levels: Whose tickets are judged; all of the search by default.
        controls: Of "reinitialised", "shuffled" and "random".
        barriers: Whether to measure the error barrier between the first two seeds' networks.
        cache: The folder that trainings are kept in; `judged` in the run folder by default.
        config: How to train; as the search did by default.
        task: Loss and correctness.
        **run: device, callback, run_control, accept_changes: the fields of `prac.RunOptions`.

    Raises:
        PracError: On what does not fit, in one line.
        Interrupted: If the run control says to stop; the same call continues.

    Example:
        `verdict = prac.judge(search, Net, train, val=val, test=test, seeds=(0, 1, 2))`, then
        `verdict.best().save("net.ticket.safetensors")`.
    """
    if not isinstance(search, Search):
        search = Search.load(search)
    check_seeds(seeds, barriers)
    wanted = judged_levels(search, levels)
    for name in controls:
        if name not in CONTROLS:
            raise unknown_name("control", name, CONTROLS)
    if test is None:
        raise PracError(
            "judging compares test accuracies, and there is no test data: pass test=, or a data "
            "set that has a test split"
        )
    options = RunOptions.of(run)
    if config is None:
        config = recorded_training(search, options.device)
    runtime = options.runtime(config.precision)
    model = make_model()
    val = None if val is None else as_examples(val)
    judging = Judging(
        Problem.of(model, train, val, task=task, runtime=runtime, batch_size=config.batch_size),
        as_examples(test).to(runtime.device),
        search,
        make_model,
        config,
        Path(cache if cache is not None else search.path / JUDGED),
        options,
    )
    judging.note_other_data()
    trials = judging.trials(tuple(seeds), wanted, tuple(dict.fromkeys(controls)))
    found = judging.barriers(trials, wanted) if barriers else {}
    verdict = judging.verdict(tuple(seeds), wanted, trials, found)
    write_json(search.path / JUDGED / "verdict.json", verdict.to_json())
    return verdict


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


def judged_levels(search: Search, levels: Sequence[int] | None) -> tuple[int, ...]:
    """Return the levels to judge, ascending; all that have a ticket unless some are named.

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
    return tuple(sorted(set(range(count) if levels is None else levels)))


def recorded_training(search: Search, device: str = "auto") -> TrainConfig:
    """Return how a search trained, in the execution that it ran in.

    Args:
        search: The search.
        device: Where its tickets are to be trained, by name.

    Raises:
        PracError: If its recorded settings are out of range, or the device is not there.
    """
    own = {name: search.settings[name] for name in flat(TrainConfig()) if name in search.settings}
    return as_executed(from_flat(TrainConfig, own), search, device)


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

    Attributes:
        problem: A network, training and validation data on the device, the task.
        test: On the device.
        search: Whose tickets are judged.
        make_model: Makes a fresh network.
        config: How to train.
        cache: The folder that trainings are kept in.
        options: How it runs.
    """

    problem: Problem
    test: Examples
    search: Search
    make_model: MakeModel
    config: TrainConfig
    cache: Path
    options: RunOptions

    def note_other_data(self) -> None:
        """Say so where the data is not that of the search: tickets may be judged on other data."""
        known = read_environment(self.search.path)
        for name, value in self.problem.identity().items():
            if name in known and known[name] != value:
                self.options.note(f"{name} is not the search's: this is judged on something else")

    def trials(
        self, seeds: tuple[int, ...], levels: tuple[int, ...], controls: tuple[str, ...]
    ) -> dict[Key, Trials]:
        """Return all trainings, done or read.

        A seed after the other, and in each the dense network first, then the tickets, then the
        controls: what is stopped early has told the most.
        """
        sparse = [level for level in levels if level]
        keys: list[Key] = [(level, "ticket") for level in (0, *sparse)]
        keys += [(level, control) for control in controls for level in sparse]
        runs: dict[Key, list[Trial]] = {key: [] for key in keys}
        todo = [(seed, key) for seed in seeds for key in keys]
        for number, (seed, (level, name)) in enumerate(todo, 1):
            what = f"ticket {level}" if name == "ticket" else f"{name} control of ticket {level}"
            self.options.tell("trial", level, number=number, of=len(todo), what=what, seed=seed)
            runs[level, name].append(self.trial(self.contender(level, name, seed), seed))
            self.options.run_control.check(f"after {number} of {len(todo)} trainings")
        return {key: Trials(tuple(found)) for key, found in runs.items()}

    def contender(self, level: int, name: str, seed: int) -> Ticket:
        """Return a level's ticket, or a control of it."""
        ticket = self.search.tickets[level]
        return ticket if name == "ticket" else CONTROLS[name](ticket, self.make_model, seed)

    def trial(self, ticket: Ticket, seed: int) -> Trial:
        """Train a ticket, or read what was trained before."""
        history, folder = retrain_cached(
            self.cache,
            ticket,
            self.problem.model,
            self.problem.train,
            self.config,
            val=self.problem.val,
            test=self.test,
            seed=seed,
            task=self.problem.task,
            options=self.options,
        )
        return Trial(seed, tested(history, folder), str(folder))

    def barriers(self, trials: Mapping[Key, Trials], levels: Sequence[int]) -> dict[int, Barrier]:
        """Return the barrier between the first two seeds' networks of each level and of dense."""
        found = {}
        for level in sorted({0, *levels}):
            one, other, *_ = (Path(run.folder) for run in trials[level, "ticket"].runs)
            self.options.tell("barrier", level, what=f"ticket {level}")
            found[level] = cached_barrier(
                self.cache, self.problem, self.test, one, other, self.options.run_control
            )
        return found

    def verdict(
        self,
        seeds: tuple[int, ...],
        levels: tuple[int, ...],
        trials: Mapping[Key, Trials],
        barriers: Mapping[int, Barrier],
    ) -> Verdict:
        """Return what all of it says; the dense network is always among the levels."""
        rewind = Rewind.parse(str(self.search.settings.get("rewind", "init")))
        judged = [
            LevelVerdict(
                level,
                self.search.tickets[level].density,
                rewind.is_initialisation,
                trials[level, "ticket"],
                trials[0, "ticket"],
                _controls(trials, level),
                barriers.get(level),
            )
            for level in sorted({0, *levels})
        ]
        return Verdict(self.search, seeds, tuple(judged))


def _controls(trials: Mapping[Key, Trials], level: int) -> dict[str, Trials]:
    return {name: runs for (of, name), runs in trials.items() if of == level and name != "ticket"}
