"""Damaged images left out: the others keep their indices and their split, and the list is shown."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import prac
from prac.cli import main
from prac.config import DataConfig, TrainConfig
from prac.data import load_data
from prac.data.sources.by_name import load
from prac.errors import PracError

CLASSES = ("cat", "dog")
LAZY = 1e-9
"""A memory limit, in GB, that no image fits in."""


def encoded(seed: int, mode: str = "RGB", size: int = 6) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def make_folder(root: Path, per_class: int = 10, splits: tuple[str, ...] = ("train", "test")):
    for number, split in enumerate(splits):
        for label, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(per_class):
                (folder / f"{i:02}.png").write_bytes(encoded(1000 * number + 100 * label + i))
    return root


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "pets")


@pytest.fixture
def damaged(folder):
    """The same folder with train 3 cut short, train 12 gone behind a link, and test 0 empty."""
    cut = folder / "train" / "cat" / "03.png"
    cut.write_bytes(cut.read_bytes()[:40])
    gone = folder / "train" / "dog" / "02.png"
    gone.unlink()
    gone.symlink_to("nowhere.png")
    (folder / "test" / "cat" / "00.png").write_bytes(b"")
    return folder


def loaded(folder: Path, **settings: Any):
    return load_data(DataConfig(name=str(folder), **settings))


def everything(examples) -> torch.Tensor:
    return torch.cat([x for x, _ in examples.stream([torch.arange(len(examples))])])


@pytest.mark.parametrize("memory_limit", [8.0, LAZY])
@pytest.mark.parametrize("limit", [None, 14])
def test_the_others_keep_their_indices_their_split_and_their_pixels(tmp_path, memory_limit, limit):
    whole = make_folder(tmp_path / "whole")
    settings = {"memory_limit": memory_limit, "limit": limit, "val_fraction": 0.3}
    settings["normalize"] = "none"
    expected = loaded(whole, **settings)
    ids = {part: getattr(expected, part).source_indices.tolist() for part in ("train", "val")}
    lost = {ids["train"][1], ids["train"][4], ids["val"][0]}
    before = {part: everything(getattr(expected, part)) for part in ids}
    files = sorted((whole / "train").rglob("*.png"))
    for index in lost:
        files[index].write_bytes(b"\x89PNG broken")
    found = loaded(whole, **settings, skip_corrupt=True)
    for part, indices in ids.items():
        kept = [position for position, index in enumerate(indices) if index not in lost]
        examples = getattr(found, part)
        assert examples.source_indices.tolist() == [indices[position] for position in kept]
        assert torch.equal(everything(examples), before[part][kept])
        assert examples.labels.tolist() == [indices[p] // 10 for p in kept]
    assert [image.index for image in found.damaged["train"]] == sorted(lost)
    assert found.damaged["test"] == ()


@pytest.mark.parametrize("memory_limit", [8.0, LAZY])
def test_a_whole_set_is_the_same_with_and_without(folder, memory_limit):
    plain = loaded(folder, memory_limit=memory_limit)
    skipping = loaded(folder, memory_limit=memory_limit, skip_corrupt=True)
    for part in ("train", "val", "test"):
        assert getattr(plain, part).fingerprint == getattr(skipping, part).fingerprint
    assert list(skipping.notices()) == []


@pytest.mark.parametrize("memory_limit", [8.0, LAZY])
def test_damaged_images_are_listed_by_split_index_name_and_reason(damaged, memory_limit):
    data = loaded(damaged, memory_limit=memory_limit, skip_corrupt=True)
    cut, gone = data.damaged["train"]
    (empty,) = data.damaged["test"]
    assert (cut.index, gone.index, empty.index) == (3, 12, 0)
    assert cut.name == str(damaged / "train/cat/03.png")
    assert cut.reason.startswith("cannot decode this image (")
    assert gone.reason == "no such image file"
    assert len(data.train) + len(data.val) == 18
    assert data.test.source_indices.tolist() == list(range(1, 20))


@pytest.mark.parametrize("memory_limit", [8.0, LAZY])
def test_without_the_setting_the_first_one_is_refused_with_the_remedy(damaged, memory_limit):
    (damaged / "test/cat/00.png").write_bytes(encoded(7))
    with pytest.raises(PracError, match=r"03\.png: cannot decode .* pass --skip-corrupt") as error:
        everything(loaded(damaged, memory_limit=memory_limit, val_fraction=0).train)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("memory_limit", [8.0, LAZY])
def test_the_first_image_may_be_a_damaged_one(folder, memory_limit):
    first = folder / "train/cat/00.png"
    # Its header is whole and of another size than all others.
    first.write_bytes(encoded(0, size=9)[:60])
    data = loaded(folder, memory_limit=memory_limit, skip_corrupt=True)
    assert data.shape == (3, 6, 6)
    assert [image.index for image in data.damaged["train"]] == [0]
    (folder / "train/dog/01.png").write_bytes(encoded(0, size=9))
    with pytest.raises(PracError, match=r"cat/01\.png is 6 x 6, .*dog/01\.png is 9 x 9"):
        loaded(folder, memory_limit=memory_limit, skip_corrupt=True)


@pytest.mark.parametrize("memory_limit", [8.0, LAZY])
def test_damage_says_nothing_of_the_colours_of_the_others(folder, memory_limit):
    for path in folder.rglob("*.png"):
        path.write_bytes(encoded(1, "L"))
    (folder / "train/cat/00.png").write_bytes(encoded(1)[:60])
    data = loaded(folder, memory_limit=memory_limit, skip_corrupt=True)
    assert data.shape == (1, 6, 6)


def test_channel_statistics_are_those_of_the_images_that_train(tmp_path):
    root = tmp_path / "flat"
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        for i in range(4):
            Image.new("L", (6, 6), 100 + 10 * i).save(root / name / f"{i}.png")
    (root / "cat" / "0.png").write_bytes(b"damaged")
    data = loaded(root, skip_corrupt=True, val_fraction=0)
    values = [110, 120, 130, 100, 110, 120, 130]
    assert data.pipeline.mean == pytest.approx((np.mean(values) / 255,))
    assert data.pipeline.std == pytest.approx((np.std(values) / 255,))


def test_large_images_are_looked_through_by_threads_in_order(tmp_path):
    good = encoded(0, size=100)
    for name in CLASSES:
        (tmp_path / "big" / name).mkdir(parents=True)
        for i in range(300):
            path = tmp_path / "big" / name / f"{i:03}.png"
            path.write_bytes(good if i % 70 else good[:-50])
    for memory_limit in (8.0, LAZY):
        data = loaded(tmp_path / "big", memory_limit=memory_limit, skip_corrupt=True)
        lost = [image.index for image in data.damaged["train"]]
        assert lost == [i + start for start in (0, 300) for i in range(0, 300, 70)]


@pytest.mark.parametrize("memory_limit", [8.0, LAZY])
def test_a_split_without_a_whole_image_is_refused(folder, memory_limit):
    for path in (folder / "test").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(PracError, match=r"test/cat/00\.png: .* every one of the split's 20 images"):
        loaded(folder, memory_limit=memory_limit, skip_corrupt=True)


def test_a_part_that_only_drew_damaged_examples_is_refused(folder):
    files = sorted((folder / "train").rglob("*.png"))
    for index in loaded(folder, val_fraction=0.1).val.source_indices.tolist():
        files[index].write_bytes(b"")
    with pytest.raises(PracError, match="every one of the 2 validation examples is damaged"):
        loaded(folder, val_fraction=0.1, skip_corrupt=True)


@pytest.mark.parametrize("memory_limit", [8.0, LAZY])
def test_rows_of_tables_are_left_out_too(tmp_path, memory_limit):
    images: list[dict[str, Any]] = [{"bytes": encoded(i), "path": None} for i in range(8)]
    images[2] = {"bytes": None, "path": None}
    images[5] = {"bytes": encoded(5)[:50], "path": None}
    images[6] = {"bytes": None, "path": "absent.png"}
    pq.write_table(pa.table({"image": images, "label": [0, 1] * 4}), tmp_path / "train.parquet")
    data = loaded(tmp_path, skip_corrupt=True, val_fraction=0, memory_limit=memory_limit)
    assert data.train.source_indices.tolist() == [0, 1, 3, 4, 7]
    named = [(image.name.rpartition(", ")[2], image.reason) for image in data.damaged["train"]]
    assert [row for row, _ in named] == ["row 2", "row 5", "row 6"]
    assert "holds no image" in named[0][1]
    assert named[2][1] == "no such image file"


def test_tiny_imagenet_s_missing_files_are_left_out(tmp_path):
    for wnid in ("n01", "n02"):
        (tmp_path / "train" / wnid / "images").mkdir(parents=True)
        for i in range(3):
            (tmp_path / "train" / wnid / "images" / f"{i}.JPEG").write_bytes(encoded(i))
    (tmp_path / "val" / "images").mkdir(parents=True)
    (tmp_path / "val" / "images" / "a.JPEG").write_bytes(encoded(9))
    (tmp_path / "val" / "val_annotations.txt").write_text("a.JPEG\tn01\nb.JPEG\tn02\n")
    (tmp_path / "wnids.txt").write_text("n01\nn02\n")
    with pytest.raises(PracError, match=r"b\.JPEG: no such image file: .*--skip-corrupt"):
        loaded(tmp_path)
    data = loaded(tmp_path, skip_corrupt=True)
    assert [image.index for image in data.damaged["test"]] == [1]


def test_a_fault_of_the_machine_is_no_damage(folder, monkeypatch):
    import prac.data.sources.images_decode as decoding

    for fault, said in (
        (MemoryError(), "not enough memory"),
        (PermissionError(13, "Permission denied"), "no permission"),
        (OSError(24, "Too many open files"), "Too many open files"),
    ):

        def fail(data, fault=fault):
            raise fault

        monkeypatch.setattr(decoding, "_open", fail)
        with pytest.raises(PracError, match=said):
            loaded(folder, skip_corrupt=True)


def test_a_named_pipe_is_no_image(folder):
    import os

    os.mkfifo(folder / "train" / "cat" / "pipe.png")
    (folder / "train" / "cat" / "folder.png").mkdir()
    assert len(load(str(folder)).train.labels) == 20


# What may be wrong with classes.


def test_a_class_without_a_training_example_is_a_warning(tmp_path):
    x = np.zeros((6, 4, 4), np.uint8)
    x[:] = np.arange(6)[:, None, None]
    np.savez(tmp_path / "s.npz", x=x, y=[0, 2, 0, 2, 0, 2], classes=np.array(["a", "b", "c"]))
    data = loaded(tmp_path / "s.npz", val_fraction=0)
    assert data.warnings == ("1 of 3 classes have no training example: 'b'",)


def test_a_class_whose_images_are_all_damaged_is_a_warning(folder):
    (folder / "train" / "emu").mkdir()
    (folder / "train" / "emu" / "0.png").write_bytes(b"")
    data = loaded(folder, skip_corrupt=True)
    assert data.warnings == ("1 of 3 classes have no training example: 'emu'",)
    with pytest.raises(PracError, match=r"emu/0\.png"):
        loaded(folder)


def test_many_empty_classes_are_counted_and_ten_named(tmp_path):
    names = np.array([f"class{i}" for i in range(30)])
    x = np.arange(4 * 9, dtype=np.uint8).reshape(4, 3, 3)
    np.savez(tmp_path / "s.npz", x=x, y=[0, 29, 0, 29], classes=names)
    (warning,) = loaded(tmp_path / "s.npz", val_fraction=0).warnings
    assert warning.startswith("28 of 30 classes have no training example: 'class1', ")
    assert warning.endswith("'class10' and 18 more")


@pytest.mark.parametrize("skip_corrupt", [False, True])
def test_one_class_left_to_train_on_is_refused(tmp_path, skip_corrupt):
    x = np.arange(6 * 9, dtype=np.uint8).reshape(6, 3, 3)
    np.savez(tmp_path / "s.npz", x=x, y=[0, 0, 0, 0, 0, 1])
    np.save(tmp_path / "val.npy", [5])
    with pytest.raises(PracError, match=r"each of the 5 training examples .* has the class '0'"):
        loaded(tmp_path / "s.npz", val_indices=str(tmp_path / "val.npy"), skip_corrupt=skip_corrupt)


def test_one_class_left_after_damage_is_refused(folder):
    for path in (folder / "train/dog").iterdir():
        path.write_bytes(b"")
    with pytest.raises(PracError, match="has the class 'cat', expected at least two"):
        loaded(folder, skip_corrupt=True)


# What people see.


TINY = [
    "--model", "lenet_300_100", "--layers", "linear", "--levels", "1", "--epochs", "1",
    "--batch-size", "10",
]  # fmt: skip


def test_find_and_retrain_say_what_was_left_out(damaged, capsys):
    for i in range(5, 8):
        for split in ("train", "test"):
            for name in CLASSES:
                (damaged / split / name / f"{i:02}.png").write_bytes(b"")
    options = ["--data", str(damaged), "--skip-corrupt"]
    assert main(["find", *options, *TINY, "--out", "run"]) == 0
    err = capsys.readouterr().err
    named = [line for line in err.splitlines() if line.startswith("left out: ")]
    assert len(named) == 10
    assert f"{damaged}/train/cat/03.png: cannot decode this image" in named[0]
    assert "and 5 more: prac inspect --skip-corrupt lists all" in err
    ticket = "run/levels/01/ticket.safetensors"
    assert main(["retrain", ticket, "--out", "alone"]) == 0
    assert capsys.readouterr().err.count("left out: ") == 10
    assert main(["find", *options, *TINY, "--out", "quiet", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_inspect_lists_all_of_them(damaged, capsys):
    for i in range(12):
        (damaged / "train" / "dog" / f"x{i}.png").write_bytes(b"")
    assert main(["inspect", str(damaged)]) == 2
    assert "pass --skip-corrupt" in capsys.readouterr().err
    assert main(["inspect", str(damaged), "--skip-corrupt", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {split: len(images) for split, images in facts["damaged"].items()} == {
        "train": 14, "test": 1,
    }  # fmt: skip
    assert facts["damaged"]["test"][0]["index"] == 0
    assert set(facts["damaged"]["train"][0]) == {"index", "name", "reason"}
    assert facts["warnings"] == []
    assert main(["inspect", str(damaged), "--skip-corrupt"]) == 0
    out = capsys.readouterr().out
    assert "left out of train: 14" in out
    assert "x11.png" in out.replace("\n", "")


def test_warnings_are_shown_by_find_and_inspect(folder, capsys):
    (folder / "test/dog/07.png").write_bytes((folder / "train/cat/04.png").read_bytes())
    line = "1 of 20 test examples are training examples too: the first is test 17, the same as"
    assert main(["find", "--data", str(folder), *TINY, "--val-fraction", "0", "--out", "run"]) == 0
    assert f"warning: {line} train 4\n" in capsys.readouterr().err
    assert main(["inspect", str(folder), "--json"]) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert warning.startswith(line)
    assert main(["inspect", str(folder)]) == 0
    assert "warning: 1 of 20 test examples" in capsys.readouterr().out


# Files that vanish while a search runs.


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_vanishes_stops_the_run_by_name_and_may_come_back(
    tmp_path, small_net, run_files, workers
):
    folder = make_folder(tmp_path / "pets")
    settings = DataConfig(name=str(folder), image_size=8, memory_limit=LAZY, normalize="none")
    search = prac.SearchConfig.imp(
        levels=1,
        train=TrainConfig(epochs=2, batch_size=9, lr=0.05),
        prune=prac.PruneConfig(layers="conv+linear"),
    )

    def find(out, callback=lambda event: None, workers=0):
        data = load_data(settings, workers=workers)
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 1), small_net())
        return prac.find(model, data.train, search, val=data.val, out=out, callback=callback)

    find("whole")
    victim = folder / "train/dog/05.png"
    content = victim.read_bytes()

    def vanish(event):
        if event.kind == "epoch":
            victim.unlink(missing_ok=True)

    stopped = ""
    try:
        find("cut", vanish, workers)
    except PracError as error:
        stopped = str(error)
    assert f"{victim}: no such image file" in stopped
    assert "\n" not in stopped
    victim.write_bytes(content)
    find("cut")
    patterns = ("metrics.jsonl", "levels/*/*.safetensors")
    assert run_files(Path("cut"), *patterns) == run_files(Path("whole"), *patterns)
