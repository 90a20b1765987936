"""The whole state of a run as one immutable value: what a resumed run needs, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from prac.algorithms import ForgettingTable, Masks, density
from prac.runs.cost import Cost
from prac.utils import brief, percent

Weights = dict[str, Tensor]


@dataclass(frozen=True, repr=False)
class RunState:
    """A search or a retraining between two iterations. Tensors lie on the CPU.

    Attributes:
        level: Prunings done so far.
        stage: 0 while the network's weights are trained; 1 where its masks are learned, of which
            `weights` then holds the scores, under the names of the weights that they keep.
        step: Where in this level's plan it is, in iterations; in its stage's, where it has two.
        weights: The model's `state_dict` now.
        masks, members: What this level trains under, and on: int64, ascending.
        table: This level's forgetting statistics, of all training examples; of all levels so far
            where weights are carried.
        optimizer: The optimiser's tensors by flat name; empty where it begins anew.
        average: The exponential moving average of this level's weights so far, with the network's
            buffers; None where none is asked for.
        rewind: The weights of the next tickets, once the rewind point has passed.
        candidate: The masks that pruning would have given after the last epoch.
        distances: This level's mask distances, one an epoch from the second on.
        epoch_losses: float32 (k,), of this epoch's iterations so far; empty between epochs.
        epoch_examples, epoch_correct: Presented in it so far, and predicted right.
        best: `state_dict` of the epoch whose validation metric is the best.
        best_metric: That metric's value; None before the first validation, or where it is no
            finite number.
        best_accuracy: The share of validation examples that count as right then; below 0 before
            the first validation.
        best_loss: Its validation loss, where that is a finite number.
        best_epoch: That epoch, counted from 1.
        dense_predictions: int32 or int64 (n,), the dense network's, once known.
        source: What the next levels are pruned from, as far as they are not trained.
        difficulty: float32 (n,), EL2N scores, once taken.
        newest_losses: float32 (n,), of each example when last presented in this level, infinite if
            never; None unless what is presented depends on it.
        epoch_start_losses: The same as it was at the epoch's beginning.
        cost: What this level has cost so far.
    """

    level: int
    step: int
    weights: Weights
    masks: Masks
    members: Tensor
    table: ForgettingTable
    optimizer: dict[str, Tensor] = field(default_factory=dict)
    average: Weights | None = None
    rewind: Weights | None = None
    candidate: Masks | None = None
    distances: tuple[float, ...] = ()
    epoch_losses: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float32))
    epoch_examples: int = 0
    epoch_correct: int = 0
    best: Weights | None = None
    best_accuracy: float = -1.0
    best_loss: float | None = None
    best_epoch: int = 0
    dense_predictions: Tensor | None = None
    source: Weights | None = None
    difficulty: Tensor | None = None
    newest_losses: Tensor | None = None
    epoch_start_losses: Tensor | None = None
    cost: Cost = field(default_factory=Cost)
    stage: int = 0
    best_metric: float | None = None

    def __repr__(self) -> str:
        """Return where it is; its tensors are left out."""
        best = f"best epoch {self.best_epoch}" if self.best_epoch else None
        return brief(
            self,
            f"level {self.level}",
            f"iteration {self.step:,}",
            f"density {percent(density(self.masks))}",
            f"{len(self.members):,} examples",
            best,
        )

    @property
    def is_within_epoch(self) -> bool:
        """Whether an epoch has begun and not ended."""
        return len(self.epoch_losses) > 0

    def at_next_level(
        self, weights: Weights, masks: Masks, members: Tensor, *, goes_on: bool = False
    ) -> RunState:
        """Return the state in which the next level starts: what this level gathered is gone.

        Where the same training `goes_on`, the optimiser's tensors and what was seen of each example
        are kept.
        """
        table = ForgettingTable.empty(len(self.table))
        begun = RunState(self.level + 1, 0, weights, masks, members, table)
        lasting = ["rewind", "dense_predictions", "source", "difficulty", "stage"]
        if goes_on:
            lasting += ["optimizer", "table", "newest_losses", "epoch_start_losses"]
        return replace(begun, **{name: getattr(self, name) for name in lasting})

    def add_cost(self, more: Cost) -> RunState:
        """Return the state with `more` added to this level's cost."""
        return replace(self, cost=self.cost + more)
