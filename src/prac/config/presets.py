"""Presets: settings by flat name, under the names that people give them. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prac.config.methods import METHODS, method_settings
from prac.errors import unknown_name


@dataclass(frozen=True)
class Preset:
    """Settings by flat name, and what they are."""

    about: str
    settings: Mapping[str, Any]  # Differences from the defaults.
    retrain: tuple[int, ...] = ()  # Levels whose tickets are retrained at the end of a search.


_PAPER: dict[str, Any] = {
    "epochs": 182,
    "milestones": [91, 136],
    "lr": 0.1,
    "batch_size": 128,
    "weight_decay": 1e-4,
    "val_fraction": 0.1,
    "crop": 4,
    "flip": True,
    "levels": 15,
    "rewind": "epoch:3",
    "layers": "conv",
    "epsilon": 0.07,
    "window": 5,
    "arm": "above-once",
}
_LOW = {"lr": 0.01, "rewind": "init"}
_WARM_UP = {"lr": 0.03, "warmup": 15, "rewind": "init"}
_NETWORKS = {"resnet20s": "ResNet-20s", "resnet56s": "ResNet-56s", "vgg16_bn": "VGG-16"}
_CIFAR = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}


def _presets() -> dict[str, Preset]:
    presets = {
        "quickstart": Preset(
            "LeNet-300-100 on digits: all of it in a minute",
            {
                "model": "lenet_300_100",
                "data": "digits",
                "layers": "linear",
                "levels": 8,
                "epochs": 40,
                "milestones": [25, 35],
                "lr": 0.1,
                "batch_size": 32,
                "epsilon": 0.015,
                "window": 10,
                "arm": "at-once",
                "seed": 0,
            },
            retrain=(0, 2, 4, 6, 8),
        ),
        "mnist-lenet": Preset(
            "LeNet-300-100 on MNIST (arXiv 1803.03635)",
            {
                "model": "lenet_300_100",
                "data": "mnist",
                "layers": "linear",
                "levels": 15,
                "iterations": 50_000,
                "optimizer": "adam",
                "lr": 1.2e-3,
                "weight_decay": 0.0,
                "schedule": "constant",
                "batch_size": 60,
                "val_fraction": 1 / 12,
                "arm": "at-once",
            },
        ),
        "text-transformer": Preset(
            "a small GPT on Python's own language reference",
            {
                "model": "text_transformer",
                "data": "python_topics",
                "task": "language-model",
                "limit": 700,
                "levels": 6,
                "drop_fraction": 0.3,
                "epochs": 10,
                "batch_size": 16,
                "optimizer": "adamw",
                "lr": 3e-3,
                "weight_decay": 0.01,
                "schedule": "cosine",
                "warmup": 1,
                "rewind": "epoch:1",
                "arm": "at-once",
            },
        ),
        "digits-vit": Preset(
            "a small vision transformer on digits",
            {
                "model": "vision_transformer",
                "data": "digits",
                "levels": 6,
                "drop_fraction": 0.3,
                "epochs": 12,
                "batch_size": 32,
                "optimizer": "adamw",
                "lr": 1e-3,
                "weight_decay": 0.01,
                "schedule": "cosine",
                "warmup": 1,
                "rewind": "epoch:1",
                "arm": "at-once",
            },
        ),
        "bert-lottery": Preset(
            "with another: fine-tuning BERT (arXiv 2007.12223)",
            {
                "include": ["*encoder.layer.*.weight"],
                "drop_fraction": 0.1,
                "levels": 12,
                "epochs": 3,
                "batch_size": 32,
                "optimizer": "adamw",
                "lr": 2e-5,
                "weight_decay": 0.0,
                "schedule": "linear",
                "warmup": 0.0,
                "milestones": [],
                "clip_norm": 1.0,
                "rewind": "init",
            },
        ),
        "frugal": Preset("with another: tickets for a hundredth of IMP's cost", METHODS["frugal"]),
    }
    for model, network in _NETWORKS.items():
        for data, name in _CIFAR.items():
            base = {**_PAPER, "model": model, "data": data}
            key, title = f"{data}-{model}", f"{network} on {name}"
            presets[key] = Preset(f"{title}, the paper's settings", base)
            if model != "vgg16_bn":
                presets[f"{key}-low"] = Preset(f"{title}, low learning rate", base | _LOW)
            if model == "resnet20s":
                presets[f"{key}-warmup"] = Preset(f"{title}, with warm-up", base | _WARM_UP)
    for model, network in {"vgg16_bn": "VGG-16", "resnet18": "ResNet-18"}.items():
        presets[f"tiny_imagenet-{model}"] = Preset(
            f"{network} on Tiny-ImageNet, the paper's settings",
            {**_PAPER, "model": model, "data": "tiny_imagenet", "batch_size": 512},
        )
    return presets


PRESETS: dict[str, Preset] = _presets()


def combined(names: str) -> Preset:
    """Return presets joined by commas as one; where they differ, the later one holds.

    Raises:
        PracError: If there is none of a name.

    >>> combined("mnist-lenet,frugal").settings["model"]
    'lenet_300_100'
    """
    chosen = []
    for name in names.split(","):
        if name not in PRESETS:
            raise unknown_name("preset", name, PRESETS)
        chosen.append(PRESETS[name])
    settings = {name: value for preset in chosen for name, value in preset.settings.items()}
    retrain = next((preset.retrain for preset in reversed(chosen) if preset.retrain), ())
    return Preset("; ".join(preset.about for preset in chosen), settings, retrain)


def starting_settings(preset: str | None = None, method: str | None = None) -> dict[str, Any]:
    """Return the settings by flat name that a preset and a method start from; PrAC's by default.

    A method that is asked for wins over a preset.

    Raises:
        PracError: If there is none of a name.
    """
    return {
        **METHODS["prac"],
        **(combined(preset).settings if preset is not None else {}),
        **(method_settings(method) if method is not None else {}),
    }
