"""Networks that the lottery ticket literature is about, and two small transformers, by name.

Parameters, biases and batch normalisation included, in the setting each network is known from:

| name               | image      | classes | parameters |
|--------------------|------------|--------:|-----------:|
| lenet_300_100      | 1x28x28    |      10 |    266,610 |
| conv2              | 3x32x32    |      10 |  4,301,642 |
| conv4              | 3x32x32    |      10 |  2,425,930 |
| conv6              | 3x32x32    |      10 |  2,262,602 |
| resnet8s           | 3x32x32    |      10 |     75,290 |
| resnet14s          | 3x32x32    |      10 |    172,506 |
| resnet20s          | 3x32x32    |      10 |    269,722 |
| resnet56s          | 3x32x32    |      10 |    853,018 |
| vgg16_bn           | 3x32x32    |      10 | 14,728,266 |
| resnet18           | 3x224x224  |    1000 | 11,689,512 |
| resnet50           | 3x224x224  |    1000 | 25,557,032 |
| text_transformer   | 1x1x64     |      97 |    110,400 |
| vision_transformer | 1x8x8      |      10 |    102,218 |

The image of text is a row of tokens, of a vocabulary of as many as there are classes.

Frankle and Carbin print 1.7M weights for Conv-6, which its layers as they describe them do not add
up to: 1.14M in the convolutions, as they say, and 1.12M in the fully connected layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal, cast

from torch import nn

from prac.config import ModelConfig, is_own_code
from prac.errors import PracError, unknown_name
from prac.models.cifar_resnet import CifarResNet
from prac.models.conv import ConvNet
from prac.models.custom import build_own
from prac.models.imagenet_resnet import BasicBlock, Bottleneck, ResNet
from prac.models.lenet import LeNet300100
from prac.models.libraries import build_listed, library_factory
from prac.models.plain import shaped
from prac.models.transformer import TextTransformer, VisionTransformer
from prac.models.vgg import VGG16BN
from prac.utils import imported, seeded

Stem = Literal["auto", "small", "imagenet"]

# Images with a longer side than this get the ImageNet stem where a model has one.
_LARGEST_SMALL_SIDE = 64


@dataclass(frozen=True, slots=True)
class Form:
    """A network for one kind of image, or for text.

    Attributes:
        make: Called as `make(image_shape, classes)`.
        least_side: Pixels an image needs a side, so that each pooling or stride has something left
            to halve.
        reads_text: Whether inputs are sequences of tokens, int64 (n, length), as many as the last
            side of a shape (1, 1, length), of a vocabulary as large as there are classes.
    """

    make: Callable[[tuple[int, int, int], int], nn.Module]
    least_side: int
    reads_text: bool = False


_RESNET18 = partial(ResNet, BasicBlock, (2, 2, 2, 2))
_RESNET50 = partial(ResNet, Bottleneck, (3, 4, 6, 3))

MODELS: Mapping[str, Mapping[Stem, Form]] = MappingProxyType(
    {
        "lenet_300_100": {"small": Form(LeNet300100, least_side=1)},
        "conv2": {"small": Form(partial(ConvNet, 1), least_side=2)},
        "conv4": {"small": Form(partial(ConvNet, 2), least_side=4)},
        "conv6": {"small": Form(partial(ConvNet, 3), least_side=8)},
        "resnet8s": {"small": Form(partial(CifarResNet, 1), least_side=4)},
        "resnet14s": {"small": Form(partial(CifarResNet, 2), least_side=4)},
        "resnet20s": {"small": Form(partial(CifarResNet, 3), least_side=4)},
        "resnet56s": {"small": Form(partial(CifarResNet, 9), least_side=4)},
        "vgg16_bn": {"small": Form(VGG16BN, least_side=16)},
        "resnet18": {
            "small": Form(partial(_RESNET18, small_stem=True), least_side=8),
            "imagenet": Form(partial(_RESNET18, small_stem=False), least_side=32),
        },
        "resnet50": {
            "small": Form(partial(_RESNET50, small_stem=True), least_side=8),
            "imagenet": Form(partial(_RESNET50, small_stem=False), least_side=32),
        },
        "text_transformer": {"small": Form(TextTransformer, least_side=1, reads_text=True)},
        "vision_transformer": {"small": Form(VisionTransformer, least_side=2)},
    }
)
"""The networks by name, each with its form for every stem that it has."""


def build(
    name: str, *, image_shape: tuple[int, ...], classes: int, stem: Stem = "auto"
) -> nn.Module:
    """Return a freshly initialised model by its name, or a custom one by where it is defined.

    The weights are drawn from torch's global generator: seed it first for the same model again.

    Args:
        name: A key of `MODELS`; `timm:NAME` or `torchvision:NAME` for a model that these libraries
            list, if they are installed; or `package.module:callable` for a custom model, which is
            called with those of `image_shape`, `image_size`, `in_channels` and `num_classes`, or
            other usual names of these, that its signature names. Where it has no name for the
            classes but `**kwargs`, it gets `num_classes` if what is behind takes it.
        image_shape: `(channels, height, width)` of one image; `(1, 1, length)` of text.
        classes: Number of classes, at least 2; of text, its vocabulary's.
        stem: The layers before the first stage, where a model has more than one choice: `"small"`
            keeps the image's size, `"imagenet"` divides it by 4, `"auto"` takes `"small"` up to 64
            pixels a side.

    Returns:
        A model in training mode, on the CPU, from `(batch, channels, height, width)` to logits
        `(batch, classes)`; one that reads text, from int64 `(batch, length)` to logits
        `(batch, length, classes)`.

    Raises:
        PracError: The name is unknown, the model has no such stem, does not take such images, or
            it or its library cannot be imported or called.

    >>> model = build("lenet_300_100", image_shape=(1, 28, 28), classes=10)
    >>> sum(parameter.numel() for parameter in model.parameters())
    266610
    """
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise PracError(
            f"image_shape is {image_shape}, expected (channels, height, width), each at least 1"
        )
    if classes < 2:
        raise PracError(f"classes is {classes}, expected at least 2")
    shape = cast("tuple[int, int, int]", tuple(image_shape))
    forms = {} if ":" in name else MODELS.get(name)
    if forms is None:
        raise unknown_name("model", name, MODELS)
    if stem != "auto" and stem not in forms:
        other = "it is a custom model" if is_own_code(name) else "it is a library's"
        choice = f"it has: {', '.join(forms)}" if forms else other
        raise PracError(f"model {name!r} has no {stem!r} stem ({choice}): use stem 'auto'")
    if not forms:
        make = build_own if is_own_code(name) else build_listed
        return make(name, image_shape=shape, classes=classes)
    _, height, width = shape
    if stem == "auto":
        is_large = max(height, width) > _LARGEST_SMALL_SIDE
        stem = "imagenet" if is_large and "imagenet" in forms else "small"
    form = forms[stem]
    if form.reads_text and shape[:2] != (1, 1):
        raise PracError(
            f"model {name!r} reads sequences of tokens, and inputs are of shape {shape}: expected "
            f"(1, 1, length); choose another model, or text such as the data set python_topics"
        )
    if min(height, width) < form.least_side:
        raise PracError(
            f"model {name!r} needs images of at least {form.least_side}x{form.least_side}, "
            f"these are {height}x{width}: choose a smaller model or enlarge the images"
        )
    return form.make(shape, classes)


def check_model(name: str) -> None:
    """Raise a PracError where a custom model or a library's is not to be had, without making it."""
    if is_own_code(name):
        imported(name, "model")
    elif ":" in name:
        library_factory(name)


def load_model(
    config: ModelConfig, input_shape: Sequence[int], classes: int, seed: int | None = None
) -> nn.Module:
    """Return the configured network; without a seed, from torch's generator as that stands.

    Lazy layers get their shapes from the inputs', and their weights from the same seed.

    Raises:
        PracError: If the name is not known, or the network does not take such inputs.
    """
    # Feature vectors are images of one row to a network.
    shape = tuple(input_shape) if len(input_shape) == 3 else (1, 1, math.prod(input_shape))
    with nullcontext() if seed is None else seeded(seed):
        model = build(config.name, image_shape=shape, classes=classes, stem=config.stem)
        return shaped(model, input_shape) if is_own_code(config.name) else model
