"""LeNet-300-100, the fully connected network of the lottery ticket paper."""

from __future__ import annotations

import math

from torch import Tensor, nn


class LeNet300100(nn.Module):
    """Two hidden layers of 300 and 100 units over the flattened image.

    Source: LeCun et al. (1998); as used by Frankle and Carbin (arXiv 1803.03635), whose Gaussian
    Glorot initialisation is kept: it is the distribution that winning tickets were first found in.
    """

    def __init__(self, image_shape: tuple[int, int, int], classes: int) -> None:
        """Build the network for images `(channels, height, width)` of any size."""
        super().__init__()
        self.fc1 = nn.Linear(math.prod(image_shape), 300)
        self.fc2 = nn.Linear(300, 100)
        self.fc3 = nn.Linear(100, classes)
        for layer in (self.fc1, self.fc2, self.fc3):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(batch, classes)` for images `(batch, channels, height, width)`."""
        hidden: Tensor = self.fc1(images.flatten(1)).relu()
        logits: Tensor = self.fc3(self.fc2(hidden).relu())
        return logits
