"""How many weights each layer keeps, where no data says it: plain numbers, no tensors."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

CLASSIFIER_SHARE = Fraction(3, 10)
"""Of a linear classifier's weights, that smart ratios keep."""


def smart_ratios(sizes: Sequence[int], kept: int, *, classifier: bool = False) -> list[int]:
    """Return how many weights each layer keeps by smart ratios, `kept` of them altogether.

    Su et al. 2020 (arXiv 2009.11094): layer l of L keeps a share of its weights in proportion to
    (L - l + 1)^2 + (L - l + 1), the first layers the most, and a linear classifier 30 %, whatever
    the data and the weights. This is the rule that they give for ResNets; for VGG they divide it
    by l^2. L counts the layers given. Where a share would be above 1, the layer keeps all its
    weights, and the others keep more in the same proportion. Where the weights suffice each layer
    keeps at least one.

    Args:
        sizes: Weights by layer, in the network's order.
        kept: Weights kept of all layers.
        classifier: Whether the last layer is a linear classifier, which keeps 30 %. If the other
            layers have too few weights for the rest it keeps more; if too few are kept for it and
            a weight of each other layer, the rule for all layers is its own, too.

    Raises:
        ValueError: If more are kept than there are, or a number is negative.

    >>> smart_ratios([100, 100, 100], 60)  # In the proportion 12 : 6 : 2.
    [36, 18, 6]
    >>> smart_ratios([10, 100, 100], 90)  # The first keeps all; 6 : 2 share the rest.
    [10, 60, 20]
    >>> smart_ratios([100, 100, 100], 60, classifier=True)
    [20, 10, 30]
    """
    if any(size < 0 for size in sizes):
        raise ValueError(f"sizes are {list(sizes)}: expected none below 0")
    if not 0 <= kept <= sum(sizes):
        raise ValueError(f"kept is {kept}: expected 0 to {sum(sizes)}, all weights")
    count = len(sizes)
    ratios = [(count - place) ** 2 + (count - place) for place in range(count)]
    if classifier and sizes:
        *others, last = sizes
        own = max(round(CLASSIFIER_SHARE * last), min(1, last), kept - sum(others))
        if kept - own >= _least(others):
            return [*_shared(others, ratios[:-1], kept - own), own]
    return _shared(sizes, ratios, kept)


def _least(sizes: Sequence[int]) -> int:
    """Return the weights that give each layer one."""
    return sum(size > 0 for size in sizes)


def _shared(sizes: Sequence[int], ratios: Sequence[int], kept: int) -> list[int]:
    """Return weights kept by layer, in shares of their sizes that are in proportion to `ratios`.

    Each is between one, where `kept` suffices, and its size. What is left by rounding down goes to
    the largest remainders, of equal ones to the first.
    """
    low = int(kept >= _least(sizes))
    least = [min(low, size) for size in sizes]
    weights = [ratio * size for ratio, size in zip(ratios, sizes, strict=True)]

    def wanted(scale: Fraction) -> list[Fraction]:
        return [
            min(max(scale * weight, Fraction(lowest)), Fraction(size))
            for weight, lowest, size in zip(weights, least, sizes, strict=True)
        ]

    # What is kept rises with the scale, along straight lines between these points.
    corners = {Fraction(0)}
    for weight, lowest, size in zip(weights, least, sizes, strict=True):
        corners |= {Fraction(lowest, weight), Fraction(size, weight)} if weight else set()
    before = after = Fraction(0)
    for corner in sorted(corners):
        before, after = after, corner
        if sum(wanted(after)) >= kept:
            break
    below, above = sum(wanted(before)), sum(wanted(after))
    part = Fraction(kept - below) / (above - below) if above > below else Fraction(0)
    exact = wanted(before + part * (after - before))
    found = [int(of) for of in exact]
    by_remainder = sorted(range(len(exact)), key=lambda place: (found[place] - exact[place], place))
    for place in by_remainder[: kept - sum(found)]:
        found[place] += 1
    return found
