"""The methods that are tried one after the other, and how far one of them searches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prac.comparison import MethodSpec, method_specs
from prac.config import OF_TICKETS, Rewind, SearchConfig, flat
from prac.errors import PracError

LADDER = ("frugal", "imp")
"""The cheapest method, and the surest, which goes on from its sparsest ticket that matches.

Carried levels of other lengths between the two cost about as much as these few levels of IMP.
"""

WITH_BATCHNORM = ("carried", "imp")
"""The same for networks with BatchNorm, for whose statistics frugal's levels are too short."""


def rungs(methods: Sequence[str], config: SearchConfig) -> list[MethodSpec]:
    """Return the methods as they search, in the order given.

    Raises:
        PracError: As `method_specs`, or if one cannot find a ticket that wins.
    """
    _check_rewind("the searches", config)
    specs = method_specs(methods, config)
    for spec in specs:
        if spec.like is not None:
            raise PracError(
                f"method {spec.name!r} works at the cost of another, which is for comparisons: "
                f"name it without @{spec.like}"
            )
        _check_rewind(f"method {spec.name!r}", spec.config)
    return specs


def _check_rewind(whose: str, config: SearchConfig) -> None:
    """Raise a PracError where tickets hold trained weights, which no training alone makes win."""
    if Rewind.parse(config.rewind).keeps_weights:
        raise PracError(
            f"rewind of {whose} is {config.rewind!r}: tickets that hold trained weights do not win "
            f"by being trained again: use init, epoch:N or iteration:N"
        )


def goes_on(spec: MethodSpec, before: Sequence[MethodSpec]) -> bool:
    """Say whether a method can go on from a ticket that any of the methods before it found.

    It cannot where it does not train every level, prunes or rewinds otherwise than they do, or
    chooses examples by what they do not measure; then it searches from the dense network on.
    """
    mine = flat(spec.config)
    is_same = all(flat(one.config)[name] == mine[name] for one in before for name in OF_TICKETS)
    if spec.config.prune.learns or spec.config.levels_a_training != 1 or not is_same:
        return False

    def measured(one: MethodSpec) -> dict[str, Any]:
        subset = one.config.subset
        return {"predictions": subset.needs_predictions, "el2n": subset.needs_difficulty}

    wanted = [name for name, needed in measured(spec).items() if needed]
    return all(measured(one)[name] for one in before for name in wanted)


def searches_at_once(spec: MethodSpec) -> bool:
    """Say whether a method searches all levels at once, rather than as far as they are judged.

    A level that is rewound costs the same whenever it is trained, and may turn out not to be
    needed; weights that are carried are trained anew where a search goes on from a ticket, and
    scores that are learned go on from the dense network alone.
    """
    config = spec.config
    return config.level.carries or config.prune.learns or config.levels_a_training != 1
