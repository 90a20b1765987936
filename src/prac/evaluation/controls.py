"""Controls: tickets that lack one thing that a ticket has, to tell whether it mattered.

All keep exactly as many weights as the ticket does, and all but smart ratios as many of each layer.
Frankle and Carbin (2019) re-initialise; Frankle et al. (2021, arXiv 2009.08576) also shuffle within
layers; Su et al. (2020, arXiv 2009.11094) keep what no data says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from prac.algorithms import Masks, kept, smart_ratios
from prac.errors import PracError
from prac.models import check_masks, snapshot
from prac.runs import Ticket, Weights
from prac.utils import derive_seed, generator, seeded

MakeModel = Callable[[], nn.Module]


CONTROLS = ("reinitialised", "shuffled", "random", "smart-ratio")
"""Those that are made of a ticket alone."""


def control_of(
    ticket: Ticket,
    name: str,
    make_model: MakeModel,
    seed: int,
    output_layer: str | None = None,
) -> Ticket:
    """Return a control of a ticket, by its name.

    "reinitialised" has the same masks over new initial weights: all are new, also those that are
    never pruned, as biases, norms and the classifier. "shuffled" has each layer's mask shuffled,
    over the ticket's own weights, with the values that they have at the rewind point. "random" is
    both: nothing of the ticket is left but how many weights each layer keeps. "smart-ratio" is
    random too, and not even that is left: how many each layer keeps, `smart_ratios` says. The
    output layer is the classifier there, where it is linear and pruned.

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
    if name == "smart-ratio":
        masks = permuted(by_smart_ratios(ticket.masks, list(weights), output_layer), drawn)
    elif name != "reinitialised":
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


def by_smart_ratios(
    masks: Mapping[str, Tensor], order: Sequence[str], output_layer: str | None
) -> Masks:
    """Return masks that keep as many weights altogether, the first of each layer.

    Args:
        masks: The ticket's.
        order: Names of layers, and of others, in the network's order.
        output_layer: Name of the module that makes the outputs.
    """
    names = [name for name in order if name in masks]
    last = f"{output_layer}.weight"
    has_classifier = last in masks and masks[last].ndim == 2
    if has_classifier:
        names = [*(name for name in names if name != last), last]
    sizes = [masks[name].numel() for name in names]
    counts = smart_ratios(sizes, kept(masks), classifier=has_classifier)
    found = dict.fromkeys(masks, torch.empty(0))
    for name, count in zip(names, counts, strict=True):
        places = torch.arange(masks[name].numel(), device=masks[name].device)
        found[name] = (places < count).view(masks[name].shape)
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
