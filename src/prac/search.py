"""The search for tickets: the method of the paper, a level at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prac.algorithms.forgetting import ForgettingTable
from prac.algorithms.masks import Masks, density, kept, ones, prune
from prac.algorithms.schedule import batch_sizes
from prac.checkpoint import RunFolder, environment
from prac.config import Rewind, SearchConfig
from prac.cost import Cost
from prac.data.examples import class_counts
from prac.errors import PracError
from prac.evaluate import predictions
from prac.files import write_json
from prac.ledger import Level
from prac.modules import masked, prunable, restore_, snapshot
from prac.problem import Problem
from prac.results import Search
from prac.rules import (
    Chosen,
    Evidence,
    Rules,
    Score,
    StopRule,
    SubsetRule,
    score_rule,
    stop_rule,
    subset_rule,
)
from prac.settings import flat
from prac.state import RunState, Weights
from prac.store import write_tensors
from prac.subset import Subset
from prac.task import CLASSIFICATION, Task
from prac.ticket import Ticket
from prac.training import Event, Training, Watch, no_watch, plan_for, train_level
from prac.world import World, derived_seed


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
        recipe: How model and data were made, JSON values; recorded, and compared on resuming.
        watch: Called with an Event as the search goes on.

    Raises:
        PracError: On settings, data or a folder that do not fit, in one line; nothing is written.
    """
    if subset is not None:
        config = replace(config, subset=replace(config.subset, rule="fixed"))
    elif config.subset.rule == "fixed":
        raise PracError("subset_rule is 'fixed' but no subset is given: pass --subset FILE")
    world = World.choose(device, config.train.precision)
    problem = Problem.of(model, train, val, task=task, world=world)
    members = torch.arange(len(problem.train)) if subset is None else _members(problem, subset)
    rules = _rules(config, choose, stop, score)
    names = list(prunable(problem.model, config.prune))
    mark = _rewind_step(problem, config, members)
    custom = {"task": None if task is CLASSIFICATION else task, "choose": choose, "stop": stop}
    custom["score"] = score
    settings = {
        **flat(config),
        **(recipe or {}),
        **{name: _name(part) for name, part in custom.items() if part is not None},
        "architecture": architecture(problem.model),
        "fingerprint": problem.train.fingerprint,
    }
    with RunFolder(Path(out), settings, environment()) as folder:
        if not _complete(folder, config):
            first = _first_state(problem, names, members)
            search = _Running(problem, folder, config, rules, mark, settings, watch)
            search.run(folder.resume() or search.begin(first))
        watch(Event("finished", config.levels, {"out": str(out)}))
    return Search.load(out)


@dataclass(frozen=True)
class _Running:
    """A search under way: what all its levels share."""

    problem: Problem
    folder: RunFolder
    config: SearchConfig
    rules: Rules
    mark: int | None
    settings: Mapping[str, Any]
    watch: Watch

    def run(self, state: RunState) -> None:
        """Go through the levels: train, gather evidence, prune, choose, rewind."""
        while state.level < self.config.levels:
            self.watch(Event("level", state.level, self._level_facts(state)))
            state = train_level(self.problem, self.folder, state, self._training(state), self.watch)
            state, evidence = self._gather(state)
            chosen = self.rules.choose(evidence)
            self._end_level(state, evidence, chosen)
            state = self.begin(self._next(state, chosen.members), chosen)
        self._write_summary(state, {}, untrained=True)
        self.folder.forget_states()

    def begin(self, state: RunState, chosen: Chosen | None = None) -> RunState:
        """Write what a level starts from, and make it the state to resume from."""
        path = self.folder.level(state.level)
        sizes = {name: len(part) for name, part in chosen.parts.items()} if chosen else {}
        provenance = {
            "level": state.level,
            "density": density(state.masks),
            "set_parts": sizes,
            "settings": dict(self.settings),
            "versions": {"prac": version("prac-lth"), "torch": torch.__version__},
        }
        Ticket(state.weights, state.masks, provenance).save(path / "ticket.safetensors")
        provenance["by_class"] = class_counts(self.problem.train, state.members)
        subset = Subset.of(self.problem.train, state.members, provenance)
        subset.save(path / "subset.safetensors")
        self.folder.commit(state)
        return state

    def _training(self, state: RunState) -> Training:
        train = self.config.train
        total = len(self.problem.train)
        plan = plan_for(train, len(state.members), total, self.config.subset.scaling)
        if state.level and Rewind.parse(self.config.rewind).kind == "none":
            plan = plan.fine_tuning()
        return Training(
            plan,
            train,
            seed=derived_seed(self.config.seed, "level", state.level),
            candidate=partial(self._pruned, state),
            stop=self.rules.stop,
            mark=self.mark if state.level == 0 else None,
        )

    def _pruned(self, state: RunState, weights: Mapping[str, Tensor]) -> Masks:
        prune_config = self.config.prune
        try:
            return prune(
                self.rules.score(weights, state.level),
                state.masks,
                prune_config.drop_fraction,
                scope=prune_config.scope,
                allow_empty=prune_config.allow_empty,
            )
        except ValueError as error:
            raise PracError(f"level {state.level} cannot be pruned: {error}") from error

    def _gather(self, state: RunState) -> tuple[RunState, Evidence]:
        """Return what the level has shown; predictions only where the rule looks at them."""
        evidence = Evidence(state.level, state.members, state.table)
        if not self.rules.scores_data:
            return state, evidence
        started = time.perf_counter()
        self.watch(Event("scoring", state.level, {}))
        assert state.best is not None, "a trained level has a best epoch"
        restore_(self.problem.model, state.best)
        problem = self.problem
        found = predictions(problem.model, problem.train, problem.task, problem.world)
        state = state.costing(
            Cost(examples_scored=len(found), seconds=time.perf_counter() - started)
        )
        if state.level == 0:
            state = replace(state, dense_predictions=found)
            return state, replace(evidence, dense=found)
        return state, replace(evidence, dense=state.dense_predictions, pruned=found)

    def _next(self, state: RunState, members: Tensor) -> RunState:
        """Prune with the last epoch's mask and restore the rewind point's weights and buffers."""
        weights = state.rewind
        if Rewind.parse(self.config.rewind).keeps_weights:
            weights = state.weights
        assert weights is not None and state.candidate is not None, "the rewind point comes first"
        return state.at_next_level(weights, state.candidate, members)

    def _end_level(self, state: RunState, evidence: Evidence, chosen: Chosen) -> None:
        path = self.folder.level(state.level)
        assert state.best is not None, "a trained level has a best epoch"
        trained: Weights = masked(state.best, state.masks)
        header = {"level": state.level, "epoch": state.best_epoch}
        write_tensors(path / "trained.safetensors", trained, "trained", header)
        found = evidence.dense if evidence.pruned is None else evidence.pruned
        tensors = {
            "members": state.members,
            "events": state.table.events,
            "learned": state.table.learned,
            "chosen": chosen.members,
            **dict(chosen.parts),
            **({} if found is None else {"predictions": found}),
        }
        header = {"level": state.level, "fingerprint": self.problem.train.fingerprint}
        write_tensors(path / "examples.safetensors", tensors, "examples", header)
        self._write_summary(state, chosen.parts)
        facts = {"next_set_size": len(chosen.members), "iterations": state.step}
        self.watch(Event("pruned", state.level + 1, facts))

    def _write_summary(
        self, state: RunState, next_parts: Mapping[str, Tensor], *, untrained: bool = False
    ) -> None:
        plan = self._training(state).plan
        total = len(self.problem.train)
        full = plan_for(self.config.train, total, total)
        scored = full.epochs * len(self.problem.val) if self.problem.val is not None else 0
        trained = full.iterations * total / full.iterations_per_epoch
        subset = Subset.load(self.folder.level(state.level) / "subset.safetensors")
        summary = Level(
            index=state.level,
            density=density(state.masks),
            kept=kept(state.masks),
            prunable=sum(mask.numel() for mask in state.masks.values()),
            set_size=len(state.members),
            total=total,
            set_parts=subset.provenance["set_parts"],
            set_by_class=subset.provenance["by_class"],
            epochs=-(-state.step // plan.iterations_per_epoch),
            planned_epochs=plan.epochs,
            iterations=state.step,
            planned_iterations=plan.iterations,
            stopped_early=not untrained and state.step < plan.iterations,
            best_epoch=state.best_epoch,
            best_val_accuracy=state.best_accuracy if state.best_accuracy >= 0 else None,
            mask_distances=state.distances,
            cost=state.cost,
            imp=Cost(full.iterations, round(trained), scored),
        )
        write_json(self.folder.level(state.level) / "summary.json", summary.to_json())

    def _level_facts(self, state: RunState) -> dict[str, Any]:
        plan = self._training(state).plan
        return {
            "levels": self.config.levels,
            "density": density(state.masks),
            "set_size": len(state.members),
            "total": len(self.problem.train),
            "iterations": plan.iterations,
            "iteration": state.step,
        }


def architecture(model: nn.Module) -> str:
    """Return the model's class and a digest of its tensors' names and shapes."""
    import hashlib

    shapes = "".join(f"{name}{tuple(v.shape)}" for name, v in model.state_dict().items())
    return f"{type(model).__name__}-{hashlib.sha256(shapes.encode()).hexdigest()[:12]}"


def _rules(
    config: SearchConfig, choose: SubsetRule | None, stop: StopRule | None, score: Score | None
) -> Rules:
    own_score: Callable[[Mapping[str, Tensor], int], Mapping[str, Tensor]]
    if score is None:
        own_score = score_rule(config.prune.score, config.seed)
    else:
        own_score = lambda weights, level: score(weights)  # noqa: E731
    if choose is None:
        rule = subset_rule(config.subset, least=config.train.batch_size, seed=config.seed)
    else:
        rule = partial(_checked_choice, choose)
    return Rules(
        choose=rule,
        scores_data=choose is not None or config.subset.rule in ("prac", "cep"),
        stop=stop or stop_rule(config.stop),
        score=own_score,
    )


def _checked_choice(choose: SubsetRule, evidence: Evidence) -> Chosen:
    found = choose(evidence)
    chosen = found if isinstance(found, Chosen) else Chosen(torch.as_tensor(found))
    members = chosen.members
    if members.dtype != torch.int64 or members.ndim != 1 or len(members) == 0:
        raise PracError(
            f"the subset rule gave {members.dtype} of shape {tuple(members.shape)} after level "
            f"{evidence.level}: expected at least one int64 index"
        )
    members = members.unique(sorted=True)
    if members[0] < 0 or members[-1] >= len(evidence.table):
        raise PracError(
            f"the subset rule gave indices {int(members[0])} to {int(members[-1])} after level "
            f"{evidence.level}: expected 0 to {len(evidence.table) - 1}"
        )
    return replace(chosen, members=members)


def _members(problem: Problem, subset: Subset) -> Tensor:
    members = subset.indices_for(problem.train)
    if len(members) == 0:
        raise PracError("the subset is empty: expected at least one example")
    return members


def _first_state(problem: Problem, names: list[str], members: Tensor) -> RunState:
    weights = snapshot(problem.model)
    masks = ones({name: weights[name] for name in names})
    return RunState(0, 0, weights, masks, members, ForgettingTable.empty(len(problem.train)))


def _rewind_step(problem: Problem, config: SearchConfig, members: Tensor) -> int | None:
    rewind = Rewind.parse(config.rewind)
    if rewind.keeps_weights:
        return None
    plan = plan_for(config.train, len(members), len(problem.train), config.subset.scaling)
    step = rewind.at
    if rewind.kind == "epoch":
        step *= len(batch_sizes(len(members), config.train.batch_size))
    if step > plan.iterations:
        raise PracError(
            f"rewind is {config.rewind!r}, iteration {step}, but the dense training has only "
            f"{plan.iterations} iterations: rewind earlier or train longer"
        )
    return step


def _complete(folder: RunFolder, config: SearchConfig) -> bool:
    return (folder.level(config.levels) / "summary.json").exists()


def _name(part: object) -> str:
    named = part if hasattr(part, "__qualname__") else type(part)
    return f"{getattr(named, '__module__', '?')}.{getattr(named, '__qualname__', '?')}"
