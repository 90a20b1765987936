"""Conv-2, Conv-4 and Conv-6, the small convolutional networks of the lottery ticket paper."""

from __future__ import annotations

from torch import Tensor, nn

# Channels of each pair of convolutions, first to last; Conv-2k takes the first k pairs.
_PAIR_CHANNELS = (64, 128, 256)


class ConvNet(nn.Module):
    """Pairs of 3x3 convolutions, each pair max-pooled, then three fully connected layers.

    Source: Frankle and Carbin (arXiv 1803.03635), figure 2, with their Gaussian Glorot
    initialisation.
    """

    def __init__(self, pairs: int, image_shape: tuple[int, int, int], classes: int) -> None:
        """Build the network for images `(channels, height, width)`.

        They need `2 ** pairs` pixels a side: every pooling halves a side and rounds down.
        """
        super().__init__()
        channels, height, width = image_shape
        layers: list[nn.Module] = []
        for pair_channels in _PAIR_CHANNELS[:pairs]:
            for _ in range(2):
                layers += [nn.Conv2d(channels, pair_channels, 3, padding=1), nn.ReLU()]
                channels = pair_channels
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(channels * height * width, 256),
            nn.ReLU(),
            nn.Linear(256, 256),
            nn.ReLU(),
            nn.Linear(256, classes),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(batch, classes)` for images `(batch, channels, height, width)`."""
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits
