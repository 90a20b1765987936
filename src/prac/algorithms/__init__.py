"""The method's algorithms: pure functions on tensors and numbers, usable in anyone's own loop."""

from prac.algorithms.difficulty import coverage_centric, error_norms, hardest_by
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
from prac.algorithms.saliency import grasp, snip, synflow
from prac.algorithms.sampling import fresh_sample, infobatch
from prac.algorithms.schedule import Plan, batch_sizes, scaled_plan
from prac.algorithms.stability import mask_distance, stable

__all__ = [
    "ForgettingTable",
    "Masks",
    "Plan",
    "batch_sizes",
    "counts_to_come",
    "coverage_centric",
    "density",
    "disagreements",
    "error_norms",
    "forgettable",
    "fresh_sample",
    "grasp",
    "hardest",
    "hardest_by",
    "hardest_first",
    "infobatch",
    "kept",
    "magnitude",
    "mask_distance",
    "ones",
    "prune",
    "random_scores",
    "scaled_plan",
    "snip",
    "stable",
    "synflow",
    "topped_up",
    "union",
]
