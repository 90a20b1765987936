"""A pair (x, y) of anyone's arrays as two tensors of as many examples."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prac.data.augment import lost_in_float32
from prac.data.convert import NoNumbersError, as_tensor
from prac.data.reading import check_dense
from prac.errors import PracError
from prac.utils import with_article


def pair_of_tensors(x: Any, y: Any, name: str) -> tuple[Tensor, Tensor]:
    """Return inputs and targets as tensors, NumPy's usual float64 as torch's default type.

    Raises:
        PracError: If one has no numbers, or they are not of as many examples.
    """
    tensors = _as_tensor("x", x, name), _as_tensor("y", y, name)
    _check_rows(x, y, name)
    check_pair(*tensors, name)
    return tensors


def check_pair(x: Any, y: Any, name: str) -> None:
    """Raise a PracError unless these are tensors of as many examples, and of one at least."""
    for part, values in (("x", x), ("y", y)):
        if not isinstance(values, Tensor):
            kind = with_article(type(values).__name__)
            raise PracError(f"{part} of {name} is {kind}: expected a tensor (n, ...)")
        check_dense(f"{part} of {name}", values)
        if not values.ndim:
            raise PracError(f"{part} of {name} is a number: expected a tensor (n, ...)")
    if len(x) != len(y):
        raise PracError(f"{name} has {len(x)} inputs but {len(y)} targets: expected as many")
    if len(x) == 0:
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
