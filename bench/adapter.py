"""The one place that knows how `prac` executes steps, so that limits are executed alike.

A `prac` without `World.execution` knows plain eager steps only.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prac import world as prac_world
from prac.task import CLASSIFICATION
from prac.world import World

EAGER = "eager"
Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def executions(device: str) -> tuple[str, ...]:
    """Return the names of the executions that this `prac` can be told to use."""
    if "execution" not in {field.name for field in dataclasses.fields(World)}:
        return (EAGER,)
    return (EAGER, "channels-last", "compiled") + (("captured",) if device == "cuda" else ())


def world(device: str, execution: str) -> World:
    """Return the world of a device in fp32, its steps executed as named."""
    if executions(device) == (EAGER,):
        return World(torch.device(device))
    extra: dict[str, Any] = {"execution": execution}
    return World(torch.device(device), **extra)


def keep_freed_memory() -> None:
    """Tell the allocator what `prac.find` tells it, where it tells it anything."""
    getattr(prac_world, "keep_freed_memory", lambda: None)()


def is_channels_last(execution: str) -> bool:
    """Say whether an execution lays images out with their channels last."""
    return execution != EAGER


def laid_out(model: nn.Module, execution: str) -> nn.Module:
    """Return the model on its device in an execution's memory format."""
    if not is_channels_last(execution):
        return model
    # The signature that torch types leaves the format alone out.
    to: Callable[..., nn.Module] = model.to
    return to(memory_format=torch.channels_last)


def batch_laid_out(x: Tensor, execution: str) -> Tensor:
    """Return a batch of images in an execution's memory format; other inputs as they are."""
    if x.ndim == 4 and is_channels_last(execution):
        return x.contiguous(memory_format=torch.channels_last)
    return x


def bare_step(model: nn.Module, optimizer: torch.optim.Optimizer, execution: str) -> Step:
    """Return a step of training and nothing else: forward, loss, backward, update.

    It applies no mask, draws no seed, sets no rate and reads nothing back: less cannot be done.
    """
    network: Callable[[Tensor], Tensor] = laid_out(model, execution).train()
    if execution == "compiled":
        network = torch.compile(network)

    def step(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        outputs = network(x)
        loss = CLASSIFICATION.loss(outputs, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach(), outputs.detach()

    return _captured(step, optimizer) if execution == "captured" else step


def _captured(step: Step, optimizer: torch.optim.Optimizer) -> Step:
    """Return the step as a CUDA graph that is replayed on the batch it was first given."""
    graph: torch.cuda.CUDAGraph | None = None
    kept: tuple[Tensor, Tensor] | None = None
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True

    def replayed(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal graph, kept
        if graph is None or kept is None:
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(3):
                    step(x, y)
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                kept = step(x, y)
        graph.replay()
        return kept

    return replayed


def wrap_steps(
    patch: Callable[[Any, str, Callable[[Any], Any]], None], wrap: Callable[[Any], Any]
) -> None:
    """Have `patch(owner, name, wrapper)` wrap a search's training steps.

    Without an execution module the step is a closure, the second argument of `_segment`.
    """
    try:
        patch(importlib.import_module("prac.execution").Steps, "__call__", wrap)
    except ModuleNotFoundError:

        def with_wrapped_step(segment: Callable[..., Any]) -> Callable[..., Any]:
            return lambda model, step, *rest: segment(model, wrap(step), *rest)

        patch(importlib.import_module("prac.loop"), "_segment", with_wrapped_step)


def execution_of_search(out: Path) -> str:
    """Return how the steps of a search were executed, as its folder tells; eager if it does not."""
    found = json.loads((out / "environment.json").read_text()).get("execution")
    return str(found or EAGER)
