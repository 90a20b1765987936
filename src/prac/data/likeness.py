"""What an example is: a pair of trees, and what others have to be like it in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from prac.data.convert import is_plain
from prac.errors import PracError
from prac.utils import Tree, named_leaves

TARGETS = ("labels", "label", "targets", "target", "y")
"""What of an example that is a mapping is taken for its target, where there is one of them."""

Pair = tuple[Tree, Tree]
"""An example, or a batch of them: inputs and targets."""


class Like(NamedTuple):
    """An example that others have to be like: what it holds where, of which types and shapes."""

    example: int
    places: tuple[str, ...]
    types: tuple[torch.dtype, ...]
    shapes: tuple[torch.Size, ...]

    @classmethod
    def of(cls, index: int, pair: Pair) -> Like:
        """Return what is like a pair; targets that are whole numbers become int64."""
        found = dict(places_of(pair))
        types = [_type_in(place, tensor.dtype) for place, tensor in found.items()]
        shapes = [tensor.shape for tensor in found.values()]
        return cls(index, tuple(found), tuple(types), tuple(shapes))

    def fits_at_once(self, examples: Sequence[Any]) -> bool:
        """Say whether all are pairs of tensors, or of plain integers, like it.

        Most are, and are told fast.
        """
        if self.places != ("x", "y"):
            return False
        if not all(type(example) is tuple and len(example) == 2 for example in examples):
            return False
        columns = zip(zip(*examples, strict=True), self.types, self.shapes, strict=True)
        return all(_are_like(values, dtype, shape) for values, dtype, shape in columns)


def places_of(pair: Pair) -> Iterator[tuple[str, Any]]:
    """Yield what a pair holds, each with its place, such as x or y['boxes']."""
    for part, tree in zip("xy", pair, strict=True):
        yield from named_leaves(tree, part)


def target_in(names: Iterable[Any]) -> str | None:
    """Return which of an example's names is its target's, where only one can be.

    >>> target_in(["input_ids", "labels"]), target_in(["a", "b"])
    ('labels', None)
    """
    known = [name for name in names if name in TARGETS]
    return known[0] if len(known) == 1 else None


def _type_in(place: str, dtype: torch.dtype) -> torch.dtype:
    """Return the type of values of an example: int64 for integers of any width among targets.

    Losses take classes so, and NumPy's are often int32. Other types stay.
    """
    if not place.startswith("y"):
        return dtype
    is_integer = not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool)
    return torch.int64 if is_integer else dtype


def _are_like(values: Sequence[Any], dtype: torch.dtype, shape: torch.Size) -> bool:
    kinds = set(map(type, values))
    if kinds == {Tensor}:
        if any(map(_oddity, values)) or not all(map(is_plain, values)):
            return False
        return all(value.dtype is dtype and value.shape == shape for value in values)
    return kinds == {int} and dtype is torch.int64 and not shape


def check_dense(where: str, tensor: Tensor, remedy: str = "convert it") -> None:
    """Raise a PracError for a tensor that cannot be indexed, stacked and read as others are."""
    if oddity := _oddity(tensor):
        by = "dequantize" if tensor.is_quantized else "to_dense"
        raise PracError(
            f"{where} is {oddity}: expected a dense tensor with values; {remedy}, such as by {by}()"
        )


def _oddity(tensor: Tensor) -> str:
    """Return what a tensor is other than a dense one with values; nothing for such."""
    if tensor.layout is not torch.strided:
        return f"a tensor of layout {tensor.layout}"
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.is_quantized:
        return "a quantised tensor"
    return "a tensor on the device 'meta', without values" if tensor.is_meta else ""


def fits_type(part: str, dtype: torch.dtype, wanted: torch.dtype) -> bool:
    """Say whether values are of the type wanted, or are targets that it holds as they are."""
    if part.startswith("x"):
        return dtype == wanted
    dtype = _type_in(part, dtype)
    are_floats = dtype.is_floating_point and wanted.is_floating_point
    return dtype == wanted or (are_floats and torch.promote_types(dtype, wanted) == wanted)
