"""A run's state as named tensors and a JSON header, and back.

A state is written at every epoch's end, and each tensor of a file has a price of its own: so the
weights of a group are one tensor a type, and its masks one. Format 1 had a tensor for each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import Tensor

from prac.algorithms import ForgettingTable
from prac.io import (
    TYPES,
    Fields,
    check_indices,
    check_name,
    check_tensor,
    check_tensors,
    checked_shape,
    checked_shapes,
    damaged,
    fits,
    pack,
    read_tensors,
    shown,
    unpacked,
)
from prac.models import number_fault
from prac.runs.state import RunState, Weights

_SCALARS = (
    *("level", "step", "distances", "epoch_examples", "epoch_correct"),
    *("best_accuracy", "best_epoch", "cost"),
)
# States of prac 0.1 have none of these; their metric is the accuracy.
_LATER_SCALARS = ("best_loss", "stage", "best_metric")
_WEIGHTS = ("weights", "optimizer", "average", "rewind", "best", "source")
_MASKS = ("masks", "candidate")
_LAID_OUT = ("weights", "optimizer")  # The other weights lie as the model's do.

Layouts = dict[str, list[list[Any]]]
"""[name, type, shape] of tensors, in the order in which they are put together, by group."""

_NAMES = {dtype: str(dtype).removeprefix("torch.") for dtype in TYPES.values()}
_TYPES = {name: dtype for dtype, name in _NAMES.items()}
_ALWAYS = ("weights", "optimizer", "masks")
_TABLE = {"events": torch.int32, "learned": torch.bool, "correct": torch.bool}
# Of each example too, where they are known.
_OF_EXAMPLES = {
    "dense_predictions": torch.int32,
    "difficulty": torch.float32,
    "newest_losses": torch.float32,
    "epoch_start_losses": torch.float32,
}


def to_tensors(state: RunState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a state as named tensors and a JSON header."""
    tensors = {"members": state.members, "epoch_losses": state.epoch_losses}
    tensors |= _by_example(state)
    header: dict[str, Any] = {name: getattr(state, name) for name in (*_SCALARS, *_LATER_SCALARS)}
    header["cost"] = asdict(state.cost)
    # A list, not a mapping: layers must keep the model's order, in which ties are broken.
    header["shapes"] = [[name, list(mask.shape)] for name, mask in state.masks.items()]
    header["present"] = [n for n in (*_WEIGHTS, *_MASKS) if getattr(state, n) is not None]
    header["layouts"] = {
        group: [[name, _NAMES[t.dtype], list(t.shape)] for name, t in getattr(state, group).items()]
        for group in _LAID_OUT
    }
    for group in header["present"]:
        named: dict[str, Tensor] = getattr(state, group)
        if group in _MASKS:
            none = torch.zeros(0, dtype=torch.uint8)
            tensors[group] = torch.cat([none, *(pack(mask) for mask in named.values())])
            continue
        for dtype, shapes in _by_type(header["layouts"], group).items():
            tensors[f"{group}/{dtype}"] = torch.cat([named[name].reshape(-1) for name in shapes])
    return tensors, header


def _by_example(state: RunState) -> dict[str, Tensor]:
    """Return what a state knows of each example, by name."""
    found = {name: getattr(state.table, name) for name in _TABLE}
    found |= {name: getattr(state, name) for name in _OF_EXAMPLES}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def bytes_of(state: RunState) -> int:
    """Return about how large a state's file is, without making it."""
    named = (getattr(state, group) or {} for group in (*_WEIGHTS, *_MASKS))
    tensors = [tensor for group in named for tensor in group.values()]
    tensors += [state.members, *_by_example(state).values()]
    return sum(t.nbytes // 8 if t.dtype == torch.bool else t.nbytes for t in tensors)


def _by_type(layouts: Layouts, group: str) -> dict[str, dict[str, list[int]]]:
    """Return the shapes of a group's tensors, in order, by type and name."""
    found: dict[str, dict[str, list[int]]] = {}
    for name, dtype, shape in layouts.get(group, layouts["weights"]):
        found.setdefault(dtype, {})[name] = shape
    return found


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

    The tensors may be of either format, and the header may say how many bytes of metrics there are.

    Raises:
        Damaged: If they do not fit together.
    """
    fields = Fields(path, header)
    fields.check({"metrics_bytes": int}, at_least=0)
    present = fields.take("present", list[str])
    if not set(_ALWAYS) <= set(present) <= {*_WEIGHTS, *_MASKS} or len(set(present)) < len(present):
        raise damaged(path, f"its header has present {shown(present)}")
    shapes = checked_shapes(fields.take("shapes", list), path)
    if "layouts" in fields:
        layouts = _checked_layouts(fields.take("layouts", dict[str, list[Any]]), path)
        tensors = _taken_apart(tensors, layouts, shapes, present, path)
    groups: dict[str, Any] = {n: {} if n in present else None for n in (*_WEIGHTS, *_MASKS)}
    for name, shape in shapes.items():
        for group in (group for group in _MASKS if group in present):
            groups[group][name] = unpacked(tensors, f"{group}/{name}", shape, path)
    rest: dict[str, Any] = {}
    for key, tensor in tensors.items():
        group, slash, name = key.partition("/")
        if slash and group in _WEIGHTS and group in present:
            groups[group][name] = tensor
        elif not (slash and group in _MASKS and group in present and name in groups[group]):
            rest[key] = tensor
    of_examples: dict[str, Any] = {name: rest.pop(name, None) for name in _OF_EXAMPLES}
    check_tensors(path, rest, ("members", "epoch_losses", *_TABLE))
    kinds = get_type_hints(RunState)
    least = {"best_accuracy": -1, "best_loss": None, "best_metric": None}
    names = (*_SCALARS, *(name for name in _LATER_SCALARS if name in fields))
    scalars = {name: fields.take(name, kinds[name], least.get(name, 0)) for name in names}
    if "best_metric" not in scalars and scalars["best_accuracy"] >= 0:
        scalars["best_metric"] = scalars["best_accuracy"]
    state = RunState(
        **scalars,
        **groups,
        members=tensors["members"],
        epoch_losses=tensors["epoch_losses"],
        table=ForgettingTable(*(tensors[name] for name in _TABLE)),
        **of_examples,
    )
    fields.end()
    _check(path, state)
    return state


def _checked_layouts(found: Layouts, path: Path | str) -> Layouts:
    """Return a header's layouts.

    Raises:
        Damaged: If one is missing, is no list of [name, type, shape], or names a tensor twice.
    """
    if found.keys() != set(_LAID_OUT):
        raise damaged(path, f"its layouts are of {shown(sorted(found))}")
    for layout in found.values():
        for entry in layout:
            whole = fits(entry, list) and len(entry) == 3 and fits(entry[:2], list[str])
            if not whole or entry[1] not in _TYPES:
                expected = "expected [name, type, shape]"
                raise damaged(path, f"its layouts hold {shown(entry)}: {expected}")
            check_name(entry[0], path)
            checked_shape(entry[0], entry[2], path)
        if len({name for name, _, _ in layout}) < len(layout):
            raise damaged(path, "its layouts name a tensor twice")
    return found


def _taken_apart(
    tensors: Mapping[str, Tensor],
    layouts: Layouts,
    masks: Mapping[str, tuple[int, ...]],
    present: list[str],
    path: Path | str,
) -> dict[str, Tensor]:
    """Return a file's tensors as format 1 has them: each weight and each packed mask alone.

    Raises:
        Damaged: If what was put together is missing or of another size or type.
    """
    apart = dict(tensors)

    def take_apart(
        key: str, dtype: torch.dtype, group: str, shapes: Mapping[str, list[int]]
    ) -> None:
        if key not in apart:
            raise damaged(path, f"tensor {key!r} is missing")
        whole, sizes = apart.pop(key), [math.prod(shape) for shape in shapes.values()]
        check_tensor(path, repr(key), whole, dtype, [sum(sizes)])
        for (name, shape), part in zip(shapes.items(), whole.split(sizes), strict=True):
            if f"{group}/{name}" in apart:
                raise damaged(path, f"{group}/{name} is there twice")
            apart[f"{group}/{name}"] = part.view(shape)

    packed = {name: [-(-math.prod(shape) // 8)] for name, shape in masks.items()}
    for group in present:
        if group in _MASKS:
            take_apart(group, torch.uint8, group, packed)
            continue
        for dtype, shapes in _by_type(layouts, group).items():
            take_apart(f"{group}/{dtype}", _TYPES[dtype], group, shapes)
    return apart


def _check(path: Path | str, state: RunState) -> None:
    """Raise a Damaged unless the parts of a state fit together."""
    total = len(state.table) if state.table.events.ndim else 0
    types = _TABLE | _OF_EXAMPLES
    if state.dense_predictions is not None and state.dense_predictions.dtype == torch.int64:
        types["dense_predictions"] = torch.int64  # Answers of more than 32 bits.
    for name, tensor in _by_example(state).items():
        check_tensor(path, name, tensor, types[name], [total])
        if bool(tensor.isnan().any()):
            raise damaged(path, f"{name} holds what is not a number")
    if bool((state.table.events < 0).any()):
        raise damaged(path, "events holds a negative number")
    scores = state.difficulty
    if scores is not None and not bool(((scores >= 0) & scores.isfinite()).all()):
        raise damaged(path, "difficulty holds what is no error's norm")
    check_indices(path, "members", state.members, total)
    losses = state.epoch_losses
    if losses.dtype != torch.float32 or losses.ndim != 1 or not bool(losses.isfinite().all()):
        raise damaged(path, "epoch_losses is no list of finite float32")
    right, presented = state.epoch_correct, state.epoch_examples
    if right > presented or state.is_within_epoch != (presented > 0):
        fault = f"its epoch has {len(losses)} losses, {presented} examples, of them {right} right"
        raise damaged(path, fault)
    if state.best_accuracy > 1:
        raise damaged(path, f"its best accuracy is {state.best_accuracy}: expected at most 1")
    others = {group: getattr(state, group) for group in ("average", "rewind", "best", "source")}
    others = {group: weights for group, weights in others.items() if weights}
    for group, weights in others.items():
        _check_like(path, group, weights, "weights", state.weights)
    for name, mask in state.masks.items():
        if name not in state.weights or state.weights[name].shape != mask.shape:
            raise damaged(path, f"mask {name!r} has no weight of its shape {list(mask.shape)}")
    for weights in (state.weights, *others.values()):
        number = number_fault(weights, state.masks)
        if number is not None:
            raise damaged(path, number)


def check_like(state: RunState, first: RunState, path: Path | str) -> None:
    """Raise a Damaged unless a file's state can have come from the one that a run began with."""
    _check_like(path, "weights", state.weights, "this run's model", first.weights)
    mine = [(name, mask.shape) for name, mask in state.masks.items()]
    if mine != [(name, mask.shape) for name, mask in first.masks.items()]:
        raise damaged(path, "its masks are not this run's, in names, order or shapes")
    if len(state.table) != len(first.table):
        raise damaged(path, f"it has {len(state.table)} examples, this run {len(first.table)}")


def _check_like(path: Path | str, group: str, found: Weights, other: str, wanted: Weights) -> None:
    """Raise a Damaged unless two named groups of weights have names, shapes and types in common."""
    for name in found.keys() ^ wanted.keys():
        raise damaged(path, f"{name!r} is in one only of {group} and {other}")
    for name, tensor in found.items():
        like = wanted[name]
        if tensor.shape != like.shape or tensor.dtype != like.dtype:
            mine, theirs = (f"{t.dtype} {list(t.shape)}" for t in (tensor, like))
            raise damaged(path, f"{group} {name!r} is {mine}, of {other} {theirs}")
