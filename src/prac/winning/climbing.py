"""Up the ladder: each method searches as far as it is asked for, and its tickets are judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from prac.comparison import MethodSpec
from prac.config import SearchConfig
from prac.data import Examples
from prac.evaluation import Judging, LevelVerdict, as_executed, told_by
from prac.io import write_atomic
from prac.runs import Cost
from prac.search import Search, find, planned
from prac.training import Problem, RunOptions, Task
from prac.utils import seeded
from prac.winning.bracket import Bracket, narrow
from prac.winning.ladder import goes_on, searches_at_once
from prac.winning.proof import Proof, cost_of
from prac.winning.result import Searched, Tried, Win


@dataclass(frozen=True)
class Shared:
    """What all searches and trainings share.

    Attributes:
        problem: Network, data and task; what is trained alone is put into its network.
        densities: Of the tickets by level.
        recipe: Settings that model and data were made from, by flat name.
    """

    make_model: Callable[[], nn.Module]
    problem: Problem
    val: Examples | None
    test: Examples
    config: SearchConfig
    densities: list[float]
    task: Task
    recipe: dict[str, Any]
    options: RunOptions

    def model(self) -> nn.Module:
        """Return the dense network at its initialisation."""
        with seeded(self.config.seed):
            return self.make_model()


class Searching:
    """One method's search, as far as it has come.

    Args:
        after: The run folder and the level of the ticket that it goes on from; None for the dense
            network.
        last: The sparsest level that may be asked for.
    """

    def __init__(
        self,
        shared: Shared,
        spec: MethodSpec,
        folder: Path,
        after: tuple[Path, int] | None,
        last: int,
    ) -> None:
        """Begin with nothing searched."""
        self.shared, self.spec, self.folder = shared, spec, folder
        self._after, self._last = after, last
        self._found: Search | None = None
        self._reached = 0

    def _until(self, level: int) -> int:
        return self._last if searches_at_once(self.spec) else level

    def _config(self, last: int) -> SearchConfig:
        return replace(self.spec.with_seed(self.shared.config.seed, None), levels=last)

    def most_iterations(self, level: int) -> int:
        """Return what it takes at most to have a level's ticket."""
        if level <= self._reached:
            return 0
        first = 0 if self._after is None else self._after[1]
        return planned(self.shared.problem, self._config(self._until(level)), first).most_iterations

    def to(self, level: int) -> tuple[Search, Searched | None]:
        """Return a search that has a level's ticket, and what is new of it, if anything."""
        if self._found is not None and level <= self._reached:
            return self._found, None
        last, shared = self._until(level), self.shared
        name, first = f"00-{last:02d}", 0
        if self._after is not None:
            run, first = self._after
            digest = Search.load(run).tickets[first].digest
            name = f"{first:02d}-{last:02d}-{digest[:8]}"
        found = find(
            shared.model(),
            shared.problem.train,
            self._config(last),
            val=shared.val,
            out=self.folder / name,
            task=shared.task,
            after=self._after,
            recipe=shared.recipe,
            **shared.options.keywords,
        )
        self._found, self._reached, self._after = found, last, (found.path, last)
        cost = sum((of.cost for of in found.levels if of.index >= first), Cost())
        return found, Searched(self.spec.name, str(found.path), first, last, cost)


class Climb:
    """A ladder under way.

    Args:
        win: What is asked for; what is found is added to it, and written each time.
        target: The only level looked for; None for the sparsest that matches.
    """

    def __init__(
        self,
        shared: Shared,
        specs: Sequence[MethodSpec],
        win: Win,
        target: int | None,
    ) -> None:
        """Begin at the ladder's foot."""
        self.shared, self.specs = shared, specs
        self.win, self.target = win, target
        self.proof: Proof | None = None

    @property
    def last(self) -> int:
        """The sparsest level looked for."""
        return self.win.levels if self.target is None else self.target

    def least(self) -> int:
        """Return the iterations that the first search and the proof of one ticket take at most."""
        searching, win = self._searching(self.specs[0], 0), self.win
        level = self.last if self.target is not None else min(win.within, self.last)
        runs = (2 + len(win.controls)) * len(win.seeds)
        return searching.most_iterations(level) + runs * win.full.iterations

    def run(self) -> Win:
        """Climb until it is known which ticket is the sparsest that wins, or the budget is spent.

        Raises:
            Interrupted: If the run control says to stop; the same call continues.
        """
        ended = None
        for number in range(len(self.specs)):
            ended = self._rung(number)
            if ended is not None:
                break
        if ended is None:
            ended = "spent" if self.target else "bracketed" if self.win.best else "none"
        self._conclude()
        self._add(ended=ended)
        return self.win

    def _rung(self, number: int) -> str | None:
        """Search by a method and judge its tickets; say why all ends there, or nothing."""
        spec, floor = self.specs[number], 0 if self.win.best is None else self.win.best.level
        searching, within = self._searching(spec, number), self.win.within
        if self.target is not None:
            floor, within = self.target - 1, 1
        # Where nothing matches yet, halving begins in the middle. A dearer method than one that has
        # bracketed it wins few levels: the first answer beyond may be the last.
        guess = (self.last + 1) // 2 if not floor and searches_at_once(spec) else floor + within
        guess = min(guess, self.last)
        search = self._searched(searching, guess, number)
        if search is None:
            return "budget"
        if self.proof is None and self._is_at_chance(search):
            return "at chance"

        def ask(level: int) -> bool | None:
            found = self._searched(searching, level, number)
            hasty = self.target is None
            return None if found is None else self._judged(spec, found, level, hasty=hasty)

        def prove(level: int) -> bool | None:
            rest = len(self.win.seeds) - len(self._known(spec, level).runs)
            if not rest:
                return True
            if not self._affords(0, proofs=0, runs=rest):
                return None
            return self._judged(spec, searching.to(level)[0], level, hasty=False)

        growth = 2 if searches_at_once(spec) else 1
        begun = Bracket.begun(floor, self.last, within=within, guess=guess, growth=growth)
        bracket, is_open = narrow(begun, ask, prove)
        if bracket.missing is None and bracket.matching == self.last:
            return "sparsest" if self.target is None else "asked"
        return None if is_open else "budget"

    def _searching(self, spec: MethodSpec, number: int) -> Searching:
        after, best = None, self.win.best
        if best is not None and goes_on(spec, self.specs[:number]):
            after = Path(best.path), best.level
        folder = self.win.path / "searches" / spec.name
        return Searching(self.shared, spec, folder, after, self.last)

    def _searched(self, searching: Searching, level: int, number: int) -> Search | None:
        """Return a search that has a level's ticket; None where the budget is too small for it."""
        if not self._affords(searching.most_iterations(level)):
            return None
        spec, of = searching.spec, len(self.specs)
        if searching.most_iterations(level):
            seed = self.shared.config.seed
            tell = self.shared.options.tell
            tell("contest", number=number + 1, of=of, method=spec.name, seed=seed)
        search, new = searching.to(level)
        if new is not None:
            self._add(searches=(*self.win.searches, new))
        return search

    def _affords(self, iterations: int, *, proofs: int = 1, runs: int = 0) -> bool:
        """Say whether the budget has so many iterations, proofs of tickets, and other trainings.

        Beside them it must have those that are owed: controls, the dense network, and the proof of
        what is only taken to match.
        """
        if self.win.budget is None:
            return True
        count, win = len(self.win.seeds), self.win
        owed = len(win.controls) + (win.dense is None)
        if proofs and win.best is not win.likely:
            runs += count - 1
        runs += (proofs + owed) * count
        wanted = win.spent + iterations + runs * win.full.iterations
        return wanted <= self.win.budget * win.full.iterations + 1e-6

    def _is_at_chance(self, search: Search) -> bool:
        """Train the dense network over the seeds, and say whether it has learned nothing."""
        shared, options = self.shared, self.shared.options
        config = as_executed(shared.config.train, search, options.device)
        cache = self.win.path / "trained"
        test_set = told_by(shared.test, shared.problem)
        judging = Judging(
            shared.problem, shared.test, search, shared.make_model, config, cache, options
        )
        self.proof = Proof(judging, self.win.seeds, test_set)
        dense = self.proof.dense(search.tickets[0])
        self._add(dense=dense, dense_cost=cost_of(dense.runs, set()), test_set=test_set)
        measure = self.win.measure
        found = LevelVerdict(0, 1.0, True, dense, dense, test=test_set, measure=measure)
        return found.at_chance is not None

    def _known(self, spec: MethodSpec, level: int) -> Tried:
        """Return what is known of a ticket that was tried."""
        tried = (of for of in self.win.tried if (of.method, of.level) == (spec.name, level))
        return next(tried)

    def _judged(self, spec: MethodSpec, search: Search, level: int, *, hasty: bool) -> bool:
        """Train a ticket alone, until it is known whether it matches, or in haste may be taken."""
        ticket, win = search.tickets[level], self.win
        assert self.proof is not None, "the dense network comes first"
        assert win.dense is not None, "the dense network comes first"
        known = win.dense.values, *(one.trials.values for one in win.tried)
        best = win.measure.best(map(win.measure.best, known))
        trials = self.proof.trials(ticket, win.dense, best, hasty=hasty)
        proof = replace(self.proof, judging=replace(self.proof.judging, search=search))
        others = [of for of in win.tried if (of.method, of.level) != (spec.name, level)]
        before = (of.cost for of in win.tried if of not in others)
        new = Tried(
            spec.name,
            str(search.path),
            level,
            ticket.density,
            trials.runs,
            proof.matches(ticket, trials, win.dense),
            sum(before, cost_of(trials.runs, win.folders)),
        )
        self._add(tried=(*others, new))
        return new.matches

    def _conclude(self) -> None:
        """Judge the best ticket with its controls, and put it where it is to be found."""
        best = self.win.best
        if best is None or self.proof is None:
            self.win.ticket.unlink(missing_ok=True)
            return
        search = Search.load(best.path)
        judging = replace(self.proof.judging, search=search)
        verdict = judging.verdict(self.win.seeds, (0, best.level), self.win.controls, False)
        level = verdict.levels[-1]
        runs = [run for trials in level.controls.values() for run in trials.runs]
        # A file of its own: people change what is theirs.
        content = (search.level_path(best.level) / "ticket.safetensors").read_bytes()
        write_atomic(self.win.ticket, content)
        self._add(verdict=level, control_cost=cost_of(runs, self.win.folders))

    def _add(self, **found: Any) -> None:
        self.win = replace(self.win, **found)
        self.win.write()
