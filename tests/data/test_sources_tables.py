"""Tables of images: parquet folders in the Hugging Face layout, and the hub behind a stand-in."""

import io
import json
import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from prac.data.sources import LazyImages, load
from prac.errors import PracError

NAMES = ("cat", "dog", "emu")


def picture(seed=0, size=(4, 3), mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def rows(count, start=0):
    return [{"bytes": encoded(picture(start + i)), "path": None} for i in range(count)]


def features(image="image", label="label", names=NAMES):
    return {image: {"_type": "Image"}, label: {"_type": "ClassLabel", "names": list(names)}}


def write(path, columns, declared=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if declared is not None:
        metadata = {"huggingface": json.dumps({"info": {"features": declared}})}
        table = table.replace_schema_metadata(metadata)
    pq.write_table(table, path)


@pytest.fixture
def folder(tmp_path):
    """Three training and two test rows."""
    root = tmp_path / "pets"
    write(root / "train.parquet", {"image": rows(3), "label": [0, 1, 2]}, features())
    write(root / "test.parquet", {"image": rows(2, 3), "label": [2, 0]}, features())
    return root


def test_images_labels_and_class_names_are_read(folder):
    splits = load(str(folder))
    assert splits.name == "pets"
    assert splits.val is None
    assert splits.statistics is None
    assert splits.train.classes == NAMES
    assert splits.train.images.shape == (3, 3, 3, 4)
    assert np.array_equal(splits.train.images[1].permute(1, 2, 0), np.asarray(picture(1)))
    assert splits.test.labels.tolist() == [2, 0]
    assert splits.test.origin == str(folder / "test.parquet")


def test_shards_are_joined_in_order(tmp_path):
    for i in range(11):
        name = f"train-{i:05}-of-00011.parquet"
        write(tmp_path / "data" / name, {"image": rows(1, i), "label": [i % 3]}, features())
    splits = load(str(tmp_path))
    assert splits.train.labels.tolist() == [i % 3 for i in range(11)]
    assert np.array_equal(splits.train.images[10].permute(1, 2, 0), np.asarray(picture(10)))
    (tmp_path / "data" / "train-00004-of-00011.parquet").unlink()
    with pytest.raises(PracError, match="shard 4 of 11 of the train split is missing"):
        load(str(tmp_path))


def test_the_only_subfolder_with_files_is_found(tmp_path, folder):
    folder.rename(tmp_path / "plain_text")
    assert load(str(tmp_path)).train.labels.tolist() == [0, 1, 2]


def test_validation_is_kept_beside_test_and_serves_as_test_alone(folder):
    write(folder / "validation.parquet", {"image": rows(1), "label": [1]}, features())
    assert load(str(folder)).val.labels.tolist() == [1]
    (folder / "test.parquet").unlink()
    splits = load(str(folder))
    assert splits.val is None
    assert splits.test.labels.tolist() == [1]


def test_a_test_split_with_secret_labels_is_left_out(folder):
    write(folder / "test.parquet", {"image": rows(2), "label": [-1, -1]}, features())
    assert load(str(folder)).test is None


def test_without_metadata_columns_are_guessed_and_classes_numbered(tmp_path):
    columns = {"picture": rows(3), "note": ["a", "b", "c"], "labels": [0, 2, 1]}
    write(tmp_path / "train.parquet", columns)
    splits = load(str(tmp_path))
    assert splits.train.classes == ("0", "1", "2")
    assert splits.train.labels.tolist() == [0, 2, 1]


def test_plain_bytes_are_images(tmp_path):
    columns = {"image": [encoded(picture(i)) for i in range(2)], "label": [0, 1]}
    write(tmp_path / "train.parquet", columns)
    assert load(str(tmp_path)).train.images.shape == (2, 3, 3, 4)


def test_paths_are_relative_to_the_folder(tmp_path):
    picture().save(tmp_path / "a.png")
    image = pa.array(
        [{"bytes": None, "path": "a.png"}] * 2,
        pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    )
    write(tmp_path / "train.parquet", {"image": image, "label": [0, 1]})
    assert np.array_equal(
        load(str(tmp_path)).train.images[0].permute(1, 2, 0), np.asarray(picture())
    )


@pytest.mark.parametrize("kind", [pa.uint8(), pa.int64()])
def test_nested_lists_of_integers_are_pictures(tmp_path, kind):
    pixels = np.arange(24).reshape(2, 4, 3)
    column = pa.array(pixels.tolist(), pa.list_(pa.list_(kind)))
    write(tmp_path / "train.parquet", {"image": column, "label": [0, 1]})
    images = load(str(tmp_path)).train.images
    assert isinstance(images, torch.Tensor)
    assert images.dtype == torch.uint8
    assert images.tolist() == pixels[:, None].tolist()


def test_lists_of_floats_are_features(tmp_path):
    column = pa.array([[0.5, 1.0], [2.0, -1.0]], pa.list_(pa.float64(), 2))
    write(tmp_path / "train.parquet", {"x": column, "label": [0, 1]})
    images = load(str(tmp_path)).train.images
    assert isinstance(images, torch.Tensor)
    assert images.dtype == torch.float32
    assert images.tolist() == [[0.5, 1.0], [2.0, -1.0]]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([[1.0], [1.0, 2.0]], "lists of different lengths"),
        ([[1.0], None], "a list is missing"),
        ([[1.0], [None]], "a number is missing"),
    ],
)
def test_ragged_or_missing_lists_are_refused_by_column(tmp_path, lists, message):
    write(tmp_path / "train.parquet", {"x": pa.array(lists), "label": [0, 1]})
    with pytest.raises(PracError, match=rf"train\.parquet, column 'x': {message}"):
        load(str(tmp_path))


def test_several_candidates_are_refused_and_a_name_decides(tmp_path):
    declared = {**features(label="fine"), **features(label="coarse", names=("a", "b"))}
    columns = {"image": rows(2), "thumb": rows(2, 5), "fine": [0, 2], "coarse": [0, 1]}
    declared["thumb"] = {"_type": "Image"}
    write(tmp_path / "train.parquet", columns, declared)
    with pytest.raises(
        PracError, match=r"several could be \(image, thumb\): name it with --image-c"
    ):
        load(str(tmp_path))
    with pytest.raises(
        PracError, match=r"several could be \(fine, coarse\): name it with --label-c"
    ):
        load(str(tmp_path), image_column="thumb")
    splits = load(str(tmp_path), image_column="thumb", label_column="coarse")
    assert splits.train.classes == ("a", "b")
    assert np.array_equal(splits.train.images[0].permute(1, 2, 0), np.asarray(picture(5)))


def test_absent_columns_are_refused_by_name(tmp_path, folder):
    with pytest.raises(PracError, match=r"no column 'img' .*columns: image, label"):
        load(str(folder), image_column="img")
    with pytest.raises(PracError, match="no column 'y' to take the label from"):
        load(str(folder), label_column="y")
    write(tmp_path / "bare" / "train.parquet", {"a": ["x"], "b": [0.5]})
    with pytest.raises(PracError, match="which column is the image, none could be"):
        load(str(tmp_path / "bare"))
    with pytest.raises(PracError, match="column 'a': string, expected encoded images"):
        load(str(tmp_path / "bare"), image_column="a", label_column="b")
    write(folder / "test.parquet", {"picture": rows(1), "label": [0]}, features("picture"))
    with pytest.raises(PracError, match=r"test\.parquet: no column 'image'"):
        load(str(folder), image_column="image")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 3, 1], r"row 1: label 3, expected an integer 0\.\.2"),
        ([0, -1, 1], "row 1: label -1"),
        ([0, 1, None], "row 2: the label is missing"),
        ([0.0, 1.0, 2.0], r"row 0: label 0\.0 is no integer"),
        (["cat", "dog", "emu"], "row 0: label 'cat' is no integer"),
    ],
)
def test_faulty_labels_are_refused_with_file_column_and_row(folder, labels, message):
    write(folder / "train.parquet", {"image": rows(3), "label": labels}, features())
    with pytest.raises(PracError, match=rf"train\.parquet, column 'label', {message}"):
        load(str(folder))


def test_a_damaged_image_is_refused_with_file_and_row(tmp_path):
    bad = [*rows(1), {"bytes": encoded(picture())[:-40], "path": None}]
    empty = [*rows(1), {"bytes": None, "path": None}]
    for name, images in (("train-00000-of-00002", rows(3)), ("train-00001-of-00002", bad)):
        write(tmp_path / f"{name}.parquet", {"image": images, "label": [0, 1, 2][: len(images)]})
    with pytest.raises(PracError, match=r"train-00001-of-00002\.parquet, row 1: cannot decode"):
        load(str(tmp_path))
    write(tmp_path / "train-00001-of-00002.parquet", {"image": empty, "label": [0, 1]})
    with pytest.raises(
        PracError, match=r"row 1: cannot decode this image \(the row holds no image"
    ):
        load(str(tmp_path))


def test_sizes_that_differ_are_refused_with_both_rows(folder):
    images = [*rows(2), {"bytes": encoded(picture(size=(5, 5))), "path": None}]
    write(folder / "train.parquet", {"image": images, "label": [0, 1, 2]}, features())
    with pytest.raises(PracError, match=r"row 0 is 3 x 4, .*row 2 is 5 x 5: pass --image-size N"):
        load(str(folder))
    assert load(str(folder), image_size=2).test.images.shape == (2, 3, 2, 2)


def test_beyond_the_memory_limit_rows_are_decoded_on_access(folder):
    whole, lazy = load(str(folder)), load(str(folder), memory_limit=0)
    assert isinstance(lazy.train.images, LazyImages)
    assert isinstance(whole.train.images, torch.Tensor)
    assert torch.equal(torch.stack(list(lazy.train.images)), whole.train.images)


def test_faulty_files_are_refused_by_name(folder):
    whole = (folder / "train.parquet").read_bytes()
    (folder / "train.parquet").write_bytes(whole[:200])
    with pytest.raises(PracError, match=r"train\.parquet: cannot be read as parquet"):
        load(str(folder))
    (folder / "train.parquet").write_bytes(whole[:40] + b"x" * 40 + whole[80:])
    with pytest.raises(PracError, match=r"train\.parquet"):
        load(str(folder))
    (folder / "train.parquet").rename(folder / "rows.parquet")
    with pytest.raises(PracError, match=r"no train\.parquet .*found rows\.parquet, test\.parquet"):
        load(str(folder))


def test_two_sets_of_files_for_one_split_are_refused(folder):
    write(folder / "train-00000-of-00001.parquet", {"image": rows(1), "label": [0]}, features())
    with pytest.raises(PracError, match="both belong to the train split"):
        load(str(folder))


def test_an_empty_split_is_refused_by_name(folder):
    empty = pa.table({"image": rows(1), "label": [0]}).slice(0, 0)
    write(folder / "test.parquet", empty, features())
    with pytest.raises(PracError, match=r"test\.parquet: the split is empty"):
        load(str(folder))


def test_splits_of_other_classes_are_refused(folder):
    declared = features(names=("dog", "cat", "emu"))
    write(folder / "test.parquet", {"image": rows(1), "label": [0]}, declared)
    with pytest.raises(PracError, match="the class names differ from train's"):
        load(str(folder))


def test_malformed_metadata_is_refused(folder):
    table = pa.table({"image": rows(2), "label": [0, 1]})
    pq.write_table(table.replace_schema_metadata({"huggingface": "{}"}), folder / "train.parquet")
    with pytest.raises(PracError, match="Hugging Face metadata is malformed"):
        load(str(folder))


def test_shards_of_other_types_are_refused(tmp_path):
    write(tmp_path / "train-00000-of-00002.parquet", {"image": rows(1), "label": [0]})
    write(tmp_path / "train-00001-of-00002.parquet", {"image": rows(1), "label": ["a"]})
    with pytest.raises(PracError, match="shards differ in their columns"):
        load(str(tmp_path))
    write(tmp_path / "train-00001-of-00002.parquet", {"image": rows(1), "y": [0]})
    with pytest.raises(PracError, match=r"train-00001-of-00002\.parquet: no column 'label'"):
        load(str(tmp_path))


WORDS = pa.array(["b", "a"])


@pytest.mark.parametrize(
    ("one", "other", "joined"),
    [
        (pa.array([0, 1]), pa.array([1, 0], pa.int32()), [0, 1, 1, 0]),
        (pa.array([0, 1], pa.uint8()), pa.array([1, 0], pa.int64()), [0, 1, 1, 0]),
        (pa.array([0, 1]), pa.array([1.0, 0.0]), [0, 1, 1, 0]),
        (WORDS, WORDS.cast(pa.large_string()), [1, 0, 1, 0]),
        (WORDS.dictionary_encode(), WORDS, [1, 0, 1, 0]),
        (WORDS.dictionary_encode(), pa.array(["b", "b"]).dictionary_encode(), [1, 0, 1, 1]),
        (pa.array([0, 1]).dictionary_encode(), pa.array([1, 0], pa.int8()), [0, 1, 1, 0]),
    ],
)
@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_shards_that_differ_in_width_only_are_joined(tmp_path, one, other, joined, kind):
    images = [row["bytes"] for row in rows(4)]
    for i, (labels, width) in enumerate(((one, pa.binary()), (other, kind))):
        columns = {"image": pa.array(images[2 * i : 2 * i + 2], width), "label": labels}
        write(tmp_path / f"train-0000{i}-of-00002.parquet", columns)
    splits = load(str(tmp_path), label_column="label")
    assert splits.train.labels.tolist() == joined
    assert np.array_equal(splits.train.images[3].permute(1, 2, 0), np.asarray(picture(3)))


def test_shards_of_pictures_and_of_features_are_not_joined(tmp_path):
    kinds = pa.list_(pa.list_(pa.uint8())), pa.large_list(pa.list_(pa.int64()))
    for i, kind in enumerate(kinds):
        columns = {"image": pa.array([[[i, 2], [3, 4]]] * 2, kind), "label": [0, 1]}
        write(tmp_path / f"train-0000{i}-of-00002.parquet", columns)
    assert [int(image[0, 0, 0]) for image in load(str(tmp_path)).train.images] == [0, 0, 1, 1]
    floats = pa.array([[[1.0, 2.0], [3.0, 4.0]]] * 2)
    write(tmp_path / "train-00001-of-00002.parquet", {"image": floats, "label": [0, 1]})
    with pytest.raises(PracError, match=r"shards differ in their columns \('image': list"):
        load(str(tmp_path))


@pytest.mark.parametrize("limit", [8 << 30, 0])
@pytest.mark.parametrize(
    ("name", "size", "colour", "known"),
    [
        ("CIFAR-10", 32, (125, 123, 114), True),
        ("CIFAR-10", 32, (125, 123, 150), False),
        ("cifar10", 16, (125, 123, 114), False),
        ("c", 32, (125, 123, 114), False),
    ],
)
def test_statistics_are_for_the_named_set_of_the_right_shape_and_content(
    tmp_path, name, size, colour, known, limit
):
    # The mean is that of most of the pictures that are looked at: the first are others.
    pictures = [picture(0, (size, size)), *[Image.new("RGB", (size, size), colour)] * 19]
    images = [{"bytes": encoded(of), "path": None} for of in pictures]
    declared = features(names=map(str, range(10)))
    write(tmp_path / name / "train.parquet", {"image": images, "label": [0, 9] * 10}, declared)
    assert (load(str(tmp_path / name), memory_limit=limit).statistics is not None) == known


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Make `datasets.load_dataset` answer from memory; returns the dict of what the hub has."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    datasets = pytest.importorskip("datasets")
    shelf = {}

    def load_dataset(hub_id):
        if hub_id not in shelf:
            raise ConnectionError(f"Couldn't reach {hub_id}\nand more")
        assert datasets.are_progress_bars_disabled()
        return shelf[hub_id]

    def put(hub_id, declared=None, **splits):
        kinds = datasets.Features.from_dict(
            declared or features("img", names=[str(i) for i in range(10)])
        )
        shelf[hub_id] = datasets.DatasetDict(
            {
                name: datasets.Dataset.from_dict(columns, features=kinds)
                for name, columns in splits.items()
            }
        )

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return put


def test_a_hub_id_is_loaded_with_its_class_names(hub):
    hub(
        "me/pets",
        features(),
        train={"image": rows(3), "label": [0, 1, 2]},
        test={"image": rows(1, 7), "label": [1]},
        unsupervised={"image": rows(1), "label": [0]},
    )
    splits = load("hf:me/pets")
    assert splits.name == "pets"
    assert splits.train.classes == NAMES
    assert splits.test.origin == "hf:me/pets (test)"
    assert np.array_equal(splits.test.images[0].permute(1, 2, 0), np.asarray(picture(7)))


@pytest.mark.parametrize("name", ["cifar10", "hf:uoft-cs/cifar10"])
def test_a_known_name_stands_for_its_hub_id(hub, name):
    images = [{"bytes": encoded(picture(i, (32, 32))), "path": None} for i in range(2)]
    hub("uoft-cs/cifar10", train={"img": images, "label": [0, 9]})
    splits = load(name)
    assert splits.name == "cifar10"
    assert splits.statistics is not None
    assert load(name, memory_limit=0).train.images[1].shape == (3, 32, 32)


def test_cifar100_takes_the_fine_labels(hub):
    declared = {
        **features("img", "fine_label", [f"fine{i}" for i in range(100)]),
        **features("img", "coarse_label", [f"coarse{i}" for i in range(20)]),
    }
    hub(
        "uoft-cs/cifar100",
        declared,
        train={"img": rows(2), "fine_label": [99, 1], "coarse_label": [0, 1]},
    )
    assert load("cifar100").train.labels.tolist() == [99, 1]
    assert load("cifar100", label_column="coarse_label").train.classes[19] == "coarse19"


def test_a_lone_valid_split_serves_as_the_test_split(hub):
    split = {"img": rows(2), "label": [0, 1]}
    hub("zh-plus/tiny-imagenet", train=split, valid=split)
    splits = load("tiny_imagenet")
    assert splits.val is None
    assert splits.test.origin == "hf:zh-plus/tiny-imagenet (valid)"


def test_a_damaged_image_on_the_hub_is_refused_with_its_row(hub):
    hub("me/pets", train={"img": [*rows(1), {"bytes": b"x", "path": None}], "label": [0, 1]})
    with pytest.raises(PracError, match=r"hf:me/pets \(train\), row 1: cannot decode"):
        load("hf:me/pets")


def test_an_unreachable_hub_is_one_line_with_the_remedy(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PracError, match="path of a local copy") as error:
        load("mnist")
    assert "'hf:ylecun/mnist' cannot be loaded" in str(error.value)
    assert "\n" not in str(error.value)
    (tmp_path / "mnist").mkdir()
    with pytest.raises(PracError, match=r"local copy, such as \./mnist, which is there$"):
        load("mnist")


def test_a_hub_set_without_train_is_refused(hub):
    hub("me/pets", test={"img": rows(2), "label": [0, 1]})
    with pytest.raises(PracError, match=r"no split called train \(splits: test\)"):
        load("hf:me/pets")


def test_progress_bars_and_logging_are_left_as_they_were(hub):
    import datasets

    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    hub("me/pets", train={"img": rows(2), "label": [0, 1]})
    datasets.enable_progress_bars()
    load("hf:me/pets")
    assert not datasets.are_progress_bars_disabled()
    assert logger.level == level


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("Train", "Test"), {"test": 2}),
        (("training", "eval"), {"test": 2}),
        (("train", "eval", "TEST"), {"val": 2, "test": 2}),
    ],
)
def test_hub_splits_of_other_names_are_found(hub, names, shown):
    split = {"img": rows(2), "label": [0, 1]}
    hub("me/pets", **dict.fromkeys((*names, "extra"), split))
    splits = load("hf:me/pets")
    found = {"val": splits.val, "test": splits.test}
    assert {name: len(of.labels) for name, of in found.items() if of is not None} == shown
    assert splits.notices == ("1 split is not read, called by none of the names of splits: extra",)
    hub("me/pets", train=split, valid=split, dev=split)
    with pytest.raises(PracError, match="'valid' and 'dev' both name the val split"):
        load("hf:me/pets")
