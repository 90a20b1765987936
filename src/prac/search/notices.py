"""What a search should say of what its dense network's training has shown.

Sets are chosen by forgetting statistics, which tell examples apart only where a rule calls some of
them right, and the same ones wrong at times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prac.config import SearchConfig, SubsetConfig
from prac.runs import Level

if TYPE_CHECKING:
    from torch import Tensor

    from prac.algorithms import ForgettingTable

NEVER = 0.99
"""From this share of examples that never count as right on, forgetting tells nothing of them."""

SELDOM = 0.9
"""From this share on it tells little: which may be as it should, after a short training."""

ALWAYS = 0.999
"""From this share that are learned and never forgotten on, hardly any is left to choose."""

BY_CHANCE = "are drawn among them by chance"

SHORT = 0.2
"""Up to this share of a whole training, levels count as short."""

MOST = 0.5
"""From this share of critical examples on, sets are so large that random ones overlap with them."""

UNLEARNED = 0.05
"""From this share of never-learned examples on, wrong labels are told of."""


def never_right(
    table: ForgettingTable, members: Tensor, config: SubsetConfig, *, share_from: float = NEVER
) -> str | None:
    """Return what to say where nearly none of the examples ever counts as right; None elsewhere."""
    if config.rule not in ("prac", "cet"):
        return None
    share = float((~table.learned[members]).float().mean())
    if share < share_from:
        return None
    hold = "hold nearly all examples" if config.kept_fraction is None else BY_CHANCE
    return (
        f"{share:.1%} of the training examples never counted as right in level 0, so that "
        f"forgetting tells nothing of them: the next sets {hold}; train longer, or let the "
        f"task call more of them right, Task(correct=...)"
    )


def never_forgotten(table: ForgettingTable, members: Tensor, config: SubsetConfig) -> str | None:
    """Return what to say where nearly all of the examples stay right once they are; else None."""
    if config.rule not in ("prac", "cet"):
        return None
    lasting = table.learned[members] & (table.events[members] == 0)
    share = float(lasting.float().mean())
    if share < ALWAYS:
        return None
    hold = "hold little but what pruning makes the network misjudge, or a batch"
    if config.kept_fraction is not None:
        hold = BY_CHANCE
    return (
        f"{share:.1%} of the training examples were learned and never forgotten in level 0, so "
        f"that forgetting tells nothing of them: the next sets {hold}; let the task call fewer of "
        f"them right, Task(correct=...), unless the data is as easy as that"
    )


def outlook(level: Level, config: SearchConfig) -> str | None:
    """Return what level 0 shows of whether critical examples will pay.

    None for other levels and sets, of older runs, and where `never_right` or `never_forgotten`
    have more to say.
    """
    chosen, never, forgotten = config.subset, level.never_learned, level.forgotten
    if chosen.rule not in ("prac", "cet") or chosen.kept_fraction is not None:
        return None
    if level.index or never is None or forgotten is None or not level.set_size:
        return None
    unlearned, share = never / level.set_size, (never + forgotten) / level.set_size
    if unlearned >= SELDOM or share <= 1 - ALWAYS:
        return None
    return (
        f"level 0 forgot {forgotten / level.set_size:.1%} of the examples and never learned "
        f"{unlearned:.1%}: {expected(share, unlearned, config)} (docs/choosing.md)"
    )


def expected(share: float, never_learned: float, config: SearchConfig) -> str:
    """Return what sets of critical examples were worth where that was measured.

    `experiments.critical` is where: over random sets of the same sizes, on several problems.

    Args:
        share: Of level 0's examples, those forgotten or never learned.
        never_learned: Those never learned.
        config: The search's, whose levels may be cut short, or carry weights on.
    """
    budget = 1.0 if config.stop.budget is None else config.stop.budget
    no_more = "worth no more than random ones"
    if config.level.start == "carried":
        told = "elsewhere, such sets were worth little more than random ones in carried levels"
    elif share >= MOST:
        told = f"elsewhere, sets of so many were {no_more}"
    elif budget <= SHORT:
        told = (
            "elsewhere, such sets were worth more than random ones in levels as short as these, "
            "but hardly more than all data for as many iterations"
        )
    else:
        told = (
            f"elsewhere, such sets were mostly {no_more}, but more in levels cut to a tenth "
            "(--level-budget 0.1)"
        )
    if never_learned >= UNLEARNED:
        told += "; wrong labels, if there are any, are among the never learned, and fill sets"
    return told


def right_at_once(metrics: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether the dense network's first epoch found hardly any example to be wrong.

    A network that is to learn them is not right so early, not with data that is easy either: the
    rule calls everything right.
    """
    first = (line for line in metrics if (line.get("level"), line.get("epoch")) == (0, 1))
    share = next(first, {}).get("train_accuracy")
    return isinstance(share, float) and share >= ALWAYS
