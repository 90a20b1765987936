"""VGG-16 with batch normalisation in the form used on CIFAR and Tiny-ImageNet."""

from __future__ import annotations

from torch import Tensor, nn

# Channels of the convolutions of each group; a max-pool stands between groups and none at the end.
_GROUPS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG16BN(nn.Module):
    """Thirteen 3x3 convolutions with batch normalisation, global average, one linear layer.

    Source: Simonyan and Zisserman (arXiv 1409.1556), column D, without its three fully connected
    layers. The convolutions keep their biases, which gives the count usually published for this
    form: 14,728,266 parameters for 3 channels and 10 classes ("14.7M"); the 138M of VGG-16 on
    ImageNet lie mostly in the fully connected layers left out here. Four poolings, none after the
    last group, let images of 16 pixels a side through. Convolutions start Kaiming-normal over
    fan-out. Parameter names are those of the PrAC-LTH network, so that its checkpoints map one to
    one.
    """

    def __init__(self, image_shape: tuple[int, int, int], classes: int) -> None:
        """Build the network for images `(channels, height, width)`, at least 16 pixels a side."""
        super().__init__()
        channels = image_shape[0]
        layers: list[nn.Module] = []
        for group in _GROUPS:
            if layers:
                layers.append(nn.MaxPool2d(2))
            for width in group:
                convolution = nn.Conv2d(channels, width, 3, padding=1)
                layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
                channels = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(batch, classes)` for images `(batch, channels, height, width)`."""
        logits: Tensor = self.classifier(self.features(images).mean(dim=(2, 3)))
        return logits
