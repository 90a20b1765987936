"""Data sources where a library of the extra `data` is not installed."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

LOADING = """
import sys
hidden, names = (part.split(",") for part in sys.argv[1:])
sys.modules.update(dict.fromkeys(hidden))
from prac.data.sources import load
from prac.errors import PracError
for name in names:
    name, _, size = name.partition("@")
    try:
        print(load(name, image_size=int(size) if size else None).train.shape)
    except PracError as error:
        print(error)
"""


def loaded_without(hidden, *names):
    """Return the line that loading each data set ends in, in a process that lacks libraries."""
    command = [sys.executable, "-c", LOADING, ",".join(hidden), ",".join(names)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def remedy(purpose, library):
    return f"{purpose} needs {library}, which is not installed: pip install 'prac-lth[data]'"


@pytest.fixture
def sets(tmp_path):
    """Return a folder with a data set of each kind."""
    for label in "ab":
        (tmp_path / "photos" / label).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "photos" / label / "0.png")
    (tmp_path / "table").mkdir()
    numbers = {"image": [[[0, 1], [2, 3]], [[4, 5], [6, 7]]], "label": [0, 1]}
    pq.write_table(pa.table(numbers), tmp_path / "table" / "train.parquet")
    np.savez(tmp_path / "set.npz", x=np.zeros((2, 3, 6, 4), dtype=np.uint8), y=np.array([0, 1]))
    return tmp_path


def test_a_missing_library_is_named_with_its_remedy_and_only_where_it_is_needed(sets):
    names = ("digits", sets / "photos", sets / "table", sets / "set.npz", f"{sets / 'set.npz'}@2")
    found = loaded_without(("sklearn", "PIL", "pyarrow", "datasets"), *map(str, names))
    assert found == [
        remedy("the digits data set", "sklearn"),
        remedy("reading or resizing images", "PIL"),
        remedy("reading tables", "pyarrow"),
        "(3, 6, 4)",
        remedy("reading or resizing images", "PIL"),
    ]


def test_tables_of_numbers_need_no_pillow(sets):
    assert loaded_without(("PIL", "datasets"), str(sets / "table")) == ["(1, 2, 2)"]


def test_the_hub_needs_datasets():
    (line,) = loaded_without(("datasets",), "hf:owner/name")
    assert line == remedy("data set 'hf:owner/name'", "datasets")
