"""Where the work runs: device, arithmetic, and how a training step is executed."""

from __future__ import annotations

import itertools
import platform
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prac._version import __version__
from prac.errors import PracError
from prac.training.determinism import reproducible, settled
from prac.utils import Tree, mapped


@dataclass(frozen=True)
class Runtime:
    """One process's device and precision.

    Attributes:
        device: Where model and in-memory data lie.
        precision: "fp32", "bf16" or "fp16" (autocast; weights and optimiser stay in fp32).
        execution: How training steps run, one of EXECUTIONS.
        threads: Of the CPU, that work is done with; None leaves it to the process.
    """

    device: torch.device
    precision: str = "fp32"
    execution: str = "eager"
    threads: int | None = None

    @classmethod
    def choose(
        cls, device: str = "auto", precision: str = "auto", execution: str = "eager"
    ) -> Runtime:
        """Return the runtime for the names of a device and a precision; "auto" takes the best.

        Raises:
            PracError: If the device is not there or cannot be used.
        """
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            chosen = torch.device(device)
        except RuntimeError as error:
            raise PracError(f"device is {device!r}: expected auto, cpu, cuda or cuda:N") from error
        if chosen.type not in ("cpu", "cuda"):
            raise PracError(f"device is {device!r}: expected auto, cpu, cuda or cuda:N")
        if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
            raise PracError(
                f"device is {device!r} but {torch.cuda.device_count()} CUDA devices are there: "
                f"use --device cpu or auto"
            )
        if device == "cuda":
            chosen = torch.device("cuda", torch.cuda.current_device())
        if precision == "auto":
            gains = chosen.type == "cuda" and torch.cuda.get_device_capability(chosen)[0] >= 8
            precision = "bf16" if gains else "fp32"
        return cls(chosen, precision, execution)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which forward passes run."""
        if self.precision in HALVES:
            return torch.autocast(self.device.type, dtype=HALVES[self.precision])
        return nullcontext()

    def reproducible(self) -> AbstractContextManager[None]:
        """Return the context in which all work is done: equal work then has equal bits."""
        return reproducible(self.device, self.threads)

    @property
    def compiles(self) -> bool:
        """Whether full-sized batches run compiled."""
        return self.execution in ("compiled", "compiled-captured")

    @property
    def captures(self) -> bool:
        """Whether whole steps are replayed as CUDA graphs."""
        return self.execution in ("captured", "compiled-captured")

    @property
    def layout(self) -> torch.memory_format:
        """How images and what convolves them lie in memory."""
        return torch.contiguous_format if self.execution == "eager" else torch.channels_last

    def prepare_(self, model: nn.Module) -> None:
        """Bring the model to the device and its images' weights into the execution's layout."""
        model.to(self.device)
        # Not by Module.to, which fails on weights of five dimensions.
        for tensor in itertools.chain(model.parameters(), model.buffers()):
            if tensor.ndim == 4:
                tensor.data = tensor.data.contiguous(memory_format=self.layout)

    def to_memory_format(self, x: Tree) -> Tree:
        """Return a batch of inputs as the execution wants it; only images have a layout."""
        return x if self.execution == "eager" else mapped(_channels_last, x)


def _channels_last(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values


HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Types of half the bits, that forward passes may run in."""

EXECUTIONS = {
    "eager": "operation by operation, in torch's usual layout",
    "channels-last": "images and convolutions lie channels-last in memory",
    "captured": "channels-last, and whole steps are replayed as CUDA graphs",
    "compiled": "channels-last, and full-sized batches run through torch.compile",
    "compiled-captured": "compiled, and whole steps are replayed as CUDA graphs",
}
"""Ways of running a training step. Their bits differ, but not those of the second and third."""


def environment(runtime: Runtime) -> dict[str, Any]:
    """Return the versions and hardware of this process, and what it works with."""
    on_cuda = runtime.device.type == "cuda"
    return {
        "prac": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        "device": runtime.device.type,
        "cuda": torch.cuda.get_device_name(runtime.device) if on_cuda else None,
        "arithmetic": runtime.precision,
        "execution": runtime.execution,
        **(settled() if on_cuda else {}),
    }
