"""The method's algorithms: pure functions on tensors and numbers, usable in anyone's own loop."""

from prac.algorithms.exemplars import disagreements, topped_up, union
from prac.algorithms.forgetting import ForgettingTable, forgettable, hardest
from prac.algorithms.masks import (
    Masks,
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
    "density",
    "disagreements",
    "forgettable",
    "hardest",
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
