"""A level of a search trained by hand, in the order that libraries' loaders are given too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Sampler, TensorDataset

import prac
from prac.search import AskedLevel

BATCH = 40
TRAIN = prac.TrainConfig(epochs=4, batch_size=BATCH, lr=0.1, milestones=(3,))

CONFIGS: dict[str, dict[str, Any]] = {
    "prac": {},
    "late rewind": {"rewind": "iteration:7"},
    "stops early": {"stop": prac.StopConfig(epsilon=0.5, window=1, arm="at-once")},
    "carried": {
        "level": prac.LevelConfig(start="carried"),
        "subset": prac.SubsetConfig(rule="cet"),
        "stop": prac.StopConfig(rule="never"),
    },
}


class KilledError(Exception):
    """Stands for whatever ended the process."""


def net() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))


def settings(**changes: Any) -> prac.SearchConfig:
    chosen: dict[str, Any] = {"levels": 3, "train": TRAIN, **changes}
    return prac.SearchConfig.prac(**chosen)


def pair(digits: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return digits[0][:300].flatten(1), digits[1][:300]


def dataset(digits: tuple[Tensor, Tensor]) -> TensorDataset:
    return TensorDataset(*pair(digits))


class Order(Sampler[int]):
    """Shuffles by the level and by how often it was gone through: by hand and by a DataLoader."""

    def __init__(self, level: AskedLevel) -> None:
        self.level, self.epoch = level.index, 0
        self.length = len(level.ids)

    def __iter__(self) -> Iterator[int]:
        seed = 1000 * self.level + self.epoch
        self.epoch += 1
        order = torch.randperm(self.length, generator=torch.Generator().manual_seed(seed))
        return iter(order.tolist())

    def __len__(self) -> int:
        return self.length


def by_hand(out: Path, digits: tuple[Tensor, Tensor], config: prac.SearchConfig) -> prac.Search:
    """Search in a plain loop, which validates on the training examples."""
    x, y = pair(digits)
    model = net()
    with prac.Search.begin(out, net(), examples=len(x), config=config) as search:
        while (level := search.ask()) is not None:
            level.apply(model)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            schedule, order, ends = level.schedule(optimizer), Order(level), False
            with prac.attach(model, optimizer, level.masks):
                while not ends:
                    for places in torch.tensor(list(order)).split(BATCH):
                        ids = level.ids[places]
                        outputs = model(x[ids])
                        optimizer.zero_grad()
                        F.cross_entropy(outputs, y[ids]).backward()
                        optimizer.step()
                        schedule.step()
                        level.forgetting.record(ids, outputs.argmax(1) == y[ids])
                        if level.end_step(model):
                            break
                    right = (model(x).argmax(1) == y).sum()
                    ends = level.end_epoch(model, val_accuracy=float(right) / len(y))
            search.tell(level, model, predictions=lambda model: model(x).argmax(1))
    return prac.Search.load(out)
