"""Between an `nn.Module` and named tensors: masks, snapshots.

No wrappers and no extra parameters: a model's `state_dict` keys are its own, always.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from prac.errors import PracError
from prac.models.plain import is_computed, is_expanded, is_same
from prac.utils import on_cpu


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the model's `state_dict` on the CPU: weights and buffers."""
    return on_cpu(_own_tensors(model))


def _own_tensors(model: nn.Module) -> dict[str, Tensor]:
    # get_extra_state may put anything there.
    # Nor may an own state_dict leave anything out.
    kept = nn.Module.state_dict(model)
    return {name: value for name, value in kept.items() if isinstance(value, Tensor)}


def restore_(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put a snapshot's weights and buffers into the model.

    Raises:
        PracError: Naming the first tensor that is missing, too many or of another shape.
    """
    own = _own_tensors(model)
    for name in weights:
        if name not in own:
            raise PracError(f"the weights hold {name!r}, which the model lacks: another model's")
    for name, value in own.items():
        if name not in weights:
            raise PracError(f"the model's {name!r} is not among the weights: another model's")
        if value.shape != weights[name].shape:
            raise PracError(
                f"weight {name!r} is {tuple(weights[name].shape)}, the model's is "
                f"{tuple(value.shape)}: these weights are for another model"
            )
    for buffer in model.buffers():
        if is_expanded(buffer):  # Nothing can be written into it as it is.
            buffer.data = buffer.clone(memory_format=torch.contiguous_format)
    # Not strict: the names were checked, but for extra state that is no tensor.
    nn.Module.load_state_dict(model, dict(weights), strict=False)


def check_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Raise a PracError unless every mask fits a parameter of the model."""
    check_masks_fit(dict(model.named_parameters()), masks)


def check_masks_fit(parameters: Mapping[str, nn.Parameter], masks: Mapping[str, Tensor]) -> None:
    """Raise a PracError unless every mask fits one of a model's parameters, by their names."""
    for name, mask in masks.items():
        if name not in parameters and is_computed(name, parameters):
            raise PracError(
                f"weight {name!r} of the model is computed from others (weight_norm, a "
                f"parametrisation): take that off, and mask what is left"
            )
        if name not in parameters:
            raise PracError(f"mask {name!r} has no parameter in the model: it is another model's")
        if mask.shape != parameters[name].shape:
            raise PracError(
                f"mask {name!r} is {tuple(mask.shape)}, the model's weight is "
                f"{tuple(parameters[name].shape)}: this ticket is for another model"
            )


@torch.no_grad()
def apply_masks_(pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Set every weight to zero where its mask is False. Pairs are (weight, keep-mask)."""
    for weight, mask in pairs:
        weight.mul_(mask)


def masked(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights with zeros where their masks prune."""
    return {
        name: weight * masks[name].to(weight.device) if name in masks else weight
        for name, weight in weights.items()
    }


def tied(model: nn.Module) -> dict[str, str]:
    """Return the further names of parameters that modules share, and the name each is known by.

    A `state_dict` holds such a parameter under all its names; `parameters()`, under the first. So
    it is with a buffer over the same memory.

    >>> layer = nn.Linear(2, 2)
    >>> tied(nn.Sequential(layer, nn.ReLU(), layer))
    {'2.weight': '0.weight', '2.bias': '0.bias'}
    """
    own = dict(model.named_parameters())
    names = {id(parameter): name for name, parameter in own.items()}
    every = model.named_parameters(remove_duplicate=False)
    found = {name: names[id(of)] for name, of in every if name != names[id(of)]}
    by_place = {parameter.data_ptr(): (name, parameter) for name, parameter in own.items()}
    for name, buffer in model.named_buffers(remove_duplicate=False):
        if buffer.layout is not torch.strided:
            continue
        known, parameter = by_place.get(buffer.data_ptr(), ("", buffer))
        if known and is_same(buffer, parameter):
            found[name] = known
    return found


def check_finite(weights: Mapping[str, Tensor], prunable: Iterable[str] = ()) -> None:
    """Raise a PracError where a model's weights are no numbers, before anything is made of them.

    Those named `prunable` must be finite; a buffer may be infinite, as an attention mask is.
    """
    fault = number_fault(weights, prunable)
    if fault is not None:
        raise PracError(f"the model's {fault}: initialise it before the search")


def number_fault(weights: Mapping[str, Tensor], prunable: Iterable[str]) -> str | None:
    """Return what is wrong with weights that hold NaN, or are prunable and infinite, if any."""
    for name, weight in weights.items():
        if (weight.is_floating_point() or weight.is_complex()) and weight.isnan().any():
            return f"weight {name!r} holds NaN"
    for name in prunable:
        # Types of eight bits do not all know infinity.
        weight = weights[name]
        if (weight.float() if weight.element_size() == 1 else weight).isinf().any():
            return f"weight {name!r} is infinite"
    return None


def architecture(model: nn.Module) -> str:
    """Return the model's class and a digest of its tensors' names and shapes."""
    shapes = "".join(f"{name}{tuple(v.shape)}" for name, v in _own_tensors(model).items())
    return f"{type(model).__name__}-{hashlib.sha256(shapes.encode()).hexdigest()[:12]}"
