"""Settings from Python, the command line and YAML: a recipe or one line, never more."""

from __future__ import annotations

import math
import os
import time
import typing
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from prac.cli import main
from prac.cli.find import parser
from prac.cli.given import EXCLUSIVE, UNUSED, check_exclusive, check_used
from prac.cli.options import options_and_recipe
from prac.cli.recorded import named_settings
from prac.config import PRESETS, Recipe, RetrainRecipe, every_setting, flag_of, flat, from_flat
from prac.errors import PracError
from torture.budget import budget

LEAVES = {flag_of(field): (field, hint) for _, field, hint in every_setting(Recipe)}
PARSER = parser(named_settings([]))
BUDGET = budget(150)

WRONG = (
    None, True, False, -1, 0, 1, 1.5, 2**63, 10**400, 16**6000, -(2**70), math.nan, math.inf,
    -math.inf, 1e308, "", " ", "1", "none", "nan", "a\nb", "\x00", "\x1b[2J", "\ud800", "x" * 9999,
    [], [None], [[1]], ["a"], [math.nan], [3, 2, 1], {}, {"a": 1}, {1}, b"x", object(), int, ...,
)  # fmt: skip

TEXTS = (
    "", " ", "nan", "inf", "-inf", "-1", "0", "1.5", "1e400", "9" * 6000, "0x" + "f" * 6000, "true",
    "null", "none", "[", "[1,2", "{}", "{a: 1}", "2001-99-99", "!!int x", "!!python/object:os.x",
    "*a", "&a b", "a: b", "'", "\x00", "\ud800", "é", "\u0661", "1_0", "1:30", "[" * 2000, "%",
    "%(x)s", "@", "`", "0b", "\n", "a\nb", ",", "1,,2", "--", "-", "=", "~", "yes", "{0}",
)  # fmt: skip


def outcome(make, *arguments):
    """Return a recipe, or None where one line refuses it; any other exception is raised."""
    found, message = None, ""
    try:
        found = make(*arguments)
    except PracError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 30_000
    return found


def typed(arguments):
    """Return the recipe that the command line makes, up to where data would be loaded."""
    _, recipe = options_and_recipe(PARSER, arguments, Recipe)
    check_used(arguments, flat(recipe))
    return recipe


def option(name):
    return f"--{name.replace('_', '-')}"


@pytest.mark.parametrize("name", LEAVES)
def test_any_value_of_any_field_makes_a_recipe_or_one_line(name):
    for value in WRONG:
        found = outcome(from_flat, Recipe, {name: value})
        if found is not None:
            # What was taken is of its type, and comes back.
            assert from_flat(Recipe, yaml.safe_load(yaml.safe_dump(flat(found)))) == found


@pytest.mark.parametrize("name", LEAVES)
def test_any_text_of_any_option_makes_a_recipe_or_one_line(name):
    for text in TEXTS:
        outcome(typed, [f"{option(name)}={text}"])


def core(hint):
    arguments = [a for a in typing.get_args(hint) if a not in (type(None), Ellipsis)]
    if typing.get_origin(hint) is typing.Literal or not arguments:
        return hint
    return core(arguments[0])


def just_outside():
    """Yield each number's nearest value beyond each bound, NaN and the infinities."""
    for name, (field, hint) in LEAVES.items():
        bounds = field.metadata["bounds"]
        whole = core(hint) is int
        for key, bound in bounds.items():
            if bound is None:
                continue
            down = key in ("at_least", "above")
            step = 1 if whole else max(abs(bound), 1) * 1e-9
            edge = bound if key in ("above", "below") else bound - step if down else bound + step
            yield name, int(edge) if whole else edge
            yield name, bound - 10 if down else bound + 10
        if core(hint) is float:
            yield from ((name, value) for value in (math.nan, math.inf, -math.inf))


@pytest.mark.parametrize(("name", "value"), list(just_outside()))
def test_out_of_range_on_each_side_is_refused_everywhere(name, value):
    is_list = typing.get_origin(LEAVES[name][1]) is tuple
    held = [value] if is_list else value
    Path("c.yaml").write_text(yaml.safe_dump({name: held}))
    for make, where in (
        (lambda: from_flat(Recipe, {name: held}), ""),
        (lambda: typed([f"{option(name)}={value}"]), ""),
        (lambda: typed(["--config", "c.yaml"]), r"c\.yaml: "),
    ):
        with pytest.raises(PracError, match=f"^{where}{name} is ") as error:
            make()
        assert "\n" not in str(error.value)


def misspelt(name):
    return name[:-2] + name[-1] + name[-2] if name[-1] != name[-2] else name[:-1]


@pytest.mark.parametrize("name", [name for name in LEAVES if len(name) > 3])
def test_a_misspelt_name_gets_the_nearest_everywhere(name):
    wrong = misspelt(name)
    assert wrong not in LEAVES
    Path("c.yaml").write_text(f"{wrong}: 1\n")
    with pytest.raises(PracError, match=f"unknown setting '{wrong}': did you mean .*'{name}'"):
        from_flat(Recipe, {wrong: 1})
    for arguments in ([f"{option(wrong)}=1"], ["--config", "c.yaml"]):
        with pytest.raises(PracError, match=rf"did you mean .*{option(name)}\b"):
            typed(arguments)


VALUES = st.sampled_from(WRONG) | st.integers() | st.floats() | st.text(max_size=8)


@BUDGET
@given(st.dictionaries(st.sampled_from(list(LEAVES)), VALUES, max_size=4))
@example({"include": ["\ud800"]})
def test_any_few_settings_make_a_recipe_or_one_line(values):
    outcome(from_flat, Recipe, values)
    outcome(from_flat, RetrainRecipe, values)


@budget(60)
@given(
    st.lists(
        st.tuples(st.sampled_from(list(LEAVES)), st.sampled_from(TEXTS) | st.text(max_size=6)),
        max_size=4,
    )
)
def test_any_few_options_make_a_recipe_or_one_line(pairs):
    outcome(typed, [f"{option(name)}={text}" for name, text in pairs])


def text_of(draw_name, draw_value):
    return st.lists(st.tuples(draw_name, draw_value), max_size=4).map(
        lambda pairs: "".join(f"{name}: {value}\n" for name, value in pairs)
    )


NAMES = st.sampled_from([*LEAVES, "preset", "method", "out", "subset", "retrain", "config", "~"])
PIECES = st.sampled_from([*(text for text in TEXTS if len(text) < 99), "!!set {a}", "<<: {a: 1}"])


@budget(80)
@given(text_of(NAMES, PIECES) | st.text(max_size=30))
def test_any_file_of_options_makes_a_recipe_or_one_line(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("yaml") / "c.yaml"
    path.write_text(text, errors="replace")
    outcome(typed, ["--config", str(path)])


BOMB = "".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]\n"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)]
)
HOSTILE_YAML = {
    "aliases that multiply": BOMB.encode(),
    "one alias": b"include: &a [x]\nexclude: *a\n",
    "an alias of itself": b"include: &a [*a]\n",
    "an object": b"out: !!python/object/apply:os.mkdir [made]\n",
    "a module": b"out: !!python/module:evil\n",
    "a tag": b"out: !mine x\n",
    "a date that is none": b"out: 2001-99-99\n",
    "a date": b"out: 2001-01-01\n",
    "an empty number": b"epochs: !!int ''\n",
    "a set": b"out: !!set {a}\n",
    "bytes": b"out: !!binary aGk=\n",
    "a long number": b"epochs: 0x" + b"f" * 6000 + b"\n",
    "lists in lists": b"include: " + b"[" * 30_000,
    "blocks in blocks": b"- " * 30_000,
    "mappings in mappings": b"{a: " * 15_000,
    "not UTF-8": b"\xff\xfe\x00",
    "a zero": b"\x00",
    "two documents": b"--- {a: 1}\n--- {b: 1}\n",
    "a newer YAML": b"%YAML 9.9\n---\na: 1\n",
    "too much": b"#" * 2**20,
    "a name that is a number": b"1: 2\n",
    "a name that is a list": b"[a]: 2\n",
    "another file": b"config: other.yaml\n",
    "another file, which is none": b"config: .nan\n",
    "a number for a folder": b"out: 3\n",
    "a list for a subset": b"subset: [a]\n",
    "a truth for a preset": b"preset: true\n",
    "a device in a list": b"device: [cpu]\n",
    "nothing": b"",
}


@pytest.mark.parametrize("name", HOSTILE_YAML)
def test_a_hostile_file_of_options_gets_one_line_quickly(name, capsys):
    Path("c.yaml").write_bytes(HOSTILE_YAML[name])
    for command in (["find"], ["retrain", "t.safetensors"]):
        started = time.perf_counter()
        assert main([*command, "--config", "c.yaml"]) == 2
        assert time.perf_counter() - started < 3
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.splitlines()) == 1
        assert len(err) < 1000
        assert [path.name for path in Path().iterdir()] == ["c.yaml"]


def test_what_is_no_file_of_options_is_refused_without_waiting(capsys):
    Path("folder").mkdir()
    os.mkfifo("pipe")
    for name in ("folder", "pipe", "/dev/zero", "absent", "a\0b", "x" * 5000):
        for command in (["find"], ["retrain", "t.safetensors"]):
            assert main([*command, "--config", name]) == 2
            err = capsys.readouterr().err
            assert len(err.splitlines()) == 1
            assert err.startswith("prac: error: ")


@pytest.mark.parametrize("pair", EXCLUSIVE)
def test_two_ways_to_say_one_thing_are_refused(pair):
    arguments = [f"{option(name)}=1" for name in pair]
    with pytest.raises(PracError, match="are both given: leave one out"):
        check_exclusive(arguments)
    check_exclusive(arguments[:1])


# What contradicts what: an option on the command line that nothing would use is refused.
UNUSED_PAIRS = {
    "--stop-rule never --epsilon 0.1": "--epsilon is given but not used: stop_rule is 'never'",
    "--stop-rule never --window 3": "--window is given but not used",
    "--stop-rule never --arm at-once": "--arm is given but not used",
    "--method imp --epsilon 0.1": "--epsilon is given but not used: stop_rule is 'never'",
    "--method imp --threshold 1": "--threshold is given but not used: subset_rule uses no CET",
    "--method imp --kept-fraction 0.5": "kept_fraction is set but subset_rule is 'all'",
    "--method imp --scaling none": "--scaling is given but not used: subset_rule is 'all'",
    "--subset-rule cep --threshold 1": "--threshold is given but not used",
    "--subset s --threshold 1": "--threshold is given but not used",
    "--subset s --kept-fraction 0.5": "kept_fraction is set but subset_rule is 'fixed'",
    "--optimizer torch.optim.RMSprop --momentum 0.9": "--momentum is given but not used: optimizer",
    "--optimizer torch.optim.RMSprop --momentum 0.5": "momentum is 0.5 but optimizer is 'torch.opt",
    "--gamma 0.5": "--gamma is given but not used: there are no milestones",
    "--schedule cosine --gamma 0.5": "--gamma is given but not used",
    "--schedule cosine --milestones 3": "milestones are set but schedule is 'cosine'",
    "--val-fraction 0 --val-seed 3": "--val-seed is given but not used: nothing is drawn",
    "--val-indices i.npy --val-seed 3": "--val-seed is given but not used: nothing is drawn",
    "--kept-fraction 0.5 --threshold 1": "kept_fraction and threshold are both set",
    "--epochs 3 --iterations 9": "--epochs and --iterations are both given",
    "--rewind none --schedule cosine": "rewind is 'none' but schedule is 'cosine'",
    "--method snip --stop-rule stable": "--stop-rule is given but not used: pruning is 'at-init'",
    "--method imp --el2n-epoch 3": "--el2n-epoch is given but not used: subset_rule takes no EL2N",
    "--method el2n --cutoff 0.2": "--cutoff is given but not used: subset_rule is not 'el2n-ccs'",
    "--method imp --sample-fraction 0.2": "--sample-fraction is given but not used: sampling is",
    "--method rs2 --drop-probability 0.2": "--drop-probability is given but not used: sampling",
    "--method random-subset --set-sizes 90 --kept-fraction 0.5": "both kept_fraction and set_siz",
    "--method snip --rewind epoch:1": "pruning is 'at-init' but rewind is 'epoch:1'",
    "--method snip --subset s": "pruning is 'at-init' but subset_rule is 'fixed'",
    "--subset-rule fixed": "no subset is given",
}


@pytest.mark.parametrize("line", UNUSED_PAIRS)
def test_options_that_contradict_each_other_are_refused(line, capsys):
    Path("s").touch()
    assert main(["find", *line.split(), "--model", "lenet_300_100", "--layers", "linear"]) == 2
    err = capsys.readouterr().err
    assert UNUSED_PAIRS[line] in err
    assert [path.name for path in Path().iterdir()] == ["s"]


def test_every_unused_setting_is_in_a_pair_above():
    names = {name for names, _, _ in UNUSED for name in names}
    tested = {word[2:].replace("-", "_") for line in UNUSED_PAIRS for word in line.split()}
    assert names <= tested
    assert names <= LEAVES.keys()


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_and_whole_files_of_settings_are_nobody_s_contradiction(preset):
    # A run's own config.yaml holds every setting, used or not.
    values = flat(from_flat(Recipe, PRESETS[preset].settings))
    Path("c.yaml").write_text(yaml.safe_dump({**values, "method": "imp"}))
    assert flat(typed(["--config", "c.yaml"])) == values
    recipe = from_flat(Recipe, values)
    check_used(["--preset", preset, "--method", "imp"], flat(recipe))


@pytest.mark.parametrize(
    "line",
    ["--epsilon 0.1", "--threshold 1", "--milestones 3 --gamma 0.5", "--val-seed 3",
     "--val-fraction 0 --limit 9 --val-seed 3", "--subset-rule cet --scaling epochs",
     "--subset-rule random --set-sizes 90,80", "--subset-rule all --sampling fresh --scaling none",
     "--subset-rule all --dense-fraction 0.5 --scaling epochs",
     "--subset-rule el2n-ccs --kept-fraction 0.5 --cutoff 0.2 --el2n-epoch 3"],
)  # fmt: skip
def test_options_that_something_uses_are_taken(line):
    assert isinstance(typed(line.split()), Recipe)
