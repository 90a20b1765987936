"""What verdicts mean, in words. No torch."""

from __future__ import annotations

from prac.runs import ACCURACY, Measure


def wins(measure: Measure = ACCURACY) -> str:
    """Return what verdicts by a metric mean."""
    reach = "at least the dense network's mean less"
    if not measure.higher_is_better:
        reach = "at most the dense network's mean plus"
    return (
        f"a ticket is winning or matching where, trained alone on all data, its {measure.mean} "
        f"test {measure.name} is {reach} one standard deviation of the dense runs: winning if it "
        f"starts from the initialisation and no control that was judged does as well as it, "
        f"matching otherwise; at chance: the dense network cannot be told from one answer for all "
        f"test examples, so that no ticket can be called winning"
    )


def definition(measure: Measure = ACCURACY) -> str:
    """Return the same, with what stands beside verdicts on several levels."""
    return (
        f"{wins(measure)}; p: of a paired, one-sided t test that the ticket is worse than dense, "
        f"pairs sharing the seed, each level by itself"
    )
