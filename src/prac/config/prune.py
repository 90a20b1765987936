"""Which weights a pruning takes, when, and by what: settings without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prac.config.settings import Settings, setting
from prac.errors import PracError, unknown_name

LAYER_KINDS = ("conv", "conv-transpose", "linear", "attention", "recurrent", "embedding")
"""Kinds of layer whose weights may be pruned."""

AUTO_LAYERS = {"conv", "conv-transpose", "linear", "attention", "recurrent", "own"}
"""Those that "auto" takes, with weights of layers that are none of torch's."""

LEARNED_SCORES = ("cts", "cts-loss", "gem-miner")
"""Scores that are learned, while the weights stay as they are."""


@dataclass(frozen=True, repr=False)
class PruneConfig(Settings):
    """Which weights a pruning takes."""

    drop_fraction: float = setting(
        0.2, "share of the remaining weights pruned a level", above=0, below=1
    )
    when: Literal["iterative", "one-shot", "at-init", "learned"] = setting(
        "iterative",
        "train before every pruning, before the first only, or never; or learn masks over weights "
        "that stay at the rewind point",
        flag="pruning",
    )
    train_every: int = setting(
        1, "prunings to a training: levels between are pruned by its weights", at_least=1
    )
    score: Literal[
        "magnitude", "random", "snip", "grasp", "synflow", "cts", "cts-loss", "gem-miner"
    ] = setting(
        "magnitude",
        "what ranks the weights; snip, grasp and synflow do so at-init, and what pruning learned "
        "learns are cts, cts-loss or gem-miner",
    )
    mask_lr: float | None = setting(
        None,
        "peak learning rate of masks that are learned, where it is not the training's",
        above=0,
    )
    scope: Literal["global", "layer"] = setting("global", "rank all layers together, or each alone")
    layers: str = setting(
        "auto",
        "kinds of layer whose weights are prunable, joined by +: conv, conv-transpose, linear, "
        "attention, recurrent, embedding; auto is all but embeddings and the output layer, which "
        "auto+embedding and auto+output add",
        unit="KIND[+KIND...]",
        names=("auto", *LAYER_KINDS, "conv+linear"),
    )
    include: tuple[str, ...] = setting(
        (), "parameter-name patterns that are prunable, instead of kinds of layer"
    )
    exclude: tuple[str, ...] = setting((), "parameter-name patterns that are never pruned")
    allow_empty: bool = setting(False, "let a pruning take all the weights of a layer")

    def _check_together(self) -> None:
        for kind in self.layers.split("+"):
            if kind not in ("auto", *LAYER_KINDS, "output"):
                raise unknown_name("kind of layer", kind, ("auto", *LAYER_KINDS, "output"))
        if self.train_every > 1 and self.when not in ("iterative", "learned"):
            raise PracError(
                f"train_every is {self.train_every} but pruning is {self.when!r}, which says when "
                f"to train; leave one of them out"
            )
        if self.score in LEARNED_SCORES and self.when != "learned":
            raise PracError(
                f"score is {self.score!r} but pruning is {self.when!r}: such scores are learned "
                f"over weights that stay as they are; use learned"
            )
        if self.mask_lr is not None and self.when != "learned":
            raise PracError(
                f"mask_lr is {self.mask_lr:g} but pruning is {self.when!r}: no masks are learned; "
                f"leave it out"
            )
        if self.when == "learned" and self.score not in LEARNED_SCORES:
            raise PracError(
                f"pruning is 'learned' but score is {self.score!r}: expected what can be learned, "
                f"{', '.join(LEARNED_SCORES)}"
            )
        if self.score in ("snip", "grasp", "synflow") and self.when != "at-init":
            raise PracError(
                f"score is {self.score!r} but pruning is {self.when!r}: it ranks the weights that "
                f"nothing has trained; use at-init"
            )

    @property
    def learns(self) -> bool:
        """Whether levels learn masks, instead of training weights."""
        return self.when == "learned"
