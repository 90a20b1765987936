"""What a search is told: frozen settings, each checked, with its help and bounds on its field.

Nothing here imports torch, so that the command line can describe itself at once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Literal, TypedDict, Unpack

from prac.config.level import LevelConfig
from prac.config.methods import method_settings
from prac.config.prune import PruneConfig
from prac.config.rewind import Rewind
from prac.config.settings import Settings, flat, from_flat, setting
from prac.config.train import TrainConfig
from prac.errors import PracError

MAX_SEED = 2**63 - 1  # What torch's generators take.

SIZED = ("random", "el2n", "el2n-ccs")
"""Subset rules whose sets have a size that is set."""


@dataclass(frozen=True, repr=False)
class SubsetConfig(Settings):
    """Which examples the next level trains on."""

    rule: Literal["all", "prac", "cet", "cep", "random", "el2n", "el2n-ccs", "fixed"] = setting(
        "prac",
        "all data, CET and CEP, either alone, a random set, the highest EL2N scores, all EL2N "
        "scores evenly (coverage-centric), or the set the search began with",
        flag="subset_rule",
    )
    threshold: int = setting(0, "forgetting events an example may have to be left out", at_least=0)
    kept_fraction: float | None = setting(
        None,
        "share of all training data in a set: of CET the hardest, instead of the threshold",
        above=0,
        at_most=1,
    )
    sizes: tuple[int, ...] = setting(
        (),
        "sizes of random and EL2N sets by level, from 0 on; the last one holds on",
        flag="set_sizes",
        at_least=2,
    )
    dense_fraction: float | None = setting(
        None,
        "share of all training data that level 0 trains on, drawn at random",
        above=0,
        at_most=1,
    )
    el2n_epoch: int = setting(10, "epoch of level 0 after which EL2N scores are taken", at_least=1)
    cutoff: float = setting(
        0.1, "share of all data, the hardest, that el2n-ccs leaves out", at_least=0, below=1
    )
    scaling: Literal["linear", "epochs", "none"] = setting(
        "linear", "how a level's length follows the set's size: iterations, or epochs as well"
    )

    def _check_together(self) -> None:
        if self.kept_fraction is not None and self.rule not in ("prac", "cet", *SIZED):
            raise PracError(
                f"kept_fraction is set but subset_rule is {self.rule!r}: it needs prac, cet, "
                f"random, el2n or el2n-ccs"
            )
        if self.sizes and not self.is_sized:
            raise PracError(
                f"set_sizes is set but subset_rule is {self.rule!r}: it needs {' or '.join(SIZED)}"
            )
        if self.is_sized and (self.kept_fraction is None) == (not self.sizes):
            given = "both kept_fraction and set_sizes say" if self.sizes else "nothing says"
            raise PracError(
                f"subset_rule is {self.rule!r} and {given} how large its sets are: set either "
                f"kept_fraction or set_sizes"
            )
        if self.dense_fraction is not None and (self.sizes or self.rule == "fixed"):
            other = "set_sizes" if self.sizes else "the set the search begins with"
            raise PracError(f"dense_fraction and {other} both say what level 0 trains on: drop one")
        if self.kept_fraction is not None and self.threshold:
            raise PracError(
                "kept_fraction and threshold are both set: either one says what CET keeps"
            )

    @property
    def is_sized(self) -> bool:
        """Whether sets have a size that is set."""
        return self.rule in SIZED

    @property
    def needs_predictions(self) -> bool:
        """Whether choosing a set looks at what the dense and the pruned network predict."""
        return self.rule in ("prac", "cep")

    @property
    def needs_forgetting(self) -> bool:
        """Whether choosing a set looks at what training forgets."""
        return self.rule in ("prac", "cet")

    @property
    def needs_difficulty(self) -> bool:
        """Whether choosing a set looks at EL2N scores, taken in level 0."""
        return self.rule in ("el2n", "el2n-ccs")


@dataclass(frozen=True, repr=False)
class SampleConfig(Settings):
    """Which examples of its set a level presents in an epoch."""

    rule: Literal["all", "fresh", "infobatch"] = setting(
        "all",
        "all of its set, a fresh random share of it (RS2), or InfoBatch's by loss",
        flag="sampling",
    )
    fraction: float = setting(
        0.3,
        "share that fresh sampling presents an epoch",
        flag="sample_fraction",
        above=0,
        at_most=1,
    )
    drop_probability: float = setting(
        0.5, "chance that infobatch drops an example of less than the mean loss", above=0, below=1
    )

    @property
    def needs_losses(self) -> bool:
        """Whether what an epoch presents depends on each example's loss."""
        return self.rule == "infobatch"


@dataclass(frozen=True, repr=False)
class StopConfig(Settings):
    """When a level has trained enough for its mask."""

    rule: Literal["stable", "never"] = setting(
        "stable", "stop once the mask is stable, or never", flag="stop_rule"
    )
    epsilon: float = setting(0.07, "mask distance below which a mask is stable", above=0)
    window: int = setting(5, "epochs in a row that it must be stable", at_least=1)
    arm: Literal["above-once", "at-once"] = setting(
        "at-once", "whether the distance must first have reached epsilon"
    )
    after: tuple[int, ...] = setting(
        (),
        "iterations after which levels are cut short, from 0 on; the last one holds on",
        flag="stop_after",
        at_least=1,
    )
    budget: float | None = setting(
        None,
        "share of a full training's iterations on all data that a level takes at most",
        flag="level_budget",
        above=0,
        at_most=1,
    )
    dense_budget: float | None = setting(
        None, "the same share for level 0, where it is another", above=0, at_most=1
    )


class SearchKeywords(TypedDict, total=False):
    """The settings of a search by name: the fields of `SearchConfig`, which says what each is."""

    levels: int
    rewind: str
    seed: int
    train: TrainConfig
    prune: PruneConfig
    subset: SubsetConfig
    sample: SampleConfig
    stop: StopConfig
    level: LevelConfig


@dataclass(frozen=True, repr=False)
class SearchConfig(Settings):
    """A whole search: levels, rewinding, and the parts that make a method."""

    levels: int = setting(
        15, "prunings; the last ticket's density is (1 - drop_fraction)^levels", at_least=1
    )
    rewind: str = setting(
        "init",
        "what a ticket's weights are: init, epoch:N, iteration:N, learning-rate, or none",
        names=("init", "learning-rate", "none"),
    )
    seed: int = setting(
        0, "source of order, augmentation and initialisation", at_least=0, at_most=MAX_SEED
    )
    train: TrainConfig = field(default_factory=TrainConfig)
    prune: PruneConfig = field(default_factory=PruneConfig)
    subset: SubsetConfig = field(default_factory=SubsetConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    stop: StopConfig = field(default_factory=StopConfig)
    level: LevelConfig = field(default_factory=LevelConfig)

    def _check_together(self) -> None:
        rewind = Rewind.parse(self.rewind)
        if rewind.fine_tunes and (schedule := self.train.schedule) in ("cosine", "linear"):
            raise PracError(
                f"rewind is 'none' but schedule is {schedule!r}: fine-tuning trains at the "
                f"schedule's last rate, which {schedule} brings to zero; use multi-step or constant"
            )
        self._check_untrained(rewind)
        self._check_learned(rewind)
        self._check_later(rewind)
        unit = "epoch" if self.train.iterations is None else "iteration"
        length = self.train.iterations or self.train.epochs
        if rewind.kind == unit and rewind.at > length:
            raise PracError(
                f"rewind is {self.rewind!r} but the dense training has only {length} {unit}s: "
                f"rewind earlier or train longer"
            )

    @property
    def levels_a_training(self) -> int:
        """Prunings to a training; 0 where nothing is trained."""
        every = {"one-shot": self.levels, "at-init": 0}
        return every.get(self.prune.when, self.prune.train_every)

    def _check_untrained(self, rewind: Rewind) -> None:
        """Raise a PracError where settings ask something of levels that are not trained."""
        when, subset = self.prune.when, self.subset
        if when == "one-shot" and subset.rule not in ("all", "fixed"):
            raise PracError(
                f"pruning is 'one-shot' but subset_rule is {subset.rule!r}: levels that are not "
                f"trained choose no examples; use all"
            )
        if when == "one-shot" and rewind.keeps_weights:
            raise PracError(
                f"pruning is 'one-shot' but rewind is {self.rewind!r}: use init, epoch:N or "
                f"iteration:N"
            )
        wanted = {
            "subset_rule": (subset.rule, "all"),
            "rewind": (self.rewind, "init"),
            "sampling": (self.sample.rule, "all"),
            "dense_fraction": (subset.dense_fraction, None),
            "stop_after": (self.stop.after, ()),
            "level_budget": (self.stop.budget, None),
            "dense_budget": (self.stop.dense_budget, None),
        }
        for name, (value, only) in wanted.items():
            if when == "at-init" and value != only:
                advice = f"use {only}" if isinstance(only, str) else "leave it out"
                raise PracError(
                    f"pruning is 'at-init' but {name} is {value!r}: nothing is trained that this "
                    f"could be about; {advice}"
                )

    def _check_learned(self, rewind: Rewind) -> None:
        """Raise a PracError where settings ask of masks that are learned what they do not tell."""
        if not self.prune.learns:
            return
        if self.subset.rule not in ("all", "fixed", "random"):
            raise PracError(
                f"pruning is 'learned' but subset_rule is {self.subset.rule!r}: no network is "
                f"trained that would tell which examples matter; use all or random"
            )
        if self.sample.needs_losses:
            raise PracError(
                f"pruning is 'learned' but sampling is {self.sample.rule!r}: what is descended is "
                f"no mean of examples' losses; use all or fresh"
            )
        if self.train.precision == "fp16":
            raise PracError(
                "pruning is 'learned' but precision is 'fp16': gradients of scores are balanced "
                "before any loss scaling; use bf16 or fp32"
            )
        if rewind.keeps_weights:
            raise PracError(
                f"pruning is 'learned' but rewind is {self.rewind!r}: masks are learned over the "
                f"weights of one point; use init, epoch:N or iteration:N"
            )

    def _check_later(self, rewind: Rewind) -> None:
        """Raise a PracError where settings of levels after the dense one are given in vain."""
        given, plain = flat(self.level), flat(LevelConfig())
        in_vain: dict[str, Collection[str]] = {}
        if self.prune.learns:
            why = "pruning is 'learned': scores go on from level to level, and weights stay"
            in_vain[why] = {"level_start", "level_lr_factor", "level_weight_decay"}
        elif self.prune.when != "iterative":
            why = f"pruning is {self.prune.when!r}: no level after the dense one is trained"
            in_vain[why] = given.keys()
            if self.prune.when == "one-shot":  # The dense level goes on beyond the rewind point.
                in_vain[why] = given.keys() - {"level_lr_factor", "level_weight_decay"}
        if rewind.keeps_weights:
            why = f"rewind is {self.rewind!r}: tickets hold the weights just trained already"
            in_vain[why] = {"level_start"}
        if rewind.fine_tunes:
            why = "rewind is 'none': fine-tuning trains at the schedule's last rate"
            in_vain[why] = {"level_lr_factor", "level_schedule"}
        if self.stop.budget is None:
            in_vain["level_budget is not set: there is no share that could grow"] = {"level_growth"}
        if self.prune.train_every > 1:
            why = f"train_every is {self.prune.train_every}: levels between are pruned at once"
            in_vain[why] = {"level_prunings"}
        for why, names in in_vain.items():
            for name in names:
                if given[name] != plain[name]:
                    raise PracError(f"{name} is {given[name]!r} but {why}; leave it out")

    @classmethod
    def prac(cls, **settings: Unpack[SearchKeywords]) -> SearchConfig:
        """Return PrAC's settings (CET and CEP, mask-distance stop), changed by `settings`.

        >>> SearchConfig.prac(levels=8).subset.rule
        'prac'
        """
        return cls(**settings)

    @classmethod
    def imp(cls, **settings: Unpack[SearchKeywords]) -> SearchConfig:
        """Return vanilla iterative magnitude pruning's: all data, no early stop.

        >>> SearchConfig.imp(levels=8).stop.rule
        'never'
        """
        settings.setdefault("subset", SubsetConfig(rule="all"))
        settings.setdefault("stop", StopConfig(rule="never"))
        return cls(**settings)

    @classmethod
    def method(cls, name: str, **settings: Unpack[SearchKeywords]) -> SearchConfig:
        """Return the settings of any method, as `prac find --method` has them, changed.

        Raises:
            PracError: If there is no such method.

        >>> SearchConfig.method("carried", levels=8).level.start
        'carried'
        """
        own: SearchConfig = from_flat(cls, {**flat(cls()), **method_settings(name)})
        return replace(own, **settings)
