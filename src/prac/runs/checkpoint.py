"""A run's state as named tensors and a JSON header, and back.

A state is written at every epoch's end, and each tensor of a file has a price of its own: so the
weights of a group are one tensor a type, and its masks one. Format 1 had a tensor for each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
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
    "level",
    "step",
    "distances",
    "epoch_examples",
    "epoch_correct",
    "best_accuracy",
    "best_epoch",
    "cost",
)
_WEIGHTS = ("weights", "optimizer", "rewind", "best", "source")
_MASKS = ("masks", "candidate")
_LAID_OUT = ("weights", "optimizer")
_LAID_OUT_LIKE = {"rewind": "weights", "best": "weights", "source": "weights"}
_NAMES = {dtype: str(dtype).removeprefix("torch.") for dtype in TYPES.values()}
_TYPES = {name: dtype for dtype, name in _NAMES.items()}
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
    header["cost"] = asdict(state.cost)
    # A list, not a mapping: layers must keep the model's order, in which ties are broken.
    header["shapes"] = [[name, list(mask.shape)] for name, mask in state.masks.items()]
    header["present"] = [n for n in (*_WEIGHTS, *_MASKS) if getattr(state, n) is not None]
    header["layouts"] = {group: _layout(getattr(state, group)) for group in _LAID_OUT}
    for group in header["present"]:
        named: dict[str, Tensor] = getattr(state, group)
        if group in _MASKS:
            none = torch.zeros(0, dtype=torch.uint8)
            tensors[group] = torch.cat([none, *(pack(mask) for mask in named.values())])
            continue
        for dtype, entries in _by_type(header["layouts"][_LAID_OUT_LIKE.get(group, group)]).items():
            tensors[f"{group}/{dtype}"] = torch.cat([named[n].reshape(-1) for n, _ in entries])
    return tensors, header


def bytes_of(state: RunState) -> int:
    """Return about how large a state's file is, without making it."""
    named = (getattr(state, group) or {} for group in (*_WEIGHTS, *_MASKS))
    tensors = [tensor for group in named for tensor in group.values()]
    known = (getattr(state, name) for name in _OF_EXAMPLES)
    tensors += [state.members, *(getattr(state.table, name) for name in _TABLE)]
    tensors += [tensor for tensor in known if tensor is not None]
    return sum(t.nbytes // 8 if t.dtype == torch.bool else t.nbytes for t in tensors)


def _layout(named: Mapping[str, Tensor]) -> list[list[Any]]:
    """Return [name, type, shape] of tensors, in the order in which they are put together."""
    return [[name, _NAMES[tensor.dtype], list(tensor.shape)] for name, tensor in named.items()]


def _by_type(layout: list[list[Any]]) -> dict[str, list[tuple[str, list[int]]]]:
    """Return (name, shape) of a layout's entries by their type."""
    found: dict[str, list[tuple[str, list[int]]]] = {}
    for name, dtype, shape in layout:
        found.setdefault(dtype, []).append((name, shape))
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

    Args:
        tensors: By name, masks packed; of either format.
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
    shapes = checked_shapes(fields.take("shapes", list), path)
    if "layouts" in fields:
        layouts = _checked_layouts(fields.take("layouts", dict[str, list[Any]]), path)
        tensors = _taken_apart(tensors, layouts, shapes, present, path)
    groups: dict[str, Any] = dict.fromkeys((*_WEIGHTS, *_MASKS))
    groups |= {name: {} for name in present}
    for name, shape in shapes.items():
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
    kinds = get_type_hints(RunState)
    least = {"best_accuracy": -1}
    scalars = {name: fields.take(name, kinds[name], least.get(name, 0)) for name in _SCALARS}
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


Layouts = dict[str, list[list[Any]]]


def _checked_layouts(found: Layouts, path: Path | str) -> Layouts:
    """Return a header's layouts.

    Raises:
        Damaged: If one is missing, is no list of [name, type, shape], or names a tensor twice.
    """
    if found.keys() != set(_LAID_OUT):
        raise damaged(path, f"its layouts are of {shown(sorted(found))}")
    for layout in found.values():
        for entry in layout:
            whole = fits(entry, list) and len(entry) == 3 and fits(entry[0], str)
            if not whole or not fits(entry[1], str) or entry[1] not in _TYPES:
                raise damaged(
                    path, f"its layouts hold {shown(entry)}: expected [name, type, shape]"
                )
            check_name(entry[0], path)
            checked_shape(entry[0], entry[2], path)
        if len({name for name, _, _ in layout}) < len(layout):
            raise damaged(path, "its layouts name a tensor twice")
    return found


def _taken_apart(
    tensors: Mapping[str, Tensor],
    layouts: Layouts,
    shapes: Mapping[str, tuple[int, ...]],
    present: list[str],
    path: Path | str,
) -> dict[str, Tensor]:
    """Return a file's tensors as format 1 has them: each weight and each packed mask alone.

    Raises:
        Damaged: If what was put together is missing or of another size or type.
    """
    apart = dict(tensors)

    def take(key: str, dtype: torch.dtype, sizes: list[int]) -> tuple[Tensor, ...]:
        whole = apart.pop(key, None)
        if whole is None:
            raise damaged(path, f"tensor {key!r} is missing")
        if whole.dtype != dtype or whole.shape != (sum(sizes),):
            raise damaged(
                path,
                f"{key!r} is {whole.dtype} {list(whole.shape)}: expected {dtype} [{sum(sizes)}]",
            )
        parts: tuple[Tensor, ...] = whole.split(sizes)
        return parts

    def put(group: str, names: Iterable[str], parts: Iterable[Tensor]) -> None:
        for name, part in zip(names, parts, strict=True):
            if f"{group}/{name}" in apart:
                raise damaged(path, f"{group}/{name} is there twice")
            apart[f"{group}/{name}"] = part

    for group in present:
        if group in _MASKS:
            parts = take(group, torch.uint8, [-(-math.prod(s) // 8) for s in shapes.values()])
            put(group, shapes, parts)
            continue
        for dtype, entries in _by_type(layouts[_LAID_OUT_LIKE.get(group, group)]).items():
            parts = take(f"{group}/{dtype}", _TYPES[dtype], [math.prod(s) for _, s in entries])
            views = [part.view(shape) for (_, shape), part in zip(entries, parts, strict=True)]
            put(group, [name for name, _ in entries], views)
    return apart


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
