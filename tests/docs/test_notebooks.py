"""The notebooks run from start to end, and what is stored in them is what their code gives."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 400_000
REMEDY = "run `make notebooks`"
MACHINE_PATH = re.compile(r"(?<![\w./])/(home|root|tmp|usr|var|opt|private|Users|work)/")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def code_of(notebook: dict[str, Any]) -> str:
    return "\n".join("".join(cell["source"]) for cell in code_cells(notebook))


def kinds(cell: dict[str, Any]) -> list[tuple[str, ...]]:
    """What a cell has given: text on which stream, pictures of which type."""
    return [
        (output["output_type"], output.get("name", ""), *sorted(output.get("data", {})))
        for output in cell["outputs"]
    ]


def test_there_are_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS} >= {"first-ticket", "inside-a-prac-set"}


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs_and_gives_what_is_stored(path: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "run.py"), str(path), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    stored, run = (json.loads(file.read_text()) for file in (path, tmp_path / path.name))
    # With a digest of the code.
    assert stored["metadata"] == run["metadata"], REMEDY
    for before, now in zip(code_cells(stored), code_cells(run), strict=True):
        assert kinds(before) == kinds(now), f"cell {before['id']}: {REMEDY}"


SMALLER = (
    ("epochs=16, milestones=(10, 14)", "epochs=2, milestones=()"),
    ("range(30)", "range(2)"),
    ("seeds=(0, 1, 2)", "seeds=(0, 1)"),
)


# A kernel takes them for no errors.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@each_notebook
def test_a_notebook_s_code_runs_when_it_trains_little(path: Path) -> None:
    """Without a kernel, which takes its time to start."""
    code = code_of(json.loads(path.read_text()))
    for full, less in SMALLER:
        code = code.replace(full, less)
    threads = torch.get_num_threads()
    try:
        exec(compile(code, path.name, "exec"), {"__name__": "notebook"})
    finally:
        torch.set_num_threads(threads)


@each_notebook
def test_what_is_stored_is_of_one_run_without_errors_and_small(path: Path) -> None:
    notebook = json.loads(path.read_text())
    cells = code_cells(notebook)
    digest = hashlib.sha256(code_of(notebook).encode()).hexdigest()
    assert notebook["metadata"]["outputs_are_of_code"] == digest, REMEDY
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1)), REMEDY
    found = {output for cell in cells for output in kinds(cell)}
    assert found
    assert not [output for output in found if output[0] == "error" or output[1] == "stderr"]
    assert path.stat().st_size < LARGEST


@each_notebook
def test_nothing_of_the_machine_is_stored(path: Path) -> None:
    notebook = json.loads(path.read_text())
    assert not {"widgets", "vscode"} & set(notebook["metadata"])
    for cell in code_cells(notebook):
        for output in cell["outputs"]:
            # Letters that stand for the bytes of a picture may look like a path by chance.
            shown = {
                name: text for name, text in output.get("data", {}).items() if "png" not in name
            }
            assert not MACHINE_PATH.search(
                json.dumps([shown, output.get("text"), cell["metadata"]])
            )


@each_notebook
def test_pictures_have_alternative_text(path: Path) -> None:
    for cell in code_cells(json.loads(path.read_text())):
        if any(kind.startswith("image/") for output in kinds(cell) for kind in output):
            assert len(cell["metadata"]["mystnb"]["image"]["alt"]) > 30, cell["id"]
