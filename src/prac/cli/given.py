"""What a command line says, and what contradicts itself there, before its parser is made."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prac.config import OPTIMIZERS
from prac.errors import PracError
from prac.io import check_kind, opened, strict_yaml


def early_value(arguments: Sequence[str], name: str) -> str | None:
    """Return what an option is given, before the parser is made whose defaults depend on it.

    The last one on the command line wins over one in a `--config` file.
    """
    if last := _last_given(arguments, name):
        return last
    path = _last_given(arguments, "config")
    given = None if path is None else read_options(path).get(name)
    return None if given is None else str(given)


OPTIONS_LIMIT = 2**16  # Bytes of a --config file.


def read_options(path: str) -> dict[str, Any]:
    """Return the options of a `--config` file."""
    check_kind(path, "options", "config")
    with opened(Path(path), "YAML") as file:
        content = file.read(OPTIONS_LIMIT + 1)
    if len(content) > OPTIONS_LIMIT:
        raise PracError(f"{path}: has more than {OPTIONS_LIMIT} bytes: expected options by name")
    try:
        values = strict_yaml(content)
    except ValueError as error:
        raise PracError(f"{path}: is not YAML: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise PracError(f"{path}: expected a mapping of options, such as 'epochs: 20'")
    if "config" in values:
        raise PracError(f"{path}: names another file as config: expected all options in one")
    return values


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _last_given(arguments: Sequence[str], name: str) -> str | None:
    """Return an option's last value on the command line itself, None where it has none."""
    last = None
    for argument, after in itertools.zip_longest(arguments, arguments[1:]):
        option, equals, value = argument.partition("=")
        if option == _option(name) and (equals or after is not None):
            last = value if equals else after
    return last


EXCLUSIVE = (
    ("epochs", "iterations"),
    ("val_indices", "val_fraction"),
    ("include", "layers"),
    ("subset", "subset_rule"),
)


def check_exclusive(arguments: Sequence[str]) -> None:
    """Raise a PracError where two options are given that say the same thing in two ways."""
    for pair in EXCLUSIVE:
        if all(_last_given(arguments, name) not in (None, "none") for name in pair):
            first, second = map(_option, pair)
            raise PracError(f"{first} and {second} are both given: leave one out")


def _is(name: str, *values: Any) -> Callable[[Mapping[str, Any]], bool]:
    return lambda settings: settings.get(name) in values


def _is_not(name: str, *values: Any) -> Callable[[Mapping[str, Any]], bool]:
    return lambda settings: settings.get(name) not in values


def _keeps_all(settings: Mapping[str, Any]) -> bool:
    """Say whether every level trains on all data."""
    is_all = settings.get("subset_rule") == "all"
    return is_all and settings["dense_fraction"] is None and settings["sampling"] != "fresh"


def _draws_nothing(settings: Mapping[str, Any]) -> bool:
    """Say whether no example is held out, or left out, at random."""
    is_told = settings["val_fraction"] == 0 or settings["val_indices"] is not None
    return settings["limit"] is None and is_told


UNUSED: tuple[tuple[tuple[str, ...], str, Callable[[Mapping[str, Any]], bool]], ...] = (
    (
        ("stop_rule", "epsilon", "window", "arm"),
        "pruning is 'at-init', so that no level is trained",
        _is("pruning", "at-init"),
    ),
    (("epsilon", "window", "arm"), "stop_rule is 'never'", _is("stop_rule", "never")),
    (("threshold",), "subset_rule uses no CET", _is_not("subset_rule", "prac", "cet", None)),
    (("scaling",), "subset_rule is 'all', so that no set is smaller", _keeps_all),
    (
        ("el2n_epoch",),
        "subset_rule takes no EL2N scores",
        _is_not("subset_rule", "el2n", "el2n-ccs"),
    ),
    (("cutoff",), "subset_rule is not 'el2n-ccs'", _is_not("subset_rule", "el2n-ccs")),
    (("sample_fraction",), "sampling is not 'fresh'", _is_not("sampling", "fresh")),
    (("drop_probability",), "sampling is not 'infobatch'", _is_not("sampling", "infobatch")),
    (("momentum",), "optimizer is none of sgd, adam, adamw", _is_not("optimizer", *OPTIMIZERS)),
    (("gamma",), "there are no milestones", lambda settings: not settings["milestones"]),
    (
        ("val_seed",),
        "nothing is drawn: val_fraction is 0 or val_indices says what is held out, without a limit",
        _draws_nothing,
    ),
)
"""Settings that nothing looks at, why, and whether it is so."""


def not_used(name: str, why: str) -> PracError:
    """Return the error for an option that is given though nothing looks at it."""
    return PracError(f"{_option(name)} is given but not used: {why}: leave it out")


def check_not_given(arguments: Sequence[str], name: str, why: str) -> None:
    """Raise a PracError where an option with a value is on the command line, though unused."""
    if _last_given(arguments, name) is not None:
        raise not_used(name, why)


def check_used(arguments: Sequence[str], *values: Mapping[str, Any]) -> None:
    """Raise a PracError where an option on the command line would change none of the searches.

    Of each of these, `values` are all settings by flat name, as they came out. A `--config` file is
    left alone, as are presets: a run's own config.yaml has every setting.
    """
    for names, why, is_unused in UNUSED:
        if all(map(is_unused, values)):
            for name in names:
                check_not_given(arguments, name, why)
