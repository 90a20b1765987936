"""A visit to a GPU, rehearsed on a CPU: what is checked, cut off, packed and gone on with."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import prac
from bench import equal_runs, first_step, packing, paper, parts, smoke, visit, visit_page
from bench.first_step import Fault, FirstStep, check_pruned
from bench.machine import ROOT
from bench.options import Options
from bench.protocol import PAPER, SHORT, Protocol, Stage
from bench.work import RESNET, images_of, with_batch
from experiments import rivals
from prac.algorithms import ForgettingTable, prune
from prac.cli.compare import parser
from prac.cli.options import options_and_recipe
from prac.config import Recipe, combined, flat
from prac.training import RunControl
from prac.training.optimizer import make_optimizer
from prac.training.runtime import EXECUTIONS
from prac.training.step import Step
from tests.programs.test_bench import ABSENT
from tests.programs.test_experiments import small_cifar

ON_CPU = ["--device", "cpu", "--execution", "eager", "--short"]
SMALL = with_batch(RESNET, 8)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A file of a few random images."""
    return images_of(SMALL, Options(tmp_path, data=tmp_path / "none"), limit=40)


@pytest.fixture
def absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes find nothing of what the machine of a visit need not have."""
    folder = tmp_path / "absent"
    folder.mkdir()
    for name in ABSENT:
        (folder / f"{name}.py").write_text("raise ModuleNotFoundError('it is not installed')\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))


class TestSmoke:
    @pytest.mark.slow
    def test_all_is_well_on_a_cpu(self, capsys):
        assert smoke.main(ON_CPU) == 0
        lines = capsys.readouterr().out.splitlines()
        assert all(line.startswith("ok: ") for line in lines), lines
        for what in ("first step, channels-last, bf16", "masks", "cut and resumed", "forgetting"):
            assert sum(what in line for line in lines) == 1

    def test_a_fault_is_told_and_the_others_are_looked_for(self, monkeypatch, capsys):
        def checks(options, execution):
            def wrong():
                raise Fault("it is wrong")

            def breaks():
                raise ValueError("it\nbreaks")

            yield from (("one", wrong), ("two", breaks), ("three", lambda: "fine"))
            yield "four, compiled", lambda: "never asked"

        monkeypatch.setattr(smoke, "checks", checks)
        assert smoke.main([*ON_CPU, "--seconds", "20"]) == 1
        lines = [line.rpartition(" (")[0] or line for line in capsys.readouterr().out.splitlines()]
        assert lines == [
            "FAILED: one: it is wrong",
            "FAILED: two: ValueError: it breaks",
            "ok: three: fine",
            "left out: four, compiled: no time left",
        ]

    @pytest.mark.slow
    def test_other_gradients_are_found(self, images, monkeypatch):
        first = FirstStep(SMALL, images, 0, "cpu")
        assert "gradients" in first.check("eager", "fp32")
        make = make_optimizer
        monkeypatch.setattr(
            first_step,
            "make_optimizer",
            lambda model, config, runtime: make(model, replace(config, weight_decay=1e-2), runtime),
        )
        with pytest.raises(Fault, match=r"gradients .*: over 0.0001"):
            first.check("eager", "fp32")

    def test_less_precise_arithmetic_is_found(self, images, monkeypatch):
        monkeypatch.setitem(first_step.LIMITS, "bf16", first_step.LIMITS["fp32"])
        with pytest.raises(Fault, match=r"over 0.0001"):
            FirstStep(SMALL, images, 0, "cpu").check("eager", "bf16")

    def test_pruned_weights_that_come_back_are_found(self, images, monkeypatch):
        class Unmasked(Step):
            def __init__(self, model, optimizer, masks, **told):
                super().__init__(model, optimizer, {}, **told)

        monkeypatch.setattr(first_step, "Step", Unmasked)
        with pytest.raises(Fault, match="pruned weights are not zero"):
            check_pruned(SMALL, images, "eager", 0, "cpu")

    def test_steps_that_train_nothing_are_found(self, images):
        work = replace(SMALL, train=replace(SMALL.train, lr=1e-30, weight_decay=0.0))
        with pytest.raises(Fault, match=r"nothing was trained|not zero"):
            check_pruned(work, images, "eager", 0, "cpu")

    def test_other_masks_are_found(self, monkeypatch):
        calls = []

        def pruned(scores, masks, fraction):
            calls.append(None)
            return prune(scores, masks, fraction if len(calls) < 6 else fraction + 0.01)

        assert smoke.check_masks("cpu", 0) == "8 prunings"
        monkeypatch.setattr(smoke, "prune", pruned)
        with pytest.raises(Fault, match="a after 3 prunings"):
            smoke.check_masks("cpu", 0)

    @pytest.mark.slow
    def test_searches_that_differ_are_found(self, images, tmp_path, monkeypatch):
        searches = equal_runs.Searches(SMALL, images, "eager", "cpu", tmp_path / "runs", 20)
        monkeypatch.setattr(equal_runs, "EPOCHS", 3)
        monkeypatch.setattr(equal_runs, "LEVELS", 1)
        find = prac.find

        def otherwise(model, *given, out, **told):
            if out.name != "one":
                with torch.no_grad():
                    next(model.parameters()).sign_().mul_(0.1)  # Twice is as once: it resumes.
            return find(model, *given, out=out, **told)

        monkeypatch.setattr(equal_runs, "find", otherwise)
        with pytest.raises(Fault, match=r"7 of 7 files differ: levels/00"):
            searches.check_again()
        with pytest.raises(Fault, match=r"files differ"):
            searches.check_resumed()

    @pytest.mark.slow
    def test_events_that_are_not_counted_are_found(self, images, tmp_path, monkeypatch):
        update = ForgettingTable.update

        def forgetful(table, ids, correct):
            return replace(update(table, ids, correct), events=table.events)

        monkeypatch.setattr(ForgettingTable, "update", forgetful)
        searches = equal_runs.Searches(SMALL, images, "eager", "cpu", tmp_path / "runs", 20)
        with pytest.raises(Fault, match="level 0: events differ"):
            searches.check_forgetting()


def is_running(process: int) -> bool:
    """Say whether a process runs: one that has ended may have to wait until it is noticed."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] not in "ZX"


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


class TestParts:
    def test_a_part_that_hangs_is_ended_with_all_it_started(self, tmp_path):
        child = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
        code = (
            "import signal, subprocess, sys\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            f"subprocess.run([sys.executable, '-c', {child!r}])\n"
        )
        started = time.monotonic()
        ended = parts.run([sys.executable, "-c", code], tmp_path / "log", 1.0, grace=0.2)
        assert time.monotonic() - started < 10
        assert (ended.status, ended.in_time) == (-signal.SIGKILL, False)
        wait_until(lambda: not is_running(int(ended.output)))

    def test_a_part_that_is_asked_to_end_may_tidy_up(self, tmp_path, capsys):
        code = (
            "import signal, sys, time\n"
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('tidied up') or 75))\n"
            "print('begun', flush=True)\n"
            "time.sleep(60)\n"
        )
        ended = parts.run([sys.executable, "-c", code], tmp_path / "log", 1.0)
        assert (ended.status, ended.in_time) == (75, False)
        assert ended.output == "begun\ntidied up\n"
        assert capsys.readouterr().out == ended.output

    def test_a_part_finds_the_modules_of_the_checkout(self, tmp_path):
        code = "import bench.parts, prac; print(bench.parts.__file__, prac.__file__)"
        ended = parts.run([sys.executable, "-c", code], tmp_path / "log", 60.0)
        assert ended.output.split() == [
            str(ROOT / "bench" / "parts.py"), str(ROOT / "src" / "prac" / "__init__.py"),
        ]  # fmt: skip

    def test_what_starts_the_others_needs_neither_torch_nor_prac(self, tmp_path):
        code = (
            "import sys\n"
            "sys.modules.update(dict.fromkeys(('torch', 'numpy', 'prac')))\n"
            "import bench.visit\n"
            "bench.visit.parser()\n"
        )
        assert parts.run([sys.executable, "-c", code], tmp_path / "log", 60.0).status == 0


def written(work: Path, files: dict[str, bytes]) -> None:
    """Write a folder of work, later files newer."""
    for age, (name, content) in enumerate(files.items()):
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1e9 + age, 1e9 + age))


def contents(work: Path) -> dict[str, bytes]:
    return {
        path.relative_to(work).as_posix(): path.read_bytes()
        for path in work.rglob("*")
        if path.is_file()
    }


class TestPacking:
    FILES: ClassVar = {
        "h200/runs/imp/seed-0/config.yaml": b"other",
        "h200/runs/imp/seed-0/state/00000009.safetensors": b"other",
        "h100/comparison.json": b"{}",
        "h100/comparison.svg": b"picture",
        "h100/runs/prac/seed-0/.lock": b"held",
        "h100/runs/prac/seed-0/config.yaml": b"a: 1",
        "h100/runs/prac/seed-0/levels/00/ticket.safetensors": b"ticket",
        "h100/runs/prac/seed-0/levels/00/trained.safetensors": b"not needed",
        "h100/runs/prac/seed-0/levels/00/examples.safetensors": b"examples",
        "h100/trained/abc/summary.json": b"{}",
        "h100/trained/abc/trained.safetensors": b"trained",
        "h100/runs/imp/seed-0/config.yaml": b"a: 2",
        "h100/runs/imp/seed-0/state/00000007.safetensors": b"older",
        "h100/runs/imp/seed-0/state/00000006.damaged": b"damaged",
        "h100/runs/imp/seed-0/state/00000008.safetensors": b"newest",
    }
    NOT_NEEDED = ("comparison.svg", ".lock", "levels/00/trained.safetensors", "07.safetensors")

    def test_what_is_needed_is_there_again(self, tmp_path):
        work, out, again = tmp_path / "work", tmp_path / "out", tmp_path / "again"
        written(work, self.FILES)
        packed = packing.pack(work, out, newest=work / "h100")
        assert packing.unpack(out, again)
        kept = {
            name: content
            for name, content in self.FILES.items()
            if not name.endswith((*self.NOT_NEEDED, ".damaged"))
        }
        assert contents(again) == kept
        assert packed.pieces == ["visit-state.tar.xz.00"]
        assert (packed.files, packed.unneeded, packed.left_out) == (len(kept), 5, [])
        newest = "h100/runs/imp/seed-0/state/00000008.safetensors"
        assert (again / newest).stat().st_mtime == (work / newest).stat().st_mtime
        # What was unpacked is packed the same, and takes the place of what was there.
        assert packing.pack(again, out, newest=again / "h100").bytes == packed.bytes
        assert sorted(path.name for path in out.iterdir()) == packed.pieces

    def test_what_matters_most_comes_first(self, tmp_path):
        work = tmp_path / "work"
        written(work, self.FILES)
        current = work / "h100/runs/imp/seed-0"
        rank = {
            name: packing.importance(work / name, work / "h100", current)
            for name in self.FILES
            if packing.is_needed(work / name, work)
        }
        in_order = sorted(rank, key=lambda name: rank[name])
        assert [name.removeprefix("h100/") for name in in_order] == [
            "runs/imp/seed-0/config.yaml",
            "runs/imp/seed-0/state/00000008.safetensors",
            "comparison.json",
            "runs/prac/seed-0/config.yaml",
            "trained/abc/summary.json",
            "runs/prac/seed-0/levels/00/ticket.safetensors",
            "runs/prac/seed-0/levels/00/examples.safetensors",
            "trained/abc/trained.safetensors",
            "h200/runs/imp/seed-0/config.yaml",
            "h200/runs/imp/seed-0/state/00000009.safetensors",
        ]

    @pytest.mark.parametrize("seed", range(4))
    def test_no_limit_is_passed(self, seed, tmp_path, monkeypatch):
        """Of whatever sizes, and were nothing of it to be compressed."""
        monkeypatch.setattr(packing, "FILTERS", [{**packing.FILTERS[0], "dict_size": 2**20}])
        draw = random.Random(seed)
        work, out, again = tmp_path / "work", tmp_path / "out", tmp_path / "again"
        names = [*self.FILES, *(f"h100/runs/prac/seed-1/levels/{n:02d}/x" for n in range(8))]
        sizes = [draw.choice([0, 10, 1000, 100_000, 300_000]) for _ in names]
        written(
            work,
            {
                name: draw.choice([draw.randbytes(size), bytes(size)])
                for name, size in zip(names, sizes, strict=True)
            },
        )
        piece_bytes, total_bytes = draw.randrange(100_000, 400_000), draw.randrange(10**6)
        packed = packing.pack(
            work, out, newest=work / "h100", piece_bytes=piece_bytes, total_bytes=total_bytes
        )
        lengths = [(out / name).stat().st_size for name in packed.pieces]
        assert len(lengths) <= 4
        assert all(length <= piece_bytes for length in lengths)
        assert sum(lengths) == packed.bytes <= max(total_bytes, packing.SLACK)
        packing.unpack(out, again)
        needed = {
            name: content
            for name, content in contents(work).items()
            if packing.is_needed(work / name, work)
        }
        assert contents(again) == {
            name: content for name, content in needed.items() if name not in packed.left_out
        }
        assert set(packed.left_out) <= needed.keys()

    @pytest.mark.parametrize("fault", ["missing", "cut", "changed", "not one"])
    def test_a_damaged_pack_is_told(self, fault, tmp_path, monkeypatch):
        monkeypatch.setattr(packing, "SLACK", 1000)
        work, out, again = tmp_path / "work", tmp_path / "out", tmp_path / "again"
        written(work, {"cpu/x": random.Random(0).randbytes(9000)})
        names = packing.pack(work, out, piece_bytes=3000).pieces
        assert len(names) == 4
        assert packing.unpack(out, tmp_path / "whole")
        place = out / names[1 if fault == "missing" else -1]
        if fault == "missing":
            place.unlink()
        elif fault == "cut":
            place.write_bytes(place.read_bytes()[:-30])
        elif fault == "changed":
            content = bytearray((out / names[1]).read_bytes())
            content[1500] ^= 1
            (out / names[1]).write_bytes(content)
        else:
            for name in names[1:]:
                (out / name).unlink()
            (out / names[0]).write_bytes(b"something else")
        with pytest.raises(packing.PackError, match=str(out)):
            packing.unpack(out, again)
        assert not again.exists()
        assert list(tmp_path.glob("*.unpacking")) == []

    def test_levels_with_the_same_weights_weigh_once(self, tmp_path):
        work, weights = tmp_path / "work", random.Random(0).randbytes(1_100_000)
        files = {
            f"cpu/runs/imp/seed-0/levels/{n:02d}/ticket.safetensors": weights for n in range(9)
        }
        written(work, files)
        assert packing.pack(work, tmp_path / "out").bytes < 1.1 * len(weights)


class TestProtocol:
    def test_its_settings_are_those_of_the_command(self):
        """Whoever runs `experiments.rivals paper` goes on where visits were."""
        words = rivals.command(rivals.PROBLEMS["paper"], "DIR", "x", "--execution captured")
        preset = combined(rivals.PAPER_PRESET).settings
        options, asked = options_and_recipe(parser(preset), words[2:], Recipe)
        assert flat(PAPER.recipe(Path("DIR"), "captured")) == flat(asked)
        assert (options.methods, options.seeds) == (rivals.PAPER_METHODS, (0, 1, 2))
        last = PAPER.stages[-1]
        assert (last.seeds, last.judged) == (options.seeds, options.judged)
        assert Path(asked.data.name).name == rivals.PROBLEMS["paper"].folder

    def test_stages_have_all_of_those_before(self):
        for protocol in (PAPER, SHORT):
            for one, next_one in zip(protocol.stages, protocol.stages[1:], strict=False):
                assert set(one.seeds) <= set(next_one.seeds)
                assert set(one.judged) <= set(next_one.judged)

    def test_what_its_end_says(self, tmp_path, monkeypatch, capsys):
        asked = [str(tmp_path / "x"), *ON_CPU, "--data", str(tmp_path)]
        assert paper.main([*asked, "--until", "1"]) == 75
        assert paper.main(asked) == 1
        assert "cannot go on: " in capsys.readouterr().out
        assert not (tmp_path / "x").exists()

        def stopped(*given, run_control, **told):
            time.sleep(0.3)
            run_control.after_step()
            run_control.check("somewhere")

        monkeypatch.setattr(paper, "go_on", stopped)
        assert paper.main([*asked, "--until", str(time.monotonic() + paper.MARGIN + 0.2)]) == 75
        assert "stopped by max-seconds somewhere" in capsys.readouterr().out
        for failed, status in (([], 0), (["one"], 1)):
            found = type("Found", (), {"failed": failed})
            monkeypatch.setattr(paper, "go_on", lambda *given, found=found, **told: found)
            assert paper.main(asked) == status


def words(tmp_path: Path, number: int, asked: str = "paper") -> list[str]:
    """Return the words of a visit that goes on from the one before."""
    folders = {
        "--state": tmp_path / f"out-{number - 1}",
        "--out": tmp_path / f"out-{number}",
        "--work": tmp_path / f"work-{number}" / "visit",
        "--data": tmp_path / "data",
    }
    if not any(packing.pieces_in(folders["--state"])):  # The first.
        del folders["--state"]
    given = [str(word) for pair in folders.items() for word in pair]
    return [*given, *ON_CPU, "--parts", asked, "--stages", "1"]


def notes_of(tmp_path: Path, number: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / f"out-{number}" / "notes.json").read_text())
    return found


def equal_files(folder: Path) -> dict[str, bytes]:
    """Return what two comparisons must have alike, and packs hold."""
    patterns = ("runs/*/*/levels/*/*.safetensors", "**/metrics.jsonl", "**/trained.safetensors")
    found = {path for pattern in patterns for path in folder.glob(pattern)}
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in found
        if not ("levels" in path.parts and path.name == "trained.safetensors")
    }


@pytest.mark.slow
def test_a_visit_goes_on_where_another_was_cut(tmp_path, absent, capfd):
    """From machine to machine, to the bit: as one that was not cut."""
    for place in ("data", "there"):  # Wherever the data lies.
        small_cifar(tmp_path / place, train=60)
    # A first one, cut in the middle of the second search.
    begun = tmp_path / "work-0" / "visit" / "cpu"

    def cut(event):
        if event.kind == "epoch" and event.level == 1 and (begun / "runs/imp").exists():
            raise KeyboardInterrupt

    told: dict[str, Any] = {"device": "cpu", "execution": "eager", "stages": 1}
    with suppress(KeyboardInterrupt):
        paper.go_on(
            begun, tmp_path / "there", SHORT, callback=cut, run_control=RunControl(), **told
        )
    assert not (begun / "runs/imp/seed-0/levels/02").exists()
    packing.pack(begun.parent, tmp_path / "out-0", newest=begun)

    assert visit.main(words(tmp_path, 1)) == 0
    notes = notes_of(tmp_path, 1)
    assert notes["told"][0] == "unpacked what the visit before packed"
    part = notes["parts"]["paper"]
    assert (part["ended"], part["why"]) == ("well", "status 0")
    assert part["progress"]["stages"] == 1
    searches = part["progress"]["searches"]
    assert {one["method"] for one in searches} == set(rivals.PAPER_METHODS)
    assert all(one["levels"] == 2 and one["finished"] for one in searches)
    out = {path.name: path.stat().st_size for path in (tmp_path / "out-1").iterdir()}
    # The picture is drawn where the library that draws is: `experiments.redraw`.
    results = set(visit.RESULTS) - {"rivals-paper.svg"}
    assert out.keys() == {"notes.json", *results, *notes["packed"]["pieces"]}
    assert len(out) <= 8
    assert max(out.values()) <= 2**24
    page = (tmp_path / "out-1" / "rivals-paper.md").read_text()
    assert "through `python -m bench.visit`" in page
    assert "not finished" not in page
    assert str(tmp_path) not in page + (tmp_path / "out-1" / "rivals-paper.json").read_text()

    whole = tmp_path / "whole"
    paper.go_on(
        whole,
        tmp_path / "data",
        SHORT,
        callback=lambda event: None,
        run_control=RunControl(),
        **told,
    )
    expected = equal_files(whole)
    assert len(expected) > 20
    assert equal_files(tmp_path / "work-1" / "visit" / "cpu") == expected
    packing.unpack(tmp_path / "out-1", tmp_path / "again")
    assert equal_files(tmp_path / "again" / "cpu") == expected
    # Where all is done, nothing is trained or loaded, and it is told.
    assert paper.main([str(whole), *ON_CPU, "--stages", "1", "--data", "none"]) == 0

    figures = visit_page.added(None, notes)
    page = visit_page.page_of(figures)
    assert "`prac`, seed 0: 2 of 2 levels trained, " in page
    assert "A short visit, as the tests make it" in page
    assert page.count("not measured") == 7
    assert str(tmp_path) not in json.dumps(figures)


@pytest.mark.slow
def test_a_whole_visit(tmp_path, absent):
    small_cifar(tmp_path / "data")
    assert visit.main(words(tmp_path, 1, "smoke,speed,paper")) == 0
    notes = notes_of(tmp_path, 1)
    assert [part["ended"] for part in notes["parts"].values()] == ["well"] * 3
    assert set(notes["parts"]["speed"]["figures"]["sections"]) == {"loop", "together"}
    page = visit_page.page_of(visit_page.added(None, notes))
    for text in ("## Speed", "## Several trainings at once", "  - ok: masks are those of the CPU"):
        assert text in page


class TestVisit:
    """The order of a visit, with parts that are none."""

    @pytest.fixture(autouse=True)
    def _quick(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A machine that answers at once, and parts that do little."""
        (tmp_path / "data/cifar10").mkdir(parents=True)
        self.codes = dict.fromkeys(visit.PARTS, "pass")
        about = {"gpu": None, "processor": "P", "torch": "2", "commit": "abc"}
        self.codes["machine"] = f"import json; print(json.dumps({about!r}))"
        run = parts.run

        def instead(command, log, seconds, grace=0.2):
            code = self.codes.get(log.stem, "pass")
            return run([sys.executable, "-S", "-c", code], log, seconds, grace)

        monkeypatch.setattr(visit, "run", instead)
        monkeypatch.setattr(visit, "LIMITS", {"smoke": 1.0, "speed": 1.0})
        monkeypatch.setattr(visit, "LEAST", 0.1)

    def test_a_part_that_fails_or_hangs_does_not_stop_the_others(self, tmp_path):
        self.codes["smoke"] = "print('FAILED: one: why'); raise SystemExit(1)"
        self.codes["speed"] = "import time; print('begun', flush=True); time.sleep(60)"
        self.codes["paper"] = "print('stopped'); raise SystemExit(75)"
        written(tmp_path / "work-1/visit", {"cpu/x": b"1"})
        assert visit.main(words(tmp_path, 1, "paper,smoke,speed")) == 1
        notes = notes_of(tmp_path, 1)
        told = {name: (part["ended"], part["output"]) for name, part in notes["parts"].items()}
        assert told == {
            "smoke": ("not well", "FAILED: one: why\n"),
            "speed": ("not well", "begun\n"),
            "paper": ("well", "stopped\n"),
        }
        assert notes["parts"]["speed"]["why"].startswith("ended after 1 s, status -")
        assert notes["told"][0] == "going on in visit as it is there"
        assert notes["packed"]["files"] == 1
        page = visit_page.page_of(visit_page.added(None, notes))
        assert "- **smoke**: not well (status 1, " in page
        assert "  - **FAILED**: one: why" in page

    def test_the_papers_protocol_alone_has_all_the_time_and_ends_well_when_it_is_over(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(visit, "PACKING", 1.0)
        monkeypatch.setattr(visit, "TELLING", 1.0)
        self.codes["paper"] = (
            "import signal, sys, time\n"
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
            "time.sleep(60)\n"
        )
        assert visit.main([*words(tmp_path, 1), "--seconds", "4"]) == 0
        part = notes_of(tmp_path, 1)["parts"]["paper"]
        assert part["ended"] == "well"
        assert part["why"] == "ended after 2 s, status 143"
        self.codes["paper"] = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
        assert visit.main(words(tmp_path, 2)) == 1

    def test_without_data_the_papers_protocol_is_left_out(self, tmp_path):
        (tmp_path / "data/cifar10").rmdir()
        assert visit.main(words(tmp_path, 1, "smoke,paper")) == 1
        ends = {name: part["ended"] for name, part in notes_of(tmp_path, 1)["parts"].items()}
        assert ends == {"smoke": "well", "paper": "left out"}

    def test_what_there_is_no_time_for_is_left_out(self, tmp_path):
        written(tmp_path / "work-1/visit", {"cpu/a": b"1"})
        assert visit.main([*words(tmp_path, 1, "smoke,paper"), "--seconds", "41"]) == 1
        notes = notes_of(tmp_path, 1)
        assert notes["parts"]["smoke"]["ended"] == "well"
        assert notes["parts"]["paper"]["ended"] == "left out"
        assert "packed" in notes

    def test_the_last_part_has_all_that_is_left(self, tmp_path, capsys):
        visit.main(words(tmp_path, 1, "smoke,speed"))
        shown = capsys.readouterr().out
        assert "== smoke, 1 s at most" in shown
        limit = next(line for line in shown.splitlines() if line.startswith("== speed, "))
        assert 480 < float(limit.split()[2]) <= 500

    def test_a_damaged_state_is_not_begun_anew(self, tmp_path):
        (tmp_path / "out-0").mkdir()
        (tmp_path / "out-0" / "visit-state.tar.xz.00").write_bytes(b"damaged")
        assert visit.main(words(tmp_path, 1, "smoke,paper")) == 1
        notes = notes_of(tmp_path, 1)
        assert list(notes["parts"]) == ["smoke"]
        assert "cannot be unpacked" in notes["told"][0]
        assert "packed" not in notes
        assert list((tmp_path / "out-1").iterdir()) == [tmp_path / "out-1" / "notes.json"]

    def test_a_machine_that_does_not_answer(self, tmp_path, capsys):
        written(tmp_path / "work-1/visit", {"h100/x": b"1"})
        self.codes["machine"] = "print('torch sees no GPU here'); raise SystemExit(2)"
        assert visit.main(words(tmp_path, 1)) == 1
        notes = notes_of(tmp_path, 1)
        assert notes["parts"] == {}
        assert "torch sees no GPU here" in notes["told"][1]
        assert notes["packed"]["files"] == 1

    def test_a_visit_that_is_asked_to_end_packs(self, tmp_path, monkeypatch):
        def ask(*given):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)

        before = signal.getsignal(signal.SIGTERM)
        written(tmp_path / "work-1/visit", {"cpu/a": b"1"})
        monkeypatch.setattr(visit.Visit, "command", ask)
        assert visit.main(words(tmp_path, 1)) == 1
        assert signal.getsignal(signal.SIGTERM) == before
        notes = notes_of(tmp_path, 1)
        assert notes["told"][-2] == "stopped before its end"
        assert notes["parts"]["paper"]["ended"] == "not well"
        assert "packed" in notes

    def test_what_cannot_be_packed_is_told(self, tmp_path, monkeypatch):
        def full(*given, **told):
            raise OSError("no room")

        monkeypatch.setattr(packing, "pack", full)
        written(tmp_path / "work-1/visit", {"cpu/a": b"1"})
        assert visit.main(words(tmp_path, 1, "smoke")) == 1
        assert "not packed: OSError: no room" in notes_of(tmp_path, 1)["told"]

    def test_what_has_no_room_is_named(self, tmp_path, monkeypatch):
        little = partial(packing.pack, total_bytes=packing.SLACK + 10_000)
        monkeypatch.setattr(packing, "pack", little)
        written(tmp_path / "work-1/visit", {"cpu/a": b"1", "cpu/b.safetensors": bytes(20_000)})
        assert visit.main(words(tmp_path, 1, "smoke")) == 0
        notes = notes_of(tmp_path, 1)
        assert "no room for cpu/b.safetensors" in notes["told"]
        assert notes["packed"]["left_out"] == ["cpu/b.safetensors"]

    def test_an_unknown_part_is_refused(self, tmp_path, capsys):
        with pytest.raises(SystemExit):
            visit.main(words(tmp_path, 1, "smoke,lunch"))
        assert "--parts names 'lunch'" in capsys.readouterr().err


def test_a_kind_of_gpu_works_in_its_own_folder(tmp_path):
    assert visit.folder_of(tmp_path, "NVIDIA H100 80GB HBM3", True).name == "nvidia-h100-80gb-hbm3"
    written(tmp_path, {"nvidia-h100/x": b"", "cpu/x": b"", "nvidia-h100/y": b""})
    for path, age in ((tmp_path / "nvidia-h100", 1), (tmp_path / "cpu", 2)):
        os.utime(path, (1e9 + age, 1e9 + age))
    assert visit.folder_of(tmp_path, None, True).name == "cpu"
    assert visit.folder_of(tmp_path, "NVIDIA H200", False).name == "nvidia-h200"
    assert visit.folder_of(tmp_path, "NVIDIA H200", True).name == "nvidia-h100"


def measured(value: float, what: str, unit: str = "s") -> dict[str, Any]:
    spread = dict.fromkeys(("least", "lower_quartile", "median", "upper_quartile", "most"), value)
    return {
        "what": what, "value": value, "unit": unit, "goal": {"value": 1.0, "direction": "at most"},
        "met": True, "spread": spread, "samples": [value], "note": "",
    }  # fmt: skip


class TestPage:
    def test_the_committed_page_is_what_is_made_of_the_committed_figures(self):
        results = ROOT / "docs" / "results"
        path = results / "gpu.json"
        figures = json.loads(path.read_text()) if path.exists() else None
        assert (results / "gpu.md").read_text() == visit_page.page_of(figures)

    def test_goals_are_held_against_figures(self, tmp_path):
        made = {
            "command": "x", "threads": 1, "processor": "P", "date": "2026-01-01", "commit": "abc",
            "short": False, "gpu": "H100",
        }  # fmt: skip
        rows = [
            measured(0.2, "an epoch"),
            measured(0.02, "an epoch, outside its steps"),
            measured(12.0, "loop / textbook loop", ""),
            {**measured(0.0001, "a search's step, eager"), "goal": None},
            measured(0.0006, "a search's step, captured"),
        ]
        section = {"rows": rows, "facts": {}, "remarks": [], "seconds": 1.0, "made": made}
        about = {"gpu": "H100", "torch": "2", "commit": "abc", "gpu_memory_gib": 79.6}
        notes = {
            "about": {**about, "cuda": "13", "cudnn": 9}, "execution": "captured", "short": False,
            "parts": {"speed": {
                "ended": "well", "why": "status 0", "seconds": 9.0, "output": "",
                "figures": {"about": {**about, "date": "x"}, "sections": {"loop": section}},
            }},
        }  # fmt: skip
        search = {"seed": 0, "levels": 15, "of": 15, "iterations": 9, "finished": True}
        progress: dict[str, Any] = {
            "stages": 0, "of": 3, "trainings": {"ended": 1, "under_way": 1, "seconds": [9.0]},
            "searches": [{**search, "method": "prac", "seconds": 100.0}],
        }  # fmt: skip
        done = {**progress, "stages": 1, "searches": [
            *progress["searches"], {**search, "method": "imp", "seconds": 800.0},
        ]}  # fmt: skip
        (tmp_path / "results").mkdir()
        files = []
        for day, found in enumerate((None, progress, done), 1):
            part = {"ended": "well", "why": "status 75", "seconds": 9.0, "output": ""}
            parts_of = notes["parts"] if found is None else {"paper": {**part, "progress": found}}
            files.append(tmp_path / f"notes-{day}.json")
            files[-1].write_text(
                json.dumps({**notes, "started": f"2026-01-0{day} 10:00:00", "parts": parts_of})
            )
        docs = ["--docs", str(tmp_path)]
        visit_page.main([*docs, "--notes", *map(str, files[:2])])
        visit_page.main([*docs, "--notes", str(files[2]), str(files[1])])
        text = (tmp_path / "results" / "gpu.md").read_text()
        for line in (
            "| an epoch of 45,000 images | at most 0.25 s | 0.200 s | met |",
            "| PrAC's 15 prunings | at most 120 s | 100 s | met |",
            "| IMP's 15 prunings | at most 720 s | 800 s | **missed** |",
            "| a search's loop, times a textbook loop | at least 10 | 12 | met |",
            "| an epoch, outside its steps | at most 10 ms | 20 ms | **missed** |",
            "| a search's training step | at most 0.7 ms | 0.600 ms | met |",
            "| the paper's protocol, one seed of each method | at most 2 visits | 2 visits | met |",
            "H100, 79.6 GiB, torch 2, CUDA 13, cuDNN 9, 2026-01-02, commit abc, steps executed "
            "captured.",
        ):
            assert line in text.splitlines()
        assert [f"## Visit {number}" in text for number in (1, 2, 3, 4)] == [True] * 3 + [False]
        assert "No GPU has been measured yet" not in text
        assert text == visit_page.page_of(
            json.loads((tmp_path / "results" / "gpu.json").read_text())
        )


def test_stages_are_done_when_all_their_tickets_are_there(tmp_path):
    cost = {"iterations": 1, "examples_trained": 1, "examples_scored": 1, "seconds": 1.0}
    ticket = {"density": 1.0, "accuracy": 0.5, "folder": "x", "cost": cost, "imp": cost}
    runs = [
        {
            "method": method, "seed": 0, "path": "x", "rewind": "init", "levels": [],
            "tickets": [{**ticket, "level": level} for level in (0, 1)], "error": None,
        }
        for method in rivals.PAPER_METHODS
    ]  # fmt: skip
    stage = Stage((0,), (1,))

    def is_done(asked: Stage) -> bool:
        found = {"seeds": [0], "judged": [0, 1], "settings": {}, "runs": runs}
        (tmp_path / "comparison.json").write_text(json.dumps(found))
        return asked.is_done(tmp_path)

    assert not stage.is_done(tmp_path)
    assert is_done(stage)
    assert not is_done(Stage((0, 1), (1,)))
    assert not is_done(Stage((0,), (1, 2)))
    assert Protocol({}, (stage, Stage((0,), (1, 2)))).stages_done(tmp_path) == 1
    runs[1]["error"] = "it failed"
    assert not is_done(stage)
    runs.pop(1)
    assert not is_done(stage)


def test_executions_are_named_as_the_package_names_them():
    assert tuple(EXECUTIONS) == visit.EXECUTIONS


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["--state", "nowhere"], "--state nowhere: holds nothing that a visit has packed"),
        (["--parts", "smoke,sped"], "--parts names 'sped': expected some of smoke, speed, paper"),
        (["--execution", "eagre"], "invalid choice: 'eagre'"),
        (["--out", "file/x"], "file"),
    ],
)
def test_a_mistake_is_told_in_a_line(wrong, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as stop:
        visit.main([*ON_CPU, *wrong])
    assert stop.value.code == 2
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_what_was_packed_before_is_never_replaced_by_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "before", {"cpu/a": b"1"})
    packing.pack(tmp_path / "before", tmp_path / "runs/visit-out")
    packed = {p.name: p.read_bytes() for p in (tmp_path / "runs/visit-out").iterdir()}
    # Without a folder named, what lies where it would pack to is gone on with.
    monkeypatch.setattr(visit.Visit, "look", lambda self: False)
    visit.main(ON_CPU)
    assert (tmp_path / "runs/visit/cpu/a").read_bytes() == b"1"
    # And where nothing was worked on, nothing is packed.
    shutil.rmtree(tmp_path / "runs/visit")
    monkeypatch.setattr(packing, "unpack", lambda *_: False)
    visit.main(ON_CPU)
    for name, content in packed.items():
        assert (tmp_path / "runs/visit-out" / name).read_bytes() == content


@pytest.mark.parametrize(
    "notes",
    ["no JSON", "[]", "{}", '{"short": true, "about": {"gpu": "G"}}',
     '{"short": false, "about": {"gpu": null}}'],
)  # fmt: skip
def test_notes_that_tell_nothing_of_a_gpu_are_refused(notes, tmp_path, capsys):
    (tmp_path / "notes.json").write_text(notes)
    (tmp_path / "results").mkdir()
    with pytest.raises(SystemExit) as stop:
        visit_page.main(["--docs", str(tmp_path), "--notes", str(tmp_path / "notes.json")])
    assert stop.value.code == 2
    assert "expected the notes.json of a visit to a GPU" in capsys.readouterr().err
    assert not list((tmp_path / "results").iterdir())
