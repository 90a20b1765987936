"""An example set found by a search, bound to its data, in memory and on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prac.data import Examples
from prac.errors import PracError
from prac.io import (
    Fields,
    check_indices,
    check_provenance,
    check_tensor,
    check_tensors,
    content_digest,
    damaged,
    read_tensors,
    told_as_unwritable,
    write_tensors,
)
from prac.utils import brief, html_table, percent


@dataclass(frozen=True, repr=False)
class Subset:
    """Which training examples a level trains on.

    Attributes:
        indices: int64 (k,), ascending positions in the training set.
        source_indices: int64 (k,), the same examples' positions in the data set that the training
            set was split from.
        fingerprint: Of the training set they belong to.
        total: Size of that training set.
        provenance: How the set was found. JSON values.
    """

    indices: Tensor
    source_indices: Tensor
    fingerprint: str
    total: int
    provenance: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return how many examples it has, of how many, and of which data."""
        return brief(self, *self._in_short())

    def _repr_html_(self) -> str:
        """Return its size, by part and by class where that is known, for a notebook."""
        parts = self.provenance.get("set_parts") or {}
        counts = self.provenance.get("by_class") or []
        names = list(self.provenance.get("classes") or [])
        found = {name.upper(): of for name, of in parts.items()}
        for label, count in enumerate(counts):
            found[f"class {names[label] if label < len(names) else label}"] = count
        rows = ((n, f"{of:,}", percent(of / max(len(self), 1))) for n, of in found.items())
        title = f"Subset: {', '.join(self._in_short())}"
        return html_table(title, ("", "examples", "of the set"), rows)

    def _in_short(self) -> list[str]:
        level = self.provenance.get("level")
        return [
            *([] if level is None else [f"level {level}"]),
            f"{len(self):,} of {self.total:,} examples",
            f"data {self.fingerprint[:12]}",
        ]

    @classmethod
    def of(cls, train: Examples, indices: Tensor, provenance: dict[str, Any]) -> Subset:
        """Return the set of `indices` of `train`."""
        return cls(
            indices, train.source_indices[indices], train.fingerprint, len(train), provenance
        )

    def __len__(self) -> int:
        """Return how many examples are in the set."""
        return len(self.indices)

    @property
    def digest(self) -> str:
        """Hex digest of the indices and of the data they belong to."""
        return content_digest({"indices": self.indices}, {"fingerprint": self.fingerprint})

    def indices_for(self, train: Examples) -> Tensor:
        """Return the indices, for the training set they belong to.

        Raises:
            PracError: If `train` is another one, or the set is empty.
        """
        if len(self) == 0:
            raise PracError("the subset is empty: expected at least one example")
        if train.fingerprint != self.fingerprint:
            raise PracError(
                f"the subset belongs to other data: its training set has {self.total} examples and "
                f"fingerprint {self.fingerprint[:12]}, this one {len(train)} and "
                f"{train.fingerprint[:12]}: use the same data and validation split"
            )
        return self.indices

    def save(self, path: str | Path) -> None:
        """Write the set as safetensors.

        Raises:
            PracError: If it is none that `load` would take.
        """
        path = Path(path)
        tensors = {"indices": self.indices, "source_indices": self.source_indices}
        header = {name: getattr(self, name) for name in ("fingerprint", "total", "provenance")}
        with told_as_unwritable(path):
            _check(path, self)
        write_tensors(path, tensors, "subset", header)

    @classmethod
    def load(cls, path: str | Path) -> Subset:
        """Return the set of a file.

        Raises:
            PracError: Naming the file and its fault.
        """
        path = Path(path)
        tensors, header = read_tensors(path, "subset")
        check_tensors(path, tensors, ("indices", "source_indices"))
        fields = Fields(path, header)
        subset = cls(
            tensors["indices"],
            tensors["source_indices"],
            fields.take("fingerprint", str),
            fields.take("total", int, at_least=1),
            fields.take("provenance", dict),
        )
        fields.end()
        _check(path, subset)
        return subset


def _check(path: Path, subset: Subset) -> None:
    """Raise a Damaged unless the parts of a set fit together."""
    check_indices(path, "indices", subset.indices, subset.total)
    source = subset.source_indices
    check_tensor(path, "source_indices", source, torch.int64, subset.indices.shape)
    if len(source) and int(source.min()) < 0:
        raise damaged(path, f"source_indices holds {int(source.min())}: expected no less than 0")
    check_provenance(path, subset.provenance)
