"""From a batch's loss to the optimiser's step: pieces of a batch, loss scaling, clipping."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from prac.config import TrainConfig
from prac.errors import PracError
from prac.training.runtime import Runtime


@dataclass(frozen=True)
class Descent:
    """What is done between a loss and a step, beside taking gradients.

    Attributes:
        clip_norm: What the norm of all gradients together is scaled down to; None for never.
        accumulate: Pieces that a batch is computed in.
        scaler: Scales losses so that gradients in float16 are not lost, and leaves out the steps
            whose gradients are not finite; None where nothing is scaled.
    """

    clip_norm: float | None = None
    accumulate: int = 1
    scaler: GradScaler | None = None

    @classmethod
    def of(cls, config: TrainConfig, runtime: Runtime) -> Descent:
        """Return it as configured; its scaler has its own state from then on."""
        scales = runtime.precision == "fp16"
        scaler = GradScaler(runtime.device.type) if scales else None
        return cls(config.clip_norm, config.accumulate, scaler)

    def sizes(self, examples: int) -> list[int]:
        """Return the sizes of a batch's pieces: nearly even, and none of a single example.

        >>> Descent(accumulate=4).sizes(10), Descent(accumulate=4).sizes(5)
        ([3, 3, 2, 2], [3, 2])
        """
        pieces = max(1, min(self.accumulate, examples // 2))
        size, larger = divmod(examples, pieces)
        return [size + 1] * larger + [size] * (pieces - larger)

    def backward(self, loss: Tensor) -> None:
        """Add a loss's gradients to those that are there."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def step_(
        self,
        optimizer: torch.optim.Optimizer,
        weights: Sequence[Tensor] = (),
        masks: Sequence[Tensor] = (),
    ) -> None:
        """Take the optimiser's step; `weights` have `masks` of 0 and 1.

        Gradients of pruned weights do not count in the norm: they train nothing, and a ticket steps
        as the network would that lacks them.
        """
        if self.clip_norm is not None:
            if self.scaler is not None:
                self.scaler.unscale_(optimizer)
            for weight, mask in zip(weights, masks, strict=True):
                if weight.grad is not None:
                    weight.grad.mul_(mask)
            every = [of for group in optimizer.param_groups for of in group["params"]]
            torch.nn.utils.clip_grad_norm_(every, self.clip_norm)
        if self.scaler is None:
            optimizer.step()
            return
        if any(of.grad is not None for group in optimizer.param_groups for of in group["params"]):
            self.scaler.step(optimizer)
            self.scaler.update()

    def tensors(self) -> dict[str, Tensor]:
        """Return the scaler's state by name, to be kept beside the optimiser's."""
        if self.scaler is None:
            return {}
        known = self.scaler.state_dict()
        return {
            "scaler/scale": torch.tensor(known["scale"], dtype=torch.float64),
            "scaler/growth_tracker": torch.tensor(known["_growth_tracker"], dtype=torch.int64),
        }

    def restore_(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Put back what `tensors` returned, and return the others.

        Raises:
            PracError: If it is not there, or no scaler's.
        """
        if self.scaler is None:
            return dict(tensors)
        own = {name: tensors.get(name) for name in self.tensors()}
        for (name, like), found in zip(self.tensors().items(), own.values(), strict=True):
            if found is None or found.dtype != like.dtype or found.ndim:
                raise PracError(f"the state's {name!r} is no loss scaler's: expected one number")
            if not 0 <= found.item() < math.inf or (name == "scaler/scale" and not found.item()):
                raise PracError(f"the state's {name!r} is {found.item()}: expected a finite number")
        scale, tracker = own.values()
        assert scale is not None, "looked at above"
        assert tracker is not None, "looked at above"
        mine = self.scaler.state_dict()
        mine |= {"scale": scale.item(), "_growth_tracker": int(tracker.item())}
        self.scaler.load_state_dict(mine)
        return {name: tensor for name, tensor in tensors.items() if name not in own}


PLAIN = Descent()
"""Gradients as they are, of whole batches."""
