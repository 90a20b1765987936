"""MLflow: a search is a run there, and goes on as the same one when it is resumed.

Its own variables say the rest: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME ("prac" by default).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from torch import Tensor

from prac.monitor.trackers.tracker import Where, known_run, named, remember_run

QUARTILES = {"least": 0.0, "lower_quartile": 0.25, "median": 0.5, "upper_quartile": 0.75, "most": 1}
"""What stands for a histogram, which MLflow does not have."""


class Mlflow:
    """A run of MLflow. A metric's points that the run has already are left out."""

    def __init__(self, client: MlflowClient, run: str) -> None:
        self._client, self._run = client, run
        self._last = {
            name: max(point.step for point in client.get_metric_history(run, name))
            for name in client.get_run(run).data.metrics
        }

    def scalars(self, values: Mapping[str, float], where: Where) -> None:
        """Log values by name; over prunings those of levels, over iterations the rest."""
        now = int(time.time() * 1000)
        step = where.step if where.series == "search" else where.iteration
        points = [
            Metric(named(name, where), value, now, step)
            for name, value in values.items()
            if step > self._last.get(named(name, where), -1)
        ]
        if points:
            self._client.log_batch(self._run, metrics=points)

    def histogram(self, name: str, values: Tensor, where: Where) -> None:
        """Log the quartiles."""
        self.scalars(
            {
                f"{name}/{part}": float(values.kthvalue(1 + round(share * (len(values) - 1)))[0])
                for part, share in QUARTILES.items()
            },
            where,
        )

    def images(self, name: str, pixels: Tensor, where: Where) -> None:
        """Log pictures as artifacts."""
        for number, image in enumerate(pixels):
            path = f"{name}/level-{where.step:02d}-{number:02d}.png"
            array = image.permute(1, 2, 0).squeeze(2).numpy()
            self._client.log_image(self._run, image=array, artifact_file=path)

    def close(self) -> None:
        """Say that the run is over."""
        self._client.set_terminated(self._run)


def begin(run: Path, settings: Mapping[str, Any]) -> Mlflow:
    """Return the tracker of a run folder: its run of before, if it had one and MLflow has it."""
    client = MlflowClient()
    known = known_run(run, "mlflow")
    if known is not None:
        try:
            client.update_run(known, status="RUNNING")
            return Mlflow(client, known)
        except MlflowException:
            pass  # Kept elsewhere, or deleted: all of it is logged anew.
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "prac")
    experiment = client.get_experiment_by_name(name)
    number = client.create_experiment(name) if experiment is None else experiment.experiment_id
    begun = client.create_run(number, run_name=run.name).info.run_id
    client.log_batch(begun, params=[Param(key, str(value)) for key, value in settings.items()])
    remember_run(run, "mlflow", begun)
    return Mlflow(client, begun)
