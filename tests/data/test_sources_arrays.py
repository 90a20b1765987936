"""Arrays: `.npz` files, the bundled digits, label checks, and the dispatch on names and paths."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from prac.data.sources.arrays import as_images
from prac.data.sources.assemble import RawSplit, assemble, check_labels
from prac.data.sources.by_name import load
from prac.data.sources.statistics import known_statistics
from prac.errors import PracError


def pictures(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def npz(tmp_path):
    def save(**arrays):
        path = tmp_path / "set.npz"
        np.savez(path, **arrays)
        return str(path)

    return save


def test_digits_are_split_by_class_and_scaled_to_bytes():
    splits = load("digits")
    assert splits.name == "digits"
    assert splits.val is None
    assert splits.statistics is None
    assert splits.train.images.shape == (1442, 1, 8, 8)
    assert splits.train.images.dtype == torch.uint8
    assert splits.train.images.max() == 255
    assert len(splits.train.images) + len(splits.test.images) == 1797
    train = torch.bincount(splits.train.labels)
    test = torch.bincount(splits.test.labels)
    assert torch.equal(test, (train + test) // 5)


def test_digits_are_the_same_split_each_time():
    first, second = load("digits"), load("digits")
    assert isinstance(first.test.images, torch.Tensor)
    assert isinstance(second.test.images, torch.Tensor)
    assert torch.equal(first.test.images, second.test.images)
    assert first.test.labels[:6].tolist() == [5, 0, 9, 8, 7, 1]


def test_digits_can_be_resized():
    assert load("digits", image_size=16).train.images.shape == (1442, 1, 16, 16)


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
    ],
)
def test_both_customary_namings_are_read(npz, names):
    train, test = pictures(6, 4, 5), pictures(3, 4, 5, seed=1)
    labels = (np.array([0, 1, 2, 0, 1, 2]), np.array([[2], [0], [1]]))
    splits = load(npz(**dict(zip(names, (train, labels[0], test, labels[1]), strict=True))))
    assert splits.name == "set"
    assert isinstance(splits.train.images, torch.Tensor)
    assert torch.equal(splits.train.images, torch.from_numpy(train)[:, None])
    assert splits.train.classes == ("0", "1", "2")
    assert splits.test.labels.tolist() == [2, 0, 1]
    assert splits.test.labels.dtype == torch.int64
    assert splits.val is None


def test_x_and_y_alone_are_the_training_split(npz):
    splits = load(npz(x=pictures(4, 3, 3), y=np.array([0, 1, 0, 1])))
    assert splits.test is None
    assert splits.val is None


def test_a_validation_split_beside_a_test_split_is_kept(npz):
    arrays = {f"x_{s}": pictures(2, 3, 3) for s in ("train", "val", "test")}
    labels = {f"y_{s}": np.array([0, 1]) for s in ("train", "val", "test")}
    splits = load(npz(**arrays, **labels))
    assert splits.val is not None
    assert splits.test is not None


def test_a_lone_validation_split_serves_as_the_test_split(npz):
    arrays = {f"x_{s}": pictures(2, 3, 3) for s in ("train", "val")}
    labels = {f"y_{s}": np.array([0, 1]) for s in ("train", "val")}
    splits = load(npz(**arrays, **labels))
    assert splits.val is None
    assert splits.test.labels.tolist() == [0, 1]


def test_classes_can_be_named(npz):
    path = npz(x=pictures(2, 3, 3), y=np.array([0, 1]), classes=np.array(["cat", "dog"]))
    assert load(path).train.classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 5, 4), (2, 1, 5, 4)),
        ((2, 5, 4, 3), (2, 3, 5, 4)),
        ((2, 5, 4, 1), (2, 1, 5, 4)),
        ((2, 3, 5, 4), (2, 3, 5, 4)),
        ((2, 3, 5, 5), (2, 3, 5, 5)),
        ((2, 1, 3, 3), (2, 1, 3, 3)),
        ((2, 3, 3, 1), (2, 1, 3, 3)),
    ],
)
def test_channels_are_brought_to_the_front(shape, expected):
    array = pictures(*shape)
    images = as_images(array, "x", None)
    assert tuple(images.shape) == expected
    assert images.is_contiguous()
    last = shape != expected and len(shape) == 4
    assert np.array_equal(
        images[1, 0], array[1, ..., 0] if last else array[1].reshape(expected[1:])[0]
    )


@pytest.mark.parametrize("shape", [(2, 7), (2, 5, 5, 4), (2, 3, 3, 3), (2, 1, 3, 5, 5)])
def test_a_shape_that_is_no_picture_is_refused(shape):
    with pytest.raises(PracError, match="expected pictures as"):
        as_images(pictures(*shape), "x", None)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_features_of_any_shape(npz, dtype):
    features = np.linspace(-1, 1, 24).reshape(4, 3, 2).astype(dtype)
    splits = load(npz(x=features, y=np.array([0, 1, 1, 0])))
    assert isinstance(splits.train.images, torch.Tensor)
    assert splits.train.images.dtype == torch.float32
    assert splits.train.images.shape == (4, 3, 2)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[1.0], [np.nan]]), "row 1: a value is not finite"),
        (np.array([[1e300], [1.0]]), "row 0: a value is not finite as float32"),
        (np.array([1.0, 2.0]), "expected .examples, features"),
        (np.array([[[0, 256]], [[0, 1]]]), "integers from 0 to 256"),
        (np.array([[["a"]]]), "expected uint8 pictures"),
    ],
)
def test_other_arrays_are_refused(npz, array, message):
    with pytest.raises(PracError, match=message):
        load(npz(x=array, y=np.array([0, 1])))


def test_integers_within_bytes_are_pictures():
    assert as_images(np.array([[[0, 255]]]), "x", None).tolist() == [[[[0, 255]]]]


def test_image_size_resizes_pictures_and_refuses_features(npz):
    path = npz(x=np.full((2, 6, 4, 3), 9, dtype=np.uint8), y=np.array([0, 1]))
    images = load(path, image_size=2).train.images
    assert isinstance(images, torch.Tensor)
    assert torch.equal(images, torch.full((2, 3, 2, 2), 9, dtype=torch.uint8))
    with pytest.raises(PracError, match="applies to pictures"):
        load(npz(x=np.zeros((2, 4)), y=np.array([0, 1])), image_size=2)
    with pytest.raises(PracError, match="image_size is 0: expected at least 1"):
        load("digits", image_size=0)


def test_resizing_crops_the_centre():
    wide = np.zeros((1, 2, 6), dtype=np.uint8)
    wide[0, :, 2:4] = 200
    assert as_images(wide, "x", 2).tolist() == [[[[200, 200], [200, 200]]]]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros(3)}, "it holds a, expected x_train"),
        ({"x": pictures(2, 3, 3)}, "it holds x, expected x_train"),
        (
            {
                "x_train": pictures(2, 3, 3),
                "y_train": np.array([0, 1]),
                "x_val": pictures(2, 3, 3),
            },
            "'x_val' but not 'y_val'",
        ),
        ({"x": pictures(2, 3, 3), "y": np.array([[0, 1], [1, 0]])}, r"shape \(2, 2\)"),
        (
            {"x": pictures(2, 3, 3), "y": np.array([0, 1]), "classes": np.array([1, 2])},
            "expected strings",
        ),
        (
            {"x": pictures(2, 3, 3), "y": np.array([0, 1]), "classes": np.array(["a", "a"])},
            "two classes are named 'a'",
        ),
    ],
)
def test_faulty_archives_are_refused_by_name(npz, arrays, message):
    path = npz(**arrays)
    with pytest.raises(PracError, match=message) as error:
        load(path)
    assert path in str(error.value)


def test_damaged_archives_are_refused_by_name(tmp_path, npz):
    whole = npz(x=pictures(20, 9, 9), y=np.arange(20) % 2)
    cut = tmp_path / "cut.npz"
    with open(whole, "rb") as file:
        cut.write_bytes(file.read()[:-200])
    with pytest.raises(PracError, match=r"cut\.npz: cannot be read"):
        load(str(cut))
    objects = tmp_path / "objects.npz"
    np.savez(objects, x=np.array([{}, {}], dtype=object), y=np.array([0, 1]))
    with pytest.raises(PracError, match="holds Python objects"):
        load(str(objects))
    single = tmp_path / "single.npz"
    with open(single, "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(PracError, match="a single array"):
        load(str(single))


@given(hnp.arrays(np.int16, st.integers(1, 30), elements=st.integers(-2, 6)))
def test_labels_pass_only_when_all_name_a_class(labels):
    classes = ("a", "b", "c", "d")
    bad = [row for row, label in enumerate(labels) if not 0 <= label < 4]
    if bad:
        with pytest.raises(PracError, match=rf"labels, row {bad[0]}: label {labels[bad[0]]},"):
            check_labels(labels, classes, images=len(labels), where="labels")
    else:
        checked = check_labels(labels, classes, images=len(labels), where="labels")
        assert checked.dtype == torch.int64
        assert checked.tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, None, 1], dtype=object), "f, row 1: the label is missing"),
        (np.array([0.0, np.nan, 1.0]), r"f, row 0: label 0\.0 is no integer"),
        (np.array([np.nan, 1.0, 1.0]), "f, row 0: the label is missing"),
        (np.array([0, "dog", 1], dtype=object), "f, row 1: label 'dog' is no integer"),
        (np.array([True, False, True]), "f, row 0: label True is no integer"),
        (np.array([0, 2**70, 1], dtype=object), "beyond 64 bits"),
        (np.array([0, 1]), "f: 2 labels for 3 images"),
        (np.array([0, 1, 2**64 - 1], dtype=np.uint64), f"f, row 2: label {2**64 - 1}"),
    ],
)
def test_faulty_labels_are_refused_with_row_and_value(labels, message):
    with pytest.raises(PracError, match=message):
        check_labels(labels, ("a", "b"), images=3, where="f")


def raw(count, labels, name="train", shape=(1, 2, 2), dtype=torch.uint8):
    images = torch.zeros((count, *shape), dtype=dtype)
    return RawSplit(images, np.asarray(labels), name, f"{name} labels")


@pytest.mark.parametrize(
    ("splits", "classes", "message"),
    [
        ({"train": raw(0, [])}, None, "train: the split is empty"),
        (
            {"train": raw(2, [0, 1]), "test": raw(0, [], "test")},
            None,
            "test: the split is empty",
        ),
        ({"train": raw(2, [0, 0])}, None, "1 class, expected at least two"),
        ({"train": raw(2, [1, 1])}, ("a", "b"), "every training example has the class 'b'"),
        ({"train": raw(2, [0, 70000])}, None, "row 1: label 70000 among 2 examples"),
        (
            {"train": raw(2, [0, 1]), "test": raw(1, [0], "test", (1, 3, 3))},
            None,
            "examples differ in shape: train has .1, 2, 2., test has .1, 3, 3.",
        ),
        (
            {"train": raw(2, [0, 1]), "test": raw(1, [0], "test", dtype=torch.float32)},
            None,
            "test holds torch.float32",
        ),
    ],
)
def test_faulty_splits_are_refused(splits, classes, message):
    with pytest.raises(PracError, match=message):
        assemble("set", splits, classes)


def test_a_grey_split_of_a_set_in_colour_gets_three_channels():
    splits = assemble(
        "set", {"train": raw(2, [0, 1], shape=(3, 2, 2)), "test": raw(1, [0], "test")}
    )
    assert splits.test.images.shape == (1, 3, 2, 2)


def test_statistics_need_name_shape_and_classes_to_agree():
    assert known_statistics("cifar10", (3, 32, 32), 10).mean == (0.4914, 0.4822, 0.4465)
    assert known_statistics("cifar10", (3, 24, 24), 10) is None
    assert known_statistics("cifar10", (3, 32, 32), 9) is None
    assert known_statistics("mine", (3, 32, 32), 10) is None


@pytest.mark.parametrize(("bright", "known"), [(0.13, True), (0.87, False), (0.29, False)])
def test_a_file_called_mnist_is_it_only_if_it_looks_so(tmp_path, bright, known):
    images = (np.random.default_rng(0).random((500, 28, 28)) < bright).astype(np.uint8) * 255
    np.savez(tmp_path / "mnist.npz", x_train=images, y_train=np.arange(500) % 10)
    assert (load(str(tmp_path / "mnist.npz")).statistics is not None) == known


def test_an_unknown_name_offers_the_nearest_and_the_other_forms():
    with pytest.raises(PracError, match="unknown data set 'cifar_10': did you mean") as error:
        load("cifar_10")
    assert "a path that exists or hf:owner/name is expected too" in str(error.value)


def test_a_folder_in_no_known_layout_lists_what_was_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(PracError, match=r"no known layout, looked for parquet files .*wnids\.txt"):
        load(str(tmp_path))


def test_a_file_of_unknown_kind_is_refused(tmp_path):
    path = tmp_path / "set.zip"
    path.write_bytes(b"")
    with pytest.raises(PracError, match=r"set\.zip: a file of unknown kind"):
        load(str(path))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_folder_is_refused_by_name(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0)
    try:
        with pytest.raises(PracError, match="locked: cannot be read"):
            load(str(folder))
    finally:
        folder.chmod(0o700)


def test_sources_import_no_library_before_it_is_needed():
    code = (
        "import sys, prac.data.load\n"
        "sys.exit(' '.join({'datasets', 'pyarrow', 'sklearn', 'PIL'} & set(sys.modules)) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
