"""How long property-based tests try: their own budget, or as many times that as TORTURE says."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("TORTURE", "1"))


def budget(examples: int) -> settings:
    """Return settings for so many examples, times the environment variable TORTURE."""
    return settings(
        max_examples=examples * TIMES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
