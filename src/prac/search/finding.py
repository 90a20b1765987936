"""Searching for tickets: the folder, the checks and the parts around the method itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from prac.algorithms import ForgettingTable, ones
from prac.config import SearchConfig, flat
from prac.errors import PracError
from prac.models import (
    ParameterCount,
    architecture,
    attributes_put_back,
    check_finite,
    check_plain,
    count_parameters,
    modes_put_back,
    prunable,
    restore_,
    snapshot,
    structure_digest,
    tensors_put_back,
    weights_digest,
)
from prac.runs import RunFolder, RunState, Subset, Weights
from prac.search.after import After, Earlier
from prac.search.algorithm import search
from prac.search.parts import Score, Selection, StopRule, SubsetRule
from prac.search.plan import SearchPlan
from prac.search.result import Search
from prac.search.rules import rules_of
from prac.search.run import SearchRun
from prac.search.sampling import first_members
from prac.training import CLASSIFICATION, Problem, RunKeywords, RunOptions, Task, select_execution
from prac.utils import described


def find(
    model: nn.Module,
    train: Any,
    config: SearchConfig,
    *,
    val: Any = None,
    out: str | Path,
    task: Task = CLASSIFICATION,
    subset: Subset | None = None,
    after: After | None = None,
    choose: SubsetRule | None = None,
    stop: StopRule | None = None,
    score: Score | None = None,
    recipe: Mapping[str, Any] | None = None,
    **run: Unpack[RunKeywords],
) -> Search:
    """Search for tickets of `model` and return them; called again, it resumes or says it is done.

    PrAC-LTH (ICML 2021, arXiv 2106.03225) with `SearchConfig.prac()`, vanilla iterative magnitude
    pruning with `SearchConfig.imp()`, and what lies between.

    Args:
        model: The dense network at its initialisation, to which it is put back at the end. A run is
            gone on with only from the same weights: seed torch before making it.
        train: All training examples: a map-style dataset of (x, y), a pair of tensors, or
            `prac.data` examples.
        config: Settings.
        val: Held-out examples that choose each level's best epoch, such as `train`'s kind.
        out: The run folder.
        task: Loss and correctness; classification by default.
        subset: A PrAC set found before: every level trains on it, and finding one costs nothing.
        after: A search of this problem, or its run folder, and a level of it from whose ticket to
            go on: the levels before are taken over as they are, with what they cost.
        choose: LevelStats -> the next level's examples, instead of the configured rule.
        stop: Mask distances so far -> whether to stop the level, instead of the configured rule.
        score: Weights -> scores, higher being worth keeping, instead of the configured score.
        recipe: Settings that model and data were made from, by flat name; recorded in config.yaml
            and compared on resuming.
        **run: device, callback, run_control, accept_changes, threads: the fields of
            `prac.RunOptions`.

    Raises:
        PracError: On settings, data or a folder that do not fit, in one line; nothing is written.
        Interrupted: If the run control says to stop; the same call continues.
    """
    if subset is not None:
        config = replace(config, subset=replace(config.subset, rule="fixed"))
    elif config.subset.rule == "fixed":
        raise PracError("subset_rule is 'fixed' but no subset is given: pass --subset FILE")
    earlier = None if after is None else Earlier.of(after, config)
    options, path = RunOptions.of(run), Path(out)
    runtime = options.runtime(config.train.precision, path)
    check_plain(model)
    others = {name for name, _ in model.named_buffers()} - snapshot(model).keys()
    with attributes_put_back(model), modes_put_back(model), tensors_put_back(model, others):
        problem = Problem.of(model, train, val, task=task, runtime=runtime, config=config.train)
        with problem.runtime.reproducible():
            check_task(problem, config)
            rules = rules_of(config, choose=choose, stop=stop, score=score)
            dense = _first_state(problem, config, subset)
            first, selection = dense, Selection(dense.members)
            if earlier is not None:
                earlier.check(problem, dense, {"seed": config.seed, **(recipe or {})})
                first, selection = earlier.start(dense, config, rules)
            plan = _plan(config, first)
            parameters = parameters_of(problem, config)
            if not _is_complete(path, config):  # Else there is no step to be run in any way.
                for line in (*problem.notices(), *parameters.warnings(config.prune.layers)):
                    options.warn(line)
                for line in problem.remarks():
                    options.note(line)
                # Masks are learned step by step, whatever the execution.
                captured = plan.before_learning if plan.learns else plan.most_iterations
                problem = select_execution(problem, config.train, captured, path, options.note)
            custom = {"own_choose": choose, "own_stop": stop, "own_score": score}
            identity, of_old = _identities(problem, dense, parameters, subset, earlier, custom)
            settings = {**flat(config), **(recipe or {})}
            opened = options.open_folder(path, settings, identity, problem.runtime, of_old=of_old)
            with opened as folder, options.run_control.working():
                if not _is_complete(path, config):
                    about = _provenance(folder, plan)
                    validated = 0 if problem.val is None else len(problem.val)
                    under_way = SearchRun(
                        folder, model, problem.train, validated, plan, about, options, earlier
                    )
                    with _put_back(model, dense.weights):
                        search(problem, first, selection, plan, rules, under_way)
                folder.forget_states()
                options.tell("finished", config.levels, out=str(out))
    return Search.load(out)


def _identities(
    problem: Problem,
    first: RunState,
    parameters: ParameterCount,
    subset: Subset | None,
    earlier: Earlier | None,
    custom: Mapping[str, object],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a search is about beyond its settings, and what of it prac 0.1 told otherwise."""

    def own_parts(*, by_source: bool) -> dict[str, str | None]:
        return {
            name: None if part is None else described(part, by_source=by_source)
            for name, part in custom.items()
        }

    identity = {
        "architecture": architecture(problem.model),
        "initial_weights": weights_digest(first.weights),
        **problem.identity(),
        "parameters": parameters.to_json(),
        "classes": list(problem.train.classes),
        "subset": None if subset is None else subset.digest,
        "after": None if earlier is None else earlier.identity,
        "loop": None,
        **own_parts(by_source=True),
    }
    not_told: dict[str, Any] = {"initial_weights": None, "loop": None}
    if earlier is None:
        not_told["after"] = None
    return identity, {**own_parts(by_source=False), **problem.identity_of_old(), **not_told}


@contextmanager
def _put_back(model: nn.Module, weights: Weights) -> Iterator[None]:
    """Put a model back to weights in the end, and its gradients: the same call with it resumes."""
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    try:
        yield
    finally:
        restore_(model, weights)
        for parameter, gradient in gradients:
            parameter.grad = gradient


def _provenance(folder: RunFolder, plan: SearchPlan) -> dict[str, Any]:
    """Return what every ticket and set says of where it comes from."""
    identity = dict(folder.identity)
    if identity["modules"] is not None:
        identity["modules"] = structure_digest(identity["modules"])
    # How steps ran is how tickets are judged: what trained nothing does not tell.
    told = ("prac", "torch", "device", "execution")[: 4 if plan.most_iterations else 2]
    versions = {name: folder.versions[name] for name in told}
    return {**identity, "settings": folder.settings, "versions": versions}


def _is_complete(path: Path, config: SearchConfig) -> bool:
    """Say whether a search's last level has its summary."""
    return (path / "levels" / f"{config.levels:02d}" / "summary.json").exists()


def parameters_of(problem: Problem, config: SearchConfig) -> ParameterCount:
    """Return how many of the network's parameters a search prunes, and what the others are.

    Raises:
        PracError: If nothing is prunable.
    """
    names = prunable(problem.model, config.prune, problem.output_layer)
    return count_parameters(problem.model, names, config.prune, problem.output_layer)


def planned(problem: Problem, config: SearchConfig, first: int = 0) -> SearchPlan:
    """Return the plan of a search, from the dense network or a ticket of level `first` on.

    Raises:
        PracError: Where it could not do what its settings ask for.
    """
    check_task(problem, config)
    return _plan(config, replace(_first_state(problem, config, None), level=first))


def check_task(problem: Problem, config: SearchConfig) -> None:
    """Raise a PracError where a search's parts ask a task for what it does not tell."""
    if config.prune.learns:
        _check_learnable(problem, config)
    if config.sample.needs_losses:
        problem.check_losses()
    if config.subset.needs_difficulty and not problem.is_classification:
        raise PracError(
            f"subset_rule is {config.subset.rule!r}, which looks at predicted classes, but the "
            f"task's prediction is not classification's: choose examples by another rule"
        )


def _check_learnable(problem: Problem, config: SearchConfig) -> None:
    """Raise a PracError where masks cannot be learned over the network as settings ask for."""
    if config.prune.score == "cts" and not problem.is_classification:
        raise PracError(
            "score is 'cts', which compares predicted classes with the dense network's, but the "
            "task's prediction is not classification's: use cts-loss or gem-miner"
        )
    weights = dict(problem.model.named_parameters())
    recurrent = {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in problem.model.named_modules()
        if isinstance(module, nn.RNNBase)
        for name, _ in module.named_parameters(recurse=False)
    }
    for name in prunable(problem.model, config.prune, problem.output_layer):
        if name in recurrent or weights[name].is_complex():
            kind = "recurrent" if name in recurrent else "complex"
            raise PracError(
                f"pruning is 'learned' but weight {name!r} is {kind}, over which no mask can be "
                f"learned: choose other layers, or prune by magnitude"
            )


def _plan(config: SearchConfig, first: RunState) -> SearchPlan:
    sizes = [mask.numel() for mask in first.masks.values()]
    members, total = len(first.members), len(first.table)
    return SearchPlan.of(config, sizes, members=members, total=total, first=first.level)


def _first_state(problem: Problem, config: SearchConfig, subset: Subset | None) -> RunState:
    """Return the dense network at its initialisation, on all data or on the set given.

    Raises:
        PracError: If nothing is prunable, a weight is no number, or the subset is not of this data.
    """
    total = len(problem.train)
    names = prunable(problem.model, config.prune, problem.output_layer)
    weights = snapshot(problem.model)
    check_finite(weights, names)
    masks = ones({name: weights[name] for name in names})
    least = config.train.batch_size
    members = (
        first_members(config.subset, total, least=least, seed=config.seed)
        if subset is None
        else subset.indices_for(problem.train)
    )
    return RunState(0, 0, weights, masks, members, ForgettingTable.empty(total))
