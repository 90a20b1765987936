"""A ticket: a mask together with the weights that training restarts from, in memory and on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from prac.algorithms import Masks, density, kept
from prac.io import (
    Fields,
    check_provenance,
    checked_shapes,
    content_digest,
    damaged,
    pack,
    read_tensors,
    told_as_unwritable,
    unpacked,
    write_tensors,
)
from prac.models import (
    apply_masks_,
    check_masks,
    check_plain,
    masked,
    number_fault,
    restore_,
    tied,
)
from prac.runs.state import Weights
from prac.utils import brief, html_table, of_all, percent

M = TypeVar("M", bound=nn.Module)

WEIGHT, MASK = "weight/", "mask/"


@dataclass(frozen=True, repr=False)
class Ticket:
    """A sparse trainable subnetwork.

    Attributes:
        weights: The `state_dict` that training restarts from, BatchNorm buffers included. Pruned
            entries hold their rewound values; `apply` sets them to zero.
        masks: Bool tensors by parameter name; True keeps a weight.
        provenance: Where it comes from: architecture, data fingerprint, level, seed, rewind point,
            settings, versions. JSON values.
        tied: Further names that masked parameters have in `weights`, where modules share them, as
            `prac.models.tied` gives them: each with the name that it has in `masks`.
    """

    weights: Weights
    masks: Masks
    provenance: dict[str, Any] = field(default_factory=dict)
    tied: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return its level, its density, how many weights that is, and of which network."""
        return brief(self, *self._in_short())

    def _repr_html_(self) -> str:
        """Return its layers as a table, for a notebook."""
        rows = []
        for name, mask in self.masks.items():
            counts = f"{kept({name: mask}):,}", f"{mask.numel():,}"
            shape = "x".join(map(str, mask.shape))
            rows.append((name, shape, *counts, percent(density({name: mask}), 2)))
        title = f"Ticket: {', '.join(self._in_short())}"
        return html_table(title, ("layer", "shape", "kept", "of", "density"), rows)

    def _in_short(self) -> list[str]:
        prunable = sum(mask.numel() for mask in self.masks.values())
        told = [f"level {self.level}"] if "level" in self.provenance else []
        told.append(f"density {percent(self.density)}" if prunable else "no prunable weight")
        told += [of_all(kept(self.masks), prunable, "weights")] if prunable else []
        network = self.provenance.get("settings", {}).get("model")
        network = network or str(self.provenance.get("architecture", "")).rpartition("-")[0]
        control = self.provenance.get("control")
        return [*told, *(str(of) for of in (network, control and f"{control} control") if of)]

    @classmethod
    def of(
        cls, model: nn.Module, weights: Weights, masks: Masks, provenance: dict[str, Any]
    ) -> Ticket:
        """Return a ticket of a model, which tells what weights its modules share."""
        shared = {name: of for name, of in tied(model).items() if of in masks and name in weights}
        return cls(weights, masks, provenance, shared)

    @property
    def density(self) -> float:
        """Share of the prunable weights kept."""
        return density(self.masks)

    @property
    def level(self) -> int:
        """Prunings that made it."""
        return int(self.provenance.get("level", 0))

    @property
    def is_fine_tuned(self) -> bool:
        """Whether it trains at the schedule's last rate: it keeps weights that were trained."""
        fine_tunes = self.provenance.get("settings", {}).get("rewind") == "none"
        return self.level > 0 and fine_tunes and not self.provenance.get("drawn_anew", False)

    @property
    def digest(self) -> str:
        """Hex digest of weights and masks, which are what the ticket is, wherever it came from."""
        tensors = {WEIGHT + name: weight for name, weight in self.weights.items()}
        tensors |= {MASK + name: mask for name, mask in self.masks.items()}
        return content_digest(tensors, {})

    def apply(self, model: M) -> M:
        """Put the ticket into `model`, in place, and return it: rewound and masked.

        Raises:
            PracError: Naming the first mask or weight that does not fit the model.
        """
        check_plain(model)
        check_masks(model, self.masks)
        restore_(model, self.weights)
        parameters = dict(model.named_parameters())
        apply_masks_(
            (parameters[name], mask.to(parameters[name].device))
            for name, mask in self.masks.items()
        )
        return model

    def masked_weights(self) -> dict[str, Tensor]:
        """Return the weights with zeros where the masks prune, under all their names."""
        return masked(self.weights, self._masks_by_every_name())

    def _masks_by_every_name(self) -> Masks:
        return {**self.masks, **{name: self.masks[of] for name, of in self.tied.items()}}

    def save(self, path: str | Path) -> None:
        """Write the ticket as safetensors, masks packed eight to a byte, provenance in the header.

        The same ticket always gives the same bytes.

        Raises:
            PracError: If it is none that `load` would take.
        """
        path = Path(path)
        tensors = {WEIGHT + name: weight for name, weight in self.weights.items()}
        masks = self._masks_by_every_name()
        tensors |= {MASK + name: pack(mask) for name, mask in masks.items()}
        # A list, not a mapping: layers keep the model's order, in which ties are broken.
        shapes = [[name, list(mask.shape)] for name, mask in masks.items()]
        header = {"provenance": self.provenance, "mask_shapes": shapes}
        if self.tied:
            header["tied"] = dict(self.tied)
        with told_as_unwritable(path):
            _check(path, self.weights, masks, self.provenance)
            checked_shapes(shapes, path)
        write_tensors(path, tensors, "ticket", header)

    @classmethod
    def load(cls, path: str | Path) -> Ticket:
        """Return the ticket of a file.

        Raises:
            PracError: Naming the file and its fault.
        """
        path = Path(path)
        tensors, header = read_tensors(path, "ticket")
        fields = Fields(path, header)
        shapes = checked_shapes(fields.take("mask_shapes", list), path)
        provenance = fields.take("provenance", dict)
        shared = fields.take("tied", dict[str, str]) if "tied" in fields else {}
        fields.end()
        weights = {}
        masks = {name: unpacked(tensors, MASK + name, s, path) for name, s in shapes.items()}
        for key, tensor in tensors.items():
            if key.startswith(WEIGHT):
                weights[key.removeprefix(WEIGHT)] = tensor
            elif not key.startswith(MASK) or key.removeprefix(MASK) not in masks:
                raise damaged(path, f"it holds an unknown tensor {key!r}")
        _check(path, weights, masks, provenance)
        for name, of in shared.items():
            if name not in masks or of not in masks.keys() - shared.keys():
                raise damaged(path, f"{name!r} and {of!r} are tied, and have not a mask each")
            for kind in (weights, masks):
                if not torch.equal(kind[name], kind[of]):
                    raise damaged(path, f"{name!r} and {of!r} are tied, and are not equal")
        masks = {name: mask for name, mask in masks.items() if name not in shared}
        return cls(weights, masks, provenance, shared)


def _check(path: Path, weights: Weights, masks: Masks, provenance: Any) -> None:
    """Raise a Damaged unless the parts of a ticket fit together."""
    for name, mask in masks.items():
        if name not in weights:
            raise damaged(path, f"mask {name!r} has no weight")
        weight = weights[name]
        if weight.shape != mask.shape:
            shapes = f"{tuple(mask.shape)}, its weight is {tuple(weight.shape)}"
            raise damaged(path, f"mask {name!r} is {shapes}")
        if not weight.is_floating_point():
            raise damaged(path, f"weight {name!r} is {weight.dtype}: expected floating point")
    fault = number_fault(weights, masks)
    if fault is not None:
        raise damaged(path, fault)
    check_provenance(path, provenance)
