"""What training on a GPU should reach, on an H100 or H200: ResNet-20s, batches of 128, bf16."""

from __future__ import annotations

EPOCH_SECONDS = 0.25
"""An epoch of 45,000 images."""
OUTSIDE_SECONDS = 0.010
"""What an epoch takes outside its steps."""
STEP_SECONDS = 0.0007
"""A search's training step, half of the weights pruned."""
OVER_TEXTBOOK = 10.0
"""Times a textbook loop's images a second."""
PRAC_SECONDS, IMP_SECONDS = 120.0, 720.0
"""A search with 15 prunings on the paper's schedule."""
ONE_SEED_VISITS = 2
"""Visits in which the paper's protocol comes to the end of one seed."""
