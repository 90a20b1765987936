"""Anyone's arrays, frames and lists as what torch takes, where their meaning is plain."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prac.utils import one_line

_NUMBER_WORDS = "number its words from 0, as numpy.unique(words, return_inverse=True) does"
_NUMBERS = (bool, int, float, np.bool_, np.number)
_TAKEN = "?bBhHiIlqefd"  # Of NumPy's scalars, by the letters of their types.
_MISSING = ("NoneType", "NAType", "NaTType")


class NoNumbersError(ValueError):
    """A value that has no meaning as a tensor: why, and what to do instead where that is known."""

    def __init__(self, why: str, remedy: str | None = None) -> None:
        """Hold both."""
        super().__init__(why)
        self.why, self.remedy = why, remedy


def is_plain(tensor: Tensor) -> bool:
    """Say whether a tensor has nothing that `to_plain` takes from it."""
    return not (tensor.requires_grad or tensor.is_conj() or tensor.is_neg())


def has_values(value: Any) -> bool:
    """Say whether a value is a tensor, an array, a number, or has its numbers as an array."""
    return isinstance(value, (Tensor, np.ndarray, np.generic, int, float)) or _is_frame(value)


def to_plain(value: Any) -> Any:
    """Return a value as one of the same numbers that `torch.as_tensor` takes.

    That is the value itself where torch takes it; for an array, one of numbers, of this machine's
    byte order; for a tensor, one without gradient; for a frame or a series, its array.

    Raises:
        NoNumbersError: If it has none, or not those of all examples.
    """
    if isinstance(value, Tensor):
        return value if is_plain(value) else value.detach().resolve_conj().resolve_neg()
    if isinstance(value, np.ndarray):
        return _plain_array(value)
    if isinstance(value, str) or (isinstance(value, np.generic) and value.dtype.char not in _TAKEN):
        return _plain_array(np.asarray(value))
    if _is_frame(value):
        return _plain_frame(value)
    if hasattr(value, "toarray"):
        raise NoNumbersError("it is sparse", "make it dense by toarray()")
    return value


def as_tensor(value: Any) -> Tensor:
    """Return what is plain, or a list of it, one part an example, as a tensor.

    Raises:
        NoNumbersError: If it has no numbers, or its parts differ in shape or type.
    """
    value = to_plain(value)
    try:
        if isinstance(value, (list, tuple)):
            value = _plain_list(value)
        with warnings.catch_warnings():
            # Nothing is written to arrays that are read-only.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.as_tensor(value)
    except NoNumbersError:
        raise
    except (TypeError, ValueError, RuntimeError, KeyError, OverflowError) as error:
        raise NoNumbersError(one_line(error)) from error


def _is_frame(value: Any) -> bool:
    """Say whether a value is another library's array, frame or series."""
    ways = (getattr(value, way, None) for way in ("to_numpy", "__array__"))
    return not isinstance(value, (type, Tensor, np.ndarray, np.generic)) and any(
        map(callable, ways)
    )


def _plain_frame(frame: Any) -> np.ndarray[Any, Any]:
    try:
        array = np.asarray(frame.to_numpy() if hasattr(frame, "to_numpy") else frame)
    except Exception as error:  # Its library's own.
        raise NoNumbersError(one_line(error)) from error
    try:
        return _plain_array(array)
    except NoNumbersError as fault:
        for name in getattr(frame, "columns", ()):
            try:
                _plain_array(np.asarray(frame[name].to_numpy()))
            except NoNumbersError as error:
                why = f"in column {name!r} {error.why}"
                remedy = "leave such columns out, or make numbers of them"
                raise NoNumbersError(why, remedy) from fault
        raise


def _plain_array(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if isinstance(array, np.ma.MaskedArray):
        if np.ma.is_masked(array):
            remedy = "fill them by filled(VALUE), or leave their examples out"
            raise NoNumbersError("it has masked values", remedy)
        array = array.data
    if array.dtype.names:
        remedy = "stack its columns: numpy.stack([array[name] for name in array.dtype.names], 1)"
        raise NoNumbersError(f"it has the fields {', '.join(array.dtype.names)}", remedy)
    if array.dtype.kind == "O":
        array = _of_objects(array)
    if array.dtype.kind in "USTa":
        raise NoNumbersError("it holds words", _NUMBER_WORDS)
    if array.dtype.kind in "Mm":
        raise NoNumbersError("it holds dates or times", "make numbers of them")
    if array.dtype.kind not in "biufc":
        raise NoNumbersError(f"it holds {array.dtype}")
    if array.dtype.kind in "fc" and array.dtype.itemsize > (8 if array.dtype.kind == "f" else 16):
        array = array.astype(np.float64 if array.dtype.kind == "f" else np.complex128)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if any(stride < 0 or stride % array.dtype.itemsize for stride in array.strides):
        array = array.copy()
    return array


def _of_objects(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an array of objects, each a number, or each an array or a tensor like the others."""
    values = list(array.flat)
    several = (Tensor, np.ndarray, list, tuple)
    if array.ndim == 1 and values and all(isinstance(v, several) for v in values):
        return _stacked(values).numpy()
    for value in values:
        if isinstance(value, (str, bytes)):
            raise NoNumbersError("it holds words", _NUMBER_WORDS)
        if type(value).__name__ in _MISSING:
            remedy = "fill them, or leave their examples out"
            raise NoNumbersError("it has missing values", remedy)
        if not isinstance(value, _NUMBERS):
            raise NoNumbersError(f"it holds objects of the type {type(value).__name__}")
    found = np.array(array.tolist())
    if found.dtype.kind == "O":
        raise NoNumbersError("it holds integers beyond 64 bits")
    return found


def _plain_list(values: Sequence[Any]) -> Any:
    """Return a list's parts stacked where they are arrays or tensors, and else the list."""
    if any(isinstance(value, (str, bytes)) for value in values):
        raise NoNumbersError("it holds words", _NUMBER_WORDS)
    arrays = [v for v in values if isinstance(v, (Tensor, np.ndarray)) or _is_frame(v)]
    if not arrays:
        return values
    if all(isinstance(v, Tensor) and v.numel() == 1 and is_plain(v) for v in values):
        return values  # Torch itself takes such for numbers.
    if isinstance(values, tuple) and len(values) == 2:
        remedy = "pass examples as a list of pairs, or all inputs and all targets as one array each"
        raise NoNumbersError("it may be one example (x, y)", remedy)
    if len(arrays) < len(values):
        raise NoNumbersError("some of its parts are arrays, others are not")
    return _stacked(values)


def _stacked(values: Sequence[Any]) -> Tensor:
    tensors = [as_tensor(value) for value in values]
    first = tensors[0]
    for number, tensor in enumerate(tensors):
        if (tensor.shape, tensor.dtype) != (first.shape, first.dtype):
            raise NoNumbersError(
                f"its part {number} is {tensor.dtype} of shape {tuple(tensor.shape)}, the first "
                f"{first.dtype} of shape {tuple(first.shape)}",
                "resize, pad or convert them to be alike",
            )
        if tensor.layout is not torch.strided:
            raise NoNumbersError(f"its parts have the layout {tensor.layout}", "use to_dense()")
    return torch.stack(tensors)
