"""Optimisers, schedules and batch transforms as someone else would write them, found by name."""

from __future__ import annotations

from typing import Any

import torch


class Plain(torch.optim.Optimizer):
    """Gradient descent that counts and averages in all the ways that a state file holds."""

    def __init__(self, params: Any, lr: float = 0.1, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "k": 0, "pull": 1.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            group["k"] += 1
            group["pull"] *= 0.9
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                state["steps"] = state.get("steps", 0) + 1
                state["size"] = state.get("size", 0.1) / 3
                state["seen"] = True
                state["bytes"] = torch.zeros(3, dtype=torch.uint8) + state["steps"]
                rate = group["lr"] * (1 + group["pull"] / group["k"] + state["size"])
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(parameter.grad, alpha=rate)


class Noisy(Plain):
    """Draws in each step, from torch's generator."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        super().step()
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.add_(torch.randn_like(parameter), alpha=group["lr"] / 100)


class Hidden(Plain):
    """Counts where no state is."""

    hidden = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        super().step()
        self.hidden += 1
        if self.hidden % 5 == 0:
            for parameter in self.param_groups[0]["params"]:
                parameter.mul_(0.5)


class Listing(Plain):
    """Keeps what no state file holds."""

    def step(self, closure: Any = None) -> None:
        super().step()
        for parameter in self.param_groups[0]["params"]:
            self.state[parameter]["history"] = [1, 2]


class Late(Plain):
    """Keeps more after some steps."""

    def step(self, closure: Any = None) -> None:
        super().step()
        for parameter in self.param_groups[0]["params"]:
            if self.state[parameter]["steps"] > 4:
                self.state[parameter]["slow"] = parameter.detach().clone()


def with_rates(params: Any, lr: float, weight_decay: float, last: float = 0.1) -> Any:
    """Give the last parameter a rate of its own."""
    *rest, one = list(params)
    groups: list[dict[str, Any]] = [{"params": rest}, {"params": [one], "lr": lr * last}]
    return torch.optim.SGD(groups, lr=lr, weight_decay=weight_decay)


def first_two(params: Any, lr: float, weight_decay: float) -> Any:
    """Train the first weight and bias alone."""
    return torch.optim.SGD(list(params)[:2], lr=lr, weight_decay=weight_decay)


def nothing(params: Any, lr: float, weight_decay: float) -> None:
    """Make no optimiser."""


def halves(progress: float, base: float = 0.5) -> float:
    """Fall to a share each quarter of a training."""
    return base ** int(progress * 4)


def ends_at_nothing(progress: float) -> float:
    """Leave the last tenth without a rate."""
    return 0.0 if progress >= 0.9 else 1.0


def negative(progress: float) -> float:
    """Give rates that none can train at."""
    return 0.5 - progress


def noise(x: Any, y: Any, generator: torch.Generator, *, scale: float = 0.1) -> Any:
    """Add noise to inputs."""
    return x + scale * torch.randn(x.shape, generator=generator), y


def halved(x: Any, y: Any, generator: torch.Generator) -> Any:
    """Leave out half of the examples."""
    return x[::2], y[::2]


def scaled(x: Any, y: Any, g: torch.Generator, factor: float = 1.0) -> Any:
    """Scale inputs."""
    return factor * x, y


class WithoutDecay(Plain):
    """Takes no weight decay."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr)
