"""Many tensors as few: each operation and each copy has a price, however small the tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

# Elements from which on a tensor is worth a copy of its own.
LARGE = 2**20


@torch.no_grad()
def on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous copies on the CPU, by the same names.

    Small ones of one type and device travel in one piece, of which the copies are parts.

    >>> on_cpu({"a": torch.ones(2), "b": torch.zeros(1)})["a"].tolist()
    [1.0, 1.0]
    """
    copies: dict[str, Tensor] = {}
    groups: dict[tuple[torch.device, torch.dtype, bool], list[str]] = {}
    for name, tensor in tensors.items():
        if tensor.numel() < LARGE and _fills_its_memory(tensor):
            # Those that are laid out anew on arrival need not stay with those that are not.
            key = (tensor.device, tensor.dtype, tensor.is_contiguous())
            groups.setdefault(key, []).append(name)
        else:
            copies[name] = tensor.detach().to("cpu", copy=True).contiguous()
    for names in groups.values():
        flat = _fetched(flattened(tensors[name] for name in names))
        sizes = [tensors[name].numel() for name in names]
        for name, part in zip(names, flat.split(sizes), strict=True):
            like = tensors[name]
            laid_out = part.as_strided(like.shape, like.stride(), part.storage_offset())
            copies[name] = laid_out.contiguous()
    return {name: copies[name] for name in tensors}


def flattened(tensors: Iterable[Tensor]) -> Tensor:
    """Return the elements of tensors of one type and device as a new one, (n,).

    Each one's come in the order in which they lie in memory, without a copy of their own.
    """
    return torch.cat([_as_it_lies(tensor.detach()) for tensor in tensors])


def _as_it_lies(tensor: Tensor) -> Tensor:
    if not _fills_its_memory(tensor):
        return tensor.reshape(-1)
    return tensor.as_strided((tensor.numel(),), (1,), tensor.storage_offset())


def _fills_its_memory(tensor: Tensor) -> bool:
    """Say whether a tensor's elements lie side by side, in whatever order of its dimensions."""
    if tensor.layout != torch.strided or tensor.is_conj() or tensor.is_neg():
        return False
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def _fetched(flat: Tensor) -> Tensor:
    """Return a new tensor on the CPU, in memory that its device can write to by itself."""
    if flat.device.type != "cuda":
        return flat.cpu()
    fetched = torch.empty(len(flat), dtype=flat.dtype, pin_memory=True)
    fetched.copy_(flat, non_blocking=True)
    torch.cuda.current_stream(flat.device).synchronize()
    return fetched
