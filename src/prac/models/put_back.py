"""Parameters and buffers put back: passes that measure or try something are to change nothing.

A copy does not do: functions that a model holds may close over its own layers. Nor does evaluation
mode: observers of quantisation, counters, and weights that are merged change in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class KeptTensors:
    """A model's parameters and buffers, or those of some names, as they are now."""

    def __init__(self, model: nn.Module, names: Collection[str] | None = None) -> None:
        """Keep a copy of each."""
        self._kept = []
        for path, module in model.named_modules():
            for held in (module._parameters, module._buffers):
                for name, tensor in held.items():
                    whole = f"{path}.{name}" if path else name
                    if tensor is not None and (names is None or whole in names):
                        self._kept.append((whole, held, name, tensor, tensor.detach().clone()))

    def changed(self) -> tuple[str, ...]:
        """Return the names of those that are others by now, in place or not."""
        return tuple(
            whole
            for whole, held, name, tensor, value in self._kept
            if held.get(name) is not tensor or not _are_same(tensor, value)
        )

    @torch.no_grad()
    def put_back_(self) -> None:
        """Make each what it was, where it was."""
        for _, held, name, tensor, value in self._kept:
            held[name] = tensor
            if not _are_same(tensor, value):
                tensor.data = value.clone()


def _are_same(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype or one.layout != other.layout:
        return False
    if one.layout is not torch.strided or one.is_quantized:
        return one is other or torch.equal(one.to_dense(), other.to_dense())
    if one.element_size() == 1:  # Of some such types torch compares nothing.
        one, other = one.view(torch.uint8), other.view(torch.uint8)
    if torch.equal(one, other):
        return True
    is_nan = one.isnan() if one.is_floating_point() or one.is_complex() else None
    return is_nan is not None and bool(((one == other) | (is_nan & other.isnan())).all())


@contextmanager
def tensors_put_back(
    model: nn.Module, names: Collection[str] | None = None
) -> Iterator[KeptTensors]:
    """Put a model's parameters and buffers, or those of some names, back in the end."""
    kept = KeptTensors(model, names)
    try:
        yield kept
    finally:
        kept.put_back_()
