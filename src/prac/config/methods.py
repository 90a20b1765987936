"""The methods by name: which parts of a search each is made of. No torch."""

from __future__ import annotations

from typing import Any

from prac.errors import unknown_name

_IMP: dict[str, Any] = {
    "subset_rule": "all",
    "sampling": "all",
    "stop_rule": "never",
    "score": "magnitude",
    "pruning": "iterative",
    "train_every": 1,
    "kept_fraction": None,
    "dense_fraction": None,
    "level_budget": None,
    "dense_budget": None,
    "level_start": "rewound",
    "mask_lr": None,
    "level_lr_factor": 1.0,
    "level_weight_decay": None,
    "level_growth": 1.0,
    "level_schedule": "full",
    "level_prunings": 1,
}
_CARRIED = {**_IMP, "level_start": "carried", "dense_budget": 0.3, "level_budget": 0.08}
_AT_INIT = {**_IMP, "pruning": "at-init", "rewind": "init"}
_LEARNED = {**_IMP, "pruning": "learned", "level_schedule": "cosine"}
_CTS = {**_LEARNED, "score": "cts", "mask_lr": 0.3, "level_budget": 0.05, "dense_budget": 0.1}

FRACTION = 0.3
"""Share of the data that methods of a fixed size take where nothing else is said."""

METHODS: dict[str, dict[str, Any]] = {
    "prac": {**_IMP, "subset_rule": "prac", "stop_rule": "stable"},
    "imp": _IMP,
    "cet": {**_IMP, "subset_rule": "cet", "stop_rule": "stable"},
    "cep": {**_IMP, "subset_rule": "cep", "stop_rule": "stable"},
    "random-subset": {**_IMP, "subset_rule": "random", "kept_fraction": FRACTION},
    "rs2": {**_IMP, "sampling": "fresh", "sample_fraction": FRACTION},
    "el2n": {**_IMP, "subset_rule": "el2n", "kept_fraction": FRACTION},
    "el2n-ccs": {**_IMP, "subset_rule": "el2n-ccs", "kept_fraction": FRACTION},
    "prac-light": {
        **_IMP,
        "subset_rule": "prac",
        "stop_rule": "stable",
        "arm": "at-once",
        "window": 4,
        "dense_fraction": 0.1,
        "level_budget": 0.05,
    },
    "carried": _CARRIED,
    "prac-carried": {**_CARRIED, "subset_rule": "prac"},
    "frugal": {
        **_CARRIED,
        "dense_budget": 0.045,
        "level_budget": 0.0015,
        "level_growth": 1.27,
        "level_lr_factor": 2.0,
        "level_weight_decay": 0.007,
    },
    "infobatch": {**_IMP, "sampling": "infobatch"},
    "lr-rewinding": {**_IMP, "rewind": "learning-rate"},
    "one-shot": {**_IMP, "pruning": "one-shot"},
    "early-bird": {
        **_IMP,
        "pruning": "one-shot",
        "stop_rule": "stable",
        "arm": "at-once",
        "epsilon": 0.1,
        "window": 5,
    },
    "cts": _CTS,
    "cts-loss": {**_CTS, "score": "cts-loss"},
    "gem-miner": {**_LEARNED, "score": "gem-miner", "mask_lr": 10.0, "level_budget": 0.05},
    "random-pruning": {**_AT_INIT, "score": "random"},
    "snip": {**_AT_INIT, "score": "snip"},
    "grasp": {**_AT_INIT, "score": "grasp"},
    "synflow": {**_AT_INIT, "score": "synflow"},
}
"""A method is a name for its parts: subset and sampling rule, stop rule, score, when to prune."""

OF_TICKETS = ("drop_fraction", "scope", "allow_empty", "rewind")
"""Settings that the tickets of one search share: densities, and what their weights are."""

ABOUT_METHODS = {
    "prac": "critical examples and an early stop (PrAC, arXiv 2106.03225)",
    "imp": "all data at full length (iterative magnitude pruning)",
    "cet": "only the critical examples for training, with the early stop",
    "cep": "only the critical examples for pruning, with the early stop",
    "random-subset": "a fixed random set of 30 % of the data",
    "rs2": "30 % of the data an epoch, drawn anew (RS2, arXiv 2305.18424)",
    "el2n": "the 30 % with the highest EL2N scores (arXiv 2107.07075)",
    "el2n-ccs": "30 % over all EL2N scores (coverage-centric, arXiv 2210.15809)",
    "prac-light": "PrAC, the dense level on a tenth of the data, levels cut short",
    "carried": "short levels, each from the weights just trained (carried)",
    "prac-carried": "carried levels on critical examples",
    "frugal": "carried levels at 1 % of IMP's cost; not for BatchNorm",
    "infobatch": "low losses dropped at random (InfoBatch, arXiv 2303.04947)",
    "lr-rewinding": "weights kept, learning rate rewound (arXiv 2003.02389)",
    "one-shot": "trained once, pruned by magnitude at once to each density",
    "early-bird": "one-shot once its mask is stable (arXiv 1909.11957)",
    "cts": "masks learned from dense outputs (arXiv 2512.07142)",
    "cts-loss": "masks learned so by the task's loss",
    "gem-miner": "masks learned as rounded scores (arXiv 2202.12002)",
    "random-pruning": "masks at initialisation, at random",
    "snip": "masks at initialisation, by sensitivity (arXiv 1810.02340)",
    "grasp": "masks at initialisation, by gradient flow (arXiv 2002.07376)",
    "synflow": "masks at initialisation, in 100 rounds (arXiv 2006.05467)",
}


def method_settings(name: str, fraction: float | None = None) -> dict[str, Any]:
    """Return a method's settings by flat name; `fraction` is what one of a fixed size takes.

    Raises:
        PracError: If there is no such method.

    >>> method_settings("rs2", 0.1)["sample_fraction"]
    0.1
    """
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    settings = dict(METHODS[name])
    for size in ("kept_fraction", "sample_fraction"):
        if fraction is not None and settings.get(size) is not None:
            settings[size] = fraction
    return settings
