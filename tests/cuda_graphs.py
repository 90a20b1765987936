"""A stand-in for CUDA graphs on machines without a GPU: it records operations and does them again.

Capturing changes nothing, as on a GPU, and a replay finds what a replay would: the tensors that the
operations had, the numbers that they were given, whatever Python would have done by then.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class CUDAGraph:
    """What `torch.cuda.CUDAGraph` is for the product."""

    def __init__(self):
        self.calls = []

    def replay(self):
        with torch.no_grad():
            for function, args, kwargs, results in self.calls:
                again = function(*args, **kwargs)
                inputs = {memory_of(t) for t in tree_leaves((args, kwargs)) if is_tensor(t)}
                pairs = zip(tree_leaves(results), tree_leaves(again), strict=True)
                for kept, new in pairs:
                    if is_tensor(kept) and memory_of(kept) not in inputs:
                        kept.detach().copy_(new)


class Recorder(TorchDispatchMode):
    """Writes operations down, and what their tensors held before."""

    def __init__(self):
        super().__init__()
        self.calls, self.before, self.made = [], {}, set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        # All of them: operations do not say of everything that they write to it, such as
        # BatchNorm's running statistics.
        for tensor in filter(is_tensor, tree_leaves((args, kwargs))):
            memory = memory_of(tensor)
            if memory not in self.before and memory not in self.made:
                self.before[memory] = tensor, tensor.detach().clone()
        results = function(*args, **kwargs)
        known = self.before.keys()
        self.made |= {memory_of(t) for t in tree_leaves(results) if is_tensor(t)} - known
        self.calls.append((function, args, kwargs, results))
        return results


class Counting(TorchDispatchMode):
    """Counts operations that a GPU would launch kernels for."""

    VIEWS = frozenset({
        "view", "t", "transpose", "detach", "slice", "select", "as_strided", "alias", "expand",
        "unsqueeze", "squeeze", "permute", "_unsafe_view", "unfold", "_reshape_alias", "split",
        "split_with_sizes", "unbind", "empty", "empty_like", "new_empty", "empty_strided",
        "lift_fresh", "is_pinned", "promote_types",
    })  # fmt: skip

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function).split(".")[1]
        if name not in self.VIEWS:
            self.calls[name] += 1
        return function(*args, **(kwargs or {}))


def is_tensor(value):
    return isinstance(value, Tensor)


def memory_of(tensor):
    return tensor.untyped_storage()._cdata


captured = []
"""How each graph was captured: the arguments of `torch.cuda.graph`."""


@contextmanager
def graph(made, pool=None, capture_error_mode="global"):
    recorder = Recorder()
    captured.append({"pool": pool, "capture_error_mode": capture_error_mode})
    # As on a GPU, random numbers come at the replay.
    with torch.random.fork_rng([]), recorder:
        yield
    with torch.no_grad():
        for tensor, before in recorder.before.values():
            tensor.detach().copy_(before)
    made.calls = recorder.calls


class Stream:
    """A stream that nothing has to wait for."""

    def wait_stream(self, other):
        pass


def with_stand_in(monkeypatch):
    """Let executions that capture run on the CPU; the list of how graphs were captured."""
    captured.clear()
    monkeypatch.setattr(torch.cuda, "CUDAGraph", CUDAGraph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", object)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: None)
    return captured
