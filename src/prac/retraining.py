"""Training one ticket alone on all data: what tells whether it is a winning one."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from prac.algorithms.forgetting import ForgettingTable
from prac.algorithms.masks import density
from prac.checkpoint import RunFolder, environment
from prac.config import TrainConfig
from prac.cost import Cost
from prac.data.examples import Examples, as_examples
from prac.errors import PracError
from prac.evaluate import accuracy_and_loss
from prac.execution import executed
from prac.files import write_json
from prac.ledger import read_metrics
from prac.modules import masked, restore_
from prac.pace import Pace
from prac.problem import Problem
from prac.results import read_retraining
from prac.seeds import derive_seed
from prac.settings import flat
from prac.state import RunState
from prac.store import read_tensors, write_tensors
from prac.task import CLASSIFICATION, Task
from prac.ticket import Ticket
from prac.training import Event, Training, Watch, no_watch, noting, plan_for, train_level
from prac.world import World, keep_freed_memory

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class History:
    """How a ticket trained.

    Attributes:
        epochs: A mapping an epoch, as in metrics.jsonl.
        best_epoch: The epoch whose weights were kept, from 1.
        val_accuracy: Its validation accuracy; None without validation data.
        test_accuracy: Its test accuracy; None without test data.
        density: Of the ticket.
        cost: What the training cost.
    """

    epochs: list[dict[str, Any]]
    best_epoch: int
    val_accuracy: float | None
    test_accuracy: float | None
    density: float
    cost: Cost


def retrain(
    ticket: Ticket,
    model: M,
    train: Any,
    config: TrainConfig,
    *,
    val: Any = None,
    test: Any = None,
    seed: int = 0,
    start: int = 0,
    out: str | Path | None = None,
    task: Task = CLASSIFICATION,
    device: str = "auto",
    recipe: Mapping[str, Any] | None = None,
    watch: Watch = no_watch,
    pace: Pace | None = None,
    accept_changes: bool = False,
) -> tuple[M, History]:
    """Train a ticket alone on all data for the full schedule; return the model and its history.

    The model has the weights of the epoch with the best validation accuracy.

    Args:
        ticket: Mask and weights; a ticket of a fine-tuning search is fine-tuned.
        model: Of the ticket's architecture; trained in place.
        train: All training examples, as `prac.find` takes them.
        config: Optimiser, length, learning rate.
        val: Held-out examples that choose the best epoch; without them it is the last.
        test: Examples that the best epoch is tested on, once.
        seed: Source of order and augmentation.
        start: Iteration of the schedule at which training starts, with a fresh optimiser.
        out: A folder from which the same call resumes; None keeps nothing.
        task: Loss and correctness.
        device: "auto", "cpu", "cuda" or "cuda:N".
        recipe: Settings that model and data were made from, by flat name; recorded in config.yaml
            and compared on resuming.
        watch: Called with an Event as training goes on.
        pace: When to save within epochs, and when to stop; never, by default.
        accept_changes: Resume under another torch, prac or device as well, though bits may differ.

    Raises:
        PracError: If the ticket does not fit the model, or the data or the start does not.
        Interrupted: If the pace says to stop; with `out`, the same call continues.
    """
    ticket.apply(model)
    keep_freed_memory()
    world = World.choose(device, config.precision)
    with world.reproducible():
        problem = Problem.of(
            model, train, val, task=task, world=world, batch_size=config.batch_size
        )
        test_examples = None if test is None else as_examples(test).to(world.device)
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
        pace = pace or Pace()
        with ExitStack() as stack:
            if out is None:
                out = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "retrain"
            if not (Path(out) / "summary.json").exists():  # Else there is no step left to run.
                problem = executed(
                    problem,
                    config,
                    plan.iterations,
                    Path(out),
                    noting(watch),
                    found_under=ticket.provenance.get("versions"),
                )
            opened = RunFolder(
                Path(out),
                settings,
                identity,
                environment(problem.world),
                accept_changes=accept_changes,
                note=noting(watch),
            )
            folder = stack.enter_context(opened)
            stack.enter_context(pace.working())
            if not (folder.path / "summary.json").exists():
                _run(
                    _first_state(ticket, total, start),
                    problem,
                    test_examples,
                    training,
                    folder,
                    watch,
                    pace,
                )
            folder.forget_states()
            trained, _ = read_tensors(folder.path / "trained.safetensors", "trained")
            restore_(problem.model, trained)
            world.prepare_(model)  # In the usual layout.
            return model, read_history(folder.path)


def read_history(path: Path) -> History:
    """Return the history of a finished retraining's folder."""
    summary = read_retraining(path / "summary.json")
    cost = Cost(**summary.pop("cost"))
    return History(epochs=read_metrics(path), cost=cost, **summary)


def _first_state(ticket: Ticket, total: int, start: int) -> RunState:
    return RunState(
        level=ticket.level,
        step=start,
        weights=ticket.masked_weights(),
        masks=ticket.masks,
        members=torch.arange(total),
        table=ForgettingTable.empty(total),
    )


def _run(
    first: RunState,
    problem: Problem,
    test: Examples | None,
    training: Training,
    folder: RunFolder,
    watch: Watch,
    pace: Pace,
) -> None:
    state = folder.resume(first) or first
    facts = {
        "density": density(state.masks),
        "iterations": training.plan.iterations,
        "epochs": training.plan.epochs,
        "iteration": state.step,
    }
    watch(Event("retrain", state.level, facts))
    pace.check("before its first step")
    state = train_level(problem, folder, state, training, watch, pace)
    assert state.best is not None, "a training has at least one epoch"
    best = masked(state.best, state.masks)
    header = {"level": state.level, "epoch": state.best_epoch}
    write_tensors(folder.path / "trained.safetensors", best, "trained", header)
    restore_(problem.model, best)
    accuracy = None
    if test is not None:
        accuracy, _ = accuracy_and_loss(problem, test, partial(pace.check, "while testing"))
        state = state.costing(Cost(examples_scored=len(test)))
    summary = {
        "best_epoch": state.best_epoch,
        "val_accuracy": state.best_accuracy if state.best_accuracy >= 0 else None,
        "test_accuracy": accuracy,
        "density": density(state.masks),
        "cost": asdict(state.cost),
    }
    write_json(folder.path / "summary.json", summary)
    watch(Event("retrained", state.level, {"test_accuracy": accuracy}))
