"""Labels as they are stored to class indices: whole numbers as they are, words as their place."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prac.errors import PracError

# What else is stored may refer to itself, or have no end in print.
_SHOWN = (bool, int, float, str, bytes)
_WORDS = (bool, str, bytes)


def why_unlabelled(labels: NDArray[Any]) -> str | None:
    """Return why a split has no labels in truth, in words that follow its name; None if it has.

    All -1 is the hub's mark for a test split whose labels are kept secret.
    """
    values = labels.tolist() if labels.ndim == 1 and labels.dtype.kind in "Oif" else []
    if values and all(_is_missing(value) for value in values):
        return "not read, all its labels missing"
    is_secret = values and all(isinstance(value, int | float) and value == -1 for value in values)
    return "not read, all its labels being -1, kept secret" if is_secret else None


def words_of(labels: NDArray[Any]) -> tuple[str, ...] | None:
    """Return the distinct words among labels (n,), sorted; None where they are no words.

    Words are strings, bytes in UTF-8, and true and false.
    """
    if labels.ndim != 1 or labels.dtype.kind not in "OUSb":
        return None
    there = [value for value in labels.tolist() if value is not None]
    if not there or not all(isinstance(value, _WORDS) for value in there):
        return None
    return tuple(sorted({word_of(value) for value in there}))


def to_indices(labels: NDArray[Any], classes: Sequence[str] | None, where: str) -> NDArray[Any]:
    """Return labels with each word as its index among `classes`, or, without any, as numbers.

    Floats that are whole are integers. None stands for a missing one; what is no number is as it
    was, to be refused by row.

    Raises:
        PracError: a word is none of the classes; it names `where`, the row, from 0, and the word.
    """
    if labels.ndim != 1 or (classes is None and labels.dtype.kind not in "Of"):
        return labels
    found = np.empty(len(labels), dtype=object)
    index = {name: number for number, name in enumerate(classes or ())}
    for row, value in enumerate(labels.tolist()):
        if classes is None:
            is_whole = isinstance(value, float) and value.is_integer()
            found[row] = int(value) if is_whole else value
        elif _is_missing(value):
            found[row] = None
        else:
            word = word_of(value) if isinstance(value, _WORDS) else None
            if word not in index:
                raise PracError(
                    f"{where}, row {row}: label {shown_label(value)} is none of the classes of the "
                    f"train split ({len(index)} classes)"
                )
            found[row] = index[word]
    return found


def as_integers(labels: NDArray[Any], where: str) -> NDArray[np.integer[Any]]:
    """Return labels (n,) as integers.

    Raises:
        PracError: one is missing or no integer, or their shape is another.
    """
    if labels.ndim != 1:
        raise PracError(f"{where} has shape {labels.shape}, expected one label an example, (n,)")
    if labels.dtype.kind in "iu":
        return labels
    for row, value in enumerate(labels.tolist()):
        if _is_missing(value):
            raise PracError(f"{where}, row {row}: the label is missing")
        if not isinstance(value, int) or isinstance(value, bool):
            raise PracError(
                f"{where}, row {row}: label {shown_label(value)} is no integer, "
                "expected the index of a class, counted from 0 (other targets come from Python: "
                "prac.find takes pairs of tensors)"
            )
    try:
        return np.asarray(labels, dtype=np.int64)
    except OverflowError as error:
        raise PracError(f"{where}: a label is beyond 64 bits, expected class indices") from error


def shown_label(value: object) -> str:
    """Return a label as a person reads it, or what it is if it is none."""
    return reprlib.repr(value) if isinstance(value, _SHOWN) else type(value).__name__


def word_of(value: bool | str | bytes) -> str:
    """Return a word as a text."""
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and value != value)  # NaN says so in floats.
