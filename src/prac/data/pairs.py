"""A pair (x, y) of anyone's arrays, or of mappings or tuples of them, as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from prac.data.augment import lost_in_float32
from prac.data.convert import NoNumbersError, as_tensor
from prac.data.likeness import check_dense
from prac.errors import PracError
from prac.utils import Tree, leaves, named_leaves, with_article


def pair_of_trees(x: Any, y: Any, name: str) -> tuple[Tree, Tree]:
    """Return inputs and targets as trees of tensors, NumPy's float64 as torch's default type.

    A list is an array, one part an example. A tuple is several inputs side by side where its parts
    have a row an example, and an array where it has a part an example.

    Raises:
        PracError: If a part has no numbers, or they are not of as many examples, or a tuple may be
            either.
    """
    if isinstance(x, tuple) and isinstance(y, tuple) and len(x) == len(y) == 2:
        raise PracError(
            f"x of {name} is a tuple of 2 parts, and so is y: these may be two examples (x, y); "
            f"pass examples as a list of pairs, or prac.data.TensorExamples(x, y) for two inputs "
            f"and two targets"
        )
    trees = (
        _as_tree("x", x, _Row(name, _rows(y))),
        _as_tree("y", y, _Row(name, _rows(x))),
    )
    _check_rows(x, y, name)
    check_pair(*trees, name, LISTS * (_holds_list(x) or _holds_list(y)))
    return trees


LISTS = "; a list holds one part an example, a tuple an input each"


def _holds_list(value: Any) -> bool:
    """Say whether a list of arrays is a part of inputs or targets."""
    if isinstance(value, Mapping):
        return any(map(_holds_list, value.values()))
    if isinstance(value, tuple):
        return any(map(_holds_list, value))
    return isinstance(value, list) and any(np.ndim(part) > 0 for part in value[:1])


class _Row(NamedTuple):
    """What a part is one of: the data's name, and how many examples the other part tells of."""

    name: str
    examples: int | None


def _rows(value: Any) -> int | None:
    """Return how many examples a value tells of, if it does."""
    if isinstance(value, Mapping):
        return next(filter(None, map(_rows, value.values())), None)
    if isinstance(value, tuple):
        return None
    try:
        return len(value)
    except TypeError:
        return None


def _as_tree(part: str, value: Any, of: _Row) -> Tree:
    if isinstance(value, Mapping):
        return {key: _as_tree(f"{part}[{key!r}]", each, of) for key, each in value.items()}
    if isinstance(value, tuple) and _is_side_by_side(part, value, of):
        return tuple(_as_tree(f"{part}[{i}]", each, of) for i, each in enumerate(value))
    return _as_tensor(part, value, of.name)


def _is_side_by_side(part: str, values: tuple[Any, ...], of: _Row) -> bool:
    """Say whether a tuple holds arrays with a row an example, rather than an array an example."""
    if not values or any(isinstance(each, (str, bytes)) or not np.ndim(each) for each in values):
        return False
    has_parts = len(values) == of.examples
    has_rows = all(_rows(each) in (of.examples, None) for each in values)
    if has_parts and has_rows:
        raise PracError(
            f"{part} of {of.name} is a tuple of {len(values)} parts with {of.examples} rows each, "
            f"for {of.examples} examples: pass a list where each part is an example's, or a "
            f"mapping where each is an input of its own"
        )
    return not has_parts


def check_pair(x: Tree, y: Tree, name: str, advice: str = "") -> None:
    """Raise a PracError unless these hold tensors of as many examples, and of one at least.

    Where they are not as many, the error ends with an advice.
    """
    found = [*named_leaves(x, "x"), *named_leaves(y, "y")]
    for part, values in found:
        if not isinstance(values, Tensor):
            kind = with_article(type(values).__name__)
            raise PracError(f"{part} of {name} is {kind}: expected a tensor (n, ...)")
        check_dense(f"{part} of {name}", values)
        if not values.ndim:
            raise PracError(f"{part} of {name} is a number: expected a tensor (n, ...)")
    for part, of in (("x", x), ("y", y)):
        if not leaves(of):
            raise PracError(f"{part} of {name} is an empty {type(of).__name__}: expected tensors")
    if isinstance(x, Tensor) and isinstance(y, Tensor) and len(x) != len(y):
        raise PracError(
            f"{name} has {len(x)} inputs but {len(y)} targets: expected as many{advice}"
        )
    first, like = found[0]
    for part, values in found:
        if len(values) != len(like):
            raise PracError(
                f"{part} of {name} has {len(values)} rows, {first} {len(like)}: expected one an "
                f"example{advice}"
            )
    if len(like) == 0:
        raise PracError(f"{name} is empty: expected at least one example")


def _check_rows(x: Any, y: Any, name: str) -> None:
    """Raise a PracError where two frames number their rows otherwise: which belong together?"""
    rows, others = (getattr(of, "index", None) for of in (x, y))
    compared = getattr(rows, "equals", None)
    if compared is not None and hasattr(others, "equals") and not compared(others):
        raise PracError(
            f"x and y of {name} have different indices: their rows are paired by position; bring "
            f"them to the same index, or pass x.to_numpy() and y.to_numpy() if they are in order"
        )


def _as_tensor(part: str, value: Any, name: str) -> Tensor:
    """Return a tensor as it is, and anything else as one; NumPy's usual float64 as torch's."""
    try:
        tensor = as_tensor(value)
    except NoNumbersError as fault:
        raise PracError(
            f"{part} of {name} (x, y) is {with_article(type(value).__name__)} that torch does not "
            f"take ({fault.why}): {fault.remedy or 'expected a tensor or an array of numbers'}"
        ) from fault
    if isinstance(value, Tensor) or tensor.dtype != torch.float64:
        return tensor
    found = tensor.to(torch.get_default_dtype())
    narrow = str(found.dtype).removeprefix("torch.")
    if bool((lost := found.isinf() & tensor.isfinite()).any()):
        first = int(lost.nonzero()[0, 0]) if lost.ndim else 0
        raise PracError(
            f"{part} of example {first} of {name} holds {float(tensor[lost][0]):g}, beyond "
            f"{narrow}: scale it, or pass float64 tensors to a float64 model"
        )
    if part == "x" and found.dtype != torch.float64 and found.ndim and found.numel():
        features = tensor if tensor.ndim > 1 else tensor[:, None]
        known = torch.where(features.isfinite(), features, 0.0)
        if untold := lost_in_float32(known):
            one = known[:, untold[0]]
            raise PracError(
                f"x of {name} loses in {narrow} what {len(untold)} of its {features.shape[1]} "
                f"features differ by, the first {untold[0]}, with values from {one.min():.9g} to "
                f"{one.max():.9g}: subtract their mean and divide by their deviation"
            )
    return found
