"""The search for tickets: the method of the paper, a level at a time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from prac.algorithms.forgetting import ForgettingTable
from prac.algorithms.masks import density, ones
from prac.algorithms.schedule import Plan
from prac.callables import described
from prac.checkpoint import RunFolder, environment
from prac.config import Rewind, SearchConfig
from prac.cost import Cost
from prac.errors import PracError
from prac.evaluate import predictions
from prac.execution import executed
from prac.ledger import read_levels
from prac.levels import write_start, write_summary, write_trained
from prac.modules import architecture, check_finite, prunable, restore_, snapshot
from prac.pace import Pace
from prac.planning import (
    check_plan,
    check_task,
    full_plan,
    level_plan,
    most_iterations,
    rewind_step,
    trains,
    weights_to_come,
)
from prac.problem import Problem
from prac.pruning import pruned, pruned_untrained
from prac.results import Search
from prac.rules import (
    Chosen,
    Evidence,
    Rules,
    Score,
    StopRule,
    SubsetRule,
)
from prac.seeds import derive_seed
from prac.sets import first_members, sample_rule
from prac.settings import flat
from prac.state import RunState
from prac.subset import Subset
from prac.task import CLASSIFICATION, Task
from prac.training import Event, Training, Watch, no_watch, noting, train_level
from prac.world import World, keep_freed_memory


def find(
    model: nn.Module,
    train: Any,
    config: SearchConfig,
    *,
    val: Any = None,
    out: str | Path,
    task: Task = CLASSIFICATION,
    subset: Subset | None = None,
    choose: SubsetRule | None = None,
    stop: StopRule | None = None,
    score: Score | None = None,
    device: str = "auto",
    recipe: Mapping[str, Any] | None = None,
    watch: Watch = no_watch,
    pace: Pace | None = None,
    accept_changes: bool = False,
) -> Search:
    """Search for tickets of `model` and return them; called again, it resumes or says it is done.

    PrAC-LTH (ICML 2021, arXiv 2106.03225) with `SearchConfig.prac()`, vanilla iterative magnitude
    pruning with `SearchConfig.imp()`, and what lies between.

    Args:
        model: The dense network at its initialisation; it is trained in place.
        train: All training examples: a map-style dataset of (x, y), a pair of tensors, or
            `prac.data` examples.
        config: Settings.
        val: Held-out examples that choose each level's best epoch, such as `train`'s kind.
        out: The run folder.
        task: Loss and correctness; classification by default.
        subset: A PrAC set found before: every level trains on it, and finding one costs nothing.
        choose: Evidence -> the next level's examples, instead of the configured rule.
        stop: Mask distances so far -> whether to stop the level, instead of the configured rule.
        score: Weights -> scores, higher being worth keeping, instead of the configured score.
        device: "auto", "cpu", "cuda" or "cuda:N".
        recipe: Settings that model and data were made from, by flat name; recorded in config.yaml
            and compared on resuming.
        watch: Called with an Event as the search goes on.
        pace: When to save within epochs, and when to stop; never, by default.
        accept_changes: Resume under another torch, prac or device as well, though bits may differ.

    Raises:
        PracError: On settings, data or a folder that do not fit, in one line; nothing is written.
        Interrupted: If the pace says to stop; the same call continues.
    """
    if subset is not None:
        config = replace(config, subset=replace(config.subset, rule="fixed"))
    elif config.subset.rule == "fixed":
        raise PracError("subset_rule is 'fixed' but no subset is given: pass --subset FILE")
    keep_freed_memory()
    world = World.choose(device, config.train.precision)
    with world.reproducible():
        problem = Problem.of(
            model, train, val, task=task, world=world, batch_size=config.train.batch_size
        )
        check_task(problem, config)
        rules = Rules.of(config, choose=choose, stop=stop, score=score)
        first = _first_state(problem, config, subset)
        sizes = (len(first.members), len(problem.train))
        check_plan(config, first.masks, *sizes)
        iterations = most_iterations(config, *sizes)
        if not _is_complete(Path(out), config):  # Else there is no step to be run in any way.
            problem = executed(problem, config.train, iterations, Path(out), noting(watch))
        own = {"choose": choose, "stop": stop, "score": score}
        identity = {
            "architecture": architecture(problem.model),
            **problem.identity(),
            "classes": list(problem.train.classes),
            "subset": None if subset is None else subset.digest,
            **{
                f"own_{name}": None if part is None else described(part)
                for name, part in own.items()
            },
        }
        settings = {**flat(config), **(recipe or {})}
        pace = pace or Pace()
        opened = RunFolder(
            Path(out),
            settings,
            identity,
            environment(problem.world),
            accept_changes=accept_changes,
            note=noting(watch),
        )
        with opened as folder, pace.working():
            # How steps ran is how tickets are judged: what trained nothing does not tell.
            told = ("prac", "torch", *(("device", "execution") if iterations else ()))
            versions = {name: folder.versions[name] for name in told}
            provenance = {**folder.identity, "settings": folder.settings, "versions": versions}
            search = _Search(problem, folder, config, rules, provenance, watch, pace)
            if not _is_complete(folder.path, config):
                search.run(folder.resume(first) or search.begin(first, Chosen(first.members)))
            folder.forget_states()
            watch(Event("finished", config.levels, {"out": str(out)}))
    return Search.load(out)


@dataclass(frozen=True)
class _Search:
    """A search under way: what all its levels share."""

    problem: Problem
    folder: RunFolder
    config: SearchConfig
    rules: Rules
    provenance: Mapping[str, Any]
    watch: Watch
    pace: Pace

    def run(self, state: RunState) -> None:
        """Go through the levels: train, gather evidence, choose, prune, rewind."""
        self.watch(Event("search", state.level, self.outline(state)))
        while state.level < self.config.levels:
            self.pace.check(f"before level {state.level}")
            training = self.training(state)
            self.watch(Event("level", state.level, self.facts(state, training.plan)))
            if trains(self.config, state.level):
                state, chosen = self.train_and_choose(state, training)
            else:
                state, chosen = self.prune_untrained(state), Chosen(state.members)
            self.end(state, chosen)
            state = self.begin(self.pruned_and_rewound(state, chosen.members), chosen)
        self.summarise(state)

    def train_and_choose(self, state: RunState, training: Training) -> tuple[RunState, Chosen]:
        """Train a level, and choose the next one's examples by what it has shown."""
        state = train_level(self.problem, self.folder, state, training, self.watch, self.pace)
        state, evidence = self.gather(state)
        chosen = self.rules.choose(evidence)
        write_trained(self.folder.level(state.level), state, evidence, chosen)
        if not trains(self.config, state.level + 1):
            state = replace(state, source=state.weights)
        return state, chosen

    def prune_untrained(self, state: RunState) -> RunState:
        """Prune a level by what is known without training it."""
        check = partial(self.pace.check, f"while pruning level {state.level}")
        return pruned_untrained(self.problem, self.rules, self.config, state, check)

    def training(self, state: RunState) -> Training:
        """Return how a level is trained: its length follows its set's size."""
        config, level, total = self.config, state.level, len(self.problem.train)
        plan = level_plan(config, level, len(state.members), total)
        if level and self.rewind.kind == "none":
            plan = plan.fine_tuning(full_plan(config, total))
        seed = derive_seed(config.seed, "level", level)
        asks_difficulty = level == 0 and config.subset.rule in ("el2n", "el2n-ccs")
        return Training(
            plan,
            config.train,
            seed=seed,
            candidate=partial(pruned, self.rules, config.prune, state),
            stop=self.rules.stop,
            mark=rewind_step(self.rewind, plan) if level == 0 else None,
            sample=sample_rule(
                config.sample,
                epochs=plan.scheduled_epochs,
                least=config.train.batch_size,
                seed=seed,
            ),
            with_losses=config.sample.rule == "infobatch",
            difficulty_epoch=config.subset.el2n_epoch if asks_difficulty else None,
        )

    def gather(self, state: RunState) -> tuple[RunState, Evidence]:
        """Return what a level has shown; predictions only where the rule looks at them.

        They are the best epoch's: the dense network's are made once, after level 0.
        """
        evidence = Evidence(state.level, state.members, state.table, difficulty=state.difficulty)
        if not self.rules.scores_data:
            return state, evidence
        self.watch(Event("scoring", state.level, {}))
        started = time.perf_counter()
        problem = self.problem
        assert state.best is not None, "a trained level has a best epoch"
        restore_(problem.model, state.best)
        check = partial(self.pace.check, f"while scoring after level {state.level}")
        found = predictions(problem, problem.train, check)
        seconds = time.perf_counter() - started
        state = state.costing(Cost(examples_scored=len(found), seconds=seconds))
        if state.level == 0:
            state = replace(state, dense_predictions=found)
            return state, replace(evidence, dense=found)
        return state, replace(evidence, dense=state.dense_predictions, pruned=found)

    def pruned_and_rewound(self, state: RunState, members: Tensor) -> RunState:
        """Return the state in which the next level starts."""
        weights = state.weights if self.rewind.keeps_weights else state.rewind
        assert weights is not None, "the rewind point comes before a level's end"
        assert state.candidate is not None, "a trained level has a candidate mask"
        return state.at_next_level(weights, state.candidate, members)

    def begin(self, state: RunState, chosen: Chosen) -> RunState:
        """Write what a level starts from, and make it the state to resume from."""
        path = self.folder.level(state.level)
        write_start(path, state, self.problem, chosen, self.provenance)
        self.folder.commit(state)
        if state.level:  # Beginning is not getting on.
            self.pace.saved(self.folder.seconds_to_save)
        return state

    def end(self, state: RunState, chosen: Chosen) -> None:
        """Make a level complete."""
        self.summarise(state)
        facts = {
            "next_set_size": len(chosen.members),
            "iterations": state.cost.iterations,
            "trained": trains(self.config, state.level),
        }
        self.watch(Event("pruned", state.level + 1, facts))

    def summarise(self, state: RunState) -> None:
        """Write the summary that makes a level complete."""
        path, plan = self.folder.level(state.level), self.training(state).plan
        imp = full_plan(self.config, len(self.problem.train))
        write_summary(path, state, self.problem, plan, imp, self.config.train.validate_every)

    @property
    def rewind(self) -> Rewind:
        """Where levels start from."""
        return Rewind.parse(self.config.rewind)

    def outline(self, state: RunState) -> dict[str, Any]:
        """Return what a person may want to know of a search that begins, or goes on."""
        counts = weights_to_come(self.config, state.masks)
        return {
            "path": str(self.folder.path),
            "densities": [count / counts[0] for count in counts],
            "trains": [trains(self.config, level) for level in range(self.config.levels)],
            "total": len(self.problem.train),
            "imp_iterations": full_plan(self.config, len(self.problem.train)).iterations,
            "done": [level.to_json() for level in read_levels(self.folder.path)],
        }

    def facts(self, state: RunState, plan: Plan) -> dict[str, Any]:
        """Return what a person may want to know of a level that begins."""
        return {
            "levels": self.config.levels,
            "density": density(state.masks),
            "set_size": len(state.members),
            "total": len(self.problem.train),
            "iterations": plan.iterations,
            "epochs": plan.epochs,
            "iteration": state.step,
        }


def _is_complete(path: Path, config: SearchConfig) -> bool:
    """Say whether a search's last level has its summary."""
    return (path / "levels" / f"{config.levels:02d}" / "summary.json").exists()


def check_search(problem: Problem, config: SearchConfig) -> None:
    """Raise a PracError where a search could not do what its settings ask for, before it begins."""
    first = _first_state(problem, config, None)
    check_plan(config, first.masks, len(first.members), len(problem.train))


def _first_state(problem: Problem, config: SearchConfig, subset: Subset | None) -> RunState:
    """Return the dense network at its initialisation, on all data or on the set given.

    Raises:
        PracError: If nothing is prunable, a weight is no number, or the subset is not of this data.
    """
    total = len(problem.train)
    names = prunable(problem.model, config.prune)
    weights = snapshot(problem.model)
    check_finite(weights, names)
    masks = ones({name: weights[name] for name in names})
    if subset is None:
        members = first_members(
            config.subset, total, least=config.train.batch_size, seed=config.seed
        )
    else:
        members = subset.indices_for(problem.train)
    return RunState(0, 0, weights, masks, members, ForgettingTable.empty(total))
