"""Indexed examples: the one interface between data and the training loop.

In-memory sets lie on the device and are gathered and augmented there; anything else goes through
a DataLoader. Both answer to `len`, `stream` and `fingerprint`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from prac.data.augment import Pipeline
from prac.errors import PracError
from prac.world import derived_seed

FINGERPRINT_SAMPLES = 256


class Examples(Protocol):
    """A fixed, indexed set of examples."""

    @property
    def fingerprint(self) -> str:
        """Hex digest of the content: two sets with the same one hold the same examples."""

    @property
    def source_indices(self) -> Tensor:
        """int64 (n,): each example's position in the data set it was split from."""

    def __len__(self) -> int:
        """Return the number of examples."""

    def to(self, device: torch.device) -> Examples:
        """Return the examples with batches arriving on `device`."""

    def stream(
        self, batches: Sequence[Tensor], *, seed: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x, y) on the device for each int64 index tensor of `batches`.

        With a seed, examples are augmented from it as in training; without, they are as stored.
        """


class TensorExamples:
    """Examples that lie in memory, as uint8 or float tensors."""

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        pipeline: Pipeline | None = None,
        source_indices: Tensor | None = None,
    ) -> None:
        """Hold (n, ...) inputs `x` and (n, ...) targets `y`.

        Raises:
            PracError: If their lengths differ or there is none.
        """
        if len(x) != len(y):
            raise PracError(f"the data has {len(x)} inputs but {len(y)} targets: expected as many")
        if len(x) == 0:
            raise PracError("the data set is empty: expected at least one example")
        self.x, self.y = x, y
        self.pipeline = pipeline or Pipeline()
        self.source_indices = torch.arange(len(x)) if source_indices is None else source_indices

    def __len__(self) -> int:
        """Return n."""
        return len(self.x)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of every input and target, shapes and types included."""
        digest = hashlib.sha256()
        for tensor in (self.x, self.y):
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            for part in tensor.split(4096):
                digest.update(_raw(part))
        return digest.hexdigest()

    def to(self, device: torch.device) -> TensorExamples:
        """Return the same examples lying on `device`."""
        if self.x.device == device:
            return self
        moved = TensorExamples(
            self.x.to(device), self.y.to(device), self.pipeline, self.source_indices
        )
        moved.__dict__["fingerprint"] = self.fingerprint
        return moved

    def stream(
        self, batches: Sequence[Tensor], *, seed: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x, y) gathered, augmented and normalised on the device."""
        for number, batch in enumerate(batches):
            ids = batch.to(self.x.device, non_blocking=True)
            batch_seed = None if seed is None else derived_seed(seed, number)
            yield self.pipeline(self.x[ids], batch_seed), self.y[ids]


class MapExamples:
    """Examples of any map-style dataset of (x, y), fetched through a DataLoader.

    Args:
        dataset: `dataset[i]` gives (x, y); x may be a uint8 image for `pipeline` to normalise.
        pipeline: What is done to a batch on the device.
        unaugmented: The same examples without random augmentation, for scoring passes; `dataset`
            itself where it does not augment.
        workers: Loading processes; with 0 examples are fetched in this one.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        pipeline: Pipeline | None = None,
        *,
        unaugmented: Dataset[Any] | None = None,
        workers: int = 0,
        device: torch.device | None = None,
        source_indices: Tensor | None = None,
    ) -> None:
        """Hold the dataset.

        Raises:
            PracError: If it has no length or no examples, or if `unaugmented` has another length.
        """
        try:
            length = len(dataset)  # type: ignore[arg-type]
        except TypeError as error:
            raise PracError(
                "the data set has no length: expected a map-style dataset with len() and [index]"
            ) from error
        if length == 0:
            raise PracError("the data set is empty: expected at least one example")
        if unaugmented is not None and len(unaugmented) != length:  # type: ignore[arg-type]
            raise PracError(
                f"the unaugmented data set has {len(unaugmented)} examples, "  # type: ignore[arg-type]
                f"the training set {length}: expected the same examples"
            )
        self.dataset, self.unaugmented = dataset, dataset if unaugmented is None else unaugmented
        self.pipeline = pipeline or Pipeline()
        self.workers = workers
        self.device = device or torch.device("cpu")
        self.source_indices = torch.arange(length) if source_indices is None else source_indices

    def __len__(self) -> int:
        """Return n."""
        return len(self.source_indices)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of the length and of up to 256 evenly spaced, unaugmented examples."""
        digest = hashlib.sha256(f"sampled {len(self)}".encode())
        count = min(FINGERPRINT_SAMPLES, len(self))
        for i in np.linspace(0, len(self) - 1, count).astype(int).tolist():
            for value in self.unaugmented[i]:
                digest.update(_raw(torch.as_tensor(value)))
        return digest.hexdigest()

    def to(self, device: torch.device) -> MapExamples:
        """Return the same examples with batches sent to `device`."""
        moved = MapExamples(
            self.dataset,
            self.pipeline,
            unaugmented=self.unaugmented,
            workers=self.workers,
            device=device,
            source_indices=self.source_indices,
        )
        if "fingerprint" in self.__dict__:
            moved.__dict__["fingerprint"] = self.fingerprint
        return moved

    def stream(
        self, batches: Sequence[Tensor], *, seed: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x, y) collated by the DataLoader and finished on the device."""
        loader = DataLoader(
            self.unaugmented if seed is None else self.dataset,
            batch_sampler=[batch.tolist() for batch in batches],
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            # Workers seed themselves from this, so that a resumed epoch augments alike.
            generator=torch.Generator().manual_seed(seed or 0),
        )
        for number, (x, y) in enumerate(loader):
            batch_seed = None if seed is None else derived_seed(seed, number)
            x = x.to(self.device, non_blocking=True)
            yield self.pipeline(x, batch_seed), y.to(self.device, non_blocking=True)


def as_examples(data: Any) -> Examples:
    """Return `data` as Examples: a pair of tensors, a map-style dataset, or Examples already.

    Raises:
        PracError: If it is none of them.
    """
    if isinstance(data, (TensorExamples, MapExamples)):
        return data
    if isinstance(data, (tuple, list)) and len(data) == 2:
        x, y = (torch.as_tensor(part) for part in data)
        return TensorExamples(x, y)
    if all(hasattr(data, name) for name in ("stream", "fingerprint", "source_indices")):
        return data  # type: ignore[no-any-return]
    if hasattr(data, "__getitem__"):
        return MapExamples(data)
    raise PracError(
        f"the data is a {type(data).__name__}: expected a map-style dataset of (x, y) or a pair "
        f"of tensors"
    )


def _raw(tensor: Tensor) -> bytes:
    return tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
