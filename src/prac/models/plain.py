"""What a network has to be: a plain module, whose weights have the names that tickets give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import combinations
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.nn.utils.prune import BasePruningMethod
from torch.optim.swa_utils import AveragedModel

from prac.errors import Damaged, PracError
from prac.io import check_writable
from prac.models.copying import copied
from prac.models.modes import evaluating
from prac.models.put_back import tensors_put_back
from prac.utils import one_line, seeded

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
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(tensor):
            raise PracError(
                f"weight {name!r} has no shape yet, being of a lazy layer: call the model once "
                f"with a batch"
            )
    _check_memory(model)
    kept = nn.Module.state_dict(model)
    for name, _ in model.named_parameters():
        if name not in kept:
            raise PracError(
                f"the model's state_dict lacks {name!r}, as parameters() call it: tickets name "
                f"weights by it; leave out the hook that renames or drops it"
            )
    for name, value in kept.items():
        if isinstance(value, Tensor):  # get_extra_state may put anything there.
            _check_writable(name, value)


def _check_writable(name: str, tensor: Tensor) -> None:
    try:
        check_writable(name, tensor, "")
    except Damaged as error:
        fault = str(error).rpartition(": is damaged: ")[2]
        raise PracError(
            f"the model cannot be put into a ticket's file: {fault}; make it another, or register "
            f"a buffer with persistent=False"
        ) from error


M = TypeVar("M", bound=nn.Module)


def shaped(model: M, input_shape: Sequence[int]) -> M:
    """Return a model whose lazy layers have got their shapes and weights from an example of zeros.

    So have models that make layers in their first pass. Others are left as they are. Weights are
    drawn from torch's generator.

    Raises:
        PracError: If it does not take such an example.
    """
    example = torch.zeros(1, *input_shape)
    if not any(map(is_lazy, _tensors(model))) and not _makes_layers(model, example):
        return model
    try:
        with evaluating(model), torch.no_grad():
            model(example)
    except Exception as error:
        raise PracError(
            f"the model's lazy layers cannot be given their shapes by inputs of shape "
            f"{tuple(input_shape)}: {one_line(error)}"
        ) from error
    return model


def _makes_layers(model: nn.Module, example: Tensor) -> bool:
    """Say whether a pass of a copy makes parameters or buffers; a pass that fails makes none."""
    with suppress(Exception), tensors_put_back(model), seeded(0), torch.no_grad():
        trial = copied(model).eval()
        trial(example)
        return len(_tensors(trial)) > len(_tensors(model))
    return False


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


def _check_memory(model: nn.Module) -> None:
    """Raise a PracError unless each number of a parameter has a place of its own in memory.

    Masks are put on places: where two numbers share one, pruning one prunes the other.
    """
    by_storage: dict[int, list[tuple[str, Tensor]]] = {}
    kept = nn.Module.state_dict(model)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_inference():
            raise PracError(
                f"weight {name!r} was made under torch.inference_mode(), where nothing can be "
                f"trained: make the model outside of it"
            )
        if tensor.is_meta:
            raise PracError(
                f"weight {name!r} is on the device 'meta', without values: make the model on a "
                f"real device, or give it some by its to_empty() and then initialise them"
            )
        is_kept = isinstance(tensor, nn.Parameter) or name in kept
        if is_kept and tensor.layout is torch.strided and tensor.numel():
            by_storage.setdefault(tensor.untyped_storage().data_ptr(), []).append((name, tensor))
    for sharing in by_storage.values():
        for name, tensor in sharing:
            if not isinstance(tensor, nn.Parameter):
                continue
            if not is_dense(tensor) and len(np.unique(_places(tensor))) < tensor.numel():
                raise PracError(
                    f"weight {name!r} is expanded: many of its elements are one number in memory, "
                    f"which no optimizer can train; make it a parameter after .clone()"
                )
        for (one, tensor), (two, other) in combinations(sharing, 2):
            are_parameters = [isinstance(of, nn.Parameter) for of in (tensor, other)]
            # A buffer over all of a weight is masked with it; two buffers are nobody's.
            if not any(are_parameters) or (not all(are_parameters) and is_same(tensor, other)):
                continue
            if _overlap(tensor, other):
                raise PracError(
                    f"weights {one!r} and {two!r} are two tensors in the same memory, so that "
                    f"pruning one prunes the other: use one parameter in both places, or .clone() "
                    f"one"
                )


def is_lazy(tensor: Tensor) -> bool:
    """Say whether a parameter or buffer has no shape yet, being of a lazy layer."""
    return isinstance(tensor, (UninitializedParameter, UninitializedBuffer))


def is_dense(tensor: Tensor) -> bool:
    """Say whether a tensor's numbers lie in memory without gaps, each in a place of its own.

    >>> square = torch.zeros(4, 4)
    >>> is_dense(square.t()), is_dense(square[:, ::2]), is_dense(square[:1].expand(4, 4))
    (True, False, False)
    """
    expected = 1
    steps = zip(tensor.stride(), tensor.shape, strict=True)
    for stride, size in sorted(step for step in steps if step[1] != 1):
        if stride != expected:
            return tensor.numel() == 0
        expected *= size
    return True


def is_expanded(tensor: Tensor) -> bool:
    """Say whether elements of a tensor along a dimension are one number in memory.

    >>> is_expanded(torch.zeros(1, 3).expand(2, 3)), is_expanded(torch.zeros(1, 3).expand(1, 3))
    (True, False)
    """
    if tensor.layout is not torch.strided or not tensor.numel():
        return False
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return any(size > 1 and stride == 0 for size, stride in sizes)


def is_same(tensor: Tensor, other: Tensor) -> bool:
    """Say whether two tensors are the same numbers in the same memory, in the same order."""
    return (
        (tensor.data_ptr(), tensor.dtype) == (other.data_ptr(), other.dtype)
        and (tensor.shape, tensor.stride()) == (other.shape, other.stride())
        and tensor.numel() > 0
    )


def _overlap(tensor: Tensor, other: Tensor) -> bool:
    """Say whether numbers of two tensors in one storage lie in the same place."""
    (start, end), (other_start, other_end) = _span(tensor), _span(other)
    if end <= other_start or other_end <= start:  # As where a library lays parameters in a row.
        return False
    if tensor.dtype != other.dtype:
        return True  # One read as the other.
    return bool(np.intersect1d(_places(tensor), _places(other)).size)


def _span(tensor: Tensor) -> tuple[int, int]:
    """Return where in its storage a tensor begins and ends, in bytes."""
    width, steps = tensor.element_size(), zip(tensor.shape, tensor.stride(), strict=True)
    start = int(tensor.storage_offset()) * width
    return start, start + (sum((size - 1) * stride for size, stride in steps) + 1) * width


def _places(tensor: Tensor) -> NDArray[np.int64]:
    """Return where a tensor's numbers lie in its storage, counted in its elements."""
    places = np.full(tensor.shape, tensor.storage_offset(), np.int64)
    for dimension, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        places += (np.arange(size) * stride).reshape(-1, *[1] * (tensor.ndim - dimension - 1))
    return places.reshape(-1)


def unregistered(model: nn.Module) -> list[str]:
    """Return the attributes that hold layers or parameters in lists or the like, unknown to torch.

    >>> model = nn.Module()
    >>> model.layers, model.inner = [nn.Linear(2, 2)], nn.Linear(2, 2)
    >>> model.order = [model.inner]
    >>> unregistered(model)
    ['layers']
    """
    own = {id(part) for part in (*model.modules(), *model.parameters())}
    found = []
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            held = list(value.values()) if type(value) is dict else value
            if name[:1] != "_" and type(held) in (list, tuple):
                parts = [p for p in held if isinstance(p, (nn.Module, nn.Parameter))]
                if any(id(part) not in own for part in parts):
                    found.append(f"{path}.{name}" if path else name)
    return found


def is_computed(name: str, parameters: Mapping[str, nn.Parameter]) -> bool:
    """Say whether a weight is computed from others, as weight_norm and parametrisations do."""
    path, _, leaf = name.rpartition(".")
    inside = f"{path}." if path else ""
    sources = f"{inside}{leaf}_g", f"{inside}{leaf}_orig", f"{inside}parametrizations.{leaf}."
    return any(of.startswith(sources) for of in parameters)
