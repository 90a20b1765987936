"""Image files: decoding in every mode, image folders by class, and Tiny-ImageNet's layout."""

import contextlib
import io
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from prac.config import DataConfig
from prac.data.sources import LazyImages, load
from prac.data.sources.encoded import ImageFiles
from prac.data.sources.images import decode_images
from prac.data.sources.images_decode import fit_square
from prac.errors import PracError


def picture(mode="RGB", size=(4, 3), seed=0):
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def save(path, image=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or picture()).save(path)
    return path


def decode(*paths, image_size=None, memory_limit=1 << 30):
    config = DataConfig(image_size=image_size, memory_limit=memory_limit / 1e9)
    images, damaged = decode_images(ImageFiles(paths), config)
    assert damaged == ()
    return images


@pytest.fixture
def folder(tmp_path):
    """Two classes of 4 x 3 pictures in train, test and val."""
    root = tmp_path / "pets"
    for split, count in (("train", 3), ("test", 2), ("val", 1)):
        for label, name in enumerate(("cat", "dog")):
            for i in range(count):
                save(root / split / name / f"{i}.png", picture(seed=10 * label + i))
    return root


def test_colour_is_decoded_exactly_with_channels_first(tmp_path):
    images = [picture(seed=s) for s in range(2)]
    decoded = decode(*(save(tmp_path / f"{i}.png", image) for i, image in enumerate(images)))
    assert decoded.dtype == torch.uint8
    assert decoded.shape == (2, 3, 3, 4)
    for got, image in zip(decoded, images, strict=True):
        assert np.array_equal(got.permute(1, 2, 0), np.asarray(image))


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_all_grey_gives_one_channel(tmp_path, mode):
    path = save(tmp_path / "a.png", picture(mode))
    assert np.array_equal(decode(path, path)[0, 0], np.asarray(picture(mode).convert("L")))


def test_sixteen_bits_keep_their_high_byte(tmp_path):
    values = np.array([[0, 255, 256, 65535]], dtype=np.uint16)
    assert decode(save(tmp_path / "a.png", Image.fromarray(values))).tolist() == [
        [[[0, 0, 1, 255]]]
    ]


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("P", ".png"),
        ("P", ".gif"),
        ("RGBA", ".png"),
        ("CMYK", ".jpg"),
        ("RGB", ".jpg"),
        ("RGB", ".bmp"),
    ],
)
def test_other_modes_become_colour(tmp_path, mode, suffix):
    path = save(tmp_path / f"a{suffix}", picture(mode))
    with Image.open(path) as stored:
        expected = np.asarray(stored.convert("RGB"))
    assert np.array_equal(decode(path)[0].permute(1, 2, 0), expected)


def test_a_transparent_palette_becomes_colour(tmp_path):
    path = tmp_path / "a.png"
    picture("P").save(path, transparency=b"\x00\x80\xff")
    assert decode(path).shape == (1, 3, 3, 4)


@pytest.mark.parametrize("modes", [("L", "RGB"), ("RGB", "L")])
def test_one_image_in_colour_makes_all_three_channels(tmp_path, modes):
    paths = [save(tmp_path / f"{i}.png", picture(mode)) for i, mode in enumerate(modes)]
    grey = decode(*paths)[modes.index("L")]
    assert torch.equal(grey[0], grey[1])
    assert decode(*paths).shape == (2, 3, 3, 4)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20))
def test_any_size_becomes_the_square(width, height, size):
    grey = Image.new("L", (width, height), 77)
    assert np.array_equal(np.asarray(fit_square(grey, size)), np.full((size, size), 77))


def test_the_centre_of_the_long_side_is_kept(tmp_path):
    pixels = np.zeros((6, 2), dtype=np.uint8)
    pixels[2:4] = [[10, 20], [30, 40]]
    tall = save(tmp_path / "tall.png", Image.fromarray(pixels))
    assert decode(tall, image_size=2).tolist() == [[[[10, 20], [30, 40]]]]


def test_sizes_that_differ_are_refused_naming_both(tmp_path):
    one = save(tmp_path / "one.png", picture(size=(4, 3)))
    two = save(tmp_path / "two.png", picture(size=(5, 3)))
    with pytest.raises(
        PracError, match=r"one\.png is 3 x 4, .*two\.png is 3 x 5: pass --image-size N"
    ):
        decode(one, one, two)
    assert decode(one, two, image_size=2).shape == (2, 3, 2, 2)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_damaged_images_are_refused_by_name(tmp_path, suffix):
    good = save(tmp_path / f"good{suffix}", picture(size=(60, 60)))
    data = good.read_bytes()
    for name, content in {
        "cut": data[: len(data) // 2],
        "empty": b"",
        "text": b"not a picture",
        "head": data[:12],
    }.items():
        bad = tmp_path / f"{name}{suffix}"
        bad.write_bytes(content)
        with pytest.raises(PracError, match=rf"{name}{suffix}: cannot decode this image"):
            decode(good, bad)
        with pytest.raises(PracError, match=rf"{name}{suffix}: cannot decode this image"):
            decode(bad)


@given(st.binary(max_size=60), st.integers(0, 60))
def test_no_damage_raises_another_error(noise, position):
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    data = buffer.getvalue()
    data = data[:position] + noise + data[position + len(noise) :]

    class One:
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return data

        def where(self, index):
            return "the image"

    with contextlib.suppress(PracError):
        assert decode_images(One(), DataConfig(image_size=4))[0].shape[2:] == (4, 4)


def test_a_format_that_starts_programs_is_not_opened(tmp_path):
    path = tmp_path / "a.png"
    picture().save(path, "EPS")
    with pytest.raises(PracError, match="not an image of a known format"):
        decode(path)


def test_floating_point_pixels_are_refused(tmp_path):
    path = save(tmp_path / "a.tiff", Image.fromarray(np.zeros((2, 2), dtype=np.float32)))
    with pytest.raises(PracError, match="expected 8 or 16 bits"):
        decode(path)


def test_a_missing_image_is_refused_by_name(tmp_path):
    with pytest.raises(PracError, match=r"absent\.png: no such image file"):
        decode(tmp_path / "absent.png")


def test_large_images_are_decoded_by_threads_in_order(tmp_path):
    values = [Image.new("L", (100, 100), value) for value in (1, 2)]
    paths = [save(tmp_path / f"{i}.png", image) for i, image in enumerate(values)]
    decoded = decode(*(paths * 300))
    assert decoded[:, 0, 5, 5].tolist() == [1, 2] * 300


def test_the_first_damaged_image_is_named_under_threads(tmp_path):
    good = save(tmp_path / "good.png", Image.new("L", (100, 100)))
    bad = [tmp_path / f"bad{i}.png" for i in range(2)]
    for path in bad:
        path.write_bytes(good.read_bytes()[:-30])
    with pytest.raises(PracError, match=r"bad0\.png"):
        decode(*([good] * 300), bad[0], *([good] * 300), bad[1])


def test_beyond_the_memory_limit_images_are_decoded_on_access(tmp_path):
    paths = [save(tmp_path / f"{i}.png", picture(seed=i)) for i in range(3)]
    whole = decode(*paths, memory_limit=108)
    lazy = decode(*paths, memory_limit=107)
    assert isinstance(whole, torch.Tensor)
    assert isinstance(lazy, LazyImages)
    assert lazy.shape == (3, 3, 4)
    assert len(lazy) == 3
    assert torch.equal(torch.stack(list(lazy)), whole)
    assert torch.equal(lazy[-1], whole[2])
    assert lazy[0].is_contiguous()
    with pytest.raises(IndexError):
        lazy[3]


def test_lazy_images_are_grey_only_when_all_are(tmp_path):
    grey = save(tmp_path / "grey.png", picture("L"))
    colour = save(tmp_path / "colour.png")
    assert decode(grey, grey, memory_limit=0).shape == (1, 3, 4)
    assert decode(grey, colour, memory_limit=0).shape == (3, 3, 4)
    # Grey they would fit, in colour they do not.
    assert decode(grey, colour, memory_limit=24).shape == (3, 3, 4)


def test_lazy_images_find_sizes_that_differ_on_access(tmp_path):
    one = save(tmp_path / "one.png")
    two = save(tmp_path / "two.png", picture(size=(5, 3)))
    with pytest.raises(PracError, match=r"two\.png is 3 x 5"):
        decode(one, two, memory_limit=0)[1]
    lazy = decode(one, two, memory_limit=0, image_size=2)
    assert torch.equal(torch.stack(list(lazy)), decode(one, two, image_size=2))


def test_lazy_images_are_batched_by_a_data_loader(tmp_path):
    lazy = decode(*[save(tmp_path / "a.png")] * 4, memory_limit=0)
    batches = list(torch.utils.data.DataLoader(lazy, batch_size=3))
    assert [tuple(batch.shape) for batch in batches] == [(3, 3, 3, 4), (1, 3, 3, 4)]


def test_class_folders_become_splits_and_classes(folder):
    (folder / "train" / "cat" / "notes.txt").write_text("no image")
    (folder / "train" / "cat" / ".hidden.png").write_bytes(b"no image either")
    (folder / "train" / ".cache").mkdir()
    splits = load(str(folder))
    assert splits.name == "pets"
    assert splits.train.classes == ("cat", "dog")
    assert splits.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert splits.test.labels.tolist() == [0, 0, 1, 1]
    assert splits.val.labels.tolist() == [0, 1]
    assert np.array_equal(splits.train.images[4].permute(1, 2, 0), np.asarray(picture(seed=11)))


def test_a_lone_val_folder_serves_as_the_test_split(folder):
    shutil.rmtree(folder / "test")
    splits = load(str(folder))
    assert splits.val is None
    assert splits.test.labels.tolist() == [0, 1]


def test_class_folders_alone_are_the_training_split(folder):
    splits = load(str(folder / "train"))
    assert splits.test is None
    assert len(splits.train.images) == 6


def test_class_folders_are_lazy_beyond_the_memory_limit(folder):
    images = load(str(folder), memory_limit=6 * 36 - 1).train.images
    assert isinstance(images, LazyImages)
    assert images.shape == (3, 3, 4)


def test_a_grey_test_folder_of_a_set_in_colour_gets_three_channels(folder):
    for path in (folder / "test").glob("*/*.png"):
        save(path, picture("L"))
    assert load(str(folder)).test.images.shape == (4, 3, 3, 4)
    assert load(str(folder), memory_limit=0).test.images.shape == (3, 3, 4)


def test_an_empty_class_is_refused_by_name(folder):
    (folder / "train" / "emu").mkdir()
    with pytest.raises(PracError, match=r"train/emu: no image in this class's folder"):
        load(str(folder))


def test_a_class_that_train_lacks_is_refused_by_name(folder):
    save(folder / "test" / "emu" / "0.png")
    with pytest.raises(PracError, match=r"test/emu: no class of that name in .*train"):
        load(str(folder))


def test_two_folders_for_one_split_are_refused(folder):
    save(folder / "valid" / "cat" / "0.png")
    with pytest.raises(PracError, match="'val' and 'valid' both name the val split"):
        load(str(folder))


def test_one_class_alone_is_refused(tmp_path):
    save(tmp_path / "cat" / "0.png")
    with pytest.raises(PracError, match="1 class, expected at least two"):
        load(str(tmp_path))


def test_an_empty_split_folder_is_refused_by_name(folder):
    shutil.rmtree(folder / "test")
    (folder / "test").mkdir()
    with pytest.raises(PracError, match="test: the split is empty"):
        load(str(folder))


@pytest.fixture
def tiny(tmp_path):
    """Two classes in Tiny-ImageNet-200's layout."""
    root = tmp_path / "tiny-imagenet-200"
    for seed, wnid in enumerate(("n02", "n01")):
        save(root / "train" / wnid / "images" / f"{wnid}_0.JPEG", picture(seed=seed))
    for i in range(2):
        save(root / "val" / "images" / f"val_{i}.JPEG", picture(seed=i))
    save(root / "test" / "images" / "test_0.JPEG")
    (root / "wnids.txt").write_text("n02\nn01\n")
    (root / "words.txt").write_text("n01\tcrane\nn02\tgoldfish, Carassius auratus\nn03\tnone\n")
    (root / "val" / "val_annotations.txt").write_text(
        "val_0.JPEG\tn02\t0\t1\t2\t3\nval_1.JPEG\tn01\t0\t1\t2\t3\n"
    )
    return root


def test_tiny_imagenet_takes_its_val_as_test(tiny):
    splits = load(str(tiny))
    assert splits.name == "tiny_imagenet"
    assert splits.val is None
    assert splits.train.classes == ("crane", "goldfish, Carassius auratus")
    assert splits.train.labels.tolist() == [0, 1]
    assert splits.test.labels.tolist() == [0, 1]
    # Class n01 holds val_1, class n02 val_0.
    assert isinstance(splits.test.images, torch.Tensor)
    assert isinstance(splits.train.images, torch.Tensor)
    assert torch.equal(splits.test.images, splits.train.images)
    assert splits.statistics is None


def test_tiny_imagenet_tells_classes_of_one_name_apart(tiny):
    (tiny / "words.txt").write_text("n01\tcrane\nn02\tcrane\n")
    assert load(str(tiny)).train.classes == ("crane (n01)", "crane (n02)")
    (tiny / "words.txt").unlink()
    assert load(str(tiny)).train.classes == ("n01", "n02")


def test_tiny_imagenet_faults_are_named(tiny):
    annotations = tiny / "val" / "val_annotations.txt"
    for line, message in (
        ("val_1.JPEG\tn09\t0", "val_annotations.txt, line 2: class 'n09' is not in wnids.txt"),
        ("val_1.JPEG", "line 2: class '' is not in wnids.txt"),
        ("../wnids.txt\tn01", "line 2: '../wnids.txt' is no plain file name"),
        ("val_9.JPEG\tn01", "val_9.JPEG: no such image file"),
    ):
        annotations.write_text(f"val_0.JPEG\tn02\t0\n{line}\n")
        with pytest.raises(PracError) as error:
            load(str(tiny))
        assert message in str(error.value)
    annotations.unlink()
    with pytest.raises(PracError, match=r"val_annotations\.txt: missing"):
        load(str(tiny))
    (tiny / "wnids.txt").write_text("n01\nn02\nn03\n")
    with pytest.raises(PracError, match=r"n03/images: no image here"):
        load(str(tiny))
    (tiny / "wnids.txt").write_text("\n")
    with pytest.raises(PracError, match=r"wnids\.txt: no class in it"):
        load(str(tiny))
