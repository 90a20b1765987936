"""Sanity checks: whether a ticket is better than one that took nothing, or less, from the data.

Su et al., "Sanity-Checking Pruning Methods: Random Tickets can Win the Jackpot" (NeurIPS 2020,
arXiv 2009.11094). No torch. What is asked about is a `LevelVerdict` of `prac.evaluation.verdict`,
which tells this with the rest of it.
"""

from __future__ import annotations

from typing import Any, Literal

CORRUPTED = ("corrupted-labels", "corrupted-inputs")
"""Controls whose masks the same search finds on corrupted data."""

SANITY = ("shuffled", "smart-ratio", *CORRUPTED)
"""Controls of the three checks: rearranged layers, layers by no data, corrupted data."""

Outcome = Literal["passes", "fails", "cannot be told"]


def outcomes(level: Any) -> dict[str, Outcome]:
    """Return how a ticket comes out of each check that was made, by the control's name.

    It passes where the control is worse by more than one standard deviation of the ticket's runs,
    and reliably so by the paired test; it fails where the control is within one, or better, and not
    reliably worse. Else it cannot be told, as with a single run, with pairs that all differ by the
    same, or where the dense network has learned nothing.
    """
    return {name: _outcome(level, name) for name in SANITY if name in level.controls}


def _outcome(level: Any, name: str) -> Outcome:
    is_as_good, is_worse = level.within_one_std(name), level.is_control_reliably_worse(name)
    if level.at_chance or is_as_good is None:
        return "cannot be told"
    if is_as_good == is_worse:  # Definition and test disagree, or the test is not sure.
        return "cannot be told"
    return "passes" if is_worse else "fails"
