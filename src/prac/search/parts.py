"""The replaceable parts of a search, and what they pass to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from prac.algorithms import ForgettingTable, disagreements
from prac.runs import Cost
from prac.training import Problem
from prac.utils import brief, of_all


@dataclass(frozen=True, repr=False)
class LevelStats:
    """What a level's training has shown, from which the next level's set is selection.

    Attributes:
        level: Prunings that its network had.
        members: int64 (m,), ascending, the examples it trained on.
        table: Its forgetting statistics, of all n training examples.
        dense: int32 (n,), the dense network's predictions; None unless the rule asks for them.
        pruned: int32 (n,), this level's; None at level 0, where no pruned network exists yet.
        difficulty: float32 (n,), the dense network's EL2N scores; None unless the rule asks for
            them.
    """

    level: int
    members: Tensor
    table: ForgettingTable
    dense: Tensor | None = None
    pruned: Tensor | None = None
    difficulty: Tensor | None = None

    def __repr__(self) -> str:
        """Return the level, what it trained on, and its forgetting table in short."""
        trained = f"trained on {of_all(len(self.members), len(self.table), 'examples')}"
        return brief(self, f"level {self.level}", trained, repr(self.table))

    @property
    def exemplars(self) -> Tensor:
        """The CEP, which the dense and the pruned network predict differently; empty at level 0."""
        if self.dense is None or self.pruned is None:
            return self.members[:0]
        return disagreements(self.dense, self.pruned)


@dataclass(frozen=True, repr=False)
class Selection:
    """The next level's examples.

    Attributes:
        members: int64, ascending.
        parts: The sets it was made of, such as "cet" and "cep", ascending.
    """

    members: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return the sizes of the set and of its parts."""
        parts = (f"{name} {len(of):,}" for name, of in self.parts.items())
        return brief(self, f"{len(self.members):,} examples", *parts)


SubsetRule = Callable[[LevelStats], Selection | Tensor]
StopRule = Callable[[Sequence[float]], bool]
Score = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
LevelScore = Callable[[Mapping[str, Tensor], int], Mapping[str, Tensor]]
"""(weights, level) -> scores, higher being worth keeping."""


@dataclass(frozen=True)
class GradientScore:
    """A score that is taken from gradients, before anything is trained.

    Attributes:
        of: (problem, weights, masks, seed) -> scores, and what they cost.
        rounds: In how many rounds a search prunes by it.
    """

    of: Callable[
        [Problem, Mapping[str, Tensor], Mapping[str, Tensor], int], tuple[dict[str, Tensor], Cost]
    ]
    rounds: int


@dataclass(frozen=True)
class Rules:
    """The parts of one search.

    Attributes:
        needs_predictions: Whether `select` looks at predictions, which cost a pass over all data a
            level.
        stop: Mask distances of a level so far -> whether its mask is stable.
        gradient_score: What ranks weights instead of `score`; None where weights tell enough.
    """

    select: Callable[[LevelStats], Selection]
    needs_predictions: bool
    stop: StopRule
    score: LevelScore
    gradient_score: GradientScore | None = None
