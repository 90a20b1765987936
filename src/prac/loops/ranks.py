"""Several processes that train one level: what one of them has, for all."""

from __future__ import annotations

from typing import TypeVar

from torch import distributed

Value = TypeVar("Value")


def from_rank_0(value: Value) -> Value:
    """Return on every rank of `torch.distributed` what rank 0 has, such as the level to train.

    All ranks call it; what others than rank 0 pass is of no account. Other ranks get a level to
    train with: they cannot tell it, nor end its epochs. Without a process group nothing is done.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return value
    sent = [value]
    distributed.broadcast_object_list(sent)
    return value if distributed.get_rank() == 0 else sent[0]
