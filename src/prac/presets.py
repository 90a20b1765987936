"""Presets and methods: settings by flat name, under the names that people give them. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_IMP: dict[str, Any] = {
    "subset_rule": "all",
    "sampling": "all",
    "stop_rule": "never",
    "score": "magnitude",
    "pruning": "iterative",
    "kept_fraction": None,
    "dense_fraction": None,
}
_AT_INIT = {**_IMP, "pruning": "at-init", "rewind": "init"}

METHODS: dict[str, dict[str, Any]] = {
    "prac": {**_IMP, "subset_rule": "prac", "stop_rule": "stable"},
    "imp": _IMP,
    "cet": {**_IMP, "subset_rule": "cet", "stop_rule": "stable"},
    "cep": {**_IMP, "subset_rule": "cep", "stop_rule": "stable"},
    "random-subset": {**_IMP, "subset_rule": "random", "kept_fraction": 0.3},
    "rs2": {**_IMP, "sampling": "fresh", "sample_fraction": 0.3},
    "el2n": {**_IMP, "subset_rule": "el2n", "kept_fraction": 0.3},
    "el2n-ccs": {**_IMP, "subset_rule": "el2n-ccs", "kept_fraction": 0.3},
    "infobatch": {**_IMP, "sampling": "infobatch"},
    "lr-rewinding": {**_IMP, "rewind": "learning-rate"},
    "one-shot": {**_IMP, "pruning": "one-shot"},
    "random-pruning": {**_AT_INIT, "score": "random"},
    "snip": {**_AT_INIT, "score": "snip"},
    "grasp": {**_AT_INIT, "score": "grasp"},
    "synflow": {**_AT_INIT, "score": "synflow"},
}
"""A method is a name for its parts: subset and sampling rule, stop rule, score, when to prune."""

ABOUT_METHODS = {
    "prac": "critical examples and an early stop (PrAC, arXiv 2106.03225)",
    "imp": "all data at full length (iterative magnitude pruning)",
    "cet": "only the critical examples for training, with the early stop",
    "cep": "only the critical examples for pruning, with the early stop",
    "random-subset": "a fixed random set of 30 % of the data",
    "rs2": "30 % of the data an epoch, drawn anew (RS2, arXiv 2305.18424)",
    "el2n": "the 30 % with the highest EL2N scores (arXiv 2107.07075)",
    "el2n-ccs": "30 % over all EL2N scores (coverage-centric, arXiv 2210.15809)",
    "infobatch": "low losses dropped at random (InfoBatch, arXiv 2303.04947)",
    "lr-rewinding": "weights kept, learning rate rewound (arXiv 2003.02389)",
    "one-shot": "trained once, pruned by magnitude at once to each density",
    "random-pruning": "masks at initialisation, at random",
    "snip": "masks at initialisation, by sensitivity (arXiv 1810.02340)",
    "grasp": "masks at initialisation, by gradient flow (arXiv 2002.07376)",
    "synflow": "masks at initialisation, in 100 rounds (arXiv 2006.05467)",
}


@dataclass(frozen=True)
class Preset:
    """Settings by flat name, and what they are.

    Attributes:
        about: One line for people.
        settings: Differences from the defaults.
        retrain: Levels whose tickets are retrained at the end of a search.
    """

    about: str
    settings: Mapping[str, Any]
    retrain: tuple[int, ...] = ()


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
}
_LOW = {"lr": 0.01, "rewind": "init"}
_WARM_UP = {"lr": 0.03, "warmup": 15, "rewind": "init"}
_NETWORKS = {"resnet20s": "ResNet-20s", "resnet56s": "ResNet-56s", "vgg16_bn": "VGG-16"}
_CIFAR = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}


def _presets() -> dict[str, Preset]:
    presets = {
        "quickstart": Preset(
            "LeNet-300-100 on scikit-learn's digits: the whole method in a minute",
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
            "LeNet-300-100 on MNIST, after Frankle and Carbin (arXiv 1803.03635)",
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
    }
    for model, network in _NETWORKS.items():
        for data, name in _CIFAR.items():
            base = {**_PAPER, "model": model, "data": data}
            title = f"{network} on {name}"
            presets[f"{data}-{model}"] = Preset(f"{title}, the paper's standard setting", base)
            if model != "vgg16_bn":
                presets[f"{data}-{model}-low"] = Preset(
                    f"{title}, low learning rate, from initialisation", {**base, **_LOW}
                )
            if model == "resnet20s":
                presets[f"{data}-{model}-warmup"] = Preset(
                    f"{title}, with warm-up, from initialisation", {**base, **_WARM_UP}
                )
    for model, network in {"vgg16_bn": "VGG-16", "resnet18": "ResNet-18"}.items():
        presets[f"tiny_imagenet-{model}"] = Preset(
            f"{network} on Tiny-ImageNet, the paper's standard setting",
            {**_PAPER, "model": model, "data": "tiny_imagenet", "batch_size": 512},
        )
    return presets


PRESETS: dict[str, Preset] = _presets()
