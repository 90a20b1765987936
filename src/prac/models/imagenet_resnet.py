"""ResNet-18 and ResNet-50, with the ImageNet stem or one for small images."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn


def projection(channels_in: int, channels_out: int, stride: int) -> nn.Module:
    """Return a block's shortcut: the identity, or a strided 1x1 convolution if sizes differ."""
    if stride == 1 and channels_in == channels_out:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation, added to a shortcut."""

    expansion: ClassVar[int] = 1
    shortcut = staticmethod(projection)

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        """Build the block from `channels_in` to `width` channels."""
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = self.shortcut(channels_in, width, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Return `(batch, width, ceil(H / stride), ceil(W / stride))`."""
        hidden = F.relu(self.bn1(self.conv1(maps)))
        return F.relu(self.bn2(self.conv2(hidden)) + self.downsample(maps))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with batch normalisation, added to a shortcut.

    The stride sits on the 3x3 convolution ("version 1.5"), the form whose weights and accuracies
    are the ones in common use.
    """

    expansion: ClassVar[int] = 4

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        """Build the block from `channels_in` to `4 * width` channels."""
        super().__init__()
        channels_out = width * self.expansion
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out)
        self.downsample = projection(channels_in, channels_out, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Return `(batch, 4 * width, ceil(H / stride), ceil(W / stride))`."""
        hidden = F.relu(self.bn1(self.conv1(maps)))
        hidden = F.relu(self.bn2(self.conv2(hidden)))
        return F.relu(self.bn3(self.conv3(hidden)) + self.downsample(maps))


class ResNet(nn.Module):
    """A stem, four stages of residual blocks, global average, one linear layer.

    Source: He et al. (arXiv 1512.03385), table 1. The ImageNet stem (7x7 stride 2, then 3x3
    max-pool stride 2) would leave a 32-pixel image a single pixel in the last stage, so small
    images get a 3x3 stride 1 convolution and no pooling instead. Convolutions start Kaiming-normal
    over fan-out. Parameter names are those of the PrAC-LTH networks, so that their checkpoints map
    one to one.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        blocks_per_stage: tuple[int, int, int, int],
        image_shape: tuple[int, int, int],
        classes: int,
        *,
        small_stem: bool,
    ) -> None:
        """Build the network for images `(channels, height, width)`."""
        super().__init__()
        kernel, stride = (3, 1) if small_stem else (7, 2)
        self.conv1 = nn.Conv2d(image_shape[0], 64, kernel, stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.Identity() if small_stem else nn.MaxPool2d(3, stride=2, padding=1)
        first, second, third, fourth = blocks_per_stage
        wide = block.expansion
        # The stem has already shrunk the image for the first stage.
        self.layer1 = stage(block, first, 64, 64, stride=1)
        self.layer2 = stage(block, second, 64 * wide, 128, stride=2)
        self.layer3 = stage(block, third, 128 * wide, 256, stride=2)
        self.layer4 = stage(block, fourth, 256 * wide, 512, stride=2)
        self.fc = nn.Linear(512 * wide, classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(batch, classes)` for images `(batch, channels, height, width)`."""
        maps = self.maxpool(F.relu(self.bn1(self.conv1(images))))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        logits: Tensor = self.fc(maps.mean(dim=(2, 3)))
        return logits


def stage(
    block: type[BasicBlock] | type[Bottleneck],
    blocks: int,
    channels_in: int,
    width: int,
    stride: int,
) -> nn.Sequential:
    """Return a stage of residual blocks, of which only the first changes the size."""
    first = block(channels_in, width, stride)
    rest = (block(width * block.expansion, width, stride=1) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
