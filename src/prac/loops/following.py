"""What hooks in other libraries' trainers have in common: a level followed through its training."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from prac.errors import PracError
from prac.loops.attaching import Attachment, attach
from prac.search import AskedLevel


class Following:
    """A level that a trainer trains, from its first step to its last.

    Attributes:
        network: What the search is of, once it was found in what is trained.
    """

    def __init__(self, level: AskedLevel, network: nn.Module | None) -> None:
        """Begin with nothing trained; the network is looked for where none is given."""
        if not isinstance(level, AskedLevel):
            raise PracError(
                f"level is {type(level).__name__}: expected a level that is to be trained, which "
                f"search.ask() returns"
            )
        self.level, self.network = level, network
        self._attachment: Attachment | None = None
        self._lr: float | None = None
        self._loss: Tensor | None = None
        self._seen = 0

    def load(self, module: nn.Module) -> None:
        """Give the network, in what is trained, the weights that the level starts from."""
        if self.level.is_begun:
            raise PracError(
                f"level {self.level.index} was trained already: tell it, or ask for it anew by "
                f"search.ask(), and make a trainer for each level"
            )
        self.network = self.network or network_in(module, self.level)
        self.level.apply(self.network)

    def begin(self, optimizer: Any, *, step: int, ranks: int) -> None:
        """Hold the masks from now on, before the first step."""
        if ranks > 1:
            raise PracError(
                f"{ranks} processes train: prac's callbacks follow one; for several see 'Several "
                f"processes' in docs/howto/own-loop.md"
            )
        if step:
            raise PracError(
                f"training goes on at step {step}: a level is trained from its start, so resume "
                f"from no checkpoint, and make a trainer for each level"
            )
        assert self.network is not None, "it was loaded"
        self._attachment = attach(self.network, optimizer, self.level.masks)

    def record(self, ids: Any, correct: Any, loss: Tensor | None = None) -> None:
        """Note a batch, and its mean loss."""
        self.level.forgetting.record(ids, correct)
        if loss is not None:
            summed = loss.detach() * len(ids)
            self._loss = summed if self._loss is None else self._loss + summed
            self._seen += len(ids)

    def begin_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Note the learning rate of the step that comes."""
        self._lr = float(optimizer.param_groups[0]["lr"])

    def end_step(self) -> bool:
        """Note a step; say whether the level's length is reached."""
        assert self.network is not None, "it was loaded"
        return self.level.end_step(self.network)

    def metric_name(self, prefix: str) -> str:
        """Return what a validation usually calls the search's metric: "val_accuracy", say."""
        return prefix + self.level.measure.plain_name

    def end_epoch(self, metric: float | None, loss: float | None) -> bool:
        """Note an epoch's end and its validation; say whether training may end."""
        assert self.network is not None, "it was loaded"
        counts = self.level.measure.counts_examples
        train_loss = None if self._loss is None else float(self._loss) / self._seen
        self._loss, self._seen = None, 0
        return self.level.end_epoch(
            self.network,
            val_accuracy=metric if counts else None,
            val_metric=None if counts else metric,
            val_loss=loss,
            train_loss=train_loss,
            lr=self._lr,
        )

    def end(self) -> None:
        """Take the masks off, and check that pruned weights are zero."""
        attachment, self._attachment = self._attachment, None
        if attachment is not None:
            attachment.detach()
            attachment.check()

    def abandon(self) -> None:
        """Take the masks off after an error, if they are not off yet."""
        if self._attachment is not None:
            self._attachment.detach()
            self._attachment = None


def network_in(module: nn.Module, level: AskedLevel) -> nn.Module:
    """Return the part of a module, or itself, that has the weights of a level's network.

    Raises:
        PracError: If there is none, or several.
    """
    weights = level.ticket.weights
    found: dict[str, nn.Module] = {}
    for name, part in module.named_modules():
        own = part.state_dict(keep_vars=True)
        if all(key in own and own[key].shape == weight.shape for key, weight in weights.items()):
            found[name] = part
    if len(found) == 1:
        return next(iter(found.values()))
    what = f"several parts, {', '.join(map(repr, found))}" if found else "no part"
    raise PracError(
        f"{what} of the {type(module).__name__} has the weights of the search's network "
        f"({next(iter(weights))!r} and so on): pass the network that is trained as module="
    )


def measured(metrics: Any, name: str | None, default: str) -> float | None:
    """Return the metric of a name; without one that of the usual name, if there is one.

    Raises:
        PracError: If there is none of the name that is given.
    """
    if (name or default) in metrics:
        return float(metrics[name or default])
    if name is None:
        if metrics and default not in ("val_loss", "eval_loss"):
            warnings.warn(
                f"validation gave no {default!r}, by which the best epoch would be chosen: it gave "
                f"{', '.join(map(str, metrics))}; name it so, or pass monitor=NAME",
                stacklevel=2,
            )
        return None
    raise PracError(
        f"validation gave no {name!r}, which monitor= names: it gave "
        f"{', '.join(map(str, metrics)) or 'nothing'}"
    )
