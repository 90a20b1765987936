"""How long property-based tests try: by their budget, the profile of hypothesis, and TORTURE."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("TORTURE", "1"))


def budget(examples: int) -> settings:
    """Return settings for so many examples, times the environment variable TORTURE.

    The number is for the 100 examples that hypothesis tries by itself; a profile that has it try
    others (`tests/conftest.py`) changes this one as much.
    """
    wanted = examples * TIMES * settings().max_examples // 100
    return settings(
        max_examples=max(1, wanted), deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
