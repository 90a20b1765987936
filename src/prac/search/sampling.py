"""How large sets are, and which of their examples an epoch presents, as settings say it."""

from __future__ import annotations

import torch
from torch import Tensor

from prac.algorithms import fresh_sample, infobatch
from prac.config import SampleConfig, SubsetConfig
from prac.runs import RunState
from prac.training import SampleRule, all_members
from prac.utils import generator


def set_size(config: SubsetConfig, level: int, total: int, least: int) -> int:
    """Return how many examples a level's random or EL2N set has: `least`, a batch, or more."""
    if config.sizes:
        wanted = config.sizes[min(level, len(config.sizes) - 1)]
    else:
        assert config.kept_fraction is not None, "the configuration says how large its sets are"
        wanted = round(config.kept_fraction * total)
    return min(max(wanted, least), total)


def random_set(total: int, count: int, *, seed: int) -> Tensor:
    """Return `count` of `total` examples at random, int64, ascending.

    Sets of one seed are nested: a smaller one lies in every larger one.
    """
    order = torch.randperm(total, generator=generator(seed, "random set"))
    return order[:count].sort().values


def first_members(config: SubsetConfig, total: int, *, least: int, seed: int) -> Tensor:
    """Return what level 0 trains on, int64, ascending: all examples, or so many at random."""
    if config.dense_fraction is not None:
        count = round(config.dense_fraction * total)
    elif config.sizes or config.rule == "random":
        count = set_size(config, 0, total, least)
    else:
        count = total
    return random_set(total, min(max(count, least), total), seed=seed)


def presented_an_epoch(config: SampleConfig, members: int, *, least: int) -> int:
    """Return how many of a set's examples an epoch presents at most."""
    if config.rule != "fresh":
        return members
    return min(max(round(config.fraction * members), least), members)


def sample_rule(config: SampleConfig, *, epochs: int, least: int, seed: int) -> SampleRule:
    """Return the configured sampling.

    The epochs are those of the level's plan as if it were not cut short: a level that is does as
    the whole one up to there. An epoch presents no fewer examples than `least`, a batch, if its set
    has as many.
    """

    def by_loss(state: RunState, epoch: int) -> tuple[Tensor, Tensor | None]:
        if state.epoch_start_losses is None:
            return state.members, None
        return infobatch(
            state.epoch_start_losses,
            state.members,
            drop_probability=config.drop_probability,
            epoch=epoch,
            epochs=epochs,
            seed=seed,
        )

    def fresh(state: RunState, epoch: int) -> tuple[Tensor, Tensor | None]:
        count = presented_an_epoch(config, len(state.members), least=least)
        return fresh_sample(state.members, count, epoch, seed), None

    rules: dict[str, SampleRule] = {"all": all_members, "fresh": fresh, "infobatch": by_loss}
    return rules[config.rule]
