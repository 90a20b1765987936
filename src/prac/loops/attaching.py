"""Masks that hold in anyone's own training loop: pruned weights are zero after every step."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from prac.algorithms import Masks, density, kept
from prac.errors import PracError
from prac.loops.wrapped import bare, check_whole, stepping, weights_by_own_names
from prac.models import apply_masks_, check_masks_fit
from prac.runs import Ticket

Weights = dict[str, nn.Parameter]


class Attachment:
    """Masks held on a model; `attach` makes it. As a context manager it ends with the block.

    Its `density` is the share of the masked layers' weights kept, 0 to 1.

    It lasts until `detach`, or as long as the model. A copy of the model or of the optimiser has
    none. Leaving the block detaches and, unless an error is on its way, checks as `check` does.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        masks: Masks,
        averages: Sequence[nn.Module],
    ) -> None:
        # Whoever has the optimiser has this by its hooks, which should not keep a model alive.
        self._model = weakref.ref(model)
        self._optimizers, self._averages = list(optimizers), list(averages)
        self._weights: Weights = {}
        self._masks: Masks = {}
        self._factors: dict[str, Tensor] = {}
        self._put_on_(masks)
        self._hooks = [one.register_step_post_hook(self._hold_) for one in optimizers]

    @property
    def masks(self) -> Masks:
        """Bool tensors by the user's parameter names, on the CPU; True keeps a weight."""
        return {name: mask.clone() for name, mask in self._masks.items()}

    @property
    def density(self) -> float:
        """Share of the masked layers' weights kept, 0 to 1."""
        return density(self._masks)

    @property
    def is_attached(self) -> bool:
        """Whether the masks are held: not after `detach`."""
        return bool(self._hooks)

    def set_masks(self, masks: Ticket | Mapping[str, Tensor]) -> None:
        """Hold other masks from now on, as for pruning on the way.

        They are put on at once, as `attach` does. A weight that comes back starts from zero, and so
        does what the optimiser gathers of it.

        Raises:
            PracError: As `attach` does, or if the masks are detached. The old ones then still hold.
        """
        if not self.is_attached:
            raise PracError("the masks are detached: attach new ones by prac.attach")
        self._put_on_(_as_masks(masks))

    def check(self) -> None:
        """Look whether all pruned weights are zero, in the model and in its averages.

        Raises:
            PracError: Naming the first layer where one is not, or is no longer that of the model.
        """
        held = [("the model", self._current()), *self._average_weights()]
        for what, weights in held:
            for name, mask in self._masks.items():
                weight = weights[name].detach()
                pruned = weight[~mask.to(weight.device)]
                if pruned.isnan().any():
                    raise PracError(
                        f"weight {name!r} of {what} holds NaN: training has diverged; try a lower "
                        f"learning rate"
                    )
                if count := int(pruned.count_nonzero()):
                    raise PracError(
                        f"{count} pruned weights of {name!r} in {what} are not zero: something "
                        f"else than a step of the attached optimizer wrote them; attach that "
                        f"optimizer too, or attach anew after loading weights"
                    )

    def detach(self) -> None:
        """Hold the masks no longer. Weights stay as they are; a second time does nothing."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        model = self._model()
        if model is not None and _ATTACHED.get(model) is self:
            del _ATTACHED[model]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.detach()
        if kind is None:
            self.check()

    def __repr__(self) -> str:
        total = sum(mask.numel() for mask in self._masks.values())
        return (
            f"<Attachment: {kept(self._masks):,} of {total:,} weights kept in "
            f"{len(self._masks)} layers, {'attached' if self.is_attached else 'detached'}>"
        )

    @torch.no_grad()
    def _put_on_(self, masks: Masks) -> None:
        """Prune weights, averages and what optimisers have gathered of weights; hold from now."""
        model = self._model()
        assert model is not None, "whoever puts masks on has the model"
        weights = weights_by_own_names(model)
        masks = _checked(masks, weights)
        for what, average in self._average_weights():
            _check_average(what, average, masks)
        self._check_trained({name: weights[name] for name in masks})
        before = self._masks
        self._masks = {name: mask.cpu().clone() for name, mask in masks.items()}
        # A layer that keeps everything needs none.
        self._factors = {name: mask for name, mask in self._masks.items() if not bool(mask.all())}
        for name in self._factors:  # Now: a step that is captured may copy nothing to its device.
            self._factor(name, weights[name])
        # Under all their names: a layer that is untied would be held under the other one only.
        masked = {id(weights[name]) for name in masks}
        self._weights = {name: one for name, one in weights.items() if id(one) in masked}
        for on in (weights, *(average for _, average in self._average_weights())):
            apply_masks_((on[name], mask.to(on[name].device)) for name, mask in masks.items())
        for name, mask in self._masks.items():
            used = mask & before.get(name, mask)
            for optimizer in self._optimizers:
                _forget_(optimizer, weights[name], ~used)

    @torch.no_grad()
    def _hold_(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Set pruned weights to zero: torch calls this after a step. It waits for no device."""
        weights = self._current()
        self._check_trained(weights)
        # Where each weight has an optimiser of its own, no step should go through all of them.
        stepped = _trained_by([optimizer])
        names = [name for name in self._factors if id(weights[name]) in stepped]
        if names:  # One kernel for all, on a GPU.
            factors = [self._factor(name, weights[name]) for name in names]
            torch._foreach_mul_([weights[name] for name in names], factors)

    def _factor(self, name: str, weight: Tensor) -> Tensor:
        """Return a mask as its weight is in type and layout: several times as fast as bools."""
        factor = self._factors[name]
        if (factor.device, factor.dtype) != (weight.device, weight.dtype):
            factor = self._factors[name] = torch.empty_like(weight).copy_(factor)
        return factor

    def _current(self) -> Weights:
        """Return the masked weights by all their names.

        Raises:
            PracError: If one is another object than when it was masked.
        """
        model = self._model()
        if model is None:  # Its weights are trained all the same, for all that anyone can tell.
            return self._weights
        found = weights_by_own_names(model)
        for name, weight in self._weights.items():
            if found.get(name) is not weight:
                raise PracError(
                    f"weight {name!r} is another object than the one that was masked, so the mask "
                    f"no longer holds: attach after what replaces weights, such as "
                    f"load_state_dict(assign=True) or sharding, and make the optimizer there too"
                )
        return self._weights

    def _check_trained(self, weights: Weights) -> None:
        """Raise a PracError where a masked weight trains, and none of the optimisers has it."""
        ours = _trained_by(self._optimizers)
        for name, weight in weights.items():
            if weight.requires_grad and id(weight) not in ours:
                raise PracError(
                    f"weight {name!r} has a mask and trains, but not by the optimizer given: pass "
                    f"the one that has this parameter itself, no copy of it, or a list of all; or "
                    f"freeze it by requires_grad_(False)"
                )

    def _average_weights(self) -> list[tuple[str, Weights]]:
        return [
            (f"the average {type(one).__name__}", weights_by_own_names(one))
            for one in self._averages
        ]


_ATTACHED: WeakKeyDictionary[nn.Module, Attachment] = WeakKeyDictionary()
"""What is held on each model, from `attach` to `detach`."""


def attach(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer],
    ticket_or_masks: Ticket | Mapping[str, Tensor],
    *,
    ema: nn.Module | Sequence[nn.Module] = (),
) -> Attachment:
    """Hold masks in your own training loop: pruned weights are zero after every optimiser step.

    Pruned weights are set to zero at once, and so is what the optimiser has gathered for them, such
    as momentum. After each `optimizer.step()` a hook sets them to zero again, whatever gradients,
    momentum and weight decay did. Of a ticket only the masks are taken: `ticket.apply(model)`
    first, if training is to start from its weights.

    What wraps model or optimiser is seen through: `torch.compile`, `DataParallel`,
    `DistributedDataParallel`, accelerate, Lightning. A model may be wrapped, compiled, moved to
    another device or type afterwards as well; masks follow the weights. If a weight is replaced by
    another object, the next step raises an error.

    Within a step nothing is held: an optimiser that evaluates the loss at several points (LBFGS by
    its closure, SAM) may do so with pruned weights that are not zero. Gradients are not masked. A
    step captured in a CUDA graph replays the masks that it was captured with.

    Args:
        model: The network whose weights the masks name, bare or wrapped, or one module of a larger
            one.
        optimizer: What trains it, or several in a list. It may have other parameters, too.
        ticket_or_masks: A ticket, or bool tensors shaped as the weights, by the names that they
            have in your module; True keeps a weight.
        ema: Averages of the model's weights, such as an `AveragedModel`, that have taken in dense
            weights before: they are pruned, too, and stay so. One that is made later, or has not
            been updated yet, needs no mention.

    Returns:
        What is attached, to `check()`, to give other masks, and to `detach()`. Also a context
        manager, which does the last at its end.

    Raises:
        PracError: If a mask has no such weight or another shape; if a masked weight trains by none
            of the optimisers; if the model has masks attached already; or if something trains
            copies of the weights, as DeepSpeed does, or pieces, as FSDP does.

    >>> layer = nn.Linear(2, 1, bias=False)
    >>> sgd = torch.optim.SGD(layer.parameters(), lr=0.1)
    >>> with attach(layer, sgd, {"weight": torch.tensor([[True, False]])}):
    ...     layer(torch.ones(2)).sum().backward()
    ...     sgd.step()
    >>> layer.weight[0, 1].item() == 0
    True
    """
    if not isinstance(model, nn.Module):
        raise PracError(f"the model is a {type(model).__name__}: expected a torch.nn.Module")
    check_whole(model)
    model = bare(model)
    if model in _ATTACHED:
        raise PracError(
            f"the model {type(model).__name__} has masks attached already: give it others by their "
            f"set_masks, or take them off by prac.detach(model)"
        )
    optimizers = optimizer if isinstance(optimizer, Sequence) else [optimizer]
    averages = [ema] if isinstance(ema, nn.Module) else ema
    attachment = Attachment(model, stepping(optimizers), _as_masks(ticket_or_masks), averages)
    _ATTACHED[model] = attachment
    return attachment


def detach(model_or_optimizer: nn.Module | torch.optim.Optimizer) -> None:
    """Take off what `attach` put on a model, or on all models that an optimiser trains.

    Weights stay as they are.

    Raises:
        PracError: If nothing is attached there.
    """
    if isinstance(model_or_optimizer, nn.Module):
        found = [_ATTACHED.get(bare(model_or_optimizer))]
    else:
        ours = {id(one) for one in stepping([model_or_optimizer])}
        found = [one for one in _ATTACHED.values() if ours & set(map(id, one._optimizers))]
    attached = [one for one in found if one is not None]
    if not attached:
        raise PracError(
            f"nothing is attached to this {type(model_or_optimizer).__name__}: pass the model or "
            f"the optimizer that prac.attach was given"
        )
    for one in attached:
        one.detach()


def _as_masks(masks: Any) -> Masks:
    """Return masks, or a ticket's, if all are bool tensors."""
    if isinstance(masks, Ticket):
        return masks.masks
    if not isinstance(masks, Mapping):
        raise PracError(
            f"ticket_or_masks is a {type(masks).__name__}: expected a prac.Ticket, or bool tensors "
            f"by parameter name"
        )
    for name, mask in masks.items():
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        if kind is not torch.bool:
            raise PracError(
                f"mask {name!r} is of type {kind}: expected a bool tensor, True where a weight "
                f"stays; a mask of zeros and ones by mask.bool()"
            )
    return dict(masks)


def _checked(masks: Masks, weights: Weights) -> Masks:
    """Return one mask for each weight, however many names it has.

    Raises:
        PracError: If a mask fits no weight, or two masks of one weight differ.
    """
    if not masks:
        raise PracError("there are no masks to hold: expected one for a parameter at least")
    check_masks_fit(weights, masks)
    names: dict[int, str] = {}
    for name, mask in masks.items():
        first = names.setdefault(id(weights[name]), name)
        if not torch.equal(mask.cpu(), masks[first].cpu()):
            raise PracError(
                f"masks {first!r} and {name!r} differ, but are of one weight, which modules share: "
                f"leave one out"
            )
        if type(weights[name]).__name__ == "DTensor":
            raise PracError(
                f"weight {name!r} is spread over processes (DTensor): masks cannot be held there; "
                f"use DistributedDataParallel"
            )
    return {name: masks[name] for name in names.values()}


def _check_average(what: str, average: Weights, masks: Masks) -> None:
    for name, mask in masks.items():
        if name not in average or average[name].shape != mask.shape:
            raise PracError(
                f"{what} has no weight {name!r} of shape {tuple(mask.shape)}: expected an average "
                f"of the attached model"
            )


def _trained_by(optimizers: Sequence[torch.optim.Optimizer]) -> set[int]:
    """Return the ids of the parameters that optimisers have."""
    groups = (group for one in optimizers for group in one.param_groups)
    return {id(parameter) for group in groups for parameter in group["params"]}


def _forget_(optimizer: torch.optim.Optimizer, weight: Tensor, pruned: Tensor) -> None:
    """Set what an optimiser has gathered for pruned elements of a weight to zero."""
    for key, gathered in optimizer.state.get(weight, {}).items():
        # Neither a count of steps nor codes of eight bits, in which zero may stand for another.
        is_plain = type(gathered) is Tensor and gathered.is_floating_point()
        if is_plain and key != "step" and gathered.shape == weight.shape:
            gathered.masked_fill_(pruned.to(gathered.device), 0)
