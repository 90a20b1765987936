"""A run's state as named tensors and a JSON header, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from prac.algorithms.forgetting import ForgettingTable
from prac.cost import Cost
from prac.state import RunState
from prac.store import pack, unpack

_SCALARS = (
    "level",
    "step",
    "distances",
    "epoch_examples",
    "epoch_correct",
    "best_accuracy",
    "best_epoch",
)
_WEIGHTS = ("weights", "optimizer", "rewind", "best")
_MASKS = ("masks", "candidate")


def to_tensors(state: RunState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a state as named tensors and a JSON header."""
    tensors = {"members": state.members, "events": state.table.events}
    tensors |= {"learned": state.table.learned, "correct": state.table.correct}
    tensors["epoch_losses"] = state.epoch_losses
    if state.dense_predictions is not None:
        tensors["dense_predictions"] = state.dense_predictions
    header: dict[str, Any] = {name: getattr(state, name) for name in _SCALARS}
    header["cost"] = dataclasses.asdict(state.cost)
    # A list, not a mapping: layers must keep the model's order, in which ties are broken.
    header["shapes"] = [[name, list(mask.shape)] for name, mask in state.masks.items()]
    header["present"] = [n for n in (*_WEIGHTS, *_MASKS) if getattr(state, n) is not None]
    for group in header["present"]:
        for name, tensor in getattr(state, group).items():
            tensors[f"{group}/{name}"] = pack(tensor) if group in _MASKS else tensor
    return tensors, header


def from_tensors(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> RunState:
    """Return the state that `to_tensors` took apart."""
    groups: dict[str, Any] = dict.fromkeys((*_WEIGHTS, *_MASKS))
    groups |= {name: {} for name in header["present"]}
    for name, shape in header["shapes"]:
        for group in _MASKS:
            if groups[group] is not None:
                groups[group][name] = unpack(tensors[f"{group}/{name}"], tuple(shape))
    for key, tensor in tensors.items():
        group, _, name = key.partition("/")
        if group in _WEIGHTS:
            groups[group][name] = tensor
    scalars = {name: header[name] for name in _SCALARS}
    return RunState(
        **{**scalars, "distances": tuple(header["distances"])},
        **groups,
        members=tensors["members"],
        epoch_losses=tensors["epoch_losses"],
        table=ForgettingTable(tensors["events"], tensors["learned"], tensors["correct"]),
        dense_predictions=tensors.get("dense_predictions"),
        cost=Cost(**header["cost"]),
    )
