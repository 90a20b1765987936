"""A pair (x, y) of anyone's arrays, or of mappings or tuples of them, as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prac.data.augment import lost_in_float32
from prac.data.convert import NoNumbersError, as_tensor
from prac.data.reading import check_dense
from prac.errors import PracError
from prac.utils import Tree, leaves, named_leaves, with_article


def pair_of_trees(x: Any, y: Any, name: str) -> tuple[Tree, Tree]:
    """Return inputs and targets as trees of tensors, NumPy's float64 as torch's default type.

    A list is an array, one part an example; a tuple of arrays is several inputs side by side.

    Raises:
        PracError: If a part has no numbers, or they are not of as many examples.
    """
    trees = _as_tree("x", x, name), _as_tree("y", y, name)
    _check_rows(x, y, name)
    check_pair(*trees, name)
    return trees


def _as_tree(part: str, value: Any, name: str) -> Tree:
    if isinstance(value, Mapping):
        return {key: _as_tree(f"{part}[{key!r}]", of, name) for key, of in value.items()}
    if isinstance(value, tuple) and value and not any(map(_is_number, value)):
        return tuple(_as_tree(f"{part}[{i}]", of, name) for i, of in enumerate(value))
    return _as_tensor(part, value, name)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, str, bytes)) or np.isscalar(value)


def check_pair(x: Tree, y: Tree, name: str) -> None:
    """Raise a PracError unless these hold tensors of as many examples, and of one at least."""
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
        raise PracError(f"{name} has {len(x)} inputs but {len(y)} targets: expected as many")
    first, like = found[0]
    for part, values in found:
        if len(values) != len(like):
            raise PracError(
                f"{part} of {name} has {len(values)} rows, {first} {len(like)}: expected one an "
                f"example; where a tuple has an array an example, pass a list instead"
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
