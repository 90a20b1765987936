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


CONTROLS = ("reinitialised", "shuffled", "random")


def control_of(ticket: Ticket, name: str, make_model: MakeModel, seed: int) -> Ticket:
    """Return a control of a ticket, by its name.

    "reinitialised" has the same masks over new initial weights: all are new, also those that are
    never pruned, as biases, norms and the classifier. "shuffled" has each layer's mask shuffled,
    over the ticket's own weights, with the values that they have at the rewind point. "random" is
    both: nothing of the ticket is left but how many weights each layer keeps.

    Raises:
        PracError: If new weights are needed and `make_model` gives the same whatever the seed,
            which it must draw from torch's generator, or another architecture.
    """
    drawn = derive_seed(seed, "control", name)
    weights, masks = ticket.weights, ticket.masks
    origin = {**ticket.provenance, "control": name, "of": ticket.digest, "seed": seed}
    if name != "shuffled":
        own = drawn if name == "reinitialised" else derive_seed(drawn, "weights")
        weights = initial_weights(make_model, own, ticket)
        origin["drawn_anew"] = True  # New weights need the whole schedule, also of fine-tuning.
    if name != "reinitialised":
        masks = permuted(ticket.masks, drawn)
    return replace(ticket, weights=weights, masks=masks, provenance=origin)


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
