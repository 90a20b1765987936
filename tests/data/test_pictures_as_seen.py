"""Pictures as people see them: turned, over a background, and what is lost on the way is told."""

import struct
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from prac.config import DataConfig
from prac.data.sources.by_name import load_splits
from prac.data.sources.encoded import ImageFiles
from prac.data.sources.images import decode_images
from prac.data.sources.noticed import Noticed
from prac.errors import PracError

WHITE, BLACK = 255, 0


def colours(seed=0, size=(6, 4)):
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


def read(*paths, **settings):
    """Return the pixels of files, and what was noticed of them."""
    noticed = Noticed()
    images, _ = decode_images(ImageFiles(paths), DataConfig(**settings), noticed)
    pixels = images if isinstance(images, torch.Tensor) else torch.stack(list(images))
    return pixels, list(noticed.notices())


def icon(path, mode="RGBA", colour=BLACK, left=1):
    """Save a picture of one colour whose shape, a square, is in its transparency alone."""
    channels = np.full((6, 6, len(mode)), colour, np.uint8)
    channels[..., -1] = 0
    channels[2:4, left : left + 2, -1] = 255
    Image.fromarray(channels, mode).save(path)
    return path


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("limit", [8.0, 0.0])
def test_a_shape_in_transparency_alone_is_seen(tmp_path, mode, limit):
    paths = [icon(tmp_path / f"{left}.png", mode, left=left) for left in range(3)]
    pixels, told = read(*paths, memory_limit=limit)
    for left, picture in enumerate(pixels):
        expected = torch.full((6, 6), WHITE)
        expected[2:4, left : left + 2] = BLACK
        assert torch.equal(picture[0].long(), expected)
    assert told == [
        f"3 of 3 pictures have transparent pixels, shown over white (--background), the first of "
        f"them {paths[0]}"
    ]


def test_a_shape_that_a_background_hides_is_told_of_and_another_shows_it(tmp_path):
    path = icon(tmp_path / "a.png", colour=WHITE)
    pixels, told = read(path)
    assert pixels.unique().tolist() == [WHITE]
    assert "1 of 1 pictures are all white once shown over white" in told[1]
    pixels, told = read(path, background="black")
    assert pixels[0, 0].sum() == 4 * WHITE
    assert len(told) == 1
    pixels, told = read(path, background="none")
    assert pixels.unique().tolist() == [WHITE]
    assert "read in the colours that are stored there" in told[0]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_colours_below_wholly_clear_pixels_are_told_of(tmp_path, mode):
    channels = colours().repeat(2, 2)[..., : len(mode)]
    channels[..., -1] = 0
    Image.fromarray(channels, mode).save(tmp_path / "a.png")
    pixels, told = read(tmp_path / "a.png")
    assert pixels.unique().tolist() == [WHITE]
    assert "1 of 1 pictures are all white, being wholly transparent: --background none" in told[1]
    assert len(read(tmp_path / "a.png", background="none")[0].unique()) > 1
    # An empty picture, as it is meant.
    Image.new(mode, (4, 4), (WHITE,) * (len(mode) - 1) + (0,)).save(tmp_path / "b.png")
    assert len(read(tmp_path / "b.png")[1]) == 1


def test_half_transparent_is_half_seen(tmp_path):
    Image.fromarray(np.array([[[100, 0, 200, 128]]], np.uint8)).save(tmp_path / "a.png")
    [[red], [green], [blue]] = read(tmp_path / "a.png")[0][0, :, :, 0].tolist()
    assert (red, green, blue) == (177, 127, 227)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_opaque_pictures_are_read_bit_by_bit_as_without_the_channel(tmp_path, mode):
    picture = Image.fromarray(colours()).convert(mode)
    picture.save(tmp_path / "a.png")
    pixels, told = read(tmp_path / "a.png")
    expected = np.asarray(picture.convert(mode[:-1])).reshape(4, 6, -1)
    assert np.array_equal(pixels[0].permute(1, 2, 0), expected)
    assert told == []


@pytest.mark.parametrize("mode", ["P", "RGB", "L"])
def test_a_colour_that_stands_for_nothing_is_seen_through(tmp_path, mode):
    picture = Image.fromarray(colours()).convert(mode)
    clear = picture.getpixel((2, 1))
    picture.save(tmp_path / "a.png", transparency=clear)
    pixels, told = read(tmp_path / "a.png")
    assert pixels[0, :, 1, 2].tolist() == [WHITE] * len(pixels[0])
    assert any("transparent pixels" in line for line in told)


def turned(path, orientation, pixels, **how):
    """Save pixels as they are stored where EXIF says how to turn them to be upright."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    undone = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    image = Image.fromarray(pixels)
    stored = image if undone is None else image.transpose(Image.Transpose(undone))
    stored.save(path, exif=exif, **how)
    return path


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_exif_says(tmp_path, suffix, orientation):
    how: dict[str, Any] = {"quality": 100, "subsampling": 0} if suffix == ".jpg" else {}
    how |= {"lossless": True} if suffix == ".webp" else {}
    pixels = np.repeat(np.repeat(colours(3, (3, 2)), 8, 0), 8, 1)
    path = turned(tmp_path / f"a{suffix}", orientation, pixels, **how)
    for limit in (8.0, 0.0):
        found, told = read(path, memory_limit=limit)
        assert found.shape == (1, 3, 16, 24)
        assert np.abs(found[0].permute(1, 2, 0).numpy().astype(int) - pixels).max() <= 8
        assert len(told) == (orientation != 1)
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    assert np.array_equal(found[0].permute(1, 2, 0), expected)
    as_stored, told = read(path, exif_rotation=False)
    assert as_stored.shape[2:] == ((24, 16) if orientation > 4 else (16, 24))
    assert told == []
    if orientation > 1:
        assert not torch.equal(as_stored.flatten(), found.flatten())


def test_sizes_are_compared_as_pictures_are_seen(tmp_path):
    paths = [turned(tmp_path / f"{o}.jpg", o, colours(o, (6, 4))) for o in (6, 1, 8)]
    pixels, told = read(*paths)
    assert pixels.shape == (3, 3, 4, 6)
    assert told == [
        f"2 of 3 pictures are turned as their EXIF orientation says (not with "
        f"--no-exif-rotation), the first of them {paths[0]}"
    ]


def test_malformed_exif_turns_nothing(tmp_path):
    Image.fromarray(colours()).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + b"\xff" * 40)
    assert read(tmp_path / "a.jpg")[0].shape == (1, 3, 4, 6)


def png_of_16_bits(path, channels, below=2**16):
    """Save a PNG of 16 bits a channel, which PIL cannot write in colour; return its high bytes."""
    values = np.random.default_rng(1).integers(0, below, (4, 6, channels))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 6, 4, 16, {1: 0, 2: 4, 3: 2}[channels], 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return values >> 8


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_told_of_in_grey_and_in_colour(tmp_path, channels):
    high = png_of_16_bits(tmp_path / "a.png", channels)
    pixels, told = read(tmp_path / "a.png")
    assert np.array_equal(pixels[0].permute(1, 2, 0), high)
    assert "1 of 1 pictures have 16 bits a channel, of which the upper 8 are read" in told[0]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("limit", [8.0, 0.0])
@pytest.mark.parametrize(
    ("below", "said"),
    [
        (200, "are black in the upper 8 of their 16 bits: if the lower ones hold them"),
        (2**12, "use less than a quarter of their 16 bits' range, which leaves 64 levels at most"),
        (2**14, "use less than a quarter of their 16 bits' range, which leaves 64 levels at most"),
        (2**15, None),
    ],
)
def test_sixteen_bits_of_which_few_are_left_are_told_of(tmp_path, channels, limit, below, said):
    png_of_16_bits(tmp_path / "a.png", channels, below)
    told = read(tmp_path / "a.png", memory_limit=limit)[1]
    assert len(told) == 1 + (said is not None)
    assert said is None or f"1 of 1 pictures {said}" in told[1]


@pytest.mark.parametrize("limit", [8.0, 0.0])
def test_sixteen_bits_of_grey_with_transparency_stay_grey(tmp_path, limit):
    high = png_of_16_bits(tmp_path / "a.png", 2)
    pixels, told = read(tmp_path / "a.png", background="none", memory_limit=limit)
    assert np.array_equal(pixels[0, 0], high[..., 0])
    assert "have 16 bits a channel" in told[0]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.zeros((2, 2), np.float32), "floating-point numbers"),
        (np.zeros((2, 2), np.int32), "signed or 32-bit integers"),
        (np.zeros((2, 2), np.int16), "signed or 32-bit integers"),
    ],
)
def test_pixels_of_a_kind_that_is_not_read_are_not_called_damaged(tmp_path, values, kind):
    image = Image.fromarray(values.astype(np.int32) if values.dtype == np.int16 else values)
    how: dict[str, Any] = {"tiffinfo": {258: 16, 339: 2}} if values.dtype == np.int16 else {}
    image.save(tmp_path / "a.tif", **how)
    with pytest.raises(PracError) as error:
        read(tmp_path / "a.tif")
    assert f"a.tif: its pixels are {kind}, expected 8 or 16 bits a channel" in str(error.value)
    assert "damaged" not in str(error.value)


def profile(gamma=None, *, swapped=False):
    """Return the bytes of a colour profile: sRGB's, with another curve or red and green swapped."""
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {}
    for at in range(132, 132 + 12 * struct.unpack(">I", made[128:132])[0], 12):
        name, offset = struct.unpack(">4sI", made[at : at + 8])
        tags[name] = at, offset
    if swapped:
        (red, _), (green, _) = tags[b"rXYZ"], tags[b"gXYZ"]
        made[red : red + 4], made[green : green + 4] = b"gXYZ", b"rXYZ"
    for name in (b"rTRC", b"gTRC", b"bTRC") if gamma else ():
        _, offset = tags[name]
        made[offset : offset + 14] = struct.pack(">4sIIH", b"curv", 0, 1, round(gamma * 256))
    return bytes(made)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("limit", [8.0, 0.0])
@pytest.mark.parametrize(
    ("icc", "is_told"),
    [
        (profile(), False),
        (profile(2.2), False),  # As sRGB is often put.
        (b"none", False),
        (profile(swapped=True), True),
        (profile(1.8), True),
        (profile(1.0), True),
    ],
)
def test_profiles_that_show_other_colours_are_told_of(tmp_path, suffix, limit, icc, is_told):
    paths = [tmp_path / f"{i}{suffix}" for i in range(2)]
    Image.fromarray(colours()).save(paths[0], icc_profile=icc)
    Image.fromarray(colours()).save(paths[1])
    told = read(*paths, memory_limit=limit)[1]
    assert len(told) == is_told
    assert not is_told or told[0].startswith(
        "1 of 2 pictures have a colour profile other than sRGB, which is not applied"
    )


@pytest.mark.parametrize(("name", "is_told"), [(b"sRGB", 0), (b"Wide", 1)])
def test_a_pil_that_reads_no_profiles_goes_by_their_names(tmp_path, monkeypatch, name, is_told):
    monkeypatch.setattr("prac.data.sources.colours.features.check", lambda _: False)
    Image.fromarray(colours()).save(tmp_path / "a.png", icc_profile=b"a profile called " + name)
    assert len(read(tmp_path / "a.png")[1]) == is_told


@pytest.mark.parametrize(
    ("chunk", "data", "is_told"),
    [
        (b"gAMA", (45455,), False),
        (b"gAMA", (100000,), True),
        (b"cHRM", (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000), False),
        (b"cHRM", (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000), True),
    ],
)
def test_a_png_s_own_words_on_colours_are_told_of(tmp_path, chunk, data, is_told):
    info = PngImagePlugin.PngInfo()
    info.add(chunk, struct.pack(f">{len(data)}I", *data))
    Image.fromarray(colours()).save(tmp_path / "a.png", pnginfo=info)
    assert len(read(tmp_path / "a.png")[1]) == is_told
    info.add(b"sRGB", b"\0")
    Image.fromarray(colours()).save(tmp_path / "b.png", pnginfo=info)
    assert read(tmp_path / "b.png")[1] == []


@pytest.mark.parametrize(
    ("mode", "suffix", "said"),
    [
        ("CMYK", ".jpg", "are in CMYK, converted to RGB"),
        ("P", ".png", "have a palette, whose colours are read"),
    ],
)
def test_other_colours_are_told_of(tmp_path, mode, suffix, said):
    Image.fromarray(colours()).convert(mode).save(tmp_path / f"a{suffix}")
    [told] = read(tmp_path / f"a{suffix}")[1]
    assert said in told


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_the_first_picture_of_several_is_read(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    pixels, told = read(path)
    assert pixels[0, :, 0, 0].tolist() == [255, 0, 0]
    assert "animations or have several pages, of which only the first is read" in told[0]


def test_of_pictures_on_disk_a_sample_is_looked_at(tmp_path):
    clear, plain = icon(tmp_path / "a.png"), tmp_path / "b.png"
    Image.new("RGB", (6, 6)).save(plain)
    noticed = Noticed()
    decode_images(ImageFiles([clear, *[plain] * 599]), DataConfig(memory_limit=0), noticed)
    [told] = noticed.notices()
    assert told.startswith("1 of 200 pictures looked at have transparent pixels")


def test_counts_are_of_the_whole_data_set(tmp_path):
    for split, count in (("train", 3), ("test", 2)):
        for name in ("a", "b"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for left in range(count):
                icon(folder / f"{left}.png", left=left)
    [told] = load_splits(DataConfig(str(tmp_path))).notices
    assert told.startswith("10 of 10 pictures have transparent pixels")
    assert told.endswith(f"the first of them {tmp_path}/train/a/0.png")
