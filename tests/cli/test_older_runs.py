"""What prac 0.1 began goes on as it meant it: pictures as stored, and its defaults of then."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from prac.cli import main
from prac.cli.recorded import own_settings
from prac.config import RetrainRecipe
from prac.io import read_settings
from prac.io.files import UNRECORDED
from tests.data.test_sources_tables import rows

ICONS = [
    "--data",
    "icons",
    "--image-size",
    "8",
    "--model",
    "lenet_300_100",
    "--layers",
    "linear",
    "--levels",
    "1",
    "--epochs",
    "2",
    "--batch-size",
    "8",
    "--quiet",
]
OF_OLD = ["--no-exif-rotation", "--background", "none", "--arm", "above-once"]


@pytest.fixture(autouse=True)
def icons(tmp_path, monkeypatch):
    """Write pictures that are transparent in part, and others that EXIF turns."""
    monkeypatch.chdir(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    for split, count in (("train", 8), ("test", 4)):
        for number, name in enumerate(("a", "b")):
            folder = Path("icons", split, name)
            folder.mkdir(parents=True)
            for index in range(count):
                random = np.random.default_rng([number, index, count])
                pixels = random.integers(0, 256, (8, 8, 4), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
                Image.fromarray(pixels[..., :3]).save(folder / f"{index}.jpg", exif=exif)


def as_prac_0_1(path: Path) -> None:
    """Leave out of a file what prac 0.1 would not have recorded there."""
    if path.suffix == ".yaml":
        settings = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({k: v for k, v in settings.items() if k not in UNRECORDED}))
        return
    found = json.loads(path.read_text())
    for name in UNRECORDED.keys() & found["settings"].keys():
        del found["settings"][name]
    path.write_text(json.dumps(found))


def test_a_search_resumes_and_is_shown(capsys):
    begun = ["find", *ICONS, "--out", "run"]
    assert main([*begun, *OF_OLD, "--max-seconds", "0.01"]) == 75
    as_prac_0_1(Path("run/config.yaml"))
    assert main([*begun, "--exif-rotation"]) == 2
    said = capsys.readouterr().err
    assert "run: was begun with other settings: exif_rotation (there False, here True)" in said
    assert main(begun) == 0
    assert "exif_rotation" not in Path("run/config.yaml").read_text()
    assert read_settings(Path("run"))["background"] == "none"
    assert main([*begun, "--arm", "at-once"]) == 2
    assert "arm (there 'above-once', here 'at-once')" in capsys.readouterr().err
    assert main([*begun, "--report"]) == 0
    assert main(["find", *ICONS, "--out", "new"]) == 0
    assert main([*begun[:-1], "new", *OF_OLD]) == 2  # A run of today's says how it reads.


def test_a_column_that_was_guessed_may_be_named_to_resume(capsys):
    columns: dict[str, Any] = {
        "caption": ["x", "y"] * 20,
        "kind": [0, 1] * 20,
        "age": [0] * 39 + [1],
    }
    table = pa.table({"image": rows(40)} | columns)
    Path("table").mkdir()
    pq.write_table(table, "table/train.parquet")
    begun = ["find", *ICONS, "--out", "run", "--data", "table"]
    stopped = ["--arm", "above-once", "--max-seconds", "0.01"]
    assert main([*begun, "--label-column", "kind", *stopped]) == 75
    settings = yaml.safe_load(Path("run/config.yaml").read_text())
    Path("run/config.yaml").write_text(yaml.safe_dump(settings | {"label_column": None}))
    as_prac_0_1(Path("run/config.yaml"))
    assert main(begun) == 2
    assert "name it with --label-column" in capsys.readouterr().err
    assert main([*begun, "--label-column", "age"]) == 2
    assert "was begun with other settings: fingerprint" in capsys.readouterr().err
    assert main([*begun, "--label-column", "kind"]) == 0


def test_a_ticket_is_retrained_on_what_it_was_found_on():
    known: dict[str, Any] = {"data": "icons", "model": "lenet_300_100"}
    of_pictures = {"exif_rotation": False, "background": "none"}
    assert own_settings("ticket", known, RetrainRecipe, []).items() >= of_pictures.items()
    known |= {"exif_rotation": True, "background": "black"}
    assert own_settings("ticket", known, RetrainRecipe, [])["background"] == "black"
    given = ["--data", "icons", "--model", "lenet_300_100"]
    assert own_settings("ticket", {}, RetrainRecipe, given) == {}


def test_a_comparison_goes_on(capsys):
    compare = [
        "compare",
        *ICONS,
        "--judged",
        "1",
        "--seeds",
        "0",
        "--methods",
        "prac",
        "--out",
        "c",
    ]
    assert main([*compare, *OF_OLD]) == 0
    for path in (*Path("c").rglob("config.yaml"), Path("c/comparison.json")):
        if "data" in path.read_text():
            as_prac_0_1(path)
    trained = {path: path.stat().st_mtime_ns for path in Path("c").rglob("metrics.jsonl")}
    assert main(compare) == 0
    assert trained == {path: path.stat().st_mtime_ns for path in Path("c").rglob("metrics.jsonl")}
    assert main([*compare, "--background", "white"]) == 2
    assert "background (there 'none', here 'white')" in capsys.readouterr().err
