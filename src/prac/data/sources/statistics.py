"""Published channel statistics, for the data sets that are surely the ones they are named after."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from prac.config import DATA_NAMES
from prac.data.sources.types import Source, Statistics

# By name: (channels, height, width), number of classes, statistics.
_PUBLISHED = {
    "cifar10": ((3, 32, 32), 10, Statistics((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))),
    "cifar100": ((3, 32, 32), 100, Statistics((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762))),
    "mnist": ((1, 28, 28), 10, Statistics((0.1307,), (0.3081,))),
    "tiny_imagenet": (
        (3, 64, 64),
        200,
        Statistics((0.4802, 0.4481, 0.3975), (0.2302, 0.2265, 0.2262)),
    ),
}


def known_statistics(name: str, shape: tuple[int, ...], classes: int) -> Statistics | None:
    """The published statistics, if name, image shape (c, h, w) and number of classes all agree.

    Resized images have another spread: in doubt the answer is None, and whoever asked measures.

    >>> known_statistics("mnist", (1, 28, 28), 10)
    Statistics(mean=(0.1307,), std=(0.3081,))
    >>> known_statistics("mnist", (1, 32, 32), 10) is None
    True
    """
    known = _PUBLISHED.get(name)
    return known[2] if known is not None and known[:2] == (shape, classes) else None


# Pictures that are looked at, and what their mean may be off: chance makes it 0.01, another data
# set of that name, or the same one inverted, more.
_LOOKED_AT, _OFF = 256, 0.05


def surely_known(train: Source, statistics: Statistics) -> bool:
    """Say whether a training split looks like the data set that its name says, by its colours.

    Decodes some pictures of one that is on disk.
    """
    damaged = {image.index for image in train.damaged}
    # Drawn, always the same: each so-many-th could be of one class.
    drawn = np.random.PCG64(0).random_raw(_LOOKED_AT) % len(train.labels)
    chosen = sorted(set(drawn.tolist()) - damaged)
    if not chosen:
        return False
    if isinstance(train.images, Tensor):
        pictures = train.images[chosen]
    else:
        pictures = torch.stack([train.images[index] for index in chosen])
    mean = pictures.to(torch.float64).mean((0, 2, 3)) / 255
    published = torch.tensor(statistics.mean, dtype=torch.float64)
    return bool(((mean - published).abs() <= _OFF).all())


def canonical(name: str) -> str:
    """The registered name that a folder's name spells, or the name itself.

    >>> canonical("CIFAR-10"), canonical("tiny-imagenet-200"), canonical("My Photos")
    ('cifar10', 'tiny_imagenet', 'My Photos')
    """
    letters = "".join(c for c in name.lower() if c.isalnum())
    spelled = {known.replace("_", ""): known for known in DATA_NAMES}
    spelled["tinyimagenet200"] = "tiny_imagenet"
    return spelled.get(letters, name)
