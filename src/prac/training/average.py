"""An exponential moving average of a network's weights, held beside it as it trains.

Source: Polyak and Juditsky (1992, "Acceleration of Stochastic Approximation by Averaging"), with
weights that decay exponentially, as usual since.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from prac.models import tied
from prac.runs import Weights


class WeightAverage:
    """The average of the parameters that train; it begins as they are.

    After each iteration it is `decay` times itself and 1 - decay times the weights. Buffers, such
    as BatchNorm's statistics, are not averaged but are those of the network.
    """

    def __init__(self, model: nn.Module, decay: float, begun: Weights | None = None) -> None:
        """Begin, or go on from what `over` returned, on the model's device."""
        self._share = 1 - decay
        trained = {name: of for name, of in model.named_parameters() if of.requires_grad}
        self._parameters = [of.detach() for of in trained.values()]
        start = [of if begun is None else begun[name] for name, of in trained.items()]
        self._averages = {
            name: torch.empty_like(of.detach()).copy_(value.detach())
            for (name, of), value in zip(trained.items(), start, strict=True)
        }
        self._further = tied(model)

    @torch.no_grad()
    def update_(self) -> None:
        """Take the weights of one more iteration in."""
        torch._foreach_lerp_(list(self._averages.values()), self._parameters, self._share)

    @torch.no_grad()
    def mask_(self, masks: Mapping[str, Tensor]) -> None:
        """Set pruned weights to zero; as they stay so, their average does from there on."""
        for name, mask in masks.items():
            if name in self._averages:
                self._averages[name].mul_(mask.to(self._averages[name].device))

    def over(self, weights: Weights) -> Weights:
        """Return a network's weights, on the CPU, with the averages in their places."""
        own = {name: of.to("cpu", copy=True) for name, of in self._averages.items()}
        first = {name: self._further.get(name, name) for name in weights}
        return {n: own.get(first[n], of) for n, of in weights.items()}
