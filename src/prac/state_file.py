"""A run's state as named tensors and a JSON header, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prac.algorithms.forgetting import ForgettingTable
from prac.fields import Fields, damaged, shown
from prac.ledger import cost_of
from prac.modules import number_fault
from prac.state import RunState, Weights
from prac.store import check_indices, check_tensors, checked_shapes, pack, read_tensors, unpacked

_SCALARS = (
    "level",
    "step",
    "distances",
    "epoch_examples",
    "epoch_correct",
    "best_accuracy",
    "best_epoch",
)
_WEIGHTS = ("weights", "optimizer", "rewind", "best", "source")
_MASKS = ("masks", "candidate")
_ALWAYS = ("weights", "optimizer", "masks")
_TABLE = ("events", "learned", "correct")
# Of each example, by name, where they are known.
_OF_EXAMPLES = {
    "dense_predictions": torch.int32,
    "difficulty": torch.float32,
    "newest_losses": torch.float32,
    "epoch_start_losses": torch.float32,
}


def to_tensors(state: RunState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a state as named tensors and a JSON header."""
    tensors = {"members": state.members, "events": state.table.events}
    tensors |= {"learned": state.table.learned, "correct": state.table.correct}
    tensors["epoch_losses"] = state.epoch_losses
    known = {name: getattr(state, name) for name in _OF_EXAMPLES}
    tensors |= {name: tensor for name, tensor in known.items() if tensor is not None}
    header: dict[str, Any] = {name: getattr(state, name) for name in _SCALARS}
    header["cost"] = dataclasses.asdict(state.cost)
    # A list, not a mapping: layers must keep the model's order, in which ties are broken.
    header["shapes"] = [[name, list(mask.shape)] for name, mask in state.masks.items()]
    header["present"] = [n for n in (*_WEIGHTS, *_MASKS) if getattr(state, n) is not None]
    for group in header["present"]:
        for name, tensor in getattr(state, group).items():
            tensors[f"{group}/{name}"] = pack(tensor) if group in _MASKS else tensor
    return tensors, header


def read_state(path: Path) -> tuple[RunState, int]:
    """Return the state of a file, and how many bytes of metrics belong to it.

    Raises:
        PracError: Naming the file and its fault.
        Damaged: If its content is not what was written.
    """
    tensors, header = read_tensors(path, "state")
    metrics_bytes = Fields(path, header).take("metrics_bytes", int, at_least=0)
    return from_tensors(tensors, header, path), metrics_bytes


def from_tensors(
    tensors: Mapping[str, Tensor], header: Mapping[str, Any], path: Path | str = "state"
) -> RunState:
    """Return the state that `to_tensors` took apart.

    Args:
        tensors: By name, masks packed.
        header: The fields of the header; how many bytes of metrics there are may be among them.
        path: The file that they are of, for messages.

    Raises:
        Damaged: If they do not fit together.
    """
    fields = Fields(path, header)
    fields.check({"metrics_bytes": int}, at_least=0)
    present = fields.take("present", list[str])
    if not set(_ALWAYS) <= set(present) <= {*_WEIGHTS, *_MASKS} or len(set(present)) < len(present):
        raise damaged(path, f"its header has present {shown(present)}")
    groups: dict[str, Any] = dict.fromkeys((*_WEIGHTS, *_MASKS))
    groups |= {name: {} for name in present}
    for name, shape in checked_shapes(fields.take("shapes", list), path).items():
        for group in _MASKS:
            if groups[group] is not None:
                groups[group][name] = unpacked(tensors, f"{group}/{name}", shape, path)
    rest: dict[str, Any] = {}
    for key, tensor in tensors.items():
        group, slash, name = key.partition("/")
        if slash and group in _WEIGHTS and group in present:
            groups[group][name] = tensor
        elif not (slash and group in _MASKS and group in present and name in groups[group]):
            rest[key] = tensor
    optional = _OF_EXAMPLES.keys() & rest.keys()
    of_examples: dict[str, Any] = {name: rest.get(name) for name in _OF_EXAMPLES}
    check_tensors(path, rest, ("members", "epoch_losses", *_TABLE, *optional))
    state = RunState(
        level=fields.take("level", int, at_least=0),
        step=fields.take("step", int, at_least=0),
        distances=tuple(fields.take("distances", list[float], at_least=0)),
        epoch_examples=fields.take("epoch_examples", int, at_least=0),
        epoch_correct=fields.take("epoch_correct", int, at_least=0),
        best_accuracy=fields.take("best_accuracy", float, at_least=-1),
        best_epoch=fields.take("best_epoch", int, at_least=0),
        cost=cost_of(path, fields.take("cost", dict)),
        **groups,
        members=tensors["members"],
        epoch_losses=tensors["epoch_losses"],
        table=ForgettingTable(*(tensors[name] for name in _TABLE)),
        **of_examples,
    )
    fields.end()
    _check(path, state)
    return state


def _check(path: Path | str, state: RunState) -> None:
    """Raise a Damaged unless the parts of a state fit together."""
    total = len(state.table) if state.table.events.ndim else 0
    of_examples = {name: (getattr(state.table, name), torch.bool) for name in _TABLE}
    of_examples["events"] = (state.table.events, torch.int32)
    for name, dtype in _OF_EXAMPLES.items():
        if getattr(state, name) is not None:
            of_examples[name] = (getattr(state, name), dtype)
    for name, (tensor, dtype) in of_examples.items():
        if tensor.dtype != dtype or tensor.shape != (total,):
            raise damaged(
                path,
                f"{name} is {tensor.dtype} {list(tensor.shape)}: expected {dtype} [{total}]",
            )
    if bool((state.table.events < 0).any()):
        raise damaged(path, "events holds a negative number")
    for name in ("difficulty", "newest_losses", "epoch_start_losses"):
        values = getattr(state, name)
        if values is not None and bool(values.isnan().any()):
            raise damaged(path, f"{name} holds what is not a number")
    scores = state.difficulty
    if scores is not None and not bool(((scores >= 0) & scores.isfinite()).all()):
        raise damaged(path, "difficulty holds what is no error's norm")
    check_indices(path, "members", state.members, total)
    losses = state.epoch_losses
    if losses.dtype != torch.float32 or losses.ndim != 1 or not bool(losses.isfinite().all()):
        raise damaged(path, "epoch_losses is no list of finite float32")
    if not state.epoch_correct <= state.epoch_examples or (
        state.is_within_epoch != (state.epoch_examples > 0)
    ):
        raise damaged(
            path,
            f"its epoch has {len(losses)} losses, {state.epoch_examples} examples, of them "
            f"{state.epoch_correct} right",
        )
    if state.best_accuracy > 1:
        raise damaged(path, f"its best accuracy is {state.best_accuracy}: expected at most 1")
    for group in ("rewind", "best", "source"):
        _check_like(path, group, getattr(state, group) or {}, "weights", state.weights)
    for name, mask in state.masks.items():
        if name not in state.weights or state.weights[name].shape != mask.shape:
            raise damaged(path, f"mask {name!r} has no weight of its shape {list(mask.shape)}")
    for weights in (state.weights, state.rewind or {}, state.best or {}, state.source or {}):
        fault = number_fault(weights, state.masks if weights else ())
        if fault is not None:
            raise damaged(path, fault)


def check_like(state: RunState, first: RunState, path: Path | str) -> None:
    """Raise a Damaged unless a state can have come from a run's first one.

    Args:
        state: As read from a file.
        first: The run's state at its very beginning.
        path: The file, for messages.
    """
    _check_like(path, "weights", state.weights, "this run's model", first.weights, whole=True)
    mine = [(name, mask.shape) for name, mask in state.masks.items()]
    if mine != [(name, mask.shape) for name, mask in first.masks.items()]:
        raise damaged(path, "its masks are not this run's, in names, order or shapes")
    if len(state.table) != len(first.table):
        raise damaged(path, f"it has {len(state.table)} examples, this run {len(first.table)}")


def _check_like(
    path: Path | str,
    group: str,
    found: Weights,
    other: str,
    wanted: Weights,
    *,
    whole: bool = False,
) -> None:
    """Raise a Damaged unless two groups of weights have names, shapes and types in common.

    Args:
        path: The file.
        group: What `found` is.
        found: Of the file; empty where it is left out.
        other: What `wanted` is.
        wanted: What it should be like.
        whole: Whether `found` may not be left out.
    """
    if not found and not whole:
        return
    for name in found.keys() ^ wanted.keys():
        raise damaged(path, f"{name!r} is in one only of {group} and {other}")
    for name, tensor in found.items():
        like = wanted[name]
        if tensor.shape != like.shape or tensor.dtype != like.dtype:
            raise damaged(
                path,
                f"{group} {name!r} is {tensor.dtype} {list(tensor.shape)}, of {other} "
                f"{like.dtype} {list(like.shape)}",
            )
