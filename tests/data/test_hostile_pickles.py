"""Hostile CIFAR batches: whatever their bytes, they give plain values or one error, and soon."""

from __future__ import annotations

import io
import pickle
import pickletools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prac.data.sources.by_name import load
from prac.data.sources.cifar_pickle import load_plain
from prac.errors import PracError
from torture.budget import budget

PIXELS = 3 * 32 * 32
BATCH = {
    b"batch_label": b"training batch 1 of 5",
    b"labels": [3, 1],
    b"data": np.arange(2 * 8, dtype=np.uint8).reshape(2, 8),
    b"filenames": [b"a.png", b"b.png"],
}
VALID = [pickle.dumps(BATCH, protocol=protocol) for protocol in range(6)]
PLAIN = (bool, int, float, str, bytes, type(None))


def assert_plain(value: object) -> None:
    seen: set[int] = set()
    left = [value]
    while left:
        item = left.pop()
        if type(item) in (dict, list, tuple):
            if id(item) not in seen:
                seen.add(id(item))
                assert isinstance(item, dict | list | tuple)
                left += [*item, *item.values()] if isinstance(item, dict) else item
        elif type(item) is np.ndarray:
            assert not item.dtype.hasobject
        else:
            assert type(item) in PLAIN


def plain_or_refused(data: bytes) -> None:
    said = "file: "
    value: object = {}
    try:
        value = load_plain(data, "file")
    except PracError as error:
        said = str(error)
    assert said.startswith("file: ")
    assert "\n" not in said
    assert type(value) is dict
    assert_plain(value)


@budget(300)
@given(st.data())
def test_no_change_to_a_batch_gives_anything_but_plain_values_or_an_error(data):
    batch = bytearray(data.draw(st.sampled_from(VALID)))
    edits = st.tuples(st.integers(0, len(batch) - 1), st.integers(0, 255), st.booleans())
    for position, value, inserted in data.draw(st.lists(edits, min_size=1, max_size=6)):
        batch[position : position + (not inserted)] = bytes([value])
    plain_or_refused(bytes(batch))


OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]
ARGUMENTS = [
    b"", b"\x00", b"\x01", b"\x02\x00", b"\x01\x00\x00\x00", b"0\n", b"1\n", b"'a'\n",
    b"os\nsystem\n", b"builtins\neval\n", b"numpy\nndarray\n", b"numpy\ndtype\n",
    b"numpy.core.multiarray\n_reconstruct\n", b"_codecs\nencode\n", b"\x04data", b"K\x01",
    b"\xff\xff\xff\xff", b"\xff\xff\xff\xff\xff\xff\xff\x7f",
]  # fmt: skip


@budget(400)
@given(st.lists(st.tuples(st.sampled_from(OPCODES), st.sampled_from(ARGUMENTS)), max_size=30))
def test_no_sequence_of_opcodes_gives_anything_but_plain_values_or_an_error(steps):
    body = b"".join(code + argument for code, argument in steps)
    for data in (body + b".", b"\x80\x04}(" + body + b"u."):
        plain_or_refused(data)


# Bombs: small files that ask for much.


def laughs(depth: int = 60) -> bytes:
    """A list of ten lists of ten lists and so on: a few hundred bytes, 10**60 items."""
    out = io.BytesIO()
    out.write(b"\x80\x02]q\x000")
    for level in range(1, depth):
        out.write(b"](" + (b"h" + bytes([level - 1])) * 10 + b"eq" + bytes([level]) + b"0")
    return out.getvalue() + b"h" + bytes([depth - 1])


def labelled(labels: bytes, count: int = 2) -> bytes:
    """A batch whose labels are what a piece of a pickle leaves on the stack."""
    whole = pickle.dumps({"data": np.zeros((count, PIXELS), np.uint8)}, protocol=2)
    assert whole.endswith(b"s.")
    return whole[:-1] + b"X\x06\x00\x00\x00labels" + labels + b"s."


COLLIDING = b"".join(
    b"\x8a" + bytes([len(number)]) + number + b"N"
    for number in ((k * (2**61 - 1)).to_bytes(10, "little", signed=True) for k in range(1, 200_000))
)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(b"\x80\x02}(" + COLLIDING + b"u.", "more than 64 bits", id="equal hashes"),
        pytest.param(b"\x80\x02](" + b"N" * 3_000_000 + b"e.", "2000000 steps", id="many steps"),
        pytest.param(b"\x80\x02Nr\xff\xff\xff\x7f.", "memo index", id="far memo"),
        pytest.param(b"Np999999999999\n.", "memo index", id="far memo in text"),
        pytest.param(b"\x80\x02}]]s.", "unhashable", id="unhashable key"),
        pytest.param(b"\x80\x02}" + b"(" * 5000 + b"t" * 5000 + b".", "containers", id="deep"),
        pytest.param(b"I" + b"9" * 100_000 + b"\n.", "damaged", id="long number in text"),
        pytest.param(b"\x80\x04\x96" + bytes(8) + b".", "BYTEARRAY8", id="bytearray"),
        pytest.param(b"\x80\x04\x8f.", "EMPTY_SET", id="set"),
        pytest.param(b"\x80\x02N2.", "DUP", id="copy"),
        pytest.param(b"\x80\x02\x83\x01\x00.", "EXT2", id="registry 2"),
        pytest.param(b"\x80\x02\x84\x01\x00\x00\x00.", "EXT4", id="registry 4"),
        pytest.param(b"\x80\x05\x97.", "NEXT_BUFFER", id="buffer"),
        pytest.param(b"\x80\x04)}\x92.", "NEWOBJ_EX", id="newobj_ex"),
        pytest.param(b"\x80\x02}X\x01\x00\x00\x00acnumpy\nndarray\ns.", "unfinished", id="type"),
        pytest.param(
            b"\x80\x02}X\x01\x00\x00\x00a]cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85Ras.",
            "unfinished",
            id="a dtype in a list",
        ),
        pytest.param(b"\x80\x02}}X\x01\x00\x00\x00ab.", "damaged", id="state of a dict"),
        pytest.param(b"", "damaged", id="nothing"),
    ],
)
def test_small_files_that_ask_for_much_are_refused_soon(data, said):
    start = time.monotonic()
    with pytest.raises(PracError, match=said) as error:
        load_plain(data, "file")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    assert time.monotonic() - start < 10


def test_lists_of_lists_without_end_are_plain_values_and_take_no_time():
    data = laughs()
    value = load_plain(b"\x80\x02}X\x01\x00\x00\x00a" + data[2:] + b"s.", "file")
    assert len(value["a"]) == 10


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        pytest.param(laughs()[2:], "10 labels for 2 images", id="billion laughs"),
        pytest.param(b"](" + laughs(9)[2:] + b"K\x01e", "row 0: label list is no integer", id="in"),
        pytest.param(b"](](K\x00e](K\x01ee", "row 0: label list is no integer", id="nested"),
        pytest.param(b"]q\x00(h\x00h\x00e", "row 0: label list is no integer", id="itself"),
        pytest.param(b"](" + b"]" * 900 + b"a" * 899 + b"K\x01e", "label list is no", id="deep"),
        pytest.param(
            b"](X\xff\xff\x00\x00" + b"a" * 65535 + b"K\x01e", "label 'aaaa.*' is no i", id="long"
        ),
        pytest.param(b"](G\x7f\xf8\x00\x00\x00\x00\x00\x00K\x01e", "label is missing", id="nan"),
    ],
)
def test_labels_that_are_no_labels_are_one_short_line(tmp_path, labels, said):
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (tmp_path / name).write_bytes(labelled(labels))
    start = time.monotonic()
    with pytest.raises(PracError, match=said) as error:
        load(str(tmp_path))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("labels", [np.array(3), np.zeros((2, 2), np.int64)])
def test_labels_of_another_shape_are_refused(tmp_path, labels):
    batch = {"data": np.zeros((2, PIXELS), np.uint8), "labels": labels}
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (tmp_path / name).write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(PracError, match="'labels' is no list"):
        load(str(tmp_path))
