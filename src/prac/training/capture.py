"""Training steps as CUDA graphs: captured when they are known, replayed from then on.

A graph repeats the kernels of the step that it was captured from, whatever Python would have done:
so steps are watched before one is captured, and a model that does otherwise in each is refused.
What was seen also tells of kernels that a graph can do without.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from prac.errors import PracError
from prac.utils import Tree, leaves, mapped

Call = tuple[Any, ...]

CAST_TO = torch.bfloat16

Casts = dict[int, tuple[nn.Parameter, Tensor]]
"""By a weight's id: what it is cast to, and where its gradient comes to lie."""


class Watched(TorchDispatchMode):
    """Writes down the operations of a forward pass: which, on what, with which numbers.

    Attributes:
        calls: One entry an operation: tensors by their shape and type, all else as it is.
        uses: Of each parameter and buffer, by its id: the calls that take it.
        fault: Why the pass cannot be replayed; None where nothing speaks against it.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        """Watch for the model's tensors among all operations."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.fault: str | None = None
        self._device = device
        own = itertools.chain(model.parameters(), model.buffers())
        self.uses: dict[int, list[int]] = {id(tensor): [] for tensor in own}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do an operation, and write it down."""
        if func in _READ:
            self.fault = "it reads a tensor's values, as .item(), `if` and x[mask] do"
        found: list[Any] = []
        for leaf in tree_flatten((args, kwargs or {}))[0]:
            if isinstance(leaf, Tensor):
                if leaf.device.type != self._device.type:
                    self.fault = f"it works with a tensor on {leaf.device.type}"
                if id(leaf) in self.uses:
                    self.uses[id(leaf)].append(len(self.calls))
                found.append((tuple(leaf.shape), leaf.dtype))
            else:
                # What is not a number is not equal to itself.
                found.append("nan" if isinstance(leaf, float) and math.isnan(leaf) else leaf)
        if func is not torch.ops.aten.detach.default:  # No work, and some modes add it.
            self.calls.append((func, *found))
        return func(*args, **(kwargs or {}))


_READ = (
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.masked_select.default,
    torch.ops.aten.equal.default,
)


Slot = tuple[dict[str, Any], str]
"""A place that holds a parameter or a buffer: one of a module's own dictionaries, and the name."""


_CAST = torch.ops.aten._to_copy.default
_ADD = torch.ops.aten.add_.Tensor


@dataclass
class StandIns:
    """What a captured forward pass finds in the model's places instead of what is there.

    Attributes:
        weights: Parameters that the forward pass does nothing with but cast them.
        casts: What they are cast to, leaves of their own: one kernel casts all of them, and one
            their gradients, where the pass itself needs two for each.
        gradients: float32, where the gradients of `weights` come to lie.
        counters: BatchNorm's counts of batches, and how many each pass adds: a kernel for each,
            all added at once when they are looked at.
        skipped: Calls of the watched pass that are no longer made.
    """

    weights: list[Tensor] = field(default_factory=list)
    casts: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)
    counters: list[Tensor] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    skipped: set[int] = field(default_factory=set)
    slots: list[tuple[Slot, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, model: nn.Module, watched: Watched, casts: Casts) -> StandIns:
        """Return those that leave what a watched pass computes as it is.

        Args:
            model: What the pass went through.
            watched: The pass.
            casts: Those that other passes of this training have; new ones are added.
        """
        made = cls()
        made._stand_in_for_weights(model, watched, casts)
        made._stand_in_for_counters(model, watched)
        return made

    def _stand_in_for_weights(self, model: nn.Module, watched: Watched, casts: Casts) -> None:
        for weight, slots in _places(model, "_parameters").values():
            uses = watched.uses[id(weight)]
            # Cast once: of two casts the gradients would be added up in another type.
            if len(uses) != 1 or not _does(_CAST, watched.calls[uses[0]], CAST_TO):
                continue
            # Nothing else is to be done with the weight's own gradient.
            if weight._backward_hooks or getattr(weight, "_post_accumulate_grad_hooks", None):
                continue
            if id(weight) not in casts:
                like = torch.empty_like(weight, dtype=CAST_TO)
                cast = nn.Parameter(like, requires_grad=weight.requires_grad)
                casts[id(weight)] = cast, torch.zeros_like(weight, requires_grad=False)
            cast, gradient = casts[id(weight)]
            self.weights.append(weight)
            self.casts.append(cast)
            self.gradients.append(gradient)
            self.slots += [(slot, cast) for slot in slots]
            self.skipped.update(uses)

    def _stand_in_for_counters(self, model: nn.Module, watched: Watched) -> None:
        # Only torch's own layers are known to do nothing else where there is no counter.
        own = {
            id(module.num_batches_tracked)
            for module in model.modules()
            if isinstance(module, _BatchNorm)
            and type(module).forward is _BatchNorm.forward
            and module.momentum is not None
            and module.num_batches_tracked is not None
        }
        for counter, slots in _places(model, "_buffers").values():
            uses = watched.uses[id(counter)]
            adds_one = (_does(_ADD, watched.calls[use], 1) for use in uses)
            if id(counter) in own and uses and all(adds_one):
                self.counters.append(counter)
                self.counts.append(len(uses))
                self.slots += [(slot, None) for slot in slots]
                self.skipped.update(uses)

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Put them into the model's places for a while."""
        before = [holder[name] for (holder, name), _ in self.slots]
        try:
            for (holder, name), instead in self.slots:
                holder[name] = instead
            yield
        finally:
            for ((holder, name), _), original in zip(self.slots, before, strict=True):
                holder[name] = original

    @torch.no_grad()
    def cast_(self) -> None:
        """Bring the casts up to date, and forget their gradients."""
        if self.casts:
            torch._foreach_copy_(self.casts, self.weights)
            for cast in self.casts:
                cast.grad = None

    @torch.no_grad()
    def hand_on_gradients_(self) -> None:
        """Give the weights the gradients of their casts."""
        gradients, casts = [], []
        for weight, gradient, cast in zip(self.weights, self.gradients, self.casts, strict=True):
            if cast.grad is not None:
                weight.grad = gradient
                gradients.append(gradient)
                casts.append(cast.grad)
        if casts:
            torch._foreach_copy_(gradients, casts)

    def check(self, before: Watched, now: Watched) -> None:
        """Raise a PracError unless a pass did what the watched one did, the stand-ins apart."""
        expected = [c for place, c in enumerate(before.calls) if place not in self.skipped]
        still_used = any(now.uses[id(t)] for t in (*self.weights, *self.counters))
        if still_used or expected != now.calls:
            raise PracError(
                "the model does not do the same operations in every step, as a replayed one would: "
                "name another --execution"
            )


def _places(model: nn.Module, kind: str) -> dict[int, tuple[Tensor, list[Slot]]]:
    """Return the model's parameters or buffers by id, each with all places that hold it."""
    found: dict[int, tuple[Tensor, list[Slot]]] = {}
    for module in model.modules():
        holder: dict[str, Tensor | None] = getattr(module, kind)
        for name, tensor in holder.items():
            if tensor is not None:
                found.setdefault(id(tensor), (tensor, []))[1].append((holder, name))
    return found


def _does(operation: Any, call: Call, argument: Any) -> bool:
    """Say whether a call does an operation to its tensor, with this argument and no other."""
    function, _, *rest = call
    return function is operation and rest == [argument]


class Graph:
    """A step as a CUDA graph, replayed with other contents of the same tensors.

    Args:
        step: Takes tensors like `inputs`; what it does is captured, nothing is done yet.
        inputs: A batch.
        pool: Memory that the graphs of one training share: they never run at the same time.
    """

    def __init__(
        self, step: Callable[..., tuple[Tensor, Tree]], inputs: tuple[Tree, ...], pool: Any
    ) -> None:
        """Capture."""
        self._inputs = mapped(torch.clone, inputs)
        self._graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.current_stream()
        try:
            # Other threads may do as they like meanwhile: one that lays batches in pinned memory
            # does.
            with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
                self._results = step(*self._inputs)
        except BaseException:
            _recover(stream, pool)
            raise

    def __call__(self, *inputs: Tree) -> tuple[Tensor, Tree]:
        """Do the step on a batch, and return copies of what it gives: the next writes over them."""
        for own, given in zip(leaves(self._inputs), leaves(inputs), strict=True):
            own.copy_(given, non_blocking=True)
        self._graph.replay()
        loss, outputs = mapped(torch.clone, self._results)
        return loss, outputs


def _recover(stream: Any, pool: Any) -> None:
    """Bring torch back to where it was before a capture that failed, as far as it does not itself.

    Before torch 2.13 its random numbers stay in capture until one succeeds, and before 2.12 its
    memory does; in all of them the stream of the capture stays the current one.
    """
    torch.cuda.set_stream(stream)
    with suppress(Exception):
        torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), pool)
    with (
        suppress(Exception),
        torch.cuda.graph(torch.cuda.CUDAGraph(), capture_error_mode="thread_local"),
    ):
        torch.zeros(1, device="cuda")
    torch.cuda.set_stream(stream)


def aside(stream: Any, work: Callable[[], tuple[Tensor, Tree]]) -> tuple[Tensor, Tree]:
    """Do work on another stream, as what is captured later must have run on one."""
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        result = work()
    torch.cuda.current_stream().wait_stream(stream)
    return result
