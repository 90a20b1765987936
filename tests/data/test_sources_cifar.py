"""CIFAR as distributed, and pickles that try to do more than hold data."""

import contextlib
import io
import os
import pickle
import tarfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prac.data.sources.by_name import load
from prac.data.sources.cifar_pickle import load_plain
from prac.errors import PracError

PIXELS = 3 * 32 * 32


def pixels(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, PIXELS), dtype=np.uint8)


def python2(value):
    """Pickle as Python 2 did: protocol 2 where strings, pixels among them, are byte strings."""
    out = io.BytesIO()
    out.write(b"\x80\x02")
    memo = 0

    def text(data):
        out.write(b"T" + len(data).to_bytes(4, "little") + data)

    def put():
        nonlocal memo
        out.write(b"q" + bytes([memo % 256]))
        memo += 1

    def write(value):
        if isinstance(value, bytes):
            text(value)
        elif isinstance(value, int):
            out.write(b"J" + value.to_bytes(4, "little", signed=True))
        elif isinstance(value, list):
            out.write(b"]")
            put()
            out.write(b"(")
            for item in value:
                write(item)
            out.write(b"e")
        elif isinstance(value, dict):
            out.write(b"}")
            put()
            out.write(b"(")
            for key, item in value.items():
                write(key)
                write(item)
            out.write(b"u")
        else:
            out.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85")
            text(b"b")
            out.write(b"\x87R(K\x01")
            for n in value.shape:
                write(n)
            out.write(b"\x86cnumpy\ndtype\n")
            text(b"u1")
            out.write(b"K\x00K\x01\x87R(K\x03")
            text(b"|")
            out.write(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
            text(value.tobytes())
            out.write(b"tb")

    write(value)
    out.write(b".")
    return out.getvalue()


def python3(protocol):
    return lambda value: pickle.dumps(value, protocol=protocol)


def cifar10_python(dump=python2, per_batch=4):
    """Contents by file name; labels run 0, 1, 2, 3 in each batch."""
    files = {
        "batches.meta": dump({b"label_names": [f"class{i}".encode() for i in range(10)]}),
        "readme.html": b"none",
    }
    for seed, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        files[name] = dump(
            {
                b"batch_label": name.encode(),
                b"labels": list(range(per_batch)),
                b"data": pixels(per_batch, seed),
                b"filenames": [b"x.png"] * per_batch,
            }
        )
    return files


def cifar100_python(dump=python2):
    files = {
        "meta": dump(
            {
                b"fine_label_names": [f"fine{i}".encode() for i in range(100)],
                b"coarse_label_names": [f"coarse{i}".encode() for i in range(20)],
            }
        )
    }
    for seed, name in enumerate(("train", "test")):
        files[name] = dump(
            {b"fine_labels": [99, 7], b"coarse_labels": [1, 2], b"data": pixels(2, seed)}
        )
    return files


def cifar10_binary():
    files = {"batches.meta.txt": "\n".join(f"class{i}" for i in range(10)).encode() + b"\n\n"}
    for seed, name in enumerate([*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]):
        labels = np.arange(4, dtype=np.uint8)[:, None]
        files[name] = np.hstack([labels, pixels(4, seed)]).tobytes()
    return files


def cifar100_binary():
    files = {"fine_label_names.txt": "\n".join(f"fine{i}" for i in range(100)).encode()}
    for seed, name in enumerate(("train.bin", "test.bin")):
        labels = np.array([[1, 99], [2, 7]], dtype=np.uint8)
        files[name] = np.hstack([labels, pixels(2, seed)]).tobytes()
    return files


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return str(folder)


def archive(path, files, top="cifar"):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return str(path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "files",
    [
        pytest.param(cifar10_python(), id="python 2"),
        pytest.param(cifar10_python(python3(2)), id="python 3, protocol 2"),
        pytest.param(cifar10_python(python3(4)), id="python 3, protocol 4"),
        pytest.param(cifar10_binary(), id="binary"),
    ],
)
def test_cifar10_is_read_in_every_form(tmp_path, files, packed):
    path = archive(tmp_path / "c.tar.gz", files) if packed else write(tmp_path / "c", files)
    splits = load(path)
    assert splits.name == "cifar10"
    assert splits.train.images.shape == (20, 3, 32, 32)
    assert splits.train.images.dtype == torch.uint8
    assert np.array_equal(splits.train.images[4:8].reshape(4, -1), pixels(4, seed=1))
    assert splits.train.labels.tolist() == [0, 1, 2, 3] * 5
    assert isinstance(splits.test.images, torch.Tensor)
    assert np.array_equal(splits.test.images.reshape(4, -1), pixels(4, seed=5))
    assert splits.test.classes[3] == "class3"
    assert splits.statistics.std == (0.2470, 0.2435, 0.2616)
    assert splits.val is None


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("files", [cifar100_python(), cifar100_binary()])
def test_cifar100_takes_the_fine_labels(tmp_path, files, packed):
    path = archive(tmp_path / "c.tar.gz", files) if packed else write(tmp_path / "c", files)
    splits = load(path)
    assert splits.name == "cifar100"
    assert splits.train.labels.tolist() == [99, 7]
    assert splits.train.classes[99] == "fine99"
    assert splits.statistics.mean == (0.5071, 0.4866, 0.4409)


def test_the_usual_subfolder_is_found(tmp_path):
    write(tmp_path / "cifar-10-batches-py", cifar10_python())
    assert load(str(tmp_path)).name == "cifar10"


def test_class_names_may_be_absent(tmp_path):
    files = cifar10_python()
    del files["batches.meta"]
    assert load(write(tmp_path, files)).train.classes == ("0", "1", "2", "3")


def test_images_can_be_resized(tmp_path):
    splits = load(write(tmp_path, cifar10_python()), image_size=8)
    assert splits.test.images.shape == (4, 3, 8, 8)
    assert splits.statistics is None


def test_a_missing_batch_is_named(tmp_path):
    files = cifar10_python()
    del files["data_batch_3"], files["test_batch"]
    with pytest.raises(PracError, match="incomplete, data_batch_3, test_batch missing"):
        load(write(tmp_path / "c", files))
    with pytest.raises(PracError, match="incomplete, data_batch_3, test_batch missing"):
        load(archive(tmp_path / "c.tar.gz", files))


def test_a_foreign_or_damaged_archive_is_refused(tmp_path):
    with pytest.raises(PracError, match="no file of CIFAR-10 or CIFAR-100 is in this archive"):
        load(archive(tmp_path / "a.tar.gz", {"notes.txt": b"none"}))
    whole = archive(tmp_path / "b.tar.gz", cifar10_python())
    with open(whole, "rb") as file:
        (tmp_path / "cut.tar.gz").write_bytes(file.read()[:-3000])
    with pytest.raises(PracError, match=r"cut\.tar\.gz: not a readable \.tar\.gz"):
        load(str(tmp_path / "cut.tar.gz"))
    (tmp_path / "text.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(PracError, match=r"text\.tar\.gz: not a readable \.tar\.gz"):
        load(str(tmp_path / "text.tar.gz"))


def test_an_archive_cannot_claim_a_huge_member(tmp_path):
    path = tmp_path / "c.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("c/data_batch_1")
        member.size = 1 << 40
        tar.addfile(member)
    with pytest.raises(PracError, match="data_batch_1 is too large"):
        load(str(path))


def test_a_link_in_an_archive_is_not_followed(tmp_path):
    path = tmp_path / "c.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("c/data_batch_1")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(member)
    with pytest.raises(PracError, match="no file of CIFAR"):
        load(str(path))


def test_a_binary_of_another_length_is_refused_by_name(tmp_path):
    files = cifar10_binary()
    files["data_batch_2.bin"] += b"x"
    with pytest.raises(PracError, match=r"data_batch_2\.bin: 12293 bytes is no multiple of 3073"):
        load(write(tmp_path, files))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({b"labels": [0]}, "no entry 'data'"),
        ({b"data": pixels(1)}, "no entry 'labels'"),
        ({b"labels": [0], b"data": pixels(1)[:, :-1]}, r"shape \(1, 3071\), expected"),
        ({b"labels": [0], b"data": b"pixels"}, "'data' is no uint8 array"),
        ({b"labels": b"0", b"data": pixels(1)}, "'labels' is no list"),
        ({b"labels": [0, 1], b"data": pixels(1)}, "2 labels for 1 images"),
        ([b"labels"], "holds a list, expected a dict"),
    ],
)
def test_a_faulty_batch_is_refused_by_name(tmp_path, batch, message):
    files = {**cifar10_python(), "data_batch_4": python2(batch)}
    with pytest.raises(PracError, match=rf"data_batch_4: .*{message}"):
        load(write(tmp_path, files))


def test_a_bad_label_is_named_by_row(tmp_path):
    batch = {b"labels": [0, 10], b"data": pixels(2)}
    with pytest.raises(PracError, match=r"test_batch, labels, row 1: label 10, expected .* 0\.\.9"):
        load(write(tmp_path, {**cifar10_python(), "test_batch": python2(batch)}))
    batch = {b"labels": [0, b"cat"], b"data": pixels(2)}
    with pytest.raises(PracError, match="row 1: label b'cat' is no integer"):
        load(write(tmp_path, {**cifar10_python(), "test_batch": python2(batch)}))


def test_class_names_that_are_none_are_refused(tmp_path):
    files = {**cifar10_python(), "batches.meta": python2({b"label_names": 3})}
    with pytest.raises(PracError, match=r"batches\.meta: no list 'label_names'"):
        load(write(tmp_path, files))


# Pickles that ask for more than data.


class Calls:
    """Pickles as a call of `function` with `arguments`, and a state to set on the result."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments, state) if state is not None else (function, arguments)

    def __reduce__(self):
        return self.reduced


class WithPersistentIds(pickle.Pickler):
    def persistent_id(self, value):
        return "anything" if value == "external" else None


def with_persistent_id(protocol):
    buffer = io.BytesIO()
    WithPersistentIds(buffer, protocol).dump({"data": [["external"]]})
    return buffer.getvalue()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("nest", [lambda x: x, lambda x: {"data": x}, lambda x: {"a": [(x,)]}])
def test_no_call_in_a_pickle_is_made(tmp_path, protocol, nest):
    target = tmp_path / "ran"
    for call in (
        Calls(os.system, f"touch {target}"),
        Calls(eval, f"open({str(target)!r}, 'w')"),
        Calls(exec, f"open({str(target)!r}, 'w')"),
        Calls(os.mkdir, str(target)),
        Calls(__import__, "os"),
        Calls(np.fromfile, str(target)),
    ):
        with pytest.raises(PracError, match="file: this pickle asks for the global"):
            load_plain(pickle.dumps(nest(call), protocol=protocol), "file")
    assert not target.exists()


@pytest.mark.parametrize(
    ("data", "asked"),
    [
        pytest.param(with_persistent_id(0), "opcode PERSID", id="persistent id, text"),
        pytest.param(with_persistent_id(4), "opcode BINPERSID", id="persistent id, binary"),
        pytest.param(b"(S'id'\nios\nsystem\n.", "opcode INST", id="inst"),
        pytest.param(b"(cos\nsystem\nS'id'\no.", "opcode OBJ", id="obj"),
        pytest.param(b"\x80\x02cnumpy\nndarray\n)\x81.", "opcode NEWOBJ", id="newobj"),
        pytest.param(b"\x80\x02\x82\x01.", "opcode EXT1", id="extension registry"),
        pytest.param(b"\x80\x02K\x01r\xff\xff\xff\xff.", "memo index", id="huge memo"),
        pytest.param(b"\x80\x02" + b"]" * 2000 + b".", "1000 containers", id="deep nest"),
        pytest.param(
            pickle.dumps({"data": np.array([{}], dtype=object)}, 2), "dtype 'O8'", id="objects"
        ),
        pytest.param(
            b"cnumpy._core.multiarray\nscalar\n.", "numpy._core.multiarray.scalar", id="scalar"
        ),
        pytest.param(b"cnumpy\nndarray.tofile\n.", "numpy.ndarray.tofile", id="dotted name"),
        pytest.param(
            b"c_codecs\nencode\n(V\\u0041\nVrot13\ntR.", "encoding other", id="another codec"
        ),
        pytest.param(
            b"\x80\x02c_codecs\nencode\nq\x00N}X\x05\x00\x00\x00_leftK\x09s\x86b.",
            "change to a function",
            id="state of a function",
        ),
        pytest.param(
            b"\x80\x02X\x40\x00\x00\x00"
            + b"a" * 64
            + b"q\x000]("
            + b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R" * 100
            + b"e.",
            "more encoded text",
            id="text without end",
        ),
    ],
)
def test_what_plain_data_has_no_need_of_is_refused(data, asked):
    with pytest.raises(PracError, match="file: ") as error:
        load_plain(data, "file")
    assert asked in str(error.value)


def test_an_array_cannot_claim_more_than_the_file_has():
    honest = python2({b"data": pixels(1)})
    shape = (1).to_bytes(4, "little") + b"J" + PIXELS.to_bytes(4, "little")
    claimed = (2**31 - 1).to_bytes(4, "little") + b"J" + PIXELS.to_bytes(4, "little")
    assert honest.count(shape) == 1
    with pytest.raises(PracError, match="file: the pickle is damaged"):
        load_plain(honest.replace(shape, claimed), "file")
    with pytest.raises(PracError, match="file: the pickle is damaged"):
        load_plain(b"\x80\x04\x8e" + (2**50).to_bytes(8, "little") + b"x.", "file")


@given(st.integers(0, 10_000))
def test_a_truncated_pickle_is_refused(position):
    whole = python2({b"labels": [1, 2], b"data": pixels(3), b"filenames": [b"a", b"b"]})
    with pytest.raises(PracError, match="file: "):
        load_plain(whole[: min(position, len(whole) - 1)], "file")


SMALL = pickle.dumps({b"labels": [1, 2], b"data": np.arange(6, dtype=np.uint8)}, protocol=2)


@given(st.binary(max_size=40), st.integers(0, len(SMALL)))
def test_no_bytes_raise_another_error(noise, position):
    for data in (noise, SMALL[:position] + noise + SMALL[position + len(noise) :]):
        with contextlib.suppress(PracError):
            assert isinstance(load_plain(data, "file"), dict)


def test_plain_values_survive():
    value = {b"a": [1, -2, 2**40, 1.5, True, None], "b": (b"x", "y"), "c": {b"d": 1}}
    loaded = load_plain(pickle.dumps(value, protocol=4), "file")
    assert loaded == {"a": value[b"a"], "b": value["b"], "c": value["c"]}


@pytest.mark.parametrize("dtype", ["u1", ">i4", "<f8", "bool"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_survive(dtype, order):
    array = np.asarray(np.arange(6).reshape(2, 3), dtype=dtype, order=order)
    loaded = load_plain(pickle.dumps({"data": array}, protocol=2), "file")["data"]
    assert np.array_equal(loaded, array)
    assert loaded.dtype == array.dtype
