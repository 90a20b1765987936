"""Pooling tickets that were trained anyway: averages of a ticket and its neighbours by density.

Yin et al., "Lottery Pools: Winning More by Interpolating Tickets without Increasing Training or
Inference Cost" (arXiv 2208.10842).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from torch import Tensor

from prac.algorithms import Masks
from prac.data import Examples
from prac.evaluation.cache import content_key, trained_weights
from prac.evaluation.connectivity import NORM_BATCHES, estimate_norms_, interpolated
from prac.io import read_dataclass, read_json, stored, write_json
from prac.models import masked, restore_, snapshot
from prac.training import Problem, RunControl, nothing, scores_of

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
"""How much of a neighbour is tried in an average, in which what it is added to stays the larger."""


@dataclass(frozen=True)
class Pool:
    """An average of trained tickets under the mask of one of them.

    Attributes:
        value: Of the task's metric, on test data.
        shares: Of each network taken in, in the order tried, in the average so far; 0 where it was
            left out.
    """

    value: float = field(metadata=stored(older="accuracy", signed=True))
    shares: tuple[float, ...]


def pool(
    problem: Problem,
    test: Examples,
    own: Mapping[str, Tensor],
    masks: Masks,
    neighbours: Sequence[Mapping[str, Tensor]],
    *,
    between: Callable[[], None] = nothing,
) -> Pool:
    """Return the average of a trained ticket and its neighbours that validates best.

    Neighbours are tried one after the other, in the order given, in several shares each; what
    makes the validation metric better is kept, under the ticket's own mask, so that the average is
    as sparse as the ticket. Nothing is trained; BatchNorm's statistics are estimated anew for each
    average. Test data is looked at once, for the one that was chosen.

    Args:
        problem: Its model's weights are replaced; it has validation examples, which choose.
        test: What the average is measured on.
        own: The trained ticket's `state_dict`.
        masks: The ticket's.
        neighbours: `state_dict`s of tickets trained from the same weights in the same order.
        between: Called before each batch of a pass; what it raises ends the work.
    """
    assert problem.val is not None, "whoever asks for pools has checked it"
    with problem.runtime.reproducible():
        restore_(problem.model, own)
        measure, best = problem.task.measure, scores_of(problem, problem.val, between).metric
        chosen, shares = dict(own), []
        for neighbour in neighbours:
            taken, before = 0.0, chosen
            for share in SHARES:
                restore_(problem.model, masked(interpolated(before, neighbour, share), masks))
                estimate_norms_(problem)
                found = scores_of(problem, problem.val, between).metric
                if measure.gain(found, best) > 0:
                    best, taken, chosen = found, share, snapshot(problem.model)
            shares.append(taken)
        restore_(problem.model, chosen)
        value = scores_of(problem, test, between).metric
    return Pool(value, tuple(shares))


def cached_pool(
    cache: Path,
    problem: Problem,
    test: Examples,
    own: Path,
    masks: Masks,
    neighbours: Sequence[Path],
    run_control: RunControl,
) -> Pool:
    """Return the pool of kept trainings, given by their folders, made only once.

    Raises:
        PracError: If what is kept is damaged.
        Interrupted: If the run control says to stop; nothing but this pool is lost.
    """
    val = None if problem.val is None else problem.val.fingerprint
    data = [problem.train.fingerprint, val, test.fingerprint]
    near = [one.name for one in neighbours]
    about = ["pool", own.name, near, data, problem.batch_size, SHARES, NORM_BATCHES]
    path = cache / f"pool-{content_key(about)}.json"
    if path.exists():
        return read_dataclass(Pool, read_json(path), path, more=True)
    found = pool(
        problem,
        test,
        trained_weights(own),
        masks,
        [trained_weights(folder) for folder in neighbours],
        between=partial(run_control.check, "while pooling tickets"),
    )
    write_json(path, {problem.task.measure.key: found.value, "shares": list(found.shares)})
    run_control.saved()
    return found
