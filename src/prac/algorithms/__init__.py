"""The method's algorithms: pure functions on tensors and numbers, usable in anyone's own loop."""

from prac.algorithms.exemplars import disagreements, topped_up, union
from prac.algorithms.forgetting import ForgettingTable, forgettable, hardest, hardest_first
from prac.algorithms.masks import (
    Masks,
    counts_to_come,
    density,
    kept,
    magnitude,
    ones,
    prune,
    random_scores,
)
from prac.algorithms.schedule import Plan, batch_sizes, scaled_plan
from prac.algorithms.stability import mask_distance, stable

__all__ = [
    "ForgettingTable",
    "Masks",
    "Plan",
    "batch_sizes",
    "counts_to_come",
    "density",
    "disagreements",
    "forgettable",
    "hardest",
    "hardest_first",
    "kept",
    "magnitude",
    "mask_distance",
    "ones",
    "prune",
    "random_scores",
    "scaled_plan",
    "stable",
    "topped_up",
    "union",
]
