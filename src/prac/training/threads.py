"""How many of the CPU's threads a network works with: one, where it is too small to gain by more.

Threads meet at the end of each operation. Where that has little arithmetic they gain nothing on an
idle machine; on one that does other work each waits for whichever is not being run.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from prac.models import begin_training_, copied, tensors_put_back
from prac.utils import Tree, arguments, held_generators, leaves, seeded

SMALL = 8e6
"""Multiplications of a product of matrices, or a convolution, below which one thread does it all.

Measured by `python -m bench.threads`: with fewer, a second thread makes steps of an idle
machine less than 1.3 times as fast."""


def is_small(model: nn.Module, x: Tree, batch_size: int, count: int | None = None) -> bool:
    """Say whether a network trains on one thread, by the arithmetic of a batch and nothing else.

    So the answer is the same on every machine. A copy of the model takes some examples `x`, of
    shape (examples, ...), in training mode; `count`, where rows are no examples.
    """
    return multiplications(model, x, batch_size, count) < SMALL


def multiplications(model: nn.Module, x: Tree, batch_size: int, count: int | None = None) -> float:
    """Return the multiplications of an operation, on average, as the model takes a batch forward.

    Operations are products of matrices and convolutions. Where there is none that torch shows, each
    weight of two dimensions or more counts as one, which every example is multiplied with once.
    """
    counting = _Counting()
    try:
        drawing = seeded(0, held=held_generators(model))
        with tensors_put_back(model), drawing, torch.no_grad(), counting:
            trial = copied(model)
            begin_training_(trial)
            given, named = arguments(x)
            trial(*given, **named)
    # A model may do what does not go with counting: that is no fault of it.
    except Exception:
        counting.found.clear()
    if not counting.found:
        weights = [weight.numel() for weight in model.parameters() if weight.ndim > 1]
        return batch_size * statistics.fmean(weights or [0])
    return statistics.fmean(counting.found) * batch_size / (count or len(leaves(x)[0]))


class _Counting(TorchDispatchMode):
    """Notes the multiplications of each product of matrices and convolution."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[int] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if (count := _COUNTS.get(func.overloadpacket.__name__)) is not None:
            self.found += count(args, out)
        return out


def _product(args: tuple[Any, ...], out: Tensor) -> list[int]:
    return [out.numel() * args[-1].shape[-2]]


def _convolution(args: tuple[Any, ...], out: Tensor) -> list[int]:
    x, weight, transposed = args[0], args[1], args[6]
    return [(x if transposed else out).numel() * weight[0].numel()]


def _attention(args: tuple[Any, ...], out: tuple[Tensor, ...]) -> list[int]:
    queries, keys = args[:2]
    return [queries.numel() * keys.shape[-2], out[0].numel() * keys.shape[-2]]


def _recurrent(args: tuple[Any, ...], out: Any) -> list[int]:
    """A layer of an LSTM: all inputs at once, then a time after the other."""
    (times, batch, _), of_input, of_hidden = args[0].shape, args[1], args[2]
    return [times * batch * of_input.numel(), *[batch * of_hidden.numel()] * times]


_COUNTS: Mapping[str, Callable[[tuple[Any, ...], Any], list[int]]] = {
    "mm": _product,
    "addmm": _product,
    "bmm": _product,
    "baddbmm": _product,
    "convolution": _convolution,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "mkldnn_rnn_layer": _recurrent,
}


@contextmanager
def with_threads(count: int | None) -> Iterator[None]:
    """Have torch work with so many threads for a while, or with as many as it does if None."""
    before = torch.get_num_threads()
    if count is not None and count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
