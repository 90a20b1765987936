"""ResNet-20s and ResNet-56s: the thin three-stage residual networks made for CIFAR."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from prac.models.imagenet_resnet import BasicBlock, stage


class ZeroPadShortcut(nn.Module):
    """Carry a block's input past a change of size without any parameter ("option A").

    Pixels are dropped by striding and the new channels are zeros, half before and half after the
    old ones. Having no weights, it adds nothing to prune.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        """Set the change of size: from `channels_in` to `channels_out`, sides over `stride`."""
        super().__init__()
        self.before = (channels_out - channels_in) // 2
        self.after = channels_out - channels_in - self.before
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        """Return `(batch, channels_out, ceil(H / stride), ceil(W / stride))`."""
        strided = maps[:, :, :: self.stride, :: self.stride]
        return F.pad(strided, (0, 0, 0, 0, self.before, self.after))


class ThinBlock(BasicBlock):
    """A basic block with a parameter-free shortcut."""

    @staticmethod
    def shortcut(channels_in: int, channels_out: int, stride: int) -> nn.Module:
        """Return the identity, or a strided and zero-padded one if sizes differ."""
        if stride == 1 and channels_in == channels_out:
            return nn.Identity()
        return ZeroPadShortcut(channels_in, channels_out, stride)


class CifarResNet(nn.Module):
    """A 3x3 convolution, three stages of 16, 32 and 64 channels, global average, one linear layer.

    Source: He et al. (arXiv 1512.03385), section 4.2; depth is 6 n + 2 for n blocks a stage.
    Convolutions and the linear layer start Kaiming-normal. Parameter names are those of the
    PrAC-LTH networks, so that their checkpoints map one to one.
    """

    def __init__(
        self, blocks_per_stage: int, image_shape: tuple[int, int, int], classes: int
    ) -> None:
        """Build the network for images `(channels, height, width)`."""
        super().__init__()
        self.conv1 = nn.Conv2d(image_shape[0], 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = stage(ThinBlock, blocks_per_stage, 16, 16, stride=1)
        self.layer2 = stage(ThinBlock, blocks_per_stage, 16, 32, stride=2)
        self.layer3 = stage(ThinBlock, blocks_per_stage, 32, 64, stride=2)
        self.fc = nn.Linear(64, classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(batch, classes)` for images `(batch, channels, height, width)`."""
        maps = F.relu(self.bn1(self.conv1(images)))
        maps = self.layer3(self.layer2(self.layer1(maps)))
        logits: Tensor = self.fc(maps.mean(dim=(2, 3)))
        return logits
