"""How a search's levels train beyond the rewind point. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prac.config.settings import Settings, setting


@dataclass(frozen=True, repr=False)
class LevelConfig(Settings):
    """How a search trains beyond the rewind point; what its tickets hold is `rewind`'s to say."""

    start: Literal["rewound", "carried"] = setting(
        "rewound",
        "what a level after the dense one trains from: its ticket's weights, or those just trained "
        "and pruned, with the optimiser as it is",
        flag="level_start",
    )
    lr_factor: float = setting(
        1.0,
        "factor of the learning rate in the search from the rewind point on",
        flag="level_lr_factor",
        above=0,
    )
    weight_decay: float | None = setting(
        None,
        "weight decay in the search from the rewind point on, where it is another",
        flag="level_weight_decay",
        at_least=0,
    )
    growth: float = setting(
        1.0,
        "factor by which a level's share, level_budget, is longer than that of the level before; "
        "that of level 1 is as given",
        flag="level_growth",
        at_least=1,
    )
    schedule: Literal["full", "constant", "cosine"] = setting(
        "full",
        "learning rate within levels after the dense one: the full schedule's from its beginning "
        "on, its peak all along, or falling to zero at a level's end",
        flag="level_schedule",
    )
    prunings: int = setting(
        1,
        "steps in which levels after the dense one are pruned to the next density, evenly over "
        "their length",
        flag="level_prunings",
        at_least=1,
    )

    @property
    def carries(self) -> bool:
        """Whether a level goes on from the weights that the one before it trained."""
        return self.start == "carried"
