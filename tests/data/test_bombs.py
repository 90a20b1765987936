"""Files made to harm: each is one error, soon and in little memory, and nothing in them runs."""

from __future__ import annotations

import ast
import contextlib
import gzip
import io
import os
import pickle
import resource
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from prac.cli import main
from prac.config import DataConfig
from prac.data.sources.by_name import load
from prac.data.sources.encoded import ImageFiles
from prac.data.sources.images import decode_images
from prac.data.split import read_index_file
from prac.errors import PracError

SECONDS = 10.0


@contextlib.contextmanager
def refused(match: str, megabytes: float = 100):
    """Expect one line of PracError within seconds, and a bound on what Python allocates for it."""
    start = time.monotonic()
    tracemalloc.start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with pytest.raises(PracError, match=match) as error:
            yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert time.monotonic() - start < SECONDS
    assert peak < megabytes * 1e6
    assert grown * 1024 < megabytes * 1e6
    assert "\n" not in str(error.value)


def decode(*paths: Path, **settings):
    return decode_images(ImageFiles(paths), DataConfig(image_size=4, **settings))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *extra: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1 << 16))
    chunks = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


# Images.


@pytest.mark.parametrize("side", [10_000, 20_000, 2**31 - 1])
def test_an_image_that_claims_to_be_enormous_is_an_error_not_a_warning(tmp_path, side):
    # Between one and two times PIL's limit it would only warn.
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side))
    good = tmp_path / "good.png"
    Image.new("L", (4, 4)).save(good)
    with refused(r"bomb\.png: cannot decode this image"):
        decode(path)
    with refused(r"bomb\.png: cannot decode this image"):
        decode(good, path)
    lazy, _ = decode_images(ImageFiles([good, good]), DataConfig(image_size=4, memory_limit=0))
    good.write_bytes(png(side, side))
    with refused(r"good\.png: cannot decode this image"):
        lazy[1]


def test_a_bomb_among_others_can_be_left_out(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "good.png")
    (tmp_path / "bomb.png").write_bytes(png(10_000, 10_000))
    _, (bomb,) = decode(tmp_path / "good.png", tmp_path / "bomb.png", skip_corrupt=True)
    assert bomb.index == 1


def test_text_in_an_image_cannot_fill_the_memory(tmp_path):
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50 << 20)))
    path = tmp_path / "text.png"
    path.write_bytes(png(4, 4, *[text] * 20))
    with refused(r"text\.png: cannot decode this image"):
        decode(path)


def test_of_many_frames_only_the_first_is_read(tmp_path):
    frames = [Image.new("P", (64, 64), i % 256) for i in range(300)]
    for frame in frames:
        frame.putpalette([value for i in range(256) for value in (i, 0, 255 - i)])
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    data = (tmp_path / "a.gif").read_bytes()
    # What follows the first frames may be anything.
    (tmp_path / "a.gif").write_bytes(data[: len(data) // 2] + b"\xff" * 100)
    images, _ = decode(tmp_path / "a.gif")
    assert images[0, :, 0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_jpeg_cut_short_is_damaged(tmp_path, share):
    path = tmp_path / "a.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with refused(r"a\.jpg: cannot decode this image"):
        decode(path)


@pytest.mark.parametrize("mode", ["P", "LA", "PA", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "1"])
def test_every_mode_becomes_bytes_of_one_or_three_channels(tmp_path, mode):
    path = tmp_path / "a.tif"
    source = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    try:
        (source.convert("P").convert(mode) if mode == "PA" else source.convert(mode)).save(path)
    except (OSError, ValueError):
        pytest.skip(f"this PIL does not write {mode} as TIFF")
    images, _ = decode(path)
    assert images.shape == (1, 1 if mode in ("1", "LA") else 3, 4, 4)


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bits_of_every_format_keep_their_high_byte(tmp_path, order):
    values = np.array([[0, 255], [256, 65535]], dtype=np.uint16)
    (tmp_path / "a.pgm").write_bytes(b"P5 2 2 65535\n" + values.astype(">u2").tobytes())
    Image.fromarray(values.astype(order)).save(tmp_path / "a.tif")
    Image.fromarray(values).save(tmp_path / "a.png")
    for name in ("a.pgm", "a.tif", "a.png"):
        images, _ = decode_images(ImageFiles([tmp_path / name]), DataConfig())
        assert isinstance(images, torch.Tensor)
        assert images.tolist() == [[[[0, 0], [1, 255]]]], name


# Arrays.


def npy_header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    buffer = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def npz(path: Path, **members: bytes) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return str(path)


def array(value: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(value))
    return buffer.getvalue()


LABELS = array([0, 1])


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((10**12,), "|u1"),
        ((10**12, 10**12), "<f8"),
        ((2**32, 2**32), "|u1"),
        ((2**63, 2), "|u1"),
        ((-1, 4), "|u1"),
        ((10**12,), "<U0"),
        ((10**12, 0), "<f8"),
        ((2,), "<U100000000"),
    ],
)
def test_an_array_that_claims_more_than_there_is(tmp_path, shape, dtype):
    data = npy_header(shape, dtype) + bytes(64)
    for members in ({"x": data, "y": LABELS}, {"x": array(np.zeros((2, 2, 2), "u1")), "y": data}):
        with refused(r"bomb\.npz: cannot be read as \.npz \(an array of shape"):
            load(npz(tmp_path / "bomb.npz", **members))
    (tmp_path / "bomb.npy").write_bytes(data)
    with refused(r"bomb\.npy: cannot be read as \.npy \(an array of shape"):
        read_index_file(tmp_path / "bomb.npy", 10)


def test_arrays_that_unpack_to_more_than_the_memory_limit(tmp_path):
    path = npz(tmp_path / "bomb.npz", x=npy_header((2, 5000, 5000)) + bytes(50_000_000), y=LABELS)
    assert os.path.getsize(path) < 100_000
    with refused(r"bomb\.npz: its arrays unpack to 0\.05 GB, .* raise it with --memory-limit"):
        load(path, memory_limit=10_000_000)
    assert load(path).train.images.shape == (2, 1, 5000, 5000)


def test_arrays_that_are_not_compressed_are_read_whatever_their_size(tmp_path):
    np.savez(tmp_path / "plain.npz", x=np.zeros((2, 3, 3), "u1"), y=[0, 1])
    assert len(load(str(tmp_path / "plain.npz"), memory_limit=1).train.labels) == 2


def test_arrays_of_no_meaning_here_are_not_read(tmp_path):
    members = {"x": array(np.zeros((2, 3, 3), "u1")), "y": LABELS, "z": npy_header((10**12,))}
    assert len(load(npz(tmp_path / "a.npz", **members)).train.labels) == 2


def test_a_member_that_lies_about_its_size(tmp_path):
    path = Path(npz(tmp_path / "a.npz", x=array(np.zeros((2, 300, 300), "u1")), y=LABELS))
    data = path.read_bytes()
    size = struct.pack("<I", len(array(np.zeros((2, 300, 300), "u1"))))
    for claimed in (200, 2**31):
        path.write_bytes(data.replace(size, struct.pack("<I", claimed)))
        with refused(r"a\.npz: cannot be read as \.npz"):
            load(str(path))


def test_an_archive_in_an_archive_is_not_opened(tmp_path):
    inner = Path(npz(tmp_path / "inner.npz", x=array(np.zeros((2, 3, 3), "u1")), y=LABELS))
    with refused(r"outer\.npz: cannot be read as \.npz"):
        load(npz(tmp_path / "outer.npz", x=inner.read_bytes(), y=LABELS))
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.write(inner, "x")
        archive.write(inner, "y")
    with refused(r"other\.npz: it holds nothing"):
        load(str(tmp_path / "other.npz"))


# Archives of CIFAR.


def tar(path: Path, *members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> str:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size, member.type = len(data), kind
            archive.addfile(member, io.BytesIO(data))
    return str(path)


def test_an_archive_that_unpacks_without_end(tmp_path):
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(50):
            file.write(bytes(10_000_000))
    with refused(r"bomb\.tar\.gz: unpacks to more than \d+ MB", megabytes=1000):
        load(str(path))


def test_an_archive_of_too_many_files(tmp_path):
    members = [(f"c/{i}", b"") for i in range(1200)]
    with refused(r"many\.tar\.gz: holds more than 1000 files"):
        load(tar(tmp_path / "many.tar.gz", *members))


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_headers_of_headers_without_end(tmp_path, kind):
    blocks = []
    for _ in range(3000):
        member = tarfile.TarInfo("long")
        member.type, member.size = kind, 0
        blocks.append(member.tobuf(tarfile.GNU_FORMAT))
    with gzip.open(tmp_path / "deep.tar.gz", "wb") as file:
        file.write(b"".join(blocks) + bytes(1024))
    with refused(r"deep\.tar\.gz: "):
        load(str(tmp_path / "deep.tar.gz"))


def test_a_header_cannot_claim_to_be_long(tmp_path):
    member = tarfile.TarInfo("long")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 8 << 30
    with gzip.open(tmp_path / "long.tar.gz", "wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    with refused(r"long\.tar\.gz: "):
        load(str(tmp_path / "long.tar.gz"))


@pytest.mark.parametrize("position", [0.3, 0.6, 0.9])
def test_a_damaged_archive(tmp_path, position):
    noise = np.random.default_rng(0).bytes(100_000)
    path = Path(tar(tmp_path / "a.tar.gz", ("c/data_batch_1", noise)))
    data = bytearray(path.read_bytes())
    start = int(position * len(data))
    data[start : start + 64] = b"\xff" * 64
    path.write_bytes(data)
    with refused(r"a\.tar\.gz: "):
        load(str(path))


def test_an_unpacked_file_that_is_too_large(tmp_path):
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        with open(tmp_path / name, "wb") as file:
            file.truncate(10 << 40)
    with refused(r"data_batch_1: is too large for a file of CIFAR"):
        load(str(tmp_path))


# Parquet.


def test_rows_that_unpack_to_more_than_the_memory_limit(tmp_path):
    image = os.urandom(1 << 16)
    table = pa.table({"image": [image] * 4000, "label": [0, 1] * 2000})
    pq.write_table(table, tmp_path / "train.parquet", compression="zstd")
    assert os.path.getsize(tmp_path / "train.parquet") < 500_000
    with refused(r"train\.parquet: unpacks to more than 0\.05 GB", megabytes=300):
        load(str(tmp_path), memory_limit=50_000_000)


def test_no_damage_to_a_parquet_file_raises_another_error(tmp_path):
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"image": [b"x" * 50] * 10, "label": list(range(10))}), path)
    whole = path.read_bytes()
    footer = struct.unpack("<I", whole[-8:-4])[0]
    random = np.random.default_rng(0)
    for attempt in range(150):
        data = bytearray(whole)
        # In the footer stands what the file claims of itself.
        first = len(data) - 8 - footer if attempt % 3 else 0
        for position in random.integers(first, len(data), 3):
            data[position] = random.choice([0xFF, 0x7F, 0x80, 0x01])
        path.write_bytes(data)
        with refused(r"train\.parquet", megabytes=500):
            load(str(tmp_path))


@pytest.mark.parametrize("names", [3, {"a": 1}, "cat"])
def test_class_names_that_are_no_list(tmp_path, names):
    import json

    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"image": [b"x", b"y"], "label": [0, 1]}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "train.parquet")
    with refused("column 'label': its class names are no list"):
        load(str(tmp_path))


# Nothing that is read is run.


class Runs:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_a_pickle_in_place_of_any_file_runs_nothing(tmp_path, capsys):
    target = tmp_path / "ran"
    evil = pickle.dumps(Runs(target))
    buffer = io.BytesIO()
    torch.save(Runs(target), buffer)
    for number, content in enumerate((evil, buffer.getvalue())):
        for suffix in (".npy", ".npz", ".safetensors", ".tar.gz", ".tar", ".yaml", ".parquet"):
            path = tmp_path / f"evil{number}{suffix}"
            path.write_bytes(content)
            for arguments in (
                ["inspect", str(path)],
                ["retrain", str(path)],
                ["find", "--data", str(path)],
                ["find", "--val-indices", str(path)],
                ["find", "--subset", str(path)],
                ["find", "--config", str(path)],
            ):
                assert main([*arguments, *(["--quiet"] * (arguments[0] != "inspect"))]) == 2
                (line,) = capsys.readouterr().err.splitlines()
                assert line.startswith("prac: error: ")
    for name, objects in (("x", "x_train"), ("y", "y_train")):
        arrays = {"x_train": array(np.zeros((2, 3, 3), "u1")), "y_train": LABELS, "classes": LABELS}
        arrays[objects] = npy_header((2,), "|O") + evil
        with refused("holds Python objects"):
            load(npz(tmp_path / f"{name}.npz", **arrays))
    (tmp_path / "objects.npy").write_bytes(npy_header((2,), "|O") + evil)
    with refused(r"objects\.npy: cannot be read"):
        read_index_file(tmp_path / "objects.npy", 3)
    assert not target.exists()


@pytest.mark.parametrize(
    "text",
    [
        "epochs: !!python/object/apply:os.mkdir [{target}]",
        "!!python/object/apply:os.mkdir [{target}]",
        "data: !!python/object/new:os.mkdir [{target}]",
    ],
)
def test_yaml_that_asks_for_a_call_runs_nothing(tmp_path, capsys, text):
    target = tmp_path / "ran"
    (tmp_path / "evil.yaml").write_text(text.format(target=target))
    assert main(["find", "--config", str(tmp_path / "evil.yaml")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(text.format(target=target))
    assert main(["inspect", str(tmp_path / "run")]) == 2
    assert not target.exists()


SOURCE = Path(__file__).parents[2] / "src"
RUNS_CODE = {
    "eval", "exec", "compile", "pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load",
    "marshal.loads", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "joblib.load", "os.system",
}  # fmt: skip


def test_the_package_calls_nothing_that_runs_what_it_reads():
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call):
                # A function's own source is compiled to be compared, and not run.
                compares = path.name == "syntax.py" and ast.unparse(node.func) == "compile"
                if ast.unparse(node.func) in RUNS_CODE and not compares:
                    found.append(where)
                for keyword in node.keywords:
                    if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
                        found.append(where)
            elif isinstance(node, ast.ImportFrom) and node.module in ("pickle", "marshal", "yaml"):
                found.append(where)
            elif isinstance(node, ast.Import):
                names = {alias.name for alias in node.names} & {"pickle", "marshal", "dill"}
                if names and path.name != "cifar_pickle.py":
                    found.append(where)
    assert found == []
