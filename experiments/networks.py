"""Networks of the experiments that the package does not ship, named as `--model experiments...`."""

from __future__ import annotations

from torch import nn

from prac.models.transformer import VisionTransformer


def thin_vgg(image_shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """Return a thin plain network: pairs of 3x3 convolutions of 16, 32 and 64 channels.

    BatchNorm and ReLU follow each convolution, max pooling each pair but the last, and a global
    average and a linear layer the last. As VGG, it has no shortcuts, which ResNets consist of.
    """
    layers: list[nn.Module] = []
    channels = image_shape[0]
    for number, width in enumerate((16, 32, 64)):
        if number:
            layers.append(nn.MaxPool2d(2))
        for _ in range(2):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
            layers.append(nn.ReLU())
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


def vit_of_4(image_shape: tuple[int, int, int], classes: int) -> VisionTransformer:
    """Return `vision_transformer` over patches of 4x4: 16 of them in an image of 16x16."""
    return VisionTransformer(image_shape, classes, patch=4)
