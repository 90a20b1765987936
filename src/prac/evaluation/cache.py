"""Trainings kept by their content: what was trained once is read, whoever asks for it again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from prac.config import TrainConfig, flat
from prac.data import Examples
from prac.errors import Damaged, PracError
from prac.evaluation.retraining import read_history, retrain
from prac.io import read_tensors, state_paths, told_newly
from prac.runs import Ticket
from prac.training import Problem, RunOptions, ignore


def retrain_cached(
    cache: Path,
    ticket: Ticket,
    problem: Problem,
    config: TrainConfig,
    test: Examples,
    options: RunOptions,
    *,
    seed: int = 0,
    start: int = 0,
) -> tuple[float, Path]:
    """Return the test metric and the folder of a training, which is done only if it never was.

    `retrain` with a folder in `cache` that is named for all that its outcome depends on. A training
    that was cut off goes on; where nothing has to be trained the model is left as it was.

    Raises:
        PracError: As `retrain`, or where what is kept is damaged, or tells no value on test data.
        Interrupted: If the run control says to stop; the same call continues.
    """
    task = problem.task
    about = {
        "ticket": ticket.digest,
        "fine_tuned": ticket.is_fine_tuned,
        "network": [list(problem.modules), _tensors(problem.model)],
        "train": told_newly(flat(config)) | {"precision": problem.runtime.precision},
        "seed": seed,
        "start": start,
        "data": [_content(data) for data in (problem.train, problem.val, test)],
        "task": dict(problem.own_parts),
    }
    old = {"network": _network_of_old(problem.model), "task": task.own_parts(by_source=False)}
    path = kept_path(cache, about, {**about, **old})
    # Finished is what has nothing left to do, not even to remove states.
    if not (path / "summary.json").exists() or any(state_paths(path)):
        retrain(
            ticket,
            problem.model,
            problem.train,
            config,
            val=problem.val,
            test=test,
            seed=seed,
            start=start,
            out=path,
            task=task,
            **_unheard(options).keywords,
        )
    try:
        history = read_history(path)
    except PracError as error:
        raise _mendable(path, error) from error
    if history.test_metric is None:
        if history.test_accuracy is None:
            raise PracError(f"{path}: has no test accuracy: remove the folder to train it again")
        raise PracError(
            f"{path}: the {history.metric.name} on test data is no finite number, and nothing can "
            f"be judged by it: train otherwise, or mend the metric and remove the folder"
        )
    return history.test_metric, path


def _unheard(options: RunOptions) -> RunOptions:
    """Return options under which a training warns nobody: whoever asks for many has been warned."""
    return replace(options, callback=lambda event: None) if options.callback is ignore else options


def content_key(about: Any) -> str:
    """Return a name of 24 letters for JSON values: another one wherever these differ."""
    text = json.dumps(about, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def kept_path(cache: Path, about: Any, of_old: Any, prefix: str = "") -> Path:
    """Return where a content is kept, by a name made of JSON values that tell what it is.

    Where there is only the name that prac 0.1 would have made, of the values `of_old`, it is taken.
    """
    path, old = (cache / f"{prefix}{content_key(one)}" for one in (about, of_old))
    return old if old.exists() and not path.exists() else path


def trained_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights that a finished training has kept.

    Raises:
        PracError: If they are not there or damaged.
    """
    try:
        return read_tensors(path / "trained.safetensors", "trained")[0]
    except PracError as error:
        raise _mendable(path, error) from error


def _mendable(path: Path, error: PracError) -> PracError:
    """Return an error of reading a kept training, with its remedy."""
    kind = Damaged if isinstance(error, Damaged) else PracError
    return kind(f"{error}; remove the folder {path} to train it again")


def _tensors(model: nn.Module) -> list[list[Any]]:
    return [
        [name, str(value.dtype), list(value.shape)]
        for name, value in model.state_dict().items()
        if isinstance(value, Tensor)
    ]


def _network_of_old(model: nn.Module) -> list[Any]:
    kinds = [[name, type(module).__qualname__] for name, module in model.named_modules()]
    return [kinds, _tensors(model)]


def _content(examples: Examples | None) -> list[str] | None:
    """Return what a set holds and how it is augmented, as far as prac does that."""
    if examples is None:
        return None
    return [examples.fingerprint, repr(getattr(examples, "pipeline", None))]
