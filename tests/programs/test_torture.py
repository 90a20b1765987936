"""A short torture of every kind, by `make test-all`; `make torture` is the long one."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from torture import page
from torture.power import File

ROOT = Path(__file__).parents[2]


def tortured(section: str, tmp_path: Path) -> dict[str, Any]:
    """Run a section in a process of its own, which has one thread and may fork."""
    out = tmp_path / "figures.json"
    command = [sys.executable, "-m", "torture", "--only", section, "--short", "--json", str(out)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    found: dict[str, Any] = json.loads(out.read_text())["sections"][section]
    assert found["rows"]
    assert all(row["survived"] == row["tried"] > 0 for row in found["rows"])
    return found


def kinds(found: dict[str, Any]) -> dict[str, int]:
    return {row["kind"]: row["tried"] for row in found["rows"]}


@pytest.mark.slow
def test_runs_that_are_killed_anywhere_go_on_to_the_same_bytes(tmp_path):
    found = kinds(tortured("kills", tmp_path))
    for stage in ("in the middle of an epoch", "between pruning and rewinding", "in a retraining"):
        assert found[f"kill -9 {stage}"] == 1
    assert sum(found.values()) >= 20


@pytest.mark.slow
def test_runs_that_are_asked_to_stop_save_and_go_on(tmp_path):
    found = kinds(tortured("signals", tmp_path))
    assert {"SIGINT at a random moment", "a second process in the folder"} <= found.keys()


@pytest.mark.slow
def test_runs_survive_power_failures(tmp_path):
    assert sum(kinds(tortured("power", tmp_path)).values()) == 8


def test_a_power_failure_takes_nothing_that_was_synced_from_a_file_written_behind():
    file = File(content=b"synced, then more", synced=b"synced")
    left = {file.torn(random.Random(seed)) for seed in range(100)}
    assert all(content.startswith(b"synced") for content in left)
    assert {len(b"synced"), len(b"synced, then more")} <= {len(content) for content in left}


@pytest.mark.slow
def test_runs_survive_full_and_failing_disks(tmp_path):
    found = tortured("disks", tmp_path)
    assert {"a file-size limit, then none", "newest state truncated"} <= kinds(found).keys()
    if found["untried"]:
        pytest.skip("; ".join(found["untried"]))


@pytest.mark.slow
def test_hostile_files_are_refused_within_bounds(tmp_path):
    found = kinds(tortured("files", tmp_path))
    assert {"a hostile ticket, refused in one line", "a hostile state, refused in one line"} <= (
        found.keys()
    )


def test_the_page_is_what_torture_makes_of_the_committed_figures():
    figures = json.loads((ROOT / "docs" / "results" / "torture.json").read_text())
    text = (ROOT / "docs" / "reliability.md").read_text()
    assert text == page.of(figures)
    assert "{{" not in text
    rows = [row for section in figures["sections"].values() for row in section["rows"]]
    assert all(row["survived"] == row["tried"] > 0 for row in rows)
    assert sum(row["tried"] for row in rows if row["kind"].startswith("kill -9")) >= 100


@pytest.mark.slow
def test_code_that_is_broken_on_purpose_does_not_pass(tmp_path):
    assert kinds(tortured("controls", tmp_path)) == {"broken on purpose, and noticed": 3}
