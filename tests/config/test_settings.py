"""Settings: every field's type and bounds, pairs that contradict, names misspelt, round trips."""

import contextlib
import copy
import dataclasses
import inspect
import math
import os
import pickle
import subprocess
import sys
import typing
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

import prac
from prac.cli import main
from prac.config import (
    DataConfig,
    PruneConfig,
    Recipe,
    Rewind,
    SampleConfig,
    SearchConfig,
    Settings,
    StopConfig,
    SubsetConfig,
    TrainConfig,
    default_of,
    every_setting,
    flag_of,
    flat,
    from_flat,
)
from prac.config.recipe import DataKeywords
from prac.config.search import SearchKeywords
from prac.config.settings import setting
from prac.errors import PracError

LEAVES = {flag_of(field): (path, field, hint) for path, field, hint in every_setting(SearchConfig)}
# Written down a second time on purpose: a bound lost from its field shows here.
BOUNDS = {
    "levels": ">=1",
    "seed": ">=0 <=9223372036854775807",
    "epochs": ">=1",
    "iterations": ">=1",
    "batch_size": ">=1",
    "validate_every": ">=1",
    "lr": ">0",
    "momentum": ">=0 <1",
    "weight_decay": ">=0",
    "milestones": ">0",
    "gamma": ">0 <=1",
    "warmup": ">=0",
    "clip_norm": ">0",
    "accumulate": ">=1",
    "ema_decay": ">0 <1",
    "drop_fraction": ">0 <1",
    "threshold": ">=0",
    "kept_fraction": ">0 <=1",
    "train_every": ">=1",
    "set_sizes": ">=2",
    "dense_fraction": ">0 <=1",
    "el2n_epoch": ">=1",
    "cutoff": ">=0 <1",
    "sample_fraction": ">0 <=1",
    "drop_probability": ">0 <1",
    "stop_after": ">=1",
    "level_budget": ">0 <=1",
    "dense_budget": ">0 <=1",
    "mask_lr": ">0",
    "level_lr_factor": ">0",
    "level_weight_decay": ">=0",
    "level_growth": ">=1",
    "level_prunings": ">=1",
    "epsilon": ">0",
    "window": ">=1",
}


def made(name, value):
    """Return the smallest settings object that holds one changed setting, and that setting."""
    path, field, _ = LEAVES[name]
    cls = SearchConfig
    for part in path[:-1]:
        cls = typing.get_type_hints(cls)[part]
    needed = NEEDED.get(name, {}) if value else {}
    return getattr(cls(**{**needed, field.name: value}), field.name)


# What a setting asks of another one.
NEEDED = {"set_sizes": {"rule": "random"}, "mask_lr": {"when": "learned", "score": "cts"}}


def core(hint):
    """Return a type without its None, and a tuple's element type."""
    arguments = [a for a in typing.get_args(hint) if a not in (type(None), Ellipsis)]
    if typing.get_origin(hint) is typing.Literal or not arguments:
        return hint
    return core(arguments[0])


def is_tuple(name):
    return typing.get_origin(LEAVES[name][2]) is tuple


def just_outside(bound):
    """Yield the values nearest to a bound that break it."""
    limit = float(bound.lstrip("<>="))
    if bound.startswith((">=", "<=")):
        toward = -math.inf if bound[0] == ">" else math.inf
        yield math.nextafter(limit, toward)
        yield limit - 1 if bound[0] == ">" else limit + 1
    else:
        yield limit
        yield limit - 1 if bound[0] == ">" else limit + 1


def broken_values():
    for name, bounds in BOUNDS.items():
        whole = core(LEAVES[name][2]) is int
        for bound in bounds.split():
            for value in just_outside(bound):
                if not whole or value == int(value):
                    yield name, int(value) if whole else value
        if not whole:
            yield name, math.nan
            yield name, math.inf
            yield name, -math.inf


@pytest.mark.parametrize(("name", "value"), list(broken_values()))
def test_a_value_out_of_bounds_is_refused_by_name(name, value):
    with pytest.raises(PracError) as error:
        made(name, (value,) if is_tuple(name) else value)
    assert str(error.value).startswith(f"{name} is {value!r}: expected ")
    assert (str(error.value).endswith(": expected a finite number")) == (not math.isfinite(value))


def test_the_edges_themselves_are_allowed():
    edges = {"levels": 1, "seed": 0, "momentum": 0.0, "gamma": 1.0, "kept_fraction": 1.0}
    edges |= {"threshold": 0, "weight_decay": 0.0, "window": 1, "batch_size": 1, "warmup": 0.0}
    for name, value in edges.items():
        assert made(name, value) == value
    assert made("milestones", (0.5,)) == (0.5,)
    assert made("seed", 2**63 - 1) == 2**63 - 1


def test_the_largest_seed_is_one_that_torch_takes():
    torch.Generator().manual_seed(made("seed", 2**63 - 1))
    with pytest.raises(PracError, match="seed is 9223372036854775808: expected at least 0 and at"):
        SearchConfig(seed=2**63)


def test_one_element_of_many_out_of_bounds_is_refused():
    for wrong, message in ((math.nan, "finite number"), (0.0, "above 0")):
        with pytest.raises(PracError, match=f"milestones is {wrong}: expected .*{message}"):
            TrainConfig(milestones=(1.0, wrong, 3.0))


@pytest.mark.parametrize("name", ["seed", "epochs", "lr"])
def test_a_number_beyond_every_float_is_refused_if_at_all_by_name(name):
    with contextlib.suppress(PracError):
        made(name, 10**400)


def test_no_bounded_number_is_missing_above():
    numbers = {name for name, (_, _, hint) in LEAVES.items() if core(hint) in (int, float)}
    assert numbers == set(BOUNDS)


@pytest.mark.parametrize("name", LEAVES)
def test_every_default_stands_and_has_its_help(name):
    _, field, _ = LEAVES[name]
    assert made(name, default_of(field)) == default_of(field)
    assert field.metadata["help"]


def wrong_types():
    wrong = {int: (1.0, True, "1"), float: ("0.1", True), bool: (1, "yes"), str: (1,)}
    for name, (_, _, hint) in LEAVES.items():
        kind = core(hint)
        values = ("nonsense", 3) if typing.get_origin(kind) is typing.Literal else wrong[kind]
        yield from ((name, (value,) if is_tuple(name) else value) for value in values)
        if type(None) not in typing.get_args(hint):
            yield name, None
        if is_tuple(name):
            yield name, "text"


@pytest.mark.parametrize(("name", "value"), list(wrong_types()))
def test_a_value_of_another_type_is_refused_by_name(name, value):
    with pytest.raises(PracError) as error:
        made(name, value)
    assert name in str(error.value)


def test_a_choice_misspelt_gets_the_nearest():
    with pytest.raises(PracError, match=r"unknown optimizer 'adamv': did you mean .*'adamw'"):
        TrainConfig(optimizer="adamv")
    with pytest.raises(PracError, match="unknown subset_rule 'prak': did you mean 'prac'"):
        SubsetConfig(rule="prak")  # type: ignore[arg-type]


def test_whole_numbers_are_floats_where_floats_are_meant():
    config = TrainConfig(lr=1, milestones=[80, 120], epochs=160)  # type: ignore[arg-type]
    assert config == TrainConfig(lr=1.0, milestones=(80.0, 120.0), epochs=160)
    assert type(config.lr) is float
    assert [type(m) for m in config.milestones] == [float, float]


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().lr = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"milestones": (5, 3)}, r"milestones are \[5.0, 3.0\]: expected an ascending list"),
        ({"milestones": (5, 5)}, "expected an ascending list"),
        ({"epochs": 10, "milestones": (5, 10)}, "milestone 10 comes at or after the end of 10 ep"),
        ({"iterations": 9, "milestones": (9,)}, "milestone 9 comes at or after the end of 9 iter"),
        ({"schedule": "cosine", "milestones": (5,)}, "milestones are set but schedule is 'cosine'"),
        ({"schedule": "constant", "milestones": (5,)}, "they need 'multi-step'"),
        ({"epochs": 10, "warmup": 10}, "warmup is 10 epochs: expected less than the length, 10"),
        ({"epochs": 10, "iterations": 5, "warmup": 6}, "warmup is 6 iterations"),
    ],
)
def test_contradictory_training_settings_are_refused(settings, message):
    with pytest.raises(PracError, match=message):
        TrainConfig(**settings)


def test_milestones_count_in_the_unit_of_the_length():
    assert TrainConfig(epochs=10, iterations=1000, milestones=(500,)).milestones == (500.0,)
    assert TrainConfig(epochs=10, milestones=(9.5,), warmup=9.5).warmup == 9.5


@pytest.mark.parametrize("rule", ["all", "cep", "fixed"])
def test_a_share_that_cet_keeps_needs_a_rule_with_cet(rule):
    message = f"kept_fraction is set but subset_rule is '{rule}': it needs prac, cet, random"
    with pytest.raises(PracError, match=message):
        SubsetConfig(rule=rule, kept_fraction=0.5)
    with pytest.raises(PracError, match=message):
        from_flat(SearchConfig, {"subset_rule": rule, "kept_fraction": 1})
    assert SubsetConfig(rule=rule, threshold=1).threshold == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "prac", "sizes": (9,)}, "set_sizes is set but subset_rule is 'prac': it needs"),
        ({"rule": "random"}, "subset_rule is 'random' and nothing says how large its sets are"),
        ({"rule": "el2n"}, "subset_rule is 'el2n' and nothing says how large"),
        (
            {"rule": "random", "sizes": (9,), "kept_fraction": 0.5},
            "both kept_fraction and set_sizes say how large its sets are: set either kept_",
        ),
        ({"rule": "fixed", "dense_fraction": 0.5}, "both say what level 0 trains on: drop one"),
        (
            {"rule": "random", "sizes": (9,), "dense_fraction": 0.5},
            "dense_fraction and set_sizes both say what level 0 trains on",
        ),
    ],
)
def test_sets_whose_size_is_said_twice_or_not_at_all_are_refused(settings, message):
    with pytest.raises(PracError, match=message):
        SubsetConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pruning": "one-shot"}, "pruning is 'one-shot' but subset_rule is 'prac': levels that"),
        ({"pruning": "one-shot", "subset_rule": "all", "rewind": "none"}, "use init, epoch:N or"),
        ({"pruning": "at-init"}, "'at-init' but subset_rule is 'prac': .*use all"),
        ({"pruning": "at-init", "subset_rule": "fixed"}, "subset_rule is 'fixed': .*use all"),
        ({"pruning": "at-init", "subset_rule": "all", "rewind": "epoch:2"}, "use init"),
        ({"pruning": "at-init", "subset_rule": "all", "sampling": "fresh"}, "sampling is 'fresh'"),
        (
            {"pruning": "at-init", "subset_rule": "all", "dense_fraction": 0.5},
            "dense_fraction is 0.5: .*leave it out",
        ),
        ({"pruning": "at-init", "subset_rule": "all", "stop_after": [5]}, "stop_after is .5,."),
        ({"pruning": "at-init", "subset_rule": "all", "level_budget": 0.5}, "level_budget is 0.5"),
        ({"pruning": "one-shot", "subset_rule": "all", "train_every": 2}, "train_every is 2"),
        ({"score": "snip"}, "score is 'snip' but pruning is 'iterative': .*use at-init"),
        ({"score": "synflow", "pruning": "one-shot"}, "score is 'synflow' but pruning is 'one-sh"),
    ],
)
def test_what_untrained_levels_cannot_do_is_refused(settings, message):
    with pytest.raises(PracError, match=message):
        from_flat(SearchConfig, settings)


@pytest.mark.parametrize("rule", ["prac", "cet"])
def test_cet_keeps_a_share_or_what_a_threshold_says(rule):
    assert SubsetConfig(rule=rule, kept_fraction=0.5).kept_fraction == 0.5
    assert SubsetConfig(rule=rule, kept_fraction=0.5, threshold=0).kept_fraction == 0.5
    assert SubsetConfig(rule=rule, threshold=2).threshold == 2
    with pytest.raises(PracError, match="kept_fraction and threshold are both set"):
        SubsetConfig(rule=rule, kept_fraction=0.5, threshold=1)


@pytest.mark.parametrize("falling", ["cosine", "linear"])
def test_fine_tuning_at_the_end_of_a_schedule_that_falls_to_zero_is_refused(falling):
    train = TrainConfig(schedule=falling)
    with pytest.raises(PracError, match=f"rewind is 'none' but schedule is '{falling}'"):
        SearchConfig(rewind="none", train=train)
    with pytest.raises(PracError, match="use multi-step or constant"):
        from_flat(SearchConfig, {"rewind": "none", "schedule": falling})
    for rewind in ("init", "epoch:1", "iteration:9", "learning-rate"):
        assert SearchConfig(rewind=rewind, train=train).rewind == rewind
    for schedule in ("multi-step", "constant"):
        assert SearchConfig(rewind="none", train=TrainConfig(schedule=schedule)).rewind == "none"


@pytest.mark.parametrize(
    ("rewind", "train"),
    [("epoch:4", {"epochs": 3}), ("iteration:8", {"iterations": 7})],
)
def test_a_rewind_point_after_the_end_is_refused(rewind, train):
    with pytest.raises(PracError, match=f"rewind is '{rewind}' but the dense training has only"):
        SearchConfig(rewind=rewind, train=TrainConfig(**train))


def test_a_rewind_point_at_the_end_is_allowed():
    SearchConfig(rewind="epoch:3", train=TrainConfig(epochs=3))
    SearchConfig(rewind="iteration:7", train=TrainConfig(iterations=7))


@pytest.mark.parametrize(
    ("text", "kind", "at", "keeps_weights"),
    [
        ("init", "epoch", 0, False),
        ("epoch:0", "epoch", 0, False),
        ("epoch:12", "epoch", 12, False),
        ("iteration:500", "iteration", 500, False),
        ("learning-rate", "learning-rate", 0, True),
        ("none", "none", 0, True),
    ],
)
def test_rewind_points_are_read(text, kind, at, keeps_weights):
    rewind = Rewind.parse(text)
    assert (rewind.kind, rewind.at, rewind.keeps_weights) == (kind, at, keeps_weights)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "epoch",
        "epoch:",
        "epoch:-1",
        "epoch:1.5",
        "epoch:1:2",
        "step:3",
        "init:1",
        "none:1",
        "epoch: 3",
        "epoch:³",
        "epoch:٣",
        "Init",
        "learning_rate",
    ],
)
def test_other_rewind_points_are_refused(text):
    with pytest.raises(PracError, match="expected init, epoch:N, iteration:N, learning-rate or no"):
        SearchConfig(rewind=text)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("epoch", "epochs"),
        ("momentun", "momentum"),
        ("stoprule", "stop_rule"),
        ("drop_rate", "drop_fraction"),
    ],
)
def test_a_name_misspelt_gets_the_nearest(name, nearest):
    with pytest.raises(PracError, match=f"unknown setting '{name}': did you mean .*'{nearest}"):
        from_flat(SearchConfig, {name: 1})


def test_flat_names_are_distinct_and_stand_for_their_own_part():
    assert len(list(every_setting(SearchConfig))) == len(LEAVES)
    config = from_flat(
        SearchConfig, {"stop_rule": "never", "subset_rule": "cet", "score": "random"}
    )
    assert config.stop == StopConfig(rule="never")
    assert config.subset == SubsetConfig(rule="cet")
    assert config.prune == PruneConfig(score="random")
    assert config.train == TrainConfig()


def test_imp_is_all_data_without_an_early_stop_and_can_be_changed():
    assert flat(SearchConfig.imp(levels=3)) == {
        **flat(SearchConfig(levels=3)),
        "subset_rule": "all",
        "stop_rule": "never",
    }
    assert SearchConfig.imp(stop=StopConfig()).stop.rule == "stable"


@dataclass(frozen=True)
class Inner(Settings):
    share: float = setting(0.5, "a share", flag="inner_share", above=0, below=1)


@dataclass(frozen=True)
class Outer(Settings):
    inner: Inner = dataclasses.field(default_factory=Inner)
    names: tuple[str, ...] = setting((), "names")
    maybe: int | None = setting(None, "maybe a number", at_least=0)


def test_settings_nest_by_flat_name():
    values = {"inner_share": 0.25, "names": ["a"], "maybe": 3}
    assert from_flat(Outer, values) == Outer(Inner(0.25), ("a",), 3)
    assert flat(Outer(Inner(0.25), ("a",), 3)) == values
    with pytest.raises(PracError, match=r"inner_share is 1\.0: expected above 0 and below 1"):
        from_flat(Outer, {"inner_share": 1})
    with pytest.raises(PracError, match="inner is 1: expected a Inner"):
        Outer(inner=1)  # type: ignore[arg-type]


def numbers(low, high, **bounds):
    return st.floats(low, high, allow_nan=False, **bounds)


CONFIGS = st.builds(
    SearchConfig,
    levels=st.integers(1, 40),
    rewind=st.sampled_from(["init", "epoch:1", "iteration:9", "learning-rate", "none"]),
    seed=st.integers(0, 2**63 - 1),
    train=st.builds(
        TrainConfig,
        epochs=st.integers(20, 200),
        iterations=st.none() | st.integers(20, 10**9),
        optimizer=st.sampled_from(["sgd", "adam", "adamw"]),
        lr=numbers(0, 100, exclude_min=True),
        milestones=st.lists(numbers(0, 19, exclude_min=True), unique=True).map(sorted),
        momentum=numbers(0, 1, exclude_max=True),
        weight_decay=numbers(0, 1),
    ),
    prune=st.builds(
        PruneConfig,
        drop_fraction=numbers(0, 1, exclude_min=True, exclude_max=True),
        include=st.lists(st.sampled_from(["*.weight", "conv?", "é: #'", ""]), max_size=3),
        allow_empty=st.booleans(),
    ),
    subset=st.builds(
        SubsetConfig,
        rule=st.sampled_from(["prac", "cet"]),
        kept_fraction=st.none() | numbers(0, 1, exclude_min=True),
    )
    | st.builds(
        SubsetConfig,
        rule=st.sampled_from(["random", "el2n", "el2n-ccs"]),
        sizes=st.lists(st.integers(2, 10**6), min_size=1, max_size=5),
        cutoff=numbers(0, 1, exclude_max=True),
    )
    | st.builds(
        SubsetConfig,
        rule=st.sampled_from(["all", "prac", "cet", "cep", "fixed"]),
        threshold=st.integers(0, 9),
    ),
    sample=st.builds(
        SampleConfig,
        rule=st.sampled_from(["all", "fresh", "infobatch"]),
        fraction=numbers(0, 1, exclude_min=True),
    ),
    stop=st.builds(
        StopConfig,
        epsilon=numbers(0, 1, exclude_min=True),
        after=st.lists(st.integers(1, 10**9), max_size=4),
    ),
)


@given(CONFIGS)
def test_settings_are_shown_as_the_call_that_makes_them(config):
    names = {one.__name__: one for one in all_settings()}
    assert eval(repr(config), names) == config


def all_settings() -> list[type[Settings]]:
    """Return every class of settings."""
    found: list[type[Settings]] = []
    for one in Settings.__subclasses__():
        found += [one, *one.__subclasses__()]
    return [one for one in found if one.__module__.startswith("prac.")]


@pytest.mark.parametrize("made", all_settings())
def test_settings_as_ever_show_none(made):
    assert repr(made()) == f"{made.__name__}()"


@given(CONFIGS)
def test_what_flat_writes_from_flat_reads_also_through_yaml(config):
    values = flat(config)
    assert list(values) == list(LEAVES)
    assert from_flat(SearchConfig, values) == config
    assert from_flat(SearchConfig, yaml.safe_load(yaml.safe_dump(values))) == config


def test_the_typed_names_of_a_search_s_settings_are_its_fields():
    hints = typing.get_type_hints(SearchConfig)
    assert typing.get_type_hints(SearchKeywords) == {
        field.name: hints[field.name] for field in dataclasses.fields(SearchConfig)
    }
    for make in (SearchConfig.prac, SearchConfig.imp):
        unpacked = typing.get_type_hints(make)["settings"]
        assert typing.get_args(unpacked) == (SearchKeywords,)


def test_the_typed_names_of_how_data_is_read_are_its_fields():
    hints = typing.get_type_hints(DataConfig)
    assert typing.get_type_hints(DataKeywords) == {
        field.name: hints[field.name]
        for field in dataclasses.fields(DataConfig)
        if field.name != "name"
    }


@pytest.mark.parametrize(
    ("preset", "method", "changes", "command"),
    [
        (None, None, {}, ""),
        ("quickstart", None, {"limit": 400}, "--preset quickstart --limit 400"),
        ("quickstart", "imp", {}, "--preset quickstart --method imp"),
        (
            "mnist-lenet,frugal",
            None,
            {"epochs": 3, "data": "digits"},
            "--preset mnist-lenet,frugal --epochs 3 --data digits",
        ),
        (
            None,
            "random-subset",
            {"set_sizes": (40, 20)},
            "--method random-subset --set-sizes 40,20",
        ),
    ],
)
def test_a_preset_in_python_is_that_of_the_command(preset, method, changes, command, capsys):
    recipe = Recipe.preset(preset, method=method, **changes)
    assert main(["find", *command.split(), "--print-config"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    told = flat(recipe)
    assert {name: printed[name] for name in told} == told
    assert recipe.names.keys() < told.keys()
    assert from_flat(Recipe, told) == recipe


def test_a_preset_of_no_name_and_a_setting_of_none_are_told():
    with pytest.raises(PracError, match="quickstart"):
        Recipe.preset("quikstart")
    with pytest.raises(PracError, match="epochs"):
        Recipe.preset("quickstart", epoch=3)


TYPED = """
from prac.config.search import SearchConfig, StopConfig, TrainConfig

SearchConfig.prac(levels=3, rewind="epoch:1", train=TrainConfig(epochs=2))
SearchConfig.imp(seed=1, stop=StopConfig(epsilon=0.1)).levels.bit_length()
SearchConfig.prac(levles=3)
SearchConfig.imp(levles=3)
SearchConfig(levles=3)
SearchConfig.prac(levels="three")
SearchConfig.imp(train=StopConfig())
TrainConfig(epoch=3)
"""


def test_a_type_checker_refuses_a_misspelt_setting_and_takes_a_right_one(tmp_path):
    source = Path(prac.__file__).parent / "config"
    (tmp_path / "typed.py").write_text(TYPED)
    # Of the package only the settings, without torch: a second instead of a minute.
    command = [sys.executable, "-m", "mypy", "--config-file=", "--follow-imports=skip"]
    command += [f"--cache-dir={tmp_path / 'cache'}", "--no-error-summary", "typed.py"]
    command += [str(source / name) for name in ("search.py", "settings.py", "train.py")]
    environment = {**os.environ, "MYPYPATH": str(source.parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    numbers = [int(line.split(":")[1]) for line in errors]
    assert numbers == [6, 7, 8, 9, 10, 11], done.stdout + done.stderr
    assert 'Unexpected keyword argument "levles" for "prac"' in errors[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SearchConfig.prac(levles=3), "'levles': did you mean levels=3?"),  # type: ignore[call-arg]
        (lambda: SearchConfig.imp(levles=3), "'levles': did you mean levels=3?"),  # type: ignore[call-arg]
        (lambda: SearchConfig(levles=3), "'levles': did you mean levels=3?"),  # type: ignore[call-arg]
        (
            lambda: SearchConfig.prac(levels=8, epochs=3),  # type: ignore[call-arg]
            "'epochs': pass train=TrainConfig(epochs=3)",
        ),
        (
            lambda: SearchConfig(subset_rule="all"),  # type: ignore[call-arg]
            "'subset_rule': pass subset=SubsetConfig(rule='all')",
        ),
        (
            lambda: SearchConfig(rule="all"),  # type: ignore[call-arg]
            "'rule': pass subset=SubsetConfig(rule='all') or sample=SampleConfig(rule='all') or "
            "stop=StopConfig(rule='all')",
        ),
        (
            lambda: SearchConfig.prac(epoch=3),  # type: ignore[call-arg]
            "'epoch': did you mean train=TrainConfig(epochs=3)?",
        ),
        (
            lambda: SearchConfig.prac(training=TrainConfig()),  # type: ignore[call-arg]
            "'training': did you mean train?",
        ),
        (
            lambda: dataclasses.replace(SearchConfig(), lr=0.5),  # type: ignore[call-arg]
            "'lr': pass train=TrainConfig(lr=0.5)",
        ),
        (lambda: SearchConfig(zzz=3), "'zzz'"),  # type: ignore[call-arg]
    ],
)
def test_a_name_of_no_setting_is_told_with_the_one_that_is_meant(make, message):
    with pytest.raises(TypeError) as error:
        make()
    assert str(error.value) == f"SearchConfig has no setting {message}"


def test_a_part_s_misspelt_setting_is_told_too():
    with pytest.raises(
        TypeError, match=r"^TrainConfig has no setting 'epoch': did you mean epochs"
    ):
        TrainConfig(epoch=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^SubsetConfig has no setting 'subset_rule': pass rule="):
        SubsetConfig(subset_rule="all")  # type: ignore[call-arg]


def test_settings_are_copied_and_pickled_and_show_their_fields():
    config = SearchConfig.imp(levels=2, train=TrainConfig(epochs=3))
    assert (
        copy.deepcopy(config) == copy.copy(config) == pickle.loads(pickle.dumps(config)) == config
    )
    names = [field.name for field in dataclasses.fields(SearchConfig)]
    assert list(inspect.signature(SearchConfig).parameters) == names
