"""Weights & Biases: a search is a run there, and goes on as the same one when it is resumed.

Its own variables say the rest: WANDB_PROJECT ("prac" by default), WANDB_MODE=offline, WANDB_DIR.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb
from torch import Tensor

from prac.monitor.trackers.tracker import Where, known_run, named, remember_run


class WeightsAndBiases:
    """A run of Weights & Biases, whose steps are iterations: those it has, it leaves out itself."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def scalars(self, values: Mapping[str, float], where: Where) -> None:
        """Log values by name, and the level where they are of one."""
        logged = {named(name, where): value for name, value in values.items()}
        if where.series == "search":
            logged["level/number"] = where.step
        self._run.log(logged, step=where.iteration)

    def histogram(self, name: str, values: Tensor, where: Where) -> None:
        """Log a histogram."""
        self._run.log({named(name, where): wandb.Histogram(values.tolist())}, step=where.iteration)

    def images(self, name: str, pixels: Tensor, where: Where) -> None:
        """Log pictures."""
        shown = [wandb.Image(image.permute(1, 2, 0).squeeze(2).numpy()) for image in pixels]
        self._run.log({named(name, where): shown}, step=where.iteration)

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()


def begin(run: Path, settings: Mapping[str, Any]) -> WeightsAndBiases:
    """Return the tracker of a run folder: its run of before, if it had one."""
    begun = wandb.init(
        project=os.environ.get("WANDB_PROJECT", "prac"),
        name=run.name,
        dir=os.environ.get("WANDB_DIR", str(run)),
        id=known_run(run, "wandb"),
        resume="allow",
        config=dict(settings),
        settings=wandb.Settings(silent=True, console="off"),
    )
    remember_run(run, "wandb", begun.id)
    # The charts of levels stand over the prunings, those of trainings over iterations.
    begun.define_metric("level/*", step_metric="level/number")
    begun.define_metric("ticket/*", step_metric="level/number")
    return WeightsAndBiases(begun)
