"""The bare step: what training a batch takes at least, in each way that `prac` executes steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prac.training import Runtime
from prac.training.runtime import EXECUTIONS
from prac.training.step import STEPS_BEFORE_CAPTURE, compiling

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def executions(device: str) -> tuple[str, ...]:
    """Return the names of the executions that a device can have."""
    return tuple(name for name in EXECUTIONS if device == "cuda" or "captured" not in name)


def bare_step(model: nn.Module, optimizer: torch.optim.Optimizer, runtime: Runtime) -> Step:
    """Return a step of training and nothing else: forward, loss, backward, update.

    It applies no mask, draws no seed, sets no rate and reads nothing back: less cannot be done.
    """
    runtime.prepare_(model)
    network: Callable[[Tensor], Tensor] = model.train()
    if runtime.compiles:
        network = torch.compile(model, dynamic=False, fullgraph=True, **compiling(runtime))

    def step(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        with runtime.autocast():
            outputs = network(x)
            loss = cross_entropy(outputs, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach(), outputs.detach()

    return _captured(step) if runtime.captures else step


def _captured(step: Step) -> Step:
    """Return the step as a CUDA graph that is replayed on the batch it was first given."""
    graph: torch.cuda.CUDAGraph | None = None
    kept: tuple[Tensor, Tensor] | None = None

    def replayed(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal graph, kept
        if graph is None or kept is None:
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(STEPS_BEFORE_CAPTURE):
                    step(x, y)
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            # Loading processes' threads may go on meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                kept = step(x, y)
        graph.replay()
        return kept

    return replayed
