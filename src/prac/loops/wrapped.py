"""Through what others wrap around models and optimisers: the weights by their user's names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from prac.errors import PracError

_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)
# Where torch.compile, Lightning's Fabric and checkpointed layers keep the module that they wrap.
_INSIDE = ("_orig_mod", "_original_module", "_checkpoint_wrapped_module")
# Where optimisers do: accelerate's and Lightning's; SAM's; timm's Lookahead; torch's own ZeRO.
_INNER = ("optimizer", "_optimizer", "base_optimizer", "_base_optimizer", "optim")
_COPYING = {"FP16_Optimizer", "BF16_Optimizer", "Float16OptimizerWithFloat16Params"}
_CUT = {"FullyShardedDataParallel", "FSDPModule"}


def bare(model: nn.Module) -> nn.Module:
    """Return the module that others have been wrapped around, or the module itself.

    >>> layer = nn.Linear(2, 2)
    >>> bare(nn.DataParallel(AveragedModel(layer))).in_features
    2
    """
    while (inner := _inside(model)) is not None:
        model = inner
    return model


def weights_by_own_names(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return a model's parameters by the names that they have without any wrapper.

    A parameter that modules share is there under each of its names.

    >>> layer = nn.Linear(2, 2)
    >>> list(weights_by_own_names(nn.DataParallel(nn.Sequential(AveragedModel(layer)))))
    ['0.weight', '0.bias']
    """
    found: dict[str, nn.Parameter] = {}
    _gather(model, "", found)
    return found


def _gather(module: nn.Module, prefix: str, found: dict[str, nn.Parameter]) -> None:
    module = bare(module)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            found[prefix + name] = parameter
    for name, child in module._modules.items():
        if child is not None:
            _gather(child, f"{prefix}{name}.", found)


def _inside(module: nn.Module) -> nn.Module | None:
    inside = module._modules
    for name in _INSIDE:
        if name in inside:
            return inside[name]
    # timm's averages are called ModelEma, ModelEmaV2 and so on.
    if isinstance(module, _PARALLEL) or type(module).__name__.startswith("ModelEma"):
        return inside["module"]
    return None


def check_whole(model: nn.Module) -> None:
    """Raise a PracError where a model's weights are trained in pieces, or as copies."""
    for module in model.modules():
        kinds = {kind.__name__ for kind in type(module).__mro__}
        if kinds & _CUT:
            raise PracError(
                f"the model is wrapped by FSDP ({type(module).__name__}), which trains pieces of "
                f"its weights: masks cannot be held there; use DistributedDataParallel"
            )
        _check_no_copies("the model", module)


def stepping(optimizers: Sequence[object]) -> list[torch.optim.Optimizer]:
    """Return the optimisers, and those that they wrap, as far as they have hooks after their steps.

    Raises:
        PracError: Where one calls none, or is known to train copies of the weights.
    """
    found: dict[int, torch.optim.Optimizer] = {}
    for optimizer in optimizers:
        # Wrappers may leave out `Optimizer.__init__`, which makes room for hooks.
        chain = [one for one in _chain(optimizer) if "_optimizer_step_post_hooks" in vars(one)]
        # And it puts torch's own `step`, which calls them, around that of the class.
        if not any(getattr(type(one).step, "hooked", False) is True for one in chain):
            raise PracError(
                f"the optimizer is a {type(optimizer).__name__}, which calls no hooks after its "
                f"steps: expected a torch.optim.Optimizer, or a wrapper whose .optimizer is one"
            )
        found |= {id(one): one for one in chain}
    return list(found.values())


def _chain(optimizer: object) -> list[torch.optim.Optimizer]:
    """Return an optimiser, what it wraps, what that wraps, and so on."""
    chain: list[object] = []
    inner: object | None = optimizer
    # A schedule has an optimiser, too, but no groups.
    while hasattr(inner, "param_groups") and all(inner is not one for one in chain):
        _check_no_copies("the optimizer", inner)
        chain.append(inner)
        held = (getattr(inner, name, None) for name in _INNER)
        inner = next((one for one in held if hasattr(one, "param_groups")), None)
    return [one for one in chain if isinstance(one, torch.optim.Optimizer)]


def _check_no_copies(what: str, thing: object) -> None:
    for kind in type(thing).__mro__:
        places = kind.__module__.split(".")
        # Its optimisers in `deepspeed.ops` step the weights that they are given, as torch's do.
        is_deepspeed = "deepspeed" in places and "ops" not in places
        if is_deepspeed or kind.__name__ in _COPYING:
            raise PracError(
                f"{what} is a {type(thing).__name__} of {places[0]}, which trains copies of the "
                f"weights and writes them back: masks cannot be held there; use an optimizer of "
                f"the model's own weights, such as torch.optim's"
            )
