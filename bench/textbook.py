"""A training loop as tutorials write it: what the same training costs without `prac`.

One image at a time is decoded to PIL, cropped, mirrored, made a tensor and normalised, in the
loading processes of a DataLoader; the loss and the number of right answers are read every step.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from prac.config import TrainConfig
from prac.data.augment import Pipeline


class TextbookImages(Dataset[tuple[Tensor, int]]):
    """uint8 images with labels, transformed one at a time."""

    def __init__(self, x: Tensor, y: Tensor, pipeline: Pipeline) -> None:
        """Hold (n, c, h, w) images, as arrays with the channels last, as PIL takes them."""
        self.images = x.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = y.tolist()
        self.pipeline = pipeline

    def __len__(self) -> int:
        """Return n."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return an image as the network takes it, and its label."""
        pixels = self.images[index]
        grey = pixels.shape[2] == 1
        image = Image.fromarray(pixels[:, :, 0] if grey else pixels)
        padding = self.pipeline.crop_padding
        if padding:
            image = random_crop(image, padding)
        if self.pipeline.flip and random.random() < 0.5:
            image = ImageOps.mirror(image)
        array = np.array(image)
        tensor = torch.from_numpy(array[:, :, None] if grey else array).permute(2, 0, 1)
        tensor = tensor.contiguous().to(torch.float32).div(255)
        mean, std = torch.tensor(self.pipeline.mean), torch.tensor(self.pipeline.std)
        return tensor.sub_(mean[:, None, None]).div_(std[:, None, None]), self.labels[index]


def random_crop(image: Image.Image, padding: int) -> Image.Image:
    """Return an image padded with zeros on each side and cropped at random to its size."""
    width, height = image.size
    padded = ImageOps.expand(image, padding)
    left, top = random.randint(0, 2 * padding), random.randint(0, 2 * padding)
    return padded.crop((left, top, left + width, top + height))


def optimizer_of(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimiser as one writes it down: no option that makes it faster."""
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(),
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
    return torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)


def train(
    model: nn.Module,
    images: TextbookImages,
    config: TrainConfig,
    *,
    workers: int = 2,
    device: str = "cpu",
) -> Iterator[tuple[float, int]]:
    """Train for ever, epoch after epoch, and yield each step's loss and number of right answers."""
    loader = DataLoader(images, config.batch_size, shuffle=True, num_workers=workers)
    optimizer = optimizer_of(model, config)
    model.train()
    while True:
        for x, y in loader:
            inputs, targets = x.to(device), y.to(device)
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = F.cross_entropy(outputs, targets)
            loss.backward()
            optimizer.step()
            yield loss.item(), int((outputs.argmax(1) == targets).sum().item())
