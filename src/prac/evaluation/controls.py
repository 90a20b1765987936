"""Controls: tickets that lack one thing that a ticket has, to tell whether it mattered.

All keep exactly as many weights of each layer as the ticket does. Frankle and Carbin (2019)
re-initialise; Frankle et al. (2021, arXiv 2009.08576) also shuffle within layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from prac.algorithms import Masks
from prac.errors import PracError
from prac.models import check_masks, snapshot
from prac.runs import Ticket, Weights
from prac.utils import derive_seed, generator, seeded

MakeModel = Callable[[], nn.Module]


def reinitialised(ticket: Ticket, make_model: MakeModel, seed: int) -> Ticket:
    """Return a ticket with the same masks over new initial weights.

    New are all weights, also those that are never pruned: biases, norms, the classifier.

    Raises:
        PracError: If `make_model` gives the same weights whatever the seed, which it must draw from
            torch's generator, or another architecture.
    """
    weights = initial_weights(make_model, derive_seed(seed, "control", "reinitialised"), ticket)
    return _control("reinitialised", ticket, weights, ticket.masks, seed)


def shuffled(ticket: Ticket, seed: int) -> Ticket:
    """Return a ticket with each layer's mask shuffled, over the ticket's own weights.

    As many weights of each layer are kept, in other places, with the values that they have at the
    rewind point.
    """
    drawn = derive_seed(seed, "control", "shuffled")
    return _control("shuffled", ticket, ticket.weights, permuted(ticket.masks, drawn), seed)


def randomised(ticket: Ticket, make_model: MakeModel, seed: int) -> Ticket:
    """Return random masks of the ticket's layerwise densities over new initial weights.

    Nothing of the ticket is left but how many weights each layer keeps.

    Raises:
        PracError: As `reinitialised`.
    """
    drawn = derive_seed(seed, "control", "random")
    weights = initial_weights(make_model, derive_seed(drawn, "weights"), ticket)
    return _control("random", ticket, weights, permuted(ticket.masks, drawn), seed)


CONTROLS: dict[str, Callable[[Ticket, MakeModel, int], Ticket]] = {
    "reinitialised": reinitialised,
    "shuffled": lambda ticket, make_model, seed: shuffled(ticket, seed),
    "random": randomised,
}
"""What makes each control from a ticket, a maker of models and a seed."""


def permuted(masks: Mapping[str, Tensor], seed: int) -> Masks:
    """Return masks that keep as many weights of each layer, in places drawn from the seed.

    >>> masks = {"w": torch.tensor([[True, True], [True, False]])}
    >>> int(permuted(masks, seed=0)["w"].sum())
    3
    """
    found = {}
    for name, mask in masks.items():
        places = torch.randperm(mask.numel(), generator=generator(seed, name))
        found[name] = mask.flatten()[places.to(mask.device)].view(mask.shape)
    return found


def initial_weights(make_model: MakeModel, seed: int, like: Ticket) -> Weights:
    """Return the `state_dict` of a new network, its initial weights drawn from the seed.

    Raises:
        PracError: If the network is the same under another seed, or the ticket is not for it.
    """
    with seeded(seed):
        model = make_model()
    with seeded(derive_seed(seed, "another")):
        other = make_model()
    check_masks(model, like.masks)
    weights, others = snapshot(model), snapshot(other)
    if all(torch.equal(weights[name], others[name]) for name in like.masks):
        raise PracError(
            "make_model gives the same weights under two seeds, so nothing can be re-initialised: "
            "it must draw them from torch's generator; leave torch.manual_seed out of it"
        )
    return weights


def _control(name: str, ticket: Ticket, weights: Weights, masks: Masks, seed: int) -> Ticket:
    origin = {**ticket.provenance, "control": name, "of": ticket.digest, "seed": seed}
    if weights is not ticket.weights:
        origin["drawn_anew"] = True  # New weights need the whole schedule, also of fine-tuning.
    return replace(ticket, weights=weights, masks=masks, provenance=origin)
