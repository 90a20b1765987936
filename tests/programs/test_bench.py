"""The benchmarks run, and their page says what their figures say. No test looks at a time."""

from __future__ import annotations

import itertools
import json
import math
import statistics
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import gpu, page, plots, threads, together, tried
from bench.__main__ import SECTIONS, _said, main
from bench.apart import apart
from bench.clock import REST, Clock
from bench.machine import ROOT
from bench.options import Options
from bench.report import Goal, Row, exponent, ratios, spread
from bench.rounds import interleaved
from bench.search import overhead
from bench.textbook import TextbookImages, train
from bench.work import RESNET, images_of, jpeg_quality, load
from prac.config import TrainConfig
from prac.data.augment import Pipeline, crop_and_flip, drawn
from prac.models.registry import build

QUICK = ("masks", "states", "forgetting")
"""Sections that are measured within seconds."""
FIGURES = ROOT / "docs" / "results" / "bench.json"


def measured(section: str, tmp_path: Path) -> dict[str, Any]:
    """Run a section; what it measures is in processes of its own, whatever started it."""
    out = tmp_path / "bench.json"
    words = ["--short", "--only", section, "--data", "none"]
    words += ["--json", str(out), "--page", str(tmp_path / "page.md")]
    if section == "import":  # The lightest, as a person starts it.
        command = [sys.executable, "-m", "bench", *words]
        process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert process.returncode == 0, process.stderr
    else:
        assert main(words) == 0
    found: dict[str, Any] = json.loads(out.read_text())
    assert (tmp_path / "page.md").read_text() == page.of(found)
    return found


def check_rows(rows: list[dict[str, Any]]) -> None:
    assert rows
    assert len({row["what"] for row in rows}) >= len(rows) - 1  # The matrix product comes twice.
    for row in rows:
        samples = row["samples"]
        assert samples
        assert all(math.isfinite(value) for value in (row["value"], *samples))
        differences = ("over import torch", "exponent", "outside its steps")
        is_difference = any(what in row["what"] for what in differences)
        if row["unit"] and not is_difference:
            assert row["value"] >= 0
        assert row["spread"]["least"] <= row["spread"]["median"] <= row["spread"]["most"]
        if not row["note"]:
            assert row["value"] == statistics.median(samples)
        goal = row["goal"]
        if goal is None:
            assert row["met"] is None
        else:
            assert row["met"] == Goal(goal["value"], goal["direction"]).is_met_by(row["value"])


@pytest.mark.parametrize(
    "section",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in SECTIONS],
)
def test_a_section_gives_rows_with_goals(section, tmp_path):
    found = measured(section, tmp_path)
    assert list(found["sections"]) == [section]
    rows = found["sections"][section]["rows"]
    check_rows(rows)
    assert any(row["goal"] for row in rows) or section in ("states", "tried")
    about = found["about"]
    assert about["processor"]
    assert about["threads"] >= 1
    assert "these figures mean nothing" in (tmp_path / "page.md").read_text()
    assert about["command"] == f"python -m bench --short --only {section}"
    values = {row["what"]: row["value"] for row in rows}
    if section == "loop":
        assert "random images" in found["sections"]["loop"]["facts"][RESNET.title]["data"]
    if section == "search":
        whole = values["the whole search"]
        assert sum(found["sections"]["search"]["facts"]["seconds"].values()) == pytest.approx(whole)
        assert found["sections"]["search"]["remarks"] == []  # All that is wrapped is there.
        assert (tmp_path / plots.PROFILE).exists()
    if section == "scoring":
        counted = found["sections"]["scoring"]["facts"]["counted"]
        assert counted["dense"] == 1
        assert counted["images_a_level"] == [counted["images"]] * 4
    if section == "forgetting":
        assert 0 < values["table"] <= 8
    if section == "import":
        assert values["torch imported by prac --help (0: no)"] == 0
    if section == "growth":
        assert (tmp_path / plots.GROWTH).read_text().startswith("<svg")


def test_ways_of_cropping_that_were_tried_give_the_same():
    images = torch.randint(256, (20, 2, 7, 5), dtype=torch.uint8)
    draws = drawn([3], [20], 2, torch.device("cpu"))
    expected = crop_and_flip(images, 2, True, draws)
    assert torch.equal(tried.by_pixels(images, 2, draws), expected)
    assert torch.equal(tried.one_by_one(images, 2, draws), expected)


# Of what a plain machine with a GPU need not have, and of what the loop alone needs none.
ABSENT = ("datasets", "vl_convert", "shtab", "sklearn", "tensorboard")
MISSING = ("yaml", "rich", "scipy", *ABSENT)


def test_the_gpu_benchmark_needs_little():
    code = f"""
import sys
sys.modules.update(dict.fromkeys({MISSING}))
import bench.gpu
sys.exit(bench.gpu.main(["--device", "cuda"]) if not bench.gpu.torch.cuda.is_available() else 2)
"""
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 2, process.stderr
    assert "sees no GPU" in process.stderr or torch.cuda.is_available()


@pytest.mark.slow
def test_the_gpu_benchmark_is_rehearsed_on_a_cpu(tmp_path):
    out = tmp_path / "gpu.json"
    code = f"""
import sys
sys.modules.update(dict.fromkeys({MISSING[1:]}))
import bench.gpu
sys.exit(bench.gpu.main(["--device", "cpu", "--short", "--data", "none", "--json", {str(out)!r}]))
"""
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    figures = json.loads(out.read_text())
    section = figures["sections"]["loop"]
    check_rows(section["rows"])
    assert section["remarks"] == []
    names = {row["what"] for row in section["rows"]}
    assert {"an epoch", "an epoch, outside its steps", "loop / textbook loop"} < names
    assert {f"a search's step, {name}" for name in ("eager", "channels-last")} < names
    assert sum("with 15 prunings" in name for name in names) == 2
    aims = {row["what"]: page.goal(row) for row in section["rows"]}
    assert aims["an epoch, outside its steps"] == "at most 10 ms"
    assert sorted(aims[f"a search's step, {name}"] for name in ("eager", "channels-last")) == [
        "", "at most 0.7 ms",
    ]  # fmt: skip
    together = figures["sections"]["together"]
    check_rows(together["rows"])
    assert [row["what"] for row in together["rows"]] == [
        "1 training at once", "2 trainings at once",
    ]  # fmt: skip
    assert process.stdout.count("| what | median |") == 2
    assert page.cuda({}, figures)


def test_the_gpu_benchmark_leaves_what_it_has(tmp_path, monkeypatch, capsys):
    def parts(loops, searches):
        def measured():
            loops.bare["eager"] = loops.masked["eager"] = loops.loops["eager"] = [10.0, 20.0]

        def breaks():
            raise RuntimeError("out of\nmemory")

        def is_killed():
            assert "out of memory" in out.read_text()
            raise KeyboardInterrupt

        assert not searches
        yield "eager", 0.0, measured
        yield "compiled", 1e9, measured
        yield "captured", 0.0, breaks
        yield "the last", 0.0, is_killed

    out = tmp_path / "gpu.json"
    out.write_text('{"about": {}, "sections": {"loop": {}}, "visits": ["one"]}')
    monkeypatch.setattr(gpu.Loops, "parts", parts)
    words = ["--device", "cpu", "--short", "--data", "none", "--no-searches", "--json", str(out)]
    with pytest.raises(KeyboardInterrupt):
        gpu.main(words)
    found = json.loads(out.read_text())
    assert found["visits"] == ["one"]
    section = found["sections"]["loop"]
    check_rows(section["rows"])
    assert section["remarks"] == [
        "compiled was left out: there was no time left.",
        "captured failed: RuntimeError: out of memory",
    ]
    assert "| what | median |" in page.table(section)
    assert capsys.readouterr().out == ""


def test_trainings_under_mps_have_a_daemon_of_their_own(tmp_path, monkeypatch):
    """One that is there only in name: what it is told, and that it is gone afterwards."""
    tools, scratch = tmp_path / "tools", tmp_path / "scratch"
    for folder in (tools, scratch):
        folder.mkdir()
    control = tools / together.MPS
    control.write_text(
        f"""#!{sys.executable}
import os, pathlib, sys, time
place = pathlib.Path(os.environ["CUDA_MPS_PIPE_DIRECTORY"])
if sys.argv[1:] == ["-f"]:
    time.sleep(0.3)
    (place / "control").touch()
    while (place / "control").exists():
        time.sleep(0.05)
else:
    with open(place / "told", "a") as told:
        told.write(word := sys.stdin.read())
    if not (place / "control").exists():
        sys.exit(1)
    if word == "quit\\n":
        (place / "control").unlink()
"""
    )
    control.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    with together._under_mps(scratch) as env:
        assert env == {
            "CUDA_MPS_PIPE_DIRECTORY": str(scratch / "mps"),
            "CUDA_MPS_LOG_DIRECTORY": str(scratch / "log"),
        }
        assert (scratch / "mps" / "control").exists()
    assert not (scratch / "mps" / "control").exists()
    told = (scratch / "mps" / "told").read_text().splitlines()
    assert set(told[:-1]) == {"get_server_list"}
    assert told[-1] == "quit"
    control.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(RuntimeError, match="did not start, status 3"), together._under_mps(scratch):
        pass


def test_trainings_that_mps_does_not_take_are_a_remark(tmp_path, monkeypatch):
    @contextmanager
    def workers(count, words, env):
        yield [None] * count

    @contextmanager
    def under_mps(scratch):
        raise RuntimeError("no\nright to")
        yield {}

    monkeypatch.setattr(together, "_workers", workers)
    monkeypatch.setattr(together, "_speed", lambda workers, options: 100.0 * len(workers))
    monkeypatch.setattr("shutil.which", lambda name: name)
    options = Options(tmp_path, device="cuda")

    def values(section):
        return {row.what: row.samples for row in section.rows}

    alone = {f"{n} training{'s' * (n > 1)} at once": (100.0 * n,) * 3 for n in (1, 2, 4)}
    monkeypatch.setattr(together, "_under_mps", under_mps)
    section = together.measure(RESNET, tmp_path, "captured", 3, options)
    assert values(section) == alone
    assert section.remarks == ["Not measured under MPS: no right to"]
    monkeypatch.setattr(together, "_under_mps", together._plainly)
    section = together.measure(RESNET, tmp_path, "captured", 3, options)
    assert values(section) == {**alone, **{f"{what} under MPS": of for what, of in alone.items()}}
    assert section.remarks == []


def test_what_a_second_thread_gains_is_measured_and_the_process_keeps_its_number(tmp_path):
    before = torch.get_num_threads()
    section = threads.measure(Options(tmp_path, short=True)).to_json()
    check_rows(section["rows"])
    assert torch.get_num_threads() == before


def test_the_page_is_what_bench_makes_of_the_committed_figures():
    if not FIGURES.exists():
        pytest.skip("no figures are committed")
    figures = json.loads(FIGURES.read_text())
    text = (ROOT / "docs" / "performance.md").read_text()
    assert text == page.of(figures)
    assert "{{" not in text
    assert list(figures["sections"]) == list(SECTIONS)
    for section in figures["sections"].values():
        check_rows(section["rows"])
    for picture in (plots.PROFILE, plots.GROWTH):
        assert f"](results/{picture})" in text
        assert (FIGURES.parent / picture).exists()


def test_the_page_shows_missed_goals_and_figures_of_a_gpu():
    row = Row.of("a ratio", "", [0.5, 0.6, 0.7], Goal(0.9, "at least")).to_json()
    section: dict[str, Any] = {"rows": [row], "facts": {}, "remarks": ["A remark."], "seconds": 1.0}
    section["made"] = {
        "date": "2026-01-01",
        "commit": "abc",
        "short": False,
        "command": "x",
        "threads": 2,
        "processor": "a processor",
    }
    about = {
        "command": "python -m bench", "seed": 0, "date": "2026-01-01", "commit": "abc",
        "processor": "P", "cores": 2, "vector_flags": ["avx"], "memory_gib": 8.0, "gpu": None,
        "system": "S", "python": "3", "torch": "2", "prac": "0", "capability": "AVX2", "threads": 2,
    }  # fmt: skip
    figures: dict[str, Any] = {"about": about, "sections": {"loop": section}}
    none = {"about": about, "sections": {"loop": {"rows": []}}}
    text = page.of(figures, none)
    line = "| a ratio | 0.600 | 0.550 to 0.650 | 0.500 to 0.700 | at least 0.9 | **missed** |"
    assert line in text
    assert "0 of 1 goals are met. Missed goals:\n\n- a ratio: 0.600" in text
    assert "A remark." in text
    there = {**section, "rows": [{**row, "value": 0.95}]}
    measured: dict[str, Any] = {"about": {**about, "gpu": "H100"}, "sections": {"loop": there}}
    assert "| a ratio | 0.600 | 0.950 |" in page.of(figures, measured)
    assert "| a ratio | 0.600 |  |" in page.cuda(figures["sections"], None)
    visited = {**measured, "sections": {}, "visits": []}
    assert page.cuda(figures["sections"], visited) == page.cuda(figures["sections"], None)
    on_gpu = {**section, "made": {**section["made"], "gpu": "H100"}}
    assert "`x`, H100, 2 torch threads on a processor" in page.table(on_gpu)


def test_medians_quartiles_and_goals():
    row = Row.of("x", "s", [3.0, 1.0, 2.0, 10.0], Goal(2, "at most")).to_json()
    assert row["value"] == 2.5
    assert not row["met"]
    assert row["spread"] == {
        "least": 1, "lower_quartile": 1.75, "median": 2.5, "upper_quartile": 4.75, "most": 10,
    }  # fmt: skip
    assert set(spread([4.0]).values()) == {4.0}
    assert ratios([1.0, 9.0], [2.0, 3.0]) == [0.5, 3.0]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_a_power_law_is_found(power):
    sizes = [10, 30, 100, 1000]
    assert exponent(sizes, [7 * n**power for n in sizes]) == pytest.approx(power, abs=1e-9)
    # Noise that is as much above as below at both ends moves the middle only.
    assert exponent([1, 10, 100], [1, 20, 100]) == pytest.approx(1)


def test_variants_take_turns():
    order = []

    def run(name: str) -> float:
        order.append(name)
        return float(ord(name))

    runs = {name: partial(run, name) for name in "abc"}
    found = interleaved(runs, 3)
    assert "".join(order) == "abcbcacab"
    assert found["b"] == [ord("b")] * 3


def test_a_clock_charges_a_moment_to_one_part(monkeypatch):
    now = itertools.count()
    monkeypatch.setattr("time.perf_counter", lambda: float(next(now)))
    clock = Clock()

    class Work:
        def outer(self):
            return self.inner() + 1

        def inner(self):
            return 1

        def items(self):
            yield 1
            yield 2

    for name in ("outer", "inner", "absent"):
        clock.patch(Work, name, lambda f: clock.wrapped(f, f.__name__))
    clock.patch(Work, "items", lambda f: clock.wrapped_stream(f, "items"))
    assert Work().outer() == 2
    assert list(Work().items()) == [1, 2]
    found = clock.read()
    clock.restore()
    assert found["inner"] == 1
    assert found["outer"] == 2  # Before and after the inner one.
    assert sum(found.values()) == next(now) - 1
    assert clock.missing == ["Work.absent"]
    assert Work.outer.__qualname__.endswith("Work.outer")
    assert overhead({"training steps": 3.0, REST: 1.0}) == 0.25


def fails(x: int) -> Any:
    return lambda: [x][x]


def test_a_process_that_fails_tells_why():
    with apart(fails, 0) as ask:
        assert ask() == 0
    with (
        pytest.raises(RuntimeError, match="IndexError: list index out of range"),
        apart(fails, 1) as ask,
    ):
        ask()


def test_the_textbook_loop_trains(digits):
    x, y = digits
    images = TextbookImages((x[:400] * 255).to(torch.uint8), y[:400], Pipeline((0.3,), (0.37,)))
    torch.manual_seed(0)
    model = build("lenet_300_100", image_shape=(1, 8, 8), classes=10)
    config = TrainConfig(batch_size=40, optimizer="adam", lr=1.2e-3, weight_decay=0.0)
    steps = list(itertools.islice(train(model, images, config, workers=0), 80))
    first, last = steps[:10], steps[-10:]
    assert sum(loss for loss, _ in last) < 0.3 * sum(loss for loss, _ in first)
    assert sum(right for _, right in last) > 360


def test_the_textbook_augments_as_the_pipeline_says():
    x = torch.arange(1, 3 * 16 + 1, dtype=torch.uint8).view(1, 3, 4, 4)
    plain = TextbookImages(x, torch.tensor([7]), Pipeline((0.0,) * 3, (1.0,) * 3))[0]
    assert torch.equal((plain[0] * 255).round().to(torch.uint8), x[0])
    assert plain[1] == 7
    images = TextbookImages(x, torch.tensor([7]), Pipeline((0.0,) * 3, (1.0,) * 3, 1, True))
    seen = {tuple((images[0][0] * 255).round().int().flatten().tolist()) for _ in range(300)}
    assert len(seen) == 18  # Nine crops, mirrored or not.


def test_images_are_random_where_there_is_no_data(tmp_path):
    options = Options(tmp_path, short=True, data=tmp_path / "none", seed=3)
    images = load(RESNET, images_of(RESNET, options, limit=100))
    assert images.x.shape == (90, 3, 32, 32)
    assert images.x.dtype == torch.uint8
    assert images.source == "90 random images of CIFAR-10's shape"
    assert images.pipeline.crop_padding == 4
    assert images.pipeline.flip


def test_the_quality_of_jpeg_images_is_told(tmp_path):
    import io

    import pyarrow
    import pyarrow.parquet
    from PIL import Image

    for form, wanted in (("JPEG", 75), ("PNG", None)):
        file = io.BytesIO()
        Image.new("RGB", (8, 8)).save(file, form, **({"quality": 75} if wanted else {}))
        table = pyarrow.table({"img": [{"bytes": file.getvalue(), "path": None}], "label": [1]})
        pyarrow.parquet.write_table(table, tmp_path / "train.parquet")
        assert jpeg_quality(tmp_path) == wanted


def test_what_a_command_is_shown_as():
    words = ["--data", "/home/me", "--only", "loop", "--json=x", "--page", "p", "--short"]
    assert _said(words) == ["--only", "loop", "--short"]
