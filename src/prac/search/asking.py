"""Ask and tell: a search whose levels anybody trains, in a loop of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import nn

from prac.algorithms import ForgettingTable, ones
from prac.config import SearchConfig, flat
from prac.data import Examples, NumberedExamples, as_examples
from prac.errors import PracError
from prac.events import Callback
from prac.models import (
    architecture,
    check_finite,
    check_plain,
    count_parameters,
    prunable,
    snapshot,
    structure,
    structure_digest,
    structure_lines,
    weights_digest,
)
from prac.runs import ACCURACY, Cost, Measure, RunFolder, RunState, Ticket
from prac.search.algorithm import ask, before_untrained, tell, untrained_level, with_predictions
from prac.search.asked import AskedLevel
from prac.search.parts import LevelStats, Rules, Score, Selection, StopRule, SubsetRule
from prac.search.plan import SearchPlan
from prac.search.rules import rules_of
from prac.search.run import SearchRun
from prac.search.sampling import first_members
from prac.search.told import ModelOrWeights, checked_of_each, told_numbers
from prac.training import Metric, RunOptions, Runtime, environment
from prac.utils import described, with_article

OWN_LOOP = "the caller's own"
"""Tells a run folder whose levels are trained so from those of `prac.find`."""


class OpenSearch:
    """A search under way whose levels the caller trains.

    Its folder is held until it is finished or closed; `with` closes it. Killed between `ask` and
    `tell`, it is gone on with by the same call of `Search.begin`, at the level that was asked for.

    Attributes:
        path: The run folder.
        config: The search's settings.
    """

    def __init__(
        self,
        folder: RunFolder,
        run: SearchRun,
        plan: SearchPlan,
        rules: Rules,
        first: RunState,
        measure: Measure = ACCURACY,
    ) -> None:
        """Go on where an open folder's search stands."""
        self._measure, self._is_open = measure, True
        self._folder, self._run, self._plan, self._rules = folder, run, plan, rules
        self.path, self.config = folder.path, plan.config
        self._state: RunState | None = None
        self._asked: AskedLevel | None = None
        if not (folder.path / f"levels/{plan.levels:02d}/summary.json").exists():
            self._state = run.resume(first, Selection(first.members))

    @classmethod
    def begin(
        cls,
        out: str | Path,
        model: nn.Module,
        *,
        examples: Any,
        config: SearchConfig,
        labels: Any = None,
        validated: int = 0,
        metric: Metric | None = None,
        output_layer: str | None = None,
        choose: SubsetRule | None = None,
        stop: StopRule | None = None,
        score: Score | None = None,
        callback: Callback | None = None,
        accept_changes: bool = False,
    ) -> OpenSearch:
        """Begin a search in a folder, or go on with it, as `Search.begin` says."""
        options = RunOptions.of({"callback": callback, "accept_changes": accept_changes})
        _check_askable(config, score)
        check_plain(model)
        known = isinstance(examples, int)
        train: Examples = NumberedExamples(examples, labels) if known else as_examples(examples)
        rules = rules_of(config, choose=choose, stop=stop, score=score)
        layer = _output_layer(model, config, output_layer, options)
        names = prunable(model, config.prune, layer)
        weights = snapshot(model)
        check_finite(weights, names)
        total = len(train)
        first = RunState(
            *(0, 0, weights, ones({name: weights[name] for name in names})),
            first_members(config.subset, total, least=config.train.batch_size, seed=config.seed),
            ForgettingTable.empty(total),
        )
        sizes = [mask.numel() for mask in first.masks.values()]
        plan = SearchPlan.of(config, sizes, members=len(first.members), total=total)
        parameters = count_parameters(model, names, config.prune, layer)
        for line in parameters.warnings(config.prune.layers):
            options.warn(line)
        modules = structure_lines(structure(model), structure(model))
        own = {"own_choose": choose, "own_stop": stop, "own_score": score}
        identity = {
            "architecture": architecture(model),
            "initial_weights": weights_digest(weights),
            "modules": list(modules),
            **({} if known else {"fingerprint": train.fingerprint}),
            "loop": OWN_LOOP,
            "examples": total,
            "validated": validated,
            "metric": _measure_of(metric).to_json(),
            "parameters": parameters.to_json(),
            "classes": list(train.classes),
            "subset": None,
            "after": None,
            **{name: None if part is None else described(part) for name, part in own.items()},
        }
        folder = RunFolder(
            Path(out),
            flat(config),
            identity,
            _versions(),
            accept_changes=accept_changes,
            note=options.warn,
        )
        folder.__enter__()
        try:
            digest = structure_digest(modules)
            about = {**folder.identity, "modules": digest, "settings": folder.settings}
            versions = {name: folder.versions[name] for name in ("prac", "torch")}
            provenance = {**about, "versions": versions}
            run = SearchRun(folder, model, train, validated, plan, provenance, options)
            return cls(folder, run, plan, rules, first, _measure_of(metric))
        except BaseException:
            folder.__exit__(None, None, None)
            raise

    def ask(self) -> AskedLevel | None:
        """Return the level to be trained now, the same until it is told; None at the end.

        One whose training has begun is returned anew, with nothing noted of it: asking again is how
        a training that went wrong begins again.
        """
        self._check_open()
        if self._asked is not None and not self._asked.is_begun:
            return self._asked
        while self._state is not None:
            state, plan, run = self._state, self._plan, self._run
            if not ask(state, plan, run):
                self._folder.forget_states()
                run.options.tell("finished", plan.levels, out=str(self.path))
                self._state = None
            elif not plan.trains[state.level]:
                state, selection = untrained_level(None, state, plan, self._rules, run)
                self._state = tell(state, selection, plan, run)
            else:
                ticket = Ticket.load(self._folder.level(state.level) / "ticket.safetensors")
                self._asked = AskedLevel(state, plan, self._rules, ticket, self._measure)
                return self._asked
        self.close()
        return None

    def tell(
        self,
        level: AskedLevel,
        weights: ModelOrWeights,
        *,
        predictions: Any = None,
        best: ModelOrWeights | None = None,
        iterations: int | None = None,
        difficulty: Any = None,
    ) -> None:
        """Tell what a level's training has come to: the search prunes, chooses and goes on.

        Args:
            level: The one that was asked for, with what was recorded of its training.
            weights: The model at its end, or its `state_dict`; pruning ranks them.
            predictions: Integers (n,): what the network predicts of each training example, by its
                best weights; or a function of the model that returns them, which is called where
                they are needed, `weights` being the model: as it was `level.at_best`. They are
                needed where the set is chosen by them, as PrAC's CEP are.
            best: The weights of its best epoch; by default those that `end_epoch` has kept, else
                those at the end.
            iterations: Optimiser steps done; by default as many as presentations fill batches.
            difficulty: Numbers (n,), EL2N scores, at level 0, where the set is chosen by them.

        Raises:
            PracError: If the level is another one, or something is missing; it can be told again.
        """
        self._check_open()
        given: object = level
        if not isinstance(given, AskedLevel):
            kind = with_article(type(given).__name__)
            raise PracError(f"level is {kind}: expected what search.ask() returned")
        if level is not self._asked or self._state is None:
            asked = "none" if self._asked is None else f"level {self._asked.index}"
            if self._asked is not None and self._asked.index == level.index:
                asked = "it was asked for anew since"
                raise PracError(f"level {level.index} was told, but {asked}: tell the newer one")
            raise PracError(
                f"level {level.index} was told, and {asked} was asked for: tell each once"
            )
        plan, rules, run = self._plan, self._rules, self._run
        state = level.ended(weights, best=best, iterations=iterations, difficulty=difficulty)
        stats = LevelStats(state.level, state.members, state.table, difficulty=state.difficulty)
        if callable(predictions):
            predictions = _predicted(predictions, level, weights, best, rules)
        if predictions is not None:
            found = told_numbers(predictions, "predictions")
            if found.is_floating_point() or found.dtype == torch.bool:
                raise PracError(
                    f"predictions are {found.dtype}: expected integers, such as classes by "
                    f"argmax(1), one for each of {plan.total} training examples"
                )
            checked_of_each(found, "predictions", plan.total)
            small = found.to(torch.int32)
            found = small if torch.equal(small.to(found.dtype), found) else found.to(torch.int64)
            state, stats = with_predictions(state, stats, found)
            state = state.add_cost(Cost(examples_scored=len(found)))
        elif rules.needs_predictions:
            raise PracError(
                f"the set is chosen by what the network predicts of all examples: pass "
                f"tell(..., predictions=...), integers for each of {plan.total}, or choose it by "
                f"subset_rule cet"
            )
        selection = rules.select(stats)
        for line in level.doubts(state.step):
            run.options.warn(line)
        if run.validated and state.best_metric is None and best is None:
            run.options.warn(
                f"no epoch of level {level.index} was validated by {self._measure.name}: its last "
                f"weights are taken for its best; pass level.end_epoch(model, "
                f"{'val_accuracy' if self._measure.counts_examples else 'val_metric'}=...)"
            )
        run.write_trained(state, stats, selection, level.metrics)
        state = before_untrained(state, plan, rules)
        self._asked, self._state = None, tell(state, selection, plan, run, level.metrics)

    def close(self) -> None:
        """Let go of the run folder, once all that was told is on disk."""
        self._is_open = False
        self._folder.__exit__(None, None, None)

    def _check_open(self) -> None:
        """Raise a PracError where the folder is no longer held."""
        if self._state is not None and not self._is_open:
            raise PracError(
                f"the search in {self.path} was closed: go on with it by prac.Search.begin, as it "
                f"was begun"
            )

    def __enter__(self) -> OpenSearch:
        """Return the search, which is closed in the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let go of the run folder."""
        self.close()

    def __repr__(self) -> str:
        """Show where it stands."""
        at = (
            "finished"
            if self._state is None
            else f"level {self._state.level} of {self._plan.levels}"
        )
        return f"OpenSearch({str(self.path)!r}, {at})"


def _predicted(
    predict: Callable[[nn.Module], Any],
    level: AskedLevel,
    model: ModelOrWeights,
    best: ModelOrWeights | None,
    rules: Rules,
) -> Any:
    """Return what a function predicts by the best weights; None where nothing looks at it.

    Raises:
        PracError: If there is no model for it.
    """
    if not rules.needs_predictions:
        return None
    if best is not None or not isinstance(model, nn.Module):
        raise PracError(
            "predictions is a function, and needs the model that has the best weights: pass the "
            "model to tell as weights, without best=, or pass predictions, an integer an example"
        )
    with level.at_best(model):
        return predict(model)


def _check_askable(config: SearchConfig, score: Score | None) -> None:
    """Raise a PracError where settings ask of a level what only prac's own loop can do."""
    refused: Mapping[str, bool] = {
        f"pruning is {config.prune.when!r}": config.prune.when in ("learned", "at-init"),
        f"sampling is {config.sample.rule!r}": config.sample.rule != "all",
        f"level_prunings is {config.level.prunings}": config.level.prunings > 1,
        "subset_rule is 'fixed'": config.subset.rule == "fixed",
    }
    for what, is_so in refused.items():
        if is_so:
            raise PracError(
                f"{what}, which a loop of one's own cannot be asked for: use prac.find, or leave "
                f"it out"
            )


def _output_layer(
    model: nn.Module, config: SearchConfig, given: str | None, options: RunOptions
) -> str | None:
    """Return the name of the layer that makes the outputs, which is not known without a batch."""
    modules = dict(model.named_modules())
    if given is not None:
        if given not in modules:
            raise PracError(f"output_layer is {given!r}: expected the name of one of the modules")
        return given
    kinds = config.prune.layers.split("+")
    if "auto" not in kinds or "output" in kinds:
        return None
    last = [
        name
        for name, module in modules.items()
        if isinstance(weight := getattr(module, "weight", None), nn.Parameter) and weight.ndim > 1
    ]
    if not last:
        return None
    options.note(
        f"the output layer, which is not pruned, is taken to be the last one, {last[-1]!r}: pass "
        f"output_layer=NAME if it is another, or layers='auto+output' to prune it"
    )
    return str(last[-1])


def _versions() -> dict[str, Any]:
    """Return the versions and hardware of this process, but for how it trains."""
    known = environment(Runtime(torch.device("cpu")))
    told = ("prac", "torch", "python", "platform", "processor")
    return {**{name: known[name] for name in told}, "device": OWN_LOOP}


def _measure_of(metric: Metric | None) -> Measure:
    return ACCURACY if metric is None else metric.measure
