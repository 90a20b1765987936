"""Every command, given each kind of thing that prac writes where it takes a path."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import prac
from prac.cli import main
from prac.cli.command import COMMANDS
from prac.cli.completion import FILES, FOLDERS
from prac.io import KINDS, check_new, kind_at
from prac.runs.results import searches_below
from tests.conftest import made_once

DIGITS = (
    "--data digits --limit 100 --model lenet_300_100 --layers linear --epochs 1 --levels 1 "
    "--batch-size 32 --quiet"
)
TICKET = "runs/x/levels/01/ticket.safetensors"
MADE_BY = (
    f"find {DIGITS} --retrain 0 --out runs/x",
    "judge runs/x --seeds 0,1 --levels 1 --shuffle --barriers --pools --quiet",
    "judge runs/x --plan --seeds 0,1 --levels 1 --quiet",
    "judge runs/x --find-rewind-point --points 1 --quiet",
    f"compare {DIGITS} --judged 1 --seeds 0 --methods imp,prac --out runs/c",
    f"retrain {TICKET} --quiet --out runs/z",
    "report runs/x --png charts",
    f"win {DIGITS} --seeds 0,1 --methods imp --controls none --budget 40 --out runs/w",
)

THINGS = {
    # thing: its path, its kind; CACHED and TRUNK stand for names made of a content
    "a finished search": ("runs/x", "search"),
    "an unfinished search": ("runs/y", "search"),
    "a search of a comparison": ("runs/c/runs/prac/seed-0", "search"),
    "what find retrained": ("runs/x/retrain/00", "retraining"),
    "what retrain trained": ("runs/z", "retraining"),
    "what judge trained": ("runs/x/judged/CACHED", "retraining"),
    "a trunk": ("runs/x/judged/TRUNK", "trunk"),
    "a comparison": ("runs/c", "comparison"),
    "the searches of a comparison": ("runs/c/runs", "runs"),
    "a folder of prac win": ("runs/w", "win"),
    "a level": ("runs/x/levels/00", "level"),
    "the last level": ("runs/x/levels/01", "level"),
    "the levels": ("runs/x/levels", "levels"),
    "the retrainings": ("runs/x/retrain", "retrainings"),
    "what judge keeps": ("runs/x/judged", "cache"),
    "what compare keeps": ("runs/c/trained", "cache"),
    "the states": ("runs/y/state", "states"),
    "curves": ("runs/x/tensorboard", "curves"),
    "a series of curves": ("runs/x/tensorboard/search", "curves"),
    "a folder of runs": ("runs", "runs"),
    "an empty folder": ("empty", "empty"),
    "a folder of charts": ("charts", "folder"),
    "a folder of images": ("photos", "folder"),
    "a ticket": (TICKET, "ticket"),
    "a subset": ("runs/x/levels/00/subset.safetensors", "subset"),
    "the trained weights of a level": ("runs/x/levels/00/trained.safetensors", "trained"),
    "the weights of a retraining": ("runs/z/trained.safetensors", "trained"),
    "weights of a trunk": ("runs/x/judged/TRUNK/iteration_00000001.safetensors", "weights"),
    "examples": ("runs/x/levels/00/examples.safetensors", "examples"),
    "a state": ("runs/y/state/00000001.safetensors", "state"),
    "a state put aside": ("runs/y/state/00000009.damaged", "state"),
    "a search's settings": ("runs/x/config.yaml", "config"),
    "a retraining's settings": ("runs/z/config.yaml", "config"),
    "an environment": ("runs/x/environment.json", "environment"),
    "metrics": ("runs/x/metrics.jsonl", "metrics"),
    "a level's summary": ("runs/x/levels/00/summary.json", "summary"),
    "a retraining's summary": ("runs/z/summary.json", "summary"),
    "a verdict": ("runs/x/judged/verdict.json", "verdict"),
    "a rewind point": ("runs/x/judged/rewind_point.json", "rewind_point"),
    "a plan": ("runs/x/judged/plan.json", "plan"),
    "a barrier": ("runs/x/judged/BARRIER", "barrier"),
    "a pool": ("runs/x/judged/POOL", "pool"),
    "a comparison's results": ("runs/c/comparison.json", "comparison_file"),
    "what prac win found": ("runs/w/win.json", "win_file"),
    "names at trackers": ("runs/x/tracking.json", "tracking"),
    "a page": ("runs/x/report.html", "page"),
    "a picture": ("runs/c/comparison.svg", "picture"),
    "a chart": ("charts/accuracy.png", "picture"),
    "a file of curves": ("runs/x/tensorboard/search/events.out.tfevents.1.host", "events"),
    "a traceback": ("runs/c/runs/imp/seed-1-error.txt", "traceback"),
    "a lock": ("runs/x/.lock", "lock"),
    "notes": ("notes.txt", "file"),
    "arrays": ("digits.npz", "file"),
    "options": ("options.yaml", "file"),
    "rates": ("rates.yaml", "file"),
    "indices": ("held-out.npy", "file"),
    "a pipe": ("pipe", "file"),
    "nothing": ("nowhere", "missing"),
}

SEARCHES = {"a finished search", "an unfinished search", "a search of a comparison"}
LEVELS = {"a level", "the last level"}
DATA = {"a folder of images", "arrays"}
FREE = {"an empty folder", "nothing"}
CONFIGS = {"a search's settings", "a retraining's settings", "options", "rates"}
CACHES = {"what judge keeps", "what compare keeps", *FREE}
WITH_RUNS = {
    *("a folder of runs", "a comparison", "the searches of a comparison", "a folder of prac win"),
    *SEARCHES,
}
DESCRIBED = {
    name
    for name, (_, kind) in THINGS.items()
    if kind not in ("empty", "folder", "file", "missing", "page", "picture", "lock")
    and kind not in ("curves", "events", "traceback")
}

DATA_EXPECTED = "expected a data set"
OUT = "expected an empty or new folder for --out"
NPY = "expected a .npy file of indices"
YAML = "expected a YAML file of options"
FIND = f"find {DIGITS} --out NEW"
RETRAIN = f"retrain {TICKET} --quiet --out NEW"
JUDGE = "judge runs/x --levels 1 --seeds 0,1 --quiet"
ONE_METHOD = f"{DIGITS} --judged 1 --seeds 0 --methods imp"
WIN = f"{DIGITS} --seeds 0,1 --methods imp --controls none"
COMPARE = f"compare {ONE_METHOD} --out NEW"

TAKES: dict[tuple[str, str], tuple[str, set[str], str]] = {
    # command, argument: the words around the path, what it takes, what it says of the rest
    ("find", "out"): (f"find {DIGITS} --out PATH", {*SEARCHES, *FREE}, OUT),
    ("find", "subset"): (f"{FIND} --subset PATH", {"a subset", *LEVELS}, "expected a subset file"),
    ("find", "after"): (
        f"{FIND} --levels 2 --after PATH",
        {"a ticket", "the last level"},
        "expected a level of a search, or its ticket",
    ),
    ("find", "config"): (f"find --config PATH {DIGITS} --out NEW", CONFIGS, YAML),
    ("find", "data"): (f"{FIND} --data PATH", DATA, DATA_EXPECTED),
    ("find", "val_indices"): (f"{FIND} --val-indices PATH", {"indices"}, NPY),
    ("retrain", "ticket"): (
        "retrain PATH --quiet --out NEW",
        {"a ticket", *LEVELS},
        "expected a ticket file",
    ),
    ("retrain", "config"): (
        f"retrain {TICKET} --config PATH --quiet --out NEW",
        {"a retraining's settings", "options", "rates"},
        YAML,
    ),
    ("retrain", "out"): (
        f"retrain {TICKET} --quiet --out PATH",
        {"what retrain trained", *FREE},
        OUT,
    ),
    ("retrain", "data"): (f"{RETRAIN} --data PATH", DATA, DATA_EXPECTED),
    ("retrain", "val_indices"): (f"{RETRAIN} --val-indices PATH", {"indices"}, NPY),
    ("judge", "run"): (
        "judge PATH --seeds 0,1 --quiet",
        SEARCHES,
        "expected a search's run folder",
    ),
    ("judge", "config"): (f"{JUDGE} --config PATH", {"rates"}, YAML),
    ("judge", "cache"): (f"{JUDGE} --cache PATH", CACHES, "expected a folder of kept trainings"),
    ("judge", "data"): (f"{JUDGE} --data PATH", DATA, DATA_EXPECTED),
    ("judge", "val_indices"): (f"{JUDGE} --val-indices PATH", {"indices"}, NPY),
    ("compare", "config"): (f"compare --config PATH {ONE_METHOD} --out NEW", CONFIGS, YAML),
    ("compare", "out"): (
        f"compare {ONE_METHOD} --out PATH",
        {"a comparison", *FREE},
        "expected a comparison's folder, or an empty or new one",
    ),
    ("compare", "data"): (f"{COMPARE} --data PATH", DATA, DATA_EXPECTED),
    ("compare", "val_indices"): (f"{COMPARE} --val-indices PATH", {"indices"}, NPY),
    ("win", "config"): (f"win --config PATH {WIN} --out NEW", CONFIGS, YAML),
    ("win", "out"): (
        f"win {WIN} --out PATH",
        {"a folder of prac win", *FREE},
        "expected a folder of prac win, or an empty or new one",
    ),
    ("win", "data"): (f"win {WIN} --out NEW --data PATH", DATA, DATA_EXPECTED),
    ("win", "val_indices"): (f"win {WIN} --out NEW --val-indices PATH", {"indices"}, NPY),
    ("report", "runs"): (
        "report PATH --no-examples",
        {*SEARCHES, "a folder of prac win"},
        "expected a search's run folder",
    ),
    ("report", "out"): ("report runs/x --no-examples -o PATH", {"a page", "nothing"}, "--out"),
    ("report", "png"): (
        "report runs/x --no-examples --png PATH",
        {*FREE, "a folder of charts", "a folder of images"},
        "expected a folder of your own, or a new one, for --png",
    ),
    ("runs", "folders"): ("runs PATH", WITH_RUNS, "expected a folder of runs"),
    ("inspect", "what"): ("inspect PATH", {*DESCRIBED, *DATA}, "expected a data set"),
}

SAID_OF_OTHERS = {
    # What is no thing of prac's is refused by who reads it, in words of its own.
    "expected a subset file": "subset file",
    "expected a ticket file": "ticket file",
    YAML: "YAML file|is not YAML|unknown option|expected a mapping",
    DATA_EXPECTED: "known layout|unknown kind|unknown data set|a data set",
    NPY: "a .npy file|as .npy",
    OUT: "for --out",
}


def make(folder: Path) -> None:
    """Make one of each thing."""
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        for words in MADE_BY:
            assert main(words.split()) == 0
        assert main([*f"find {DIGITS} --out runs/y".split(), "--max-seconds", "0.001"]) == 75
        shutil.copy("runs/y/state/00000001.safetensors", "runs/y/state/00000009.damaged")
        Path("empty").mkdir()
        Path("runs/x/tensorboard/search").mkdir(parents=True)  # As `--tensorboard` lays them.
        events = Path("runs/x/tensorboard/search/events.out.tfevents.1.host")
        events.write_bytes(b"\x18\0\0\0\0\0\0\0")
        Path("runs/x/tracking.json").write_text('{"wandb": "abc"}')
        Path("runs/c/runs/imp/seed-1-error.txt").write_text("Traceback\n")
        Path("notes.txt").write_text("To do: nothing\n")
        Path("options.yaml").write_text("seed: 1\n")
        Path("rates.yaml").write_text("lr: 0.1\n")
        os.mkfifo("pipe")
        np.save("held-out.npy", np.arange(300))
        digits = load_digits()
        images, labels = digits.images[:200].astype(np.uint8) * 15, digits.target[:200]
        half = len(images) // 2
        np.savez(
            "digits.npz",
            x_train=images[:half],
            y_train=labels[:half],
            x_test=images[half:],
            y_test=labels[half:],
        )
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            split = "train" if number < half else "test"
            Path(f"photos/{split}/{label}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(f"photos/{split}/{label}/{number}.png")


def located(path: str) -> str:
    """Return a thing's path below the current folder, with the names that tell a content."""
    folder = Path("runs/x/judged")
    for name, pattern in (
        ("CACHED", "[0-9a-f]" * 24),
        ("TRUNK", "trunk-*"),
        ("BARRIER", "barrier-*.json"),
        ("POOL", "pool-*.json"),
    ):
        if name in path:
            path = path.replace(name, min(one.name for one in folder.glob(pattern)))
    return path


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of each thing: not to be changed."""
    folder = made_once(tmp_path_factory, "kinds", make)
    check_unchanged(folder)
    return folder


KNOWN: dict[Path, dict[str, tuple[int, int]]] = {}


def check_unchanged(things: Path) -> None:
    """Check that nothing was written there since the last time, but for locks, held meanwhile."""
    now = {}
    for folder, folders, files in os.walk(things):
        for name in {*folders, *files} - {".lock"}:
            path = os.path.join(folder, name)
            about = os.lstat(path)
            now[path] = about.st_mtime_ns, about.st_size
    before, KNOWN[things] = KNOWN.get(things, now), now
    assert now == before


def copy_of(things: Path, folder: Path) -> Path:
    """Return a copy that may be changed, but for the pipe."""
    copy = folder / "copy"
    shutil.copytree(things, copy, ignore=shutil.ignore_patterns("pipe"))
    os.mkfifo(copy / "pipe")
    return copy


def commanded(argument: tuple[str, str], path: str, new: Path) -> list[str]:
    """Return the words of a command with a path as one of its arguments."""
    words = TAKES[argument][0].split()
    return [{"PATH": path, "NEW": str(new)}.get(word, word) for word in words]


PAIRS = [(argument, thing) for argument in TAKES for thing in THINGS]
IN_PLACE = ("inspect", "runs")
"""Commands that write nothing."""


@pytest.mark.parametrize(
    ("argument", "thing"), PAIRS, ids=[f"{c} {a} - {thing}" for (c, a), thing in PAIRS]
)
def test_a_command_takes_a_thing_or_says_what_it_is(
    argument, thing, things, tmp_path, monkeypatch, capsys
):
    _, taken, expected = TAKES[argument]
    writes = thing in taken and "NEW" not in TAKES[argument][0] and argument[0] not in IN_PLACE
    monkeypatch.chdir(copy_of(things, tmp_path) if writes else things)
    path, kind = located(THINGS[thing][0]), THINGS[thing][1]
    status = main(commanded(argument, path, tmp_path / "new"))
    said = capsys.readouterr().err
    check_unchanged(things)
    if thing in taken:
        assert status == 0, said
        return
    assert status == 2
    assert said.count("\n") == 1
    assert path in said
    assert not (tmp_path / "new").exists()
    if kind in ("file", "folder", "empty", "missing"):
        assert re.search(SAID_OF_OTHERS.get(expected, expected), said)
    elif (argument, thing) in NOT_ALL:
        assert f"{path}: is {KINDS[kind].words}, not all for prac {argument[0]}: " in said
        check_that_advice_holds(said, argument, thing)
    elif (argument, thing) not in OTHER_RUNS:
        assert f"{path}: is {KINDS[kind].words}: " in said
        assert expected in said
        check_that_advice_holds(said, argument, thing)


OTHER_RUNS = {
    *((("retrain", "out"), thing) for thing in ("what find retrained", "what judge trained")),
    (("find", "after"), "a level"),
}
"""Folders of the right kind, but begun with other settings, which are named; or the dense level."""

NOT_ALL = {
    (("retrain", "config"), "a search's settings"),
    (("judge", "config"), "a search's settings"),
    (("judge", "config"), "a retraining's settings"),
}
"""Settings of which the command has not all."""


def check_that_advice_holds(said: str, argument: tuple[str, str], thing: str) -> None:
    """Check that what a line names in place of a path, and the command, are in the table above."""
    if such := re.search(r", such as ([^;\n]+)", said):
        taken = {THINGS[name][1] for name in TAKES[argument][1]}
        assert kind_at(such[1]) in taken
    if command := re.search(r"prac (\w+)(?: --(\w+))? (?:takes|describes|lists)", said):
        takers = [of for of in TAKES if of[0] == command[1] and command[2] in (None, of[1])]
        assert any(thing in TAKES[of][1] for of in takers)
    else:
        others = "open it in a browser|tensorboard|prac compare tries|a run holds"
        assert re.search(f"--out names the page|; ({others})", said)


@pytest.mark.parametrize(
    ("argument", "thing"),
    [
        (("report", "runs"), "what find retrained"),
        (("report", "runs"), "a comparison"),
        (("judge", "run"), "a ticket"),
        (("retrain", "ticket"), "what find retrained"),
        (("retrain", "ticket"), "a finished search"),
        (("find", "subset"), "examples"),
    ],
)
def test_what_is_named_instead_is_taken(argument, thing, things, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(copy_of(things, tmp_path))
    assert main(commanded(argument, located(THINGS[thing][0]), tmp_path / "new")) == 2
    such = re.search(r", such as ([^;\n]+)", capsys.readouterr().err)
    assert such
    assert main(commanded(argument, such[1], tmp_path / "new")) == 0


def test_every_path_that_a_command_takes_is_in_the_table():
    found = set()
    for command in COMMANDS:
        for name, action in import_module(f"prac.cli.{command}").parser().actions.items():
            kinds = set(re.findall(r"[A-Z]+", str(action.metavar)))
            if kinds & (FILES | FOLDERS):
                found.add((command, name))
    assert found == TAKES.keys()


def test_every_kind_is_in_the_table_and_is_recognised(things, monkeypatch):
    monkeypatch.chdir(things)
    assert {kind for _, kind in THINGS.values()} == KINDS.keys()
    assert {name: kind_at(located(path)) for name, (path, _) in THINGS.items()} == {
        name: kind for name, (_, kind) in THINGS.items()
    }


def test_everything_that_was_written_is_known(things, monkeypatch):
    monkeypatch.chdir(things)
    others = ("notes.txt", "digits.npz", "options.yaml", "rates.yaml", "held-out.npy", "pipe")
    unknown = [
        str(path)
        for path in Path().rglob("*")
        if kind_at(path) in ("file", "folder") and path.parts[0] not in (*others, "photos")
    ]
    assert unknown == ["charts"]


@pytest.mark.parametrize("thing", sorted(DESCRIBED))
def test_what_is_inspected_is_one_object_of_json(thing, things, monkeypatch, capsys):
    monkeypatch.chdir(things)
    path, kind = located(THINGS[thing][0]), THINGS[thing][1]
    assert main(["inspect", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = {"search": "run", "trunk": "retraining", "comparison_file": "comparison"}
    names["win_file"] = "win"
    assert found["kind"] == names.get(kind, kind)
    assert Path(found["path"]) in (Path(path), Path(path).parent)


def raised(call: Callable[[], object]) -> str:
    """Return the one line of a call's error."""
    with pytest.raises(prac.PracError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_functions_say_the_same(things, monkeypatch, tmp_path, train, val, small_net, config):
    monkeypatch.chdir(things)
    retrained, run = "runs/x/retrain/00", ", such as runs/x; prac inspect describes it"
    expected = f"{retrained}: is a retraining's folder: expected a search's run folder{run}"
    assert raised(lambda: prac.Search.load(retrained)) == expected
    judged = {"test": val, "seeds": (0, 1)}
    assert raised(lambda: prac.judge(retrained, small_net, train, **judged)) == expected
    ticket = "runs/x/levels/00/ticket.safetensors"
    assert f"expected a ticket file, such as {ticket}; " in raised(
        lambda: prac.Ticket.load(retrained)
    )
    assert raised(lambda: prac.Subset.load(ticket)) == (
        f"{ticket}: is a ticket: expected a subset file, such as "
        f"runs/x/levels/00/subset.safetensors; prac retrain takes it"
    )
    assert "runs/c: is a comparison's folder: expected an empty or new folder" in raised(
        lambda: prac.find(small_net(), train, config(), val=val, out="runs/c")
    )
    found = prac.find(small_net(), train, config(levels=1), val=val, out=tmp_path / "run")
    again = found.tickets[1], small_net(), train, config().train
    assert "runs/x: is a search's run folder: expected an empty or new" in raised(
        lambda: prac.retrain(*again, val=val, out="runs/x")
    )
    assert "photos: is a folder that prac does not know: expected a folder of kept" in raised(
        lambda: prac.judge(found, small_net, train, **judged, cache="photos")
    )
    assert (
        "runs/x: is a search's run folder: expected a comparison's folder; prac inspect"
        in raised(lambda: prac.Comparison.load("runs/x"))
    )
    comparison = {"out": "runs/x", "test": val, "seeds": (0,)}
    assert "runs/x: is a search's run folder: expected a comparison's" in raised(
        lambda: prac.compare(small_net, train, config(), **comparison)
    )
    check_unchanged(things)


def test_runs_beside_data_are_no_reason_to_refuse_it(things, tmp_path, monkeypatch, capsys):
    photos = tmp_path / "photos"
    shutil.copytree(things / "photos", photos)
    monkeypatch.chdir(photos)
    for out in ("runs/a", "b"):
        for _ in range(2):
            assert main(["find", *DIGITS.split(), "--data", ".", "--out", out]) == 0
    assert kind_at(photos) == "runs"
    capsys.readouterr()
    assert main(["inspect", "."]) == 0
    assert capsys.readouterr().out.startswith("data set .: ")
    (photos / "test").rename(tmp_path / "elsewhere")
    (photos / "train").rename(tmp_path / "classes")  # Now those lie beside the runs.
    for folder in (photos / "runs", photos / "b"):
        folder.rename(tmp_path / "classes" / folder.name)
    (tmp_path / "classes" / "b" / "charts").mkdir()
    shutil.copy(things / "charts" / "accuracy.png", tmp_path / "classes" / "b" / "charts")
    monkeypatch.chdir(tmp_path / "classes")
    assert main(["inspect", ".", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == [str(n) for n in range(10)]
    assert main(["find", *DIGITS.split(), "--data", ".", "--out", str(tmp_path / "c")]) == 0
    (tmp_path / "c").rename(photos / "c")
    assert kind_at(tmp_path) == "folder"


def test_the_page_has_every_argument():
    page = (Path(__file__).parents[2] / "docs" / "files.md").read_text()
    table = page.partition("(what-takes-what)=")[2].partition("(identity)=")[0]
    named = set()
    for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        for words in re.findall("`(.+?)`", row):
            *command, argument = words.split()
            name = argument.removeprefix("--").replace("-", "_").lower()
            name = {"run": "runs" if command == ["report"] else "run", "dir": "folders"}.get(
                name, "what" if name == "path" else name
            )
            named |= {of for of in TAKES if of[1] == name and command in ([], [of[0]])}
    assert named == TAKES.keys()


def test_ones_own_config_yaml_is_no_run_s(tmp_path, capsys):
    Path("config.yaml").write_text("epochz: 3\n")
    assert main(["find", "--config", "config.yaml"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("prac: error: config.yaml: unknown option epochz: did you mean --epochs")


@pytest.mark.parametrize("settings", ["lr: 0.1\n", "levels: 3\n", ": [", "- a\n", ""])
@pytest.mark.parametrize("environment", [None, "{}", '{"python": "3.12"}', "[1]", "no JSON"])
def test_a_data_set_may_have_a_config_yaml_of_its_own(
    settings, environment, things, tmp_path, capsys
):
    photos = tmp_path / "photos"
    shutil.copytree(things / "photos", photos)
    (photos / "config.yaml").write_text(settings)
    if environment is not None:
        (photos / "environment.json").write_text(environment)
    assert kind_at(photos) == "folder"
    assert main(["inspect", str(photos), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "data"
    shutil.copytree(things / "runs/y", photos / "runs/y")
    assert searches_below(tmp_path) == [photos / "runs/y"]


OWN = {
    **dict.fromkeys(("comparison.json", "verdict.json", "rewind_point.json"), '{"seeds": [1]}'),
    "plan.json": '{"seeds": [1], "difference": 3}',
    "barrier-0a.json": "[1]",
    "pool-0a.json": "[1]",
    "events.out.tfevents.1.host": "",
    "runs/resnet/seed-1/weights.pt": "",
    "runs/resnet/seed-1/config.yaml": "lr: 0.1",
    "retrain/0/config.yaml": "lr: 0.1",
    "state/00000001.safetensors": "",
    "0/ticket.safetensors": "",
    "0" * 24: "",
    "a" * 24 + "/notes.txt": "",
}
"""Files of people's own, called or laid like those of prac's."""


@pytest.mark.parametrize("name", OWN)
def test_a_data_set_may_lie_beside_files_called_like_prac_s(name, things, tmp_path, capsys):
    photos = tmp_path / "photos"
    shutil.copytree(things / "photos", photos)
    (photos / name).parent.mkdir(parents=True, exist_ok=True)
    (photos / name).write_text(OWN[name])
    assert kind_at(photos) == "folder"
    if name.endswith(".json"):
        assert kind_at(photos / name) == "file"
    assert main(["inspect", str(photos), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "data"
    shutil.rmtree(photos / "train")
    shutil.rmtree(photos / "test")
    assert kind_at(photos) == ("curves" if name.startswith("events") else "folder")


def test_figures_beside_runs_are_no_data(things, tmp_path, capsys):
    shutil.copytree(things / "runs/x", tmp_path / "project/x")
    shutil.copytree(things / "charts", tmp_path / "project/figures")
    (tmp_path / "project/src").mkdir()
    (tmp_path / "project/src/train.py").write_text("")
    assert main(["inspect", str(tmp_path / "project")]) == 0
    assert capsys.readouterr().out.startswith("a folder of runs: ")


def test_a_comparison_before_its_results_is_described(things, tmp_path, capsys):
    shutil.copytree(things / "runs/x", tmp_path / "c/runs/imp/seed-0")
    assert main(["inspect", str(tmp_path / "c")]) == 0
    assert capsys.readouterr().out.startswith("a comparison's folder: ")
    (tmp_path / "c/comparison.json").write_text("{: [")
    assert kind_at(tmp_path / "c") == "comparison"
    (tmp_path / "c/runs/imp/seed-0").rename(tmp_path / "c/runs/imp/first")
    (tmp_path / "d/runs/resnet/seed-1").mkdir(parents=True)
    assert kind_at(tmp_path / "d") == "empty"
    assert main(["inspect", str(tmp_path / "d")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_folders_of_classes_may_be_called_by_24_digits(things, tmp_path):
    for number in range(2):
        shutil.copytree(
            things / "photos/train" / str(number), tmp_path / "photos" / f"{number:024x}"
        )
    assert kind_at(tmp_path / "photos") == "folder"
    assert main(["inspect", str(tmp_path / "photos")]) == 0


@pytest.mark.parametrize("file", ["config.yaml", "environment.json"])
def test_a_damaged_run_is_a_run_all_the_same(file, things, tmp_path, monkeypatch, capsys):
    shutil.copytree(things / "runs/x", tmp_path / "x")
    (tmp_path / "x" / file).write_text("{: [")
    assert kind_at(tmp_path / "x") == "search"
    if file == "config.yaml":
        assert main(["inspect", str(tmp_path / "x")]) == 2
        assert "config.yaml: is not YAML" in capsys.readouterr().err


def test_what_a_comparison_leaves_that_is_killed_early_is_gone_on_with(tmp_path):
    for left in ("", "runs", "runs/imp", "runs/imp/seed-0/.lock"):
        out = tmp_path / f"after-{left.replace('/', '-')}"
        (out / left).mkdir(parents=True)
        assert kind_at(out) == ("comparison" if "seed" in left else "empty")
        check_new(out, "new_comparison", "comparison")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_a_kind_is_called_fits_behind_is(kind):
    assert re.match("an? |the (folder|dense training) of|not there", KINDS[kind].words)
    assert not re.match("a [aeio]", KINDS[kind].words)


@pytest.mark.parametrize("name", ["note.txt", "x.json", "LICENSE"])
def test_what_was_never_a_tensor_file_is_called_unknown(name, capsys):
    Path(name).write_text("To do: nothing, and that for quite a while\n")
    unknown = f"prac: error: {name}: is a file that prac does not know: expected a"
    assert main(["retrain", name, "--quiet"]) == 2
    assert capsys.readouterr().err == (
        f"{unknown} ticket file; prac find writes them to levels/*/ticket.safetensors\n"
    )
    assert main([*f"find {DIGITS} --out new --subset".split(), name]) == 2
    assert capsys.readouterr().err == (
        f"{unknown} subset file; prac find writes them to levels/*/subset.safetensors\n"
    )
