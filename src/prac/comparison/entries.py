"""What takes part in a comparison: methods, at their own cost or at another's. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from prac.config import (
    METHODS,
    SearchConfig,
    StopConfig,
    TrainConfig,
    every_setting,
    flag_of,
    flat,
    from_flat,
    method_settings,
    parsed,
)
from prac.errors import PracError, check_listed, unknown_name
from prac.search import Search

OWN = {
    **dict.fromkeys(METHODS["prac"], "each method has its own"),
    "set_sizes": "NAME@OTHER takes the set sizes of OTHER's levels",
    "stop_after": "NAME@OTHER takes the iterations of OTHER's levels",
    "sample_fraction": "use --fraction",
    "seed": "use --seeds",
}
"""Settings that methods do not share, and what there is instead."""

COMMON = {
    *("seed", "levels", "drop_fraction", "layers", "include", "exclude", "allow_empty"),
    *flat(TrainConfig()),
}
"""Settings of which no variant has its own: densities, tickets or costs could not be compared."""


@dataclass(frozen=True)
class MethodSpec:
    """A method as it searches.

    Attributes:
        name: METHOD, a variant METHOD:OPTION=VALUE, and @OTHER behind either.
        config: Its settings, but for the seed and what another's cost gives.
        like: The method at whose cost it works; None for its own.
        own_rewind: Whether it says itself what levels start from.
        uses_fraction: Whether a share of the data that is asked for changes what it does.
    """

    name: str
    config: SearchConfig
    like: str | None
    own_rewind: bool
    uses_fraction: bool

    @classmethod
    def of(cls, name: str, config: SearchConfig, fraction: float | None = None) -> MethodSpec:
        """Return a method by name, from what the methods share.

        Raises:
            PracError: If there is none of that name, it cannot work at another's cost, or the
                settings do not go together with it.
        """
        variant, at, other = name.partition("@")
        own = settings_of(variant, fraction)
        plain = flat(SearchConfig())
        settings = {**flat(config), **{key: plain[key] for key in OWN if key in plain}, **own}
        if own["subset_rule"] not in ("prac", "cet"):
            settings["threshold"] = 0  # There is no CET that it would be of.
        if at:
            _check_cost(name, variant, other)
            # The other says when levels end: none of the rule's settings is looked at.
            settings |= flat(StopConfig(rule="never"))
        try:
            made = from_flat(SearchConfig, settings)
        except PracError as error:
            raise PracError(f"method {name!r}: {error}") from error
        asks_fraction = settings_of(variant, 0.25) != settings_of(variant, 0.75)
        uses_fraction = asks_fraction and not (at and made.subset.is_sized)
        return cls(name, made, other if at else None, "rewind" in own, uses_fraction)

    def with_seed(self, seed: int, like: Search | None) -> SearchConfig:
        """Return the settings of one search: no level takes more iterations than one of `like`.

        Where sets have a size that is set, they get those of `like` too. Schedules are cut, not
        scaled: learning rates stay what they would have been.
        """
        config = replace(self.config, seed=seed)
        if like is None:
            return config
        trained = like.levels[:-1]
        stop = StopConfig(rule="never", after=tuple(level.iterations for level in trained))
        subset = config.subset
        if subset.is_sized:
            sizes = tuple(level.set_size for level in trained)
            subset = replace(subset, kept_fraction=None, dense_fraction=None, sizes=sizes)
        return replace(config, stop=stop, subset=subset)


def settings_of(variant: str, fraction: float | None = None) -> dict[str, Any]:
    """Return the settings of METHOD, by flat name.

    Behind it there may be `:OPTION=VALUE` for each option of `prac find` that differs.

    Raises:
        PracError: If there is no such method or option, or the option is not a variant's to choose.

    >>> settings_of("imp:level-budget=0.1")["level_budget"]
    0.1
    """
    method, *changes = variant.split(":")
    settings = method_settings(method, fraction)
    hints = {flag_of(field): hint for _, field, hint in every_setting(SearchConfig)}
    where = f"method {variant!r}"
    for change in changes:
        option, equals, value = change.partition("=")
        name = option.removeprefix("--").replace("-", "_")
        if name not in hints:
            raise unknown_name(f"option of {variant!r}", name, hints.keys() - COMMON)
        if name in COMMON:
            raise PracError(f"{where}: {name} is the same for all methods: give it as an option")
        if not equals:
            raise PracError(f"{where}: {change} has no value: write {change}=VALUE")
        settings[name] = parsed(value, hints[name])
    return settings


def method_specs(
    methods: Sequence[str], config: SearchConfig, fraction: float | None = None
) -> list[MethodSpec]:
    """Return the methods as they search, those at another's cost after it.

    Raises:
        PracError: As `MethodSpec.of`, or if there is none, one is there twice, or a fraction is
            given that none of them looks at.
    """
    check_listed("methods", methods)
    if not methods:
        raise PracError(f"methods is empty: name some of {', '.join(METHODS)}")
    for name in methods:
        if list(methods).count(name) > 1:
            raise PracError(f"methods names {name!r} twice: leave one out")
    found = [MethodSpec.of(name, config, fraction) for name in in_order(methods)]
    if fraction is not None and not any(one.uses_fraction for one in found):
        raise PracError(
            "a fraction is given but not used: no method is among those compared whose share of "
            "the data is set: leave it out"
        )
    return found


def in_order(methods: Sequence[str]) -> list[str]:
    """Return methods so that those at another's cost come after it, which is added where missing.

    >>> in_order(["rs2@prac", "imp"])
    ['prac', 'rs2@prac', 'imp']
    """
    ordered: dict[str, None] = {}
    for name in methods:
        _, at, other = name.partition("@")
        ordered |= dict.fromkeys((other, name) if at else (name,))
    return list(ordered)


def levels_to_judge(levels: int, judged: Sequence[int] | None) -> tuple[int, ...]:
    """Return the levels whose tickets are trained alone, ascending, with the dense network's.

    Raises:
        PracError: If one is beyond the search's last, or there is none but the dense network.

    >>> levels_to_judge(15, None), levels_to_judge(2, None), levels_to_judge(15, [10])
    ((0, 4, 8, 11, 15), (0, 1, 2), (0, 10))
    """
    if judged is None:
        judged = [round(levels * part / 4) for part in range(1, 5)]
    for level in judged:
        if type(level) is not int or not 0 <= level <= levels:
            raise PracError(f"judged names level {level}, but the search has levels 0 to {levels}")
    if not any(judged):
        raise PracError(
            f"judged names no ticket, and the dense network is always trained: name some of 1 to "
            f"{levels}"
        )
    return tuple(sorted({0, *judged}))


def shared_settings(config: SearchConfig) -> dict[str, Any]:
    """Return what all methods are told alike, by flat name."""
    return {name: value for name, value in flat(config).items() if name not in OWN}


def _check_cost(name: str, method: str, other: str) -> None:
    """Raise a PracError unless the cost of the one method can be the other's."""
    if method == other:
        raise PracError(f"method {name!r} is {method!r} at its own cost: leave out @{other}")
    for one, why in ((method, "its cost is no other's"), (other, "its cost is none to take")):
        settings = settings_of(one)
        if settings["pruning"] != "iterative" or settings["train_every"] != 1:
            raise PracError(
                f"method {name!r}: {one} does not train every level's weights, so that {why}: "
                f"leave out @{other}"
            )
