"""Training one ticket alone on all data: what tells whether it is a winning one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, Unpack

import torch
from torch import nn

from prac.algorithms import ForgettingTable, density
from prac.config import TrainConfig, flat, own_code, own_part
from prac.data import Examples, as_examples
from prac.errors import PracError
from prac.evaluation.test_set import TestSet
from prac.io import read_dataclass, read_tensors, stored, with_unrecorded, write_json, write_tensors
from prac.models import masked, rest_, restore_, structure_digest
from prac.runs import (
    ACCURACY,
    Cost,
    Measure,
    RunFolder,
    RunState,
    Ticket,
    read_metrics,
    read_retraining,
)
from prac.training import (
    CLASSIFICATION,
    Problem,
    RunKeywords,
    RunOptions,
    Task,
    Training,
    plan_for,
    scores_of,
    select_execution,
    train_level,
)
from prac.utils import brief, derive_seed, percent

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True, repr=False)
class History:
    """How a ticket trained.

    Attributes:
        epochs: A mapping an epoch, as in metrics.jsonl.
        best_epoch: The epoch whose weights were kept, from 1.
        val_accuracy, test_accuracy: The shares of validation and test examples that count as right
            then, for classes the accuracies; None without such data.
        density: Of the ticket.
        cost: What the training cost.
        metric: What the best epoch was chosen by: its name, and which way is better.
        val_metric, test_metric: Its values; None without such data, or for no finite number.
        val_loss, test_loss: The mean losses; None as those, or where an older prac kept none.
    """

    epochs: list[dict[str, Any]]
    best_epoch: int
    val_accuracy: float | None
    test_accuracy: float | None
    density: float
    cost: Cost
    metric: Measure = field(default=ACCURACY, metadata=stored(may_lack=True))
    val_metric: float | None = field(default=None, metadata=stored(signed=True, may_lack=True))
    test_metric: float | None = field(default=None, metadata=stored(signed=True, may_lack=True))
    val_loss: float | None = field(default=None, metadata=stored(signed=True, may_lack=True))
    test_loss: float | None = field(default=None, metadata=stored(signed=True, may_lack=True))

    def __repr__(self) -> str:
        """Return how long it was, and how well its best epoch does; the epochs are left out."""
        measure = self.metric
        found = {"validation": self.val_metric, "test": self.test_metric}
        return brief(
            self,
            f"density {percent(self.density)}",
            f"{len(self.epochs)} epochs",
            f"best epoch {self.best_epoch}",
            *(
                f"{name} {measure.name} {measure.number(of)}{measure.unit}"
                for name, of in found.items()
                if of is not None
            ),
            f"{self.cost.iterations:,} iterations",
        )


def retrain(
    ticket: Ticket,
    model: M,
    train: Any,
    config: TrainConfig | None = None,
    *,
    val: Any = None,
    test: Any = None,
    seed: int = 0,
    start: int = 0,
    out: str | Path | None = None,
    task: Task = CLASSIFICATION,
    recipe: Mapping[str, Any] | None = None,
    **run: Unpack[RunKeywords],
) -> tuple[M, History]:
    """Train a ticket alone on all data for the full schedule; return the model and its history.

    The model has the weights of the epoch whose validation metric is the best, and is in evaluation
    mode, as it was measured.

    Args:
        ticket: Mask and weights; a ticket of a fine-tuning search is fine-tuned.
        model: Of the ticket's architecture; trained in place.
        train: All training examples, as `prac.find` takes them.
        config: Optimiser, length, learning rate; by default those of the ticket's search.
        val: Held-out examples that choose the best epoch; without them it is the last.
        test: Examples that the best epoch is tested on, once.
        seed: Source of order and augmentation.
        start: Iteration of the schedule at which training starts, with a fresh optimiser.
        out: A folder from which the same call resumes; None keeps nothing.
        task: Loss, correctness and metric.
        recipe: Settings that model and data were made from, by flat name; recorded in config.yaml
            and compared on resuming.
        **run: device, callback, run_control, accept_changes, threads: the fields of
            `prac.RunOptions`.

    Raises:
        PracError: If the ticket does not fit the model, or the data or the start does not.
        Interrupted: If the run control says to stop; with `out`, the same call continues.
    """
    ticket.apply(model)
    config = _own_config(ticket) if config is None else config
    options = RunOptions.of(run)
    runtime = options.runtime(config.precision, None if out is None else Path(out))
    problem = Problem.of(model, train, val, task=task, runtime=runtime, config=config)
    with problem.runtime.reproducible():
        test_examples = (
            None if test is None else as_examples(test, "the test data").to(runtime.device)
        )
        if test_examples is not None:
            problem.check("test", test_examples)
        settings = {**flat(config), **(recipe or {}), "seed": seed}
        if start:
            settings["start"] = start
        identity = {
            "ticket": ticket.digest,
            **problem.identity(),
            "test_fingerprint": None if test_examples is None else test_examples.fingerprint,
        }
        total = len(problem.train)
        plan = plan_for(config, total, total)
        if ticket.is_fine_tuned:
            plan = plan.fine_tuning(plan)
        if not 0 <= start < plan.iterations:
            raise PracError(
                f"start is {start}: expected 0 to {plan.iterations - 1}, the last iteration"
            )
        training = Training(plan, config, seed=derive_seed(seed, "retrain"))
        with ExitStack() as stack:
            if out is None:
                out = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "retrain"
            path = Path(out)
            if not (path / "summary.json").exists():  # Else there is no step left to run.
                for line in (*problem.notices(), *_notices(ticket, problem)):
                    options.warn(line)
                found_under = ticket.provenance.get("versions")
                problem = select_execution(
                    problem, config, plan.iterations, path, options.note, found_under=found_under
                )
            old = problem.identity_of_old()
            folder = stack.enter_context(
                options.open_folder(path, settings, identity, problem.runtime, of_old=old)
            )
            stack.enter_context(options.run_control.working())
            if not (path / "summary.json").exists():
                weights, members = ticket.masked_weights(), torch.arange(total)
                table = ForgettingTable.empty(total)
                first = RunState(ticket.level, start, weights, ticket.masks, members, table)
                _train(first, problem, test_examples, training, folder, options)
            folder.forget_states()
            trained, _ = read_tensors(path / "trained.safetensors", "trained")
            restore_(problem.model, trained)
            runtime.prepare_(model)  # In the usual layout.
            model.zero_grad(set_to_none=True)
            rest_(model)
            return model, read_history(path)


def _own_config(ticket: Ticket) -> TrainConfig:
    """Return how the search of a ticket trained."""
    settings = ticket.provenance.get("settings")
    if not settings:
        raise PracError(
            "the ticket does not say how its search trained: pass config, a prac.TrainConfig"
        )
    for name, value in own_code(settings).items():
        # Code that the ticket alone names is never imported: it may be anyone's.
        raise PracError(
            f"the ticket names code of its own as its search's {name}, {value!r}: pass config, a "
            f"prac.TrainConfig, if you trust that code"
        )
    return own_part(TrainConfig, with_unrecorded(settings))


def _notices(ticket: Ticket, problem: Problem) -> Iterator[str]:
    """Yield what a retraining should say of a ticket and the network that it is put into."""
    found_in = ticket.provenance.get("modules")
    if found_in is not None and found_in != structure_digest(problem.modules):
        yield (
            "the network is not the one that the ticket was found in: its modules, their settings "
            "or their code are others"
        )


def told_by(test: Examples, problem: Problem) -> TestSet:
    """Return what a test set can tell of a problem."""
    task, labels = problem.task, test.labels
    if not problem.is_classification or task.measure != ACCURACY:
        return TestSet(len(test))
    if labels is None:
        batches = torch.arange(len(test)).split(problem.batch_size)
        labels = torch.cat(
            [y.argmax(1) if y.ndim > 1 else y for _, y in test.stream(list(batches))]
        )
    if task.ignore_index is not None:
        labels = labels[labels != task.ignore_index]
    if not len(labels):
        return TestSet(len(test))
    most = int(labels.unique(return_counts=True)[1].max())
    return TestSet(len(labels), most / len(labels))


def read_history(path: Path) -> History:
    """Return the history of a finished retraining's folder."""
    file = path / "summary.json"
    summary = read_retraining(file)
    found = {
        "epochs": read_metrics(path),
        **summary,
        "metric": Measure.of(summary["metric"]).to_json(),
    }
    return read_dataclass(History, found, file, "summary", more=True)


def _train(
    state: RunState,
    problem: Problem,
    test: Examples | None,
    training: Training,
    folder: RunFolder,
    options: RunOptions,
) -> None:
    """Train on from the folder's newest state, or the one given, and write what came of it."""
    state = folder.resume(state) or state
    options.tell(
        "retrain",
        state.level,
        density=density(state.masks),
        iterations=training.plan.iterations,
        epochs=training.plan.epochs,
        iteration=state.step,
    )
    options.run_control.check("before its first step")
    state = train_level(problem, folder, state, training, options)
    assert state.best is not None, "a training has at least one epoch"
    best = masked(state.best, state.masks)
    header = {"level": state.level, "epoch": state.best_epoch}
    write_tensors(folder.path / "trained.safetensors", best, "trained", header)
    restore_(problem.model, best)
    tested, measure = None, problem.task.measure
    if test is not None:
        check = partial(options.run_control.check, "while testing")
        tested = scores_of(problem, test, check)
        state = state.add_cost(Cost(examples_scored=len(test)))
    summary = {
        "best_epoch": state.best_epoch,
        "metric": measure.to_json(),
        "val_metric": state.best_metric,
        "test_metric": None if tested is None else tested.metric,
        "val_loss": state.best_loss,
        "test_loss": None if tested is None else tested.loss,
        "val_accuracy": state.best_accuracy if state.best_accuracy >= 0 else None,
        "test_accuracy": None if tested is None else tested.right,
        "density": density(state.masks),
        "cost": asdict(state.cost),
        "test_set": None if test is None else told_by(test, problem).to_json(),
    }
    write_json(folder.path / "summary.json", summary)
    told = {name: summary[name] for name in ("metric", "test_metric", "test_loss", "test_accuracy")}
    options.tell("retrained", state.level, **told)
