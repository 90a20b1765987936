"""What a network has to be: a plain module, whose weights have the names that tickets give them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils.prune import BasePruningMethod
from torch.optim.swa_utils import AveragedModel

from prac.errors import PracError

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)


def check_plain(model: nn.Module) -> None:
    """Raise a PracError unless a model is a module as its author wrote it, with its own weights."""
    if not isinstance(model, nn.Module):
        raise PracError(f"the model is a {type(model).__name__}: expected a torch.nn.Module")
    if isinstance(model, torch.jit.ScriptModule):
        raise PracError("the model is a ScriptModule: pass the nn.Module that it was made of")
    for name, module in model.named_modules():
        kind, what = type(module).__name__, f"layer {name!r}" if name else "the model"
        if "_orig_mod" in module._modules:
            raise PracError(
                f"{what} is wrapped by torch.compile, which renames its weights: pass the module "
                f"itself, compiled in place by its .compile() if at all"
            )
        if isinstance(module, _WRAPPERS):
            raise PracError(
                f"{what} is wrapped in {kind}, but tickets name the weights of the network itself, "
                f"which one process trains on one device: pass its .module"
            )
        if kind == "FullyShardedDataParallel":
            raise PracError(
                f"{what} is wrapped in FullyShardedDataParallel, which cuts its weights into "
                f"pieces: pass the module itself"
            )
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, BasePruningMethod):
                raise PracError(
                    f"{what} is pruned by torch.nn.utils.prune, which keeps a mask of its own: "
                    f"make that permanent by prune.remove(layer, {hook._tensor_name!r})"
                )
    for name, parameter in model.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            raise PracError(
                f"weight {name!r} has no shape yet, being of a lazy layer: call the model once "
                f"with a batch"
            )


def is_computed(name: str, parameters: Mapping[str, nn.Parameter]) -> bool:
    """Say whether a weight is computed from others, as weight_norm and parametrisations do."""
    path, _, leaf = name.rpartition(".")
    inside = f"{path}." if path else ""
    sources = f"{inside}{leaf}_g", f"{inside}{leaf}_orig", f"{inside}parametrizations.{leaf}."
    return any(of.startswith(sources) for of in parameters)
