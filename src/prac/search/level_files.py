"""A level's folder: what is written when a level begins and when it ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from prac.algorithms import Plan, density, kept
from prac.data import class_counts
from prac.io import write_json, write_tensors
from prac.models import masked
from prac.runs import Cost, Level, RunState, Subset, Ticket
from prac.search.parts import LevelStats, Selection
from prac.training import Problem


def write_start(
    path: Path,
    state: RunState,
    problem: Problem,
    selection: Selection,
    provenance: Mapping[str, Any],
) -> None:
    """Write the ticket and the set that a level starts from."""
    origin = {
        **provenance,
        "level": state.level,
        "density": density(state.masks),
        "set_parts": {name: len(part) for name, part in selection.parts.items()},
    }
    Ticket(state.weights, state.masks, origin).save(path / "ticket.safetensors")
    by_class = class_counts(problem.train, state.members)
    subset = Subset.of(problem.train, state.members, {**origin, "by_class": by_class})
    subset.save(path / "subset.safetensors")


def write_trained(path: Path, state: RunState, stats: LevelStats, selection: Selection) -> None:
    """Write a level's best weights, and what its training has shown of each example."""
    assert state.best is not None, "a trained level has a best epoch"
    header = {"level": state.level, "epoch": state.best_epoch}
    write_tensors(path / "trained.safetensors", masked(state.best, state.masks), "trained", header)
    found = stats.dense if stats.pruned is None else stats.pruned
    tensors: dict[str, Tensor] = {
        "members": state.members,
        "events": state.table.events,
        "learned": state.table.learned,
        "chosen": selection.members,
        **selection.parts,
    }
    if found is not None:
        tensors["predictions"] = found
    if stats.difficulty is not None:
        tensors["difficulty"] = stats.difficulty
    write_tensors(path / "examples.safetensors", tensors, "examples", {"level": state.level})


def write_summary(
    path: Path,
    state: RunState,
    problem: Problem,
    plan: Plan,
    full: Plan,
    validate_every: int,
) -> None:
    """Write a level's summary, after all its other files: it makes the level complete.

    Args:
        path: The level's folder, its subset in it.
        state: At the level's end; at its start for the last level, which is a ticket only.
        problem: What was trained on.
        plan: The level's schedule.
        full: The full-length schedule on all data, as iterative magnitude pruning trains it.
        validate_every: Epochs from one validation to the next.
    """
    total = len(problem.train)
    subset = Subset.load(path / "subset.safetensors")
    validations = math.ceil(full.epochs / validate_every)
    scored = 0 if problem.val is None else validations * len(problem.val)
    summary = Level(
        index=state.level,
        density=density(state.masks),
        kept=kept(state.masks),
        prunable=sum(mask.numel() for mask in state.masks.values()),
        set_size=len(state.members),
        total=total,
        set_parts=subset.provenance["set_parts"],
        set_by_class=subset.provenance["by_class"],
        epochs=plan.epochs_begun(state.step),
        planned_epochs=plan.epochs,
        iterations=state.cost.iterations if state.step else 0,
        planned_iterations=plan.iterations,
        stopped_early=0 < state.step < plan.iterations,
        best_epoch=state.best_epoch,
        best_val_accuracy=state.best_accuracy if state.best_accuracy >= 0 else None,
        mask_distances=state.distances,
        cost=state.cost,
        imp=Cost(
            iterations=full.iterations,
            examples_trained=round(full.iterations * total / full.iterations_per_epoch),
            examples_scored=scored,
        ),
    )
    write_json(path / "summary.json", summary.to_json())
