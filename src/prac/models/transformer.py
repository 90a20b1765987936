"""Small transformers: one that predicts the next token of a text, one that classifies images."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prac.errors import PracError

_SPREAD = 0.02  # Deviation of initial weights, that of GPT-2 and of vision transformers.


class Attention(nn.Module):
    """Scaled dot-product attention with several heads; a causal one sees no later place.

    Source: Vaswani et al. (arXiv 1706.03762), section 3.2.
    """

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        """Build it for `width` features, divided among the heads."""
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return `(batch, length, width)` for features of that shape."""
        parts = self.qkv(hidden).unflatten(2, (3, self.heads, -1))
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)  # Each (batch, heads, length, ...).
        mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=self.causal)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Attention, then two linear layers, each normalised before and added to what came in."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        """Build the block; between its linear layers there are four times as many features."""
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, causal=causal)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """Return `(batch, length, width)` for features of that shape."""
        hidden = hidden + self.attention(self.norm1(hidden))
        added: Tensor = hidden + self.mlp(self.norm2(hidden))
        return added


class PatchEmbedding(nn.Conv2d):
    """The linear map of an image's patches, which do not overlap, to features.

    An embedding by its place and by its name: it is not pruned unless that is asked for.
    """

    def __init__(self, channels: int, width: int, patch: int) -> None:
        """Build it for patches of so many pixels a side."""
        super().__init__(channels, width, patch, patch)

    def forward(self, images: Tensor) -> Tensor:
        """Return `(batch, patches, width)` for images `(batch, channels, height, width)`."""
        return super().forward(images).flatten(2).transpose(1, 2)


class TextTransformer(nn.Module):
    """A decoder: each place of a sequence sees itself and those before, and predicts the next.

    Source: Radford et al. (2019), GPT-2, in its form: normalisation before each part and at the
    end, learned positions, an output layer that shares its weight with the embedding (Press and
    Wolf, arXiv 1608.05859), and initial weights of deviation 0.02, in what is added to the stream
    the smaller the more is added.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        *,
        width: int = 64,
        blocks: int = 2,
        heads: int = 4,
    ) -> None:
        """Build the network for sequences of `shape[-1]` tokens out of so many classes."""
        super().__init__()
        self.token_embedding = nn.Embedding(classes, width)
        self.position_embedding = nn.Embedding(shape[-1], width)
        self.blocks = nn.Sequential(*(Block(width, heads, causal=True) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, classes, bias=False)
        initialise_(self)
        self.output.weight = self.token_embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits `(batch, length, classes)` for int64 tokens `(batch, length)`."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        hidden = self.token_embedding(tokens) + self.position_embedding(positions)
        logits: Tensor = self.output(self.norm(self.blocks(hidden)))
        return logits


class VisionTransformer(nn.Module):
    """An encoder over an image's patches, and a learned token from which the class is read.

    Source: Dosovitskiy et al. (arXiv 2010.11929), section 3.1, small.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        classes: int,
        *,
        patch: int | None = None,
        width: int = 64,
        blocks: int = 2,
        heads: int = 4,
    ) -> None:
        """Build the network for images `(channels, height, width)`, which patches divide.

        Without a patch its sides are 2 pixels for images of up to 16, 4 for up to 64, else 16.

        Raises:
            PracError: If patches do not divide the images.
        """
        super().__init__()
        channels, *sides = image_shape
        if patch is None:
            patch = 2 if max(sides) <= 16 else 4 if max(sides) <= 64 else 16
        if any(side % patch for side in sides):
            raise PracError(
                f"model 'vision_transformer' cuts images into patches of {patch}x{patch}, these "
                f"are {sides[0]}x{sides[1]}: bring them to a multiple of {patch} by --image-size"
            )
        places = math.prod(side // patch for side in sides) + 1
        self.patch_embedding = PatchEmbedding(channels, width, patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, places, width) * _SPREAD)
        self.blocks = nn.Sequential(*(Block(width, heads, causal=False) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, classes)
        initialise_(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(batch, classes)` for images `(batch, channels, height, width)`."""
        patches = self.patch_embedding(images)
        hidden = torch.cat([self.class_token.expand(len(patches), -1, -1), patches], dim=1)
        hidden = self.blocks(hidden + self.positions)
        logits: Tensor = self.output(self.norm(hidden[:, 0]))
        return logits


def initialise_(model: nn.Module) -> None:
    """Draw a transformer's weights anew, but for its positions; biases are zero."""
    blocks = sum(isinstance(layer, Block) for layer in model.modules())
    added = {
        id(layer)
        for block in model.modules()
        if isinstance(block, Block)
        for layer in (block.attention.out, block.mlp[-1])
    }
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Embedding | PatchEmbedding):
            spread = _SPREAD / math.sqrt(2 * blocks) if id(layer) in added else _SPREAD
            nn.init.normal_(layer.weight, std=spread)
        if isinstance(layer, nn.Linear | PatchEmbedding) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
