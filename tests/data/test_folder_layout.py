"""Which folders are splits and which are classes, and what lies beside them."""

import io

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from prac.config import DataConfig
from prac.data import load_data
from prac.data.sources import load
from prac.data.sources.assemble import split_of
from prac.errors import PracError

CLASSES = ("ant", "bee")


def pictures(folder, count=2, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng([seed, number]).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def classes(folder, names=CLASSES, count=2, seed=0):
    for number, name in enumerate(names):
        pictures(folder / name, count, 10 * seed + number)
    return folder


def sizes(splits):
    named = {"train": splits.train, "val": splits.val, "test": splits.test}
    return {name: len(split.labels) for name, split in named.items() if split is not None}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *[(name, "train") for name in ("train", "Train", "TRAINING", "train_set", "Training Set")],
        *[(name, "val") for name in ("val", "Valid", "validation", "dev", "eval", "val-set")],
        *[(name, "test") for name in ("test", "Testing", "testset")],
        *[(name, None) for name in ("extra", "trains", "set", "", "testament", "x_train")],
    ],
)
def test_a_split_is_told_by_its_name_in_either_case(name, split):
    assert split_of(name) == split


@pytest.mark.parametrize(
    "names", [("Train", "Test"), ("TRAIN", "TEST"), ("training", "testing"), ("train_set", "Test")]
)
def test_split_folders_of_any_case_are_splits(tmp_path, names):
    for number, name in enumerate(names):
        classes(tmp_path / name, count=3 - number, seed=number)
    splits = load(str(tmp_path))
    assert splits.train.classes == CLASSES
    assert sizes(splits) == {"train": 6, "test": 4}
    assert splits.notices == ()


def test_without_a_train_split_the_others_are_no_classes(tmp_path):
    for name in ("val", "Test"):
        classes(tmp_path / name)
    with pytest.raises(PracError, match="no train split was found beside Test, val: expected"):
        load(str(tmp_path))
    classes(tmp_path)  # Classes beside a split are no train split either.
    with pytest.raises(PracError, match="no train split was found"):
        load(str(tmp_path))


@pytest.mark.parametrize("name", ["train", "Test", "dev"])
@pytest.mark.parametrize("below", [".", "images"])
def test_a_class_may_be_called_like_a_split(tmp_path, name, below):
    for number, folder in enumerate(("bus", "plane", name)):
        pictures(tmp_path / folder / below, seed=number)
    assert load(str(tmp_path)).train.classes == tuple(sorted(("bus", "plane", name)))


@pytest.mark.parametrize("inner", ["data", "images"])
def test_splits_one_folder_further_down_are_found(tmp_path, inner):
    classes(tmp_path / inner / "Train", count=3)
    classes(tmp_path / inner / "Val", seed=1)
    splits = load(str(tmp_path))
    assert sizes(splits) == {"train": 6, "test": 4}
    assert splits.train.classes == CLASSES
    classes(tmp_path / "masks" / "train")
    with pytest.raises(PracError, match=f"several folders hold a train split, {inner}, masks"):
        load(str(tmp_path))


def test_folders_beside_splits_are_counted(tmp_path):
    classes(tmp_path / "train")
    classes(tmp_path / "extra")
    pictures(tmp_path / "more")
    pictures(tmp_path, count=1)
    pictures(tmp_path / "train", count=1)
    (tmp_path / "notes").mkdir()
    first, second = load_data(DataConfig(str(tmp_path), val_fraction=0)).warnings[:2]
    assert first == "2 folders of pictures are not read, lying beside the splits: extra, more"
    assert second == (
        f"2 files or folders are not read, such as {tmp_path}/0.png: not in the folder of a class"
    )


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train/ant", "train/bee", "test"), "test: pictures lie in it, such as 0.png, but no"),
        (("train", "test"), "test: pictures lie in it, such as 0.png, but no folders of them"),
        (("train",), "expected train/CLASS, a folder for each class"),
        (("train/images", "test/images"), "train: 1 class, .* each: beside images there is none"),
        (("ant/train", "ant/test", "bee/train"), "ant: holds test, train: expected splits above"),
        (("train/ant", "train/bee", "val/ant", "dev/ant"), "'dev' and 'val' both name the val"),
        (("train/ant", "train/bee", "test/Ant"), "test/Ant: no class of that name in .*train"),
    ],
)
def test_layouts_that_could_be_misread_are_refused(tmp_path, folders, message):
    for number, folder in enumerate(folders):
        pictures(tmp_path / folder, seed=number)
    with pytest.raises(PracError, match=message) as error:
        load(str(tmp_path))
    assert "\n" not in str(error.value)


def test_a_folder_without_pictures_is_no_split_if_it_holds_something_else(tmp_path):
    classes(tmp_path / "train")
    classes(tmp_path / "val", seed=1)
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "plot.py").write_text("")
    splits = load(str(tmp_path))
    assert sizes(splits) == {"train": 4, "test": 4}
    assert splits.notices == (
        "1 folder is not read, called like a split and holding no pictures: evaluation",
    )
    (tmp_path / "test" / "ant").mkdir(parents=True)
    (tmp_path / "test" / "ant" / "0.heic").write_bytes(b"x")
    with pytest.raises(PracError, match=r"test/ant: no image in this class's folder"):
        load(str(tmp_path))


def test_a_table_of_labels_beside_pictures_is_named(tmp_path):
    pictures(tmp_path / "images")
    (tmp_path / "labels.csv").write_text("0.png,ant\n1.png,bee\n")
    with pytest.raises(PracError, match=r"one folder of pictures, images, beside labels\.csv"):
        load(str(tmp_path))
    archive = tmp_path / "photos.ZIP"
    archive.write_bytes(b"PK")
    with pytest.raises(PracError, match="an archive: unpack it, and give its folder"):
        load(str(archive))


def test_folders_that_look_like_splits_of_other_names_are_told_of(tmp_path):
    for number, name in enumerate(("seen", "unseen")):
        classes(tmp_path / name, seed=number)
    [told] = load(str(tmp_path)).notices
    assert told == (
        "the folders taken for classes, seen, unseen, hold folders of the same names, ant, bee: if "
        "they are splits, call them train, val and test"
    )


def test_one_class_in_two_spellings_is_told_of_and_found_again(tmp_path):
    names = ("caf\u00e9", "Ant", "ant ")
    classes(tmp_path / "train", names)
    classes(tmp_path / "test", ("cafe\u0301", "Ant", "ant "), seed=1)
    splits = load(str(tmp_path))
    assert splits.train.classes == tuple(sorted(names))
    assert splits.test.classes == splits.train.classes
    assert splits.notices == ("classes are called 'Ant' and 'ant ': are they one and the same?",)


def test_a_split_may_lack_classes_of_train(tmp_path):
    classes(tmp_path / "train", (*CLASSES, "cow"))
    classes(tmp_path / "test", ("cow",), seed=1)
    assert load(str(tmp_path)).test.labels.tolist() == [2, 2]


@pytest.fixture
def tiny(tmp_path):
    """Tiny-ImageNet's files, with the pictures of val sorted by class."""
    for number, wnid in enumerate(("n01", "n02")):
        pictures(tmp_path / "train" / wnid / "images", 3, number)
        (tmp_path / "train" / wnid / f"{wnid}_boxes.txt").write_text("0.png\t0\t0\t3\t3\n")
        pictures(tmp_path / "val" / wnid, 2, 10 + number)
    (tmp_path / "wnids.txt").write_text("n01\nn02\n")
    return tmp_path


def test_tiny_imagenet_may_have_its_val_by_class(tiny):
    splits = load(str(tiny))
    assert splits.test.labels.tolist() == [0, 0, 1, 1]
    assert splits.notices == ()
    # What moves the pictures may leave the list of them, and the folder.
    (tiny / "val" / "val_annotations.txt").write_text("0.png\tn01\t0\n")
    (tiny / "val" / "images").mkdir()
    assert load(str(tiny)).test.labels.tolist() == [0, 0, 1, 1]
    for number, wnid in enumerate(("n01", "n02")):
        pictures(tiny / "test" / wnid, 1, 20 + number)
    assert sizes(load(str(tiny))) == {"train": 6, "val": 4, "test": 2}
    pictures(tiny / "train" / "n03" / "images")
    [told] = load(str(tiny)).notices
    assert told == (
        f"1 folder of pictures is not read, wnids.txt having no such class: {tiny}/train/n03"
    )


def test_tiny_imagenet_s_own_list_comes_before_folders_beside_it(tiny):
    pictures(tiny / "val" / "images", 1, 30)
    (tiny / "val" / "val_annotations.txt").write_text("0.png\tn02\t0\n")
    splits = load(str(tiny))
    assert splits.test.labels.tolist() == [1]
    assert "its folders by class are not read" in splits.notices[0]


def test_tiny_imagenet_s_pictures_beside_its_folders_are_read_or_counted(tiny):
    pictures(tiny / "train" / "n01", 1, 40)
    pictures(tiny / "train" / "n01" / "other", 1, 41)
    pictures(tiny / "val" / "images", 3, 30)
    (tiny / "val" / "val_annotations.txt").write_text("0.png\tn02\t0\n")
    splits = load(str(tiny))
    assert splits.train.labels.tolist() == [0] * 5 + [1] * 3
    assert splits.test.labels.tolist() == [1]
    assert splits.notices[1:] == (
        f"2 files or folders are not read, such as {tiny}/val/images/1.png: not listed in "
        f"val_annotations.txt",
    )
    # As unpacked, it lies in a folder of its own.
    outer = tiny.parent / "outer"
    outer.mkdir()
    tiny.rename(outer / "tiny-imagenet-200")
    assert load(str(outer)).train.labels.tolist() == splits.train.labels.tolist()


@pytest.mark.parametrize(
    "names", [("training_set/training_set", "test_set/test_set"), ("train/images", "test/images")]
)
def test_the_classes_of_a_split_may_lie_one_folder_further_down(tmp_path, names):
    for number, name in enumerate(names):
        classes(tmp_path / name, seed=number)
    splits = load(str(tmp_path))
    assert splits.train.classes == CLASSES
    assert sizes(splits) == {"train": 4, "test": 4}


def test_a_split_of_one_class_is_not_looked_into(tmp_path):
    classes(tmp_path / "train")
    classes(tmp_path / "test" / "ant", ("left", "right"), seed=1)
    assert load(str(tmp_path)).test.labels.tolist() == [0] * 4


@pytest.mark.parametrize("place", ["root", "data/images"])
def test_the_only_folder_of_pictures_is_looked_into(tmp_path, place):
    classes(tmp_path / place)
    splits = load(str(tmp_path))
    assert splits.train.classes == CLASSES
    assert splits.notices == (
        f"the classes are the folders in {tmp_path}/{place}, the only folder of pictures there",
    )
    classes(tmp_path / "b" / "data" / "images" / "train")
    assert load(str(tmp_path / "b")).train.classes == CLASSES


@pytest.mark.parametrize(
    "folders",
    [
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("seg_train/seg_train", "seg_test/seg_test", "seg_pred"),
        ("train_data", "test_data"),
        ("TrainImages", "ValImages"),
        ("train2017", "val2017"),
        ("train_data/train", "test_data/test"),
        ("my-training", "my-validation", "my-testing"),
    ],
)
def test_folders_called_after_splits_are_no_classes(tmp_path, folders):
    for number, folder in enumerate(folders):
        names = [*CLASSES, "cow"][: 3 if number == 0 else 2]
        if folder == "seg_pred":
            pictures(tmp_path / folder)
        else:
            classes(tmp_path / folder, names, seed=number)
    with pytest.raises(PracError, match="look like splits, holding folders of pictures: call th"):
        load(str(tmp_path))


def test_flat_folders_called_after_splits_are_told_of(tmp_path):
    pictures(tmp_path / "trainA")
    pictures(tmp_path / "testA", seed=1)
    assert load(str(tmp_path)).notices == (
        "the classes testA, trainA are called like splits: are they?",
    )
    classes(tmp_path / "train_images")
    with pytest.raises(PracError, match="testA, trainA, train_images look like splits"):
        load(str(tmp_path))


def test_classes_that_speak_of_splits_among_others_are_classes(tmp_path):
    classes(tmp_path, ("test tube", "train station", "ant", "bee", "cow"))
    assert len(load(str(tmp_path)).train.classes) == 5
    assert load(str(tmp_path)).notices == ()


def test_classes_that_hold_but_folders_of_pictures_are_told_of(tmp_path):
    for number, name in enumerate(("amazon", "dslr")):
        classes(tmp_path / name / "images", seed=number)
    [told] = load(str(tmp_path)).notices
    assert told.startswith("the folders taken for classes, amazon, dslr, hold folders of the same")
    classes(tmp_path / "birds", ("owl", "tit"), seed=3)
    pictures(tmp_path / "flat", seed=4)
    [told] = load(str(tmp_path)).notices
    assert told.startswith(
        "3 of 4 folders taken for classes hold folders of pictures, such as amazon (ant, bee)"
    )


def table(path, rows=4):
    """Write a table of pictures and labels."""
    encoded = io.BytesIO()
    Image.new("RGB", (4, 4)).save(encoded, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = [row % 2 for row in range(rows)]
    images = [encoded.getvalue()] * rows
    parquet.write_table(pyarrow.table({"image": images, "label": labels}), path)


def test_a_table_beside_pictures_is_counted(tmp_path):
    classes(tmp_path / "train")
    for name in ("meta.parquet", "x/meta.parquet"):
        table(tmp_path / name)
        assert load(str(tmp_path)).notices == (
            f"1 table is not read, beside folders of pictures: {tmp_path / name}",
        )
        (tmp_path / name).unlink()
    table(tmp_path / "train" / "meta.parquet")
    (tmp_path / "test.parquet").mkdir()
    splits = load(str(tmp_path))
    assert splits.train.classes == CLASSES
    [told] = splits.notices
    assert "(.parquet 1)" in told
    table(tmp_path / "train.parquet", rows=6)
    splits = load(str(tmp_path))
    assert sizes(splits) == {"train": 6}
    told = "1 folder of pictures is not taken for classes or splits, beside tables: train"
    assert told in splits.notices


@pytest.mark.parametrize("place", [".", "default"])
def test_tables_may_lie_in_folders_called_like_splits(tmp_path, place):
    for name in ("train/0000.parquet", "train/0001.parquet", "test/0000.parquet"):
        table(tmp_path / place / name)
    assert sizes(load(str(tmp_path))) == {"train": 8, "test": 4}
    (tmp_path / place / "train" / "0000.parquet").unlink()
    with pytest.raises(PracError, match="shard 0 of 2 of the train split is missing"):
        load(str(tmp_path))
    table(tmp_path / place / "train" / "first.parquet")
    assert sizes(load(str(tmp_path))) == {"train": 8, "test": 4}


def test_of_a_table_s_file_its_folder_is_asked_for(tmp_path):
    table(tmp_path / "mine.parquet")
    with pytest.raises(PracError, match="one file of a table: give its folder") as error:
        load(str(tmp_path / "mine.parquet"))
    assert "\n" not in str(error.value)
