"""TensorBoard: `tensorboard --logdir runs` shows each level's training as a run of its own."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from prac.monitor.trackers.tracker import Where


class TensorBoard:
    """Event files in a run folder, a sub-folder for each series, written anew at each start."""

    def __init__(self, run: Path, settings: Mapping[str, Any]) -> None:
        folder = run / "tensorboard"
        for old in folder.glob("*/events.out.tfevents.*"):
            old.unlink()
        self._folder = folder
        self._writers: dict[str, SummaryWriter] = {}
        # Viewers take four spaces for a block of code.
        text = textwrap.indent(json.dumps(dict(settings), indent=2) + "\n", "    ")
        self._writer("search").add_text("settings", text, 0)

    def _writer(self, series: str) -> SummaryWriter:
        """Return a series' writer; of the trainings only the newest is kept open."""
        if series not in self._writers:
            for name in [name for name in self._writers if name != "search"]:
                self._writers.pop(name).close()
            self._writers[series] = SummaryWriter(str(self._folder / series))
        return self._writers[series]

    def scalars(self, values: Mapping[str, float], where: Where) -> None:
        """Write values by name."""
        for name, value in values.items():
            self._writer(where.series).add_scalar(name, value, where.step)

    def histogram(self, name: str, values: Tensor, where: Where) -> None:
        """Write a histogram."""
        self._writer(where.series).add_histogram(name, values, where.step)

    def images(self, name: str, pixels: Tensor, where: Where) -> None:
        """Write pictures as one."""
        self._writer(where.series).add_image(name, grid(pixels), where.step)

    def close(self) -> None:
        """Write what is left."""
        for writer in self._writers.values():
            writer.close()


PIXELS = 48  # Of a picture's height, at least.
A_ROW = 8
TILE_GAP = 2


def grid(pixels: Tensor) -> Tensor:
    """Return uint8 (channels, height, width), pictures side by side, small ones enlarged."""
    scale = max(1, PIXELS // pixels.shape[2])
    large = pixels.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    tiles = torch.nn.functional.pad(large, (TILE_GAP, TILE_GAP, TILE_GAP, TILE_GAP), value=128)
    tiles = torch.cat([tiles, tiles.new_full((-len(tiles) % A_ROW, *tiles.shape[1:]), 128)])
    rows = [torch.cat(list(row), 2) for row in tiles.split(A_ROW)]
    return torch.cat(rows, 1)


begin = TensorBoard
