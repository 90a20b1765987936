"""Bytes on disk: packed masks, tensor files of the wrong kind or damaged, atomic writes, locks."""

import errno
import fcntl
import json
import math
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import time

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prac.errors import Damaged, PracError
from prac.io import (
    TYPES,
    append,
    cut,
    files,
    kind_of,
    pack,
    read_json,
    read_settings,
    read_tensors,
    write_atomic,
    write_json,
    write_tensors,
)
from prac.io.container import content_of, made_header
from prac.io.store import FORMAT, unpacked
from prac.runs.lock import Lock


@given(st.lists(st.integers(0, 5), max_size=4).map(tuple), st.integers(0, 99))
def test_a_mask_packs_into_an_eighth_and_comes_back(shape, seed):
    mask = torch.randint(2, shape, generator=torch.Generator().manual_seed(seed)).bool()
    packed = pack(mask)
    assert packed.dtype == torch.uint8
    assert packed.shape == (-(-mask.numel() // 8),)
    again = unpacked({"m": packed}, "m", shape, "f")
    assert again.dtype == torch.bool
    assert torch.equal(again, mask)


def test_a_mask_that_is_not_laid_out_in_order_packs_by_index():
    mask = torch.rand(3, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    assert torch.equal(pack(mask.t()), pack(mask.t().contiguous()))


def tensors():
    return {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(3), "c": torch.ones(0, 2)}


def written(path, **header):
    write_tensors(path, tensors(), "ticket", {"level": 3, **header})
    return path


def test_tensors_and_header_come_back(tmp_path):
    path = written(
        tmp_path / "new folder" / "file", list=[1, [2]], tuple=(1,), counts={10: 1, 9: 2}
    )
    found, header = read_tensors(path, "ticket")
    assert found.keys() == tensors().keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors().items())
    assert header["level"] == 3
    # As JSON has them.
    assert (header["tuple"], header["counts"]) == ([1], {"10": 1, "9": 2})


def test_tied_and_strided_tensors_are_stored_each_for_itself(tmp_path):
    base = torch.arange(6.0).view(2, 3)
    write_tensors(tmp_path / "f", {"a": base, "b": base, "t": base.t()}, "ticket", {})
    found, _ = read_tensors(tmp_path / "f", "ticket")
    assert torch.equal(found["a"], base)
    assert torch.equal(found["b"], base)
    assert torch.equal(found["t"], base.t())


@st.composite
def any_tensors(draw):
    """Draw tensors of all types and some shapes, by names of any kind."""
    letters = st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="./\\")
    names = st.lists(st.text(letters, min_size=1, max_size=3).map(".".join), unique=True)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    made = {}
    for name in draw(names):
        dtype = draw(st.sampled_from(list(TYPES.values())))
        shape = draw(st.sampled_from([(), (0,), (1,), (2, 3), (3, 0, 2), (5,)]))
        size = (*shape, dtype.itemsize)
        values = torch.randint(2, size, dtype=torch.uint8, generator=generator)
        made[name] = values.view(dtype).reshape(shape)
    return made


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(any_tensors(), st.text(max_size=20))
def test_a_file_is_to_the_byte_what_safetensors_makes(tmp_path, made, text):
    write_tensors(tmp_path / "f", made, "ticket", {"text": text})
    content = (tmp_path / "f").read_bytes()
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    assert content == safetensors.torch.save(made, metadata)
    found = safetensors.torch.load(content)
    assert {n: (t.dtype, t.shape) for n, t in found.items()} == {
        n: (t.dtype, t.shape) for n, t in made.items()
    }
    ours, _ = read_tensors(tmp_path / "f", "ticket")
    for name, tensor in made.items():
        for other in (found[name], ours[name]):
            assert bytes(content_of(other)) == bytes(content_of(tensor))


def test_a_header_is_laid_out_as_safetensors_does_whatever_the_metadata():
    texts = ["", "é\u2028\U0001f600", '"\\/\b\f\n\r\t\x00\x1f\x7f']
    for text in texts:
        whole = safetensors.torch.save(tensors(), {"prac": text})
        header, order = made_header(tensors(), {"prac": text})
        assert whole.startswith(header)
        assert int.from_bytes(whole[:8], "little") == len(header) - 8
        assert order == ["b", "a", "c"]


def test_tensors_are_written_from_where_they_lie(tmp_path):
    large = torch.zeros(8_000_000)
    write_tensors(tmp_path / "f", {"w": large[:10]}, "ticket", {})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write_tensors(tmp_path / "f", {str(i): large for i in range(8)}, "ticket", {})
    # 256 MB, of which not one tensor is copied; in KiB, on Linux.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16_000


def test_the_same_content_gives_the_same_bytes(tmp_path):
    reordered = dict(reversed(tensors().items()))
    write_tensors(tmp_path / "other", reordered, "ticket", {"z": 1, "level": 3})
    assert written(tmp_path / "f", z=1).read_bytes() == (tmp_path / "other").read_bytes()


def refused(path, kind="ticket", error=PracError):
    with pytest.raises(error) as caught:
        read_tensors(path, kind)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_of_another_kind_is_refused_by_name(tmp_path):
    assert "is a ticket: expected a subset" in refused(written(tmp_path / "f"), "subset")


def test_a_newer_format_is_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr("prac.io.store.FORMAT", FORMAT + 1)
    path = written(tmp_path / "f")
    monkeypatch.undo()
    assert f"has format {FORMAT + 1}, this prac reads format {FORMAT}: update" in refused(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_someone_else_s_safetensors_file_is_refused(tmp_path, metadata):
    path = tmp_path / "f"
    path.write_bytes(safetensors.torch.save({"w": torch.ones(1)}, metadata))
    assert "not one of prac's: expected a ticket file" in refused(path)


@pytest.mark.parametrize("text", ["not json", "[]", '{"kind": "ticket"}', "[" * 10**5])
def test_a_header_that_is_none_is_damage(tmp_path, text):
    path = tmp_path / "f"
    path.write_bytes(safetensors.torch.save({"w": torch.ones(1)}, {"prac": text}))
    assert "is damaged: its header" in refused(path, error=Damaged)


def test_what_is_no_tensor_file_is_refused(tmp_path):
    assert "there is no such file" in refused(tmp_path / "absent")
    assert "is a folder: expected a ticket file" in refused(tmp_path)
    expected = (
        "is a file that prac does not know: expected a ticket file; prac find writes them to "
        "levels/*/ticket.safetensors"
    )
    long = (2**24 + 8).to_bytes(8, "little") + bytes(2**24 + 8)
    for content in (b"", b"PK\x03\x04 a zip", b"{}", b"\xff" * 64, long):
        for name in ("f", "f.json", "note.txt"):
            (tmp_path / name).write_bytes(content)
            assert refused(tmp_path / name, error=Damaged) == f"{tmp_path / name}: {expected}"
        path = tmp_path / "f.safetensors"
        path.write_bytes(content)
        told = "it is not a whole ticket file|its header has 16777224 bytes: expected at most"
        assert re.search(f"is damaged: ({told})", refused(path, error=Damaged))


def test_the_kind_of_what_is_no_tensor_file_is_not_told(tmp_path):
    (tmp_path / "note.txt").write_text("To do: nothing, and that for quite a while")
    with pytest.raises(Damaged, match=r"is a file that prac does not know: expected a ticket or s"):
        kind_of(tmp_path / "note.txt")


def test_a_tensor_file_of_another_name_is_damaged_where_its_header_tells_what_it_was(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(written(path).read_bytes()[:-1])
    assert "is damaged: it is not a whole ticket file" in refused(path, error=Damaged)


def test_a_truncated_file_is_refused_at_any_length(tmp_path):
    whole = written(tmp_path / "f").read_bytes()
    for length in {0, 1, 7, 8, 9, len(whole) // 2, len(whole) - 24, len(whole) - 1}:
        (tmp_path / "f").write_bytes(whole[:length])
        refused(tmp_path / "f")


def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path):
    path = written(tmp_path / "f")
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        refused(path)


def test_a_write_replaces_the_file_whole_with_ordinary_rights(tmp_path):
    path = tmp_path / "deep" / "er" / "f"
    mask = os.umask(0o027)
    try:
        write_atomic(path, b"old")
        write_atomic(path, b"new")
    finally:
        os.umask(mask)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(path.parent) == ["f"]


@pytest.mark.parametrize("step", ["open", "write", "fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "f"
    write_atomic(path, b"old")

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(PracError, match=r"f: cannot be written: No space left .*: free some room"):
        write_atomic(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_content_is_on_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    order = []
    for name in ("write", "fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *a, _real=real, _name=name: (order.append(_name), _real(*a))[1]
        )
    write_atomic(tmp_path / "f", b"x")
    assert order == ["write", "fsync", "replace", "fsync"]
    order.clear()
    append(tmp_path / "f", b"y")
    assert order == ["write", "fsync", "fsync"]
    cut(tmp_path / "f", 1)
    assert (tmp_path / "f").read_bytes() == b"x"


def test_new_folders_are_on_disk_before_what_is_in_them(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(files, "_sync_folder", synced.append)
    write_atomic(tmp_path / "a" / "b" / "f", b"x")
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]


def test_a_write_that_comes_in_parts_is_whole(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, content: real(fd, content[:3]))
    write_atomic(tmp_path / "f", b"0123456789")
    append(tmp_path / "f", b"abcdefg")
    assert (tmp_path / "f").read_bytes() == b"0123456789abcdefg"


def test_numbers_that_are_not_finite_are_null_in_json(tmp_path):
    path = tmp_path / "found.json"
    write_json(path, {"loss": math.nan, "each": (1.0, -math.inf, {"deep": [math.inf]}), "n": 2**60})
    assert read_json(path) == {"loss": None, "each": [1.0, None, {"deep": [None]}], "n": 2**60}
    assert "NaN" not in path.read_text()


def test_json_comes_back_and_faults_name_the_file(tmp_path):
    path = tmp_path / "f.json"
    write_json(path, {"b": [1, 0.5, None], "a": "é"})
    assert read_json(path) == {"b": [1, 0.5, None], "a": "é"}
    path.write_text("{")
    with pytest.raises(PracError, match=r"f\.json: is not JSON"):
        read_json(path)
    path.write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(PracError, match=r"f\.json: is not JSON"):
        read_json(path)
    with pytest.raises(PracError, match=r"absent: there is no such file: expected a JSON"):
        read_json(tmp_path / "absent")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [", "is not YAML"),
        (b"\xff\xfe\xfd", "is not YAML"),
        (b"- 1", "expected a mapping"),
        (b"a: &x [1]\nb: *x", "is not YAML: it has an alias"),
        (b"[" * 10**5, "is not YAML: it is nested too deep"),
        (b"a: 2020-02-31", "is not YAML"),
        (b"a: !!python/object/apply:os.system [x]", "is not YAML"),
        (b"a: " + b"1" * 2**25, "has more than"),
    ],
)
def test_settings_that_cannot_be_read_are_refused(tmp_path, content, message):
    with pytest.raises(PracError, match="is not a run folder"):
        read_settings(tmp_path)
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(PracError, match=rf"config\.yaml: {message}"):
        read_settings(tmp_path)


HOLD = """
import sys, time
from pathlib import Path
from prac.runs.lock import Lock
with Lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
TRY = """
import sys
from pathlib import Path
from prac.errors import PracError
from prac.runs.lock import Lock
try:
    with Lock(Path(sys.argv[1])):
        print("held")
except PracError as error:
    print(error)
"""


def attempt(folder):
    command = [sys.executable, "-c", TRY, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_second_process_is_refused_until_the_first_lets_go(tmp_path):
    folder = tmp_path / "run"
    with Lock(folder):
        refusal = attempt(folder)
        assert refusal.startswith(f"{folder}: process {os.getpid()} on ")
        assert "is working in this folder: wait for it, or choose another" in refusal
        # The refused one has not taken the first one's name away.
        assert attempt(folder) == refusal
    assert attempt(folder) == "held"


def test_a_killed_process_holds_nothing(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(PracError, match=f"process {holder.pid} on .* is working"),
            Lock(tmp_path),
        ):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with Lock(tmp_path):
        assert f"process {os.getpid()} on " in (tmp_path / ".lock").read_text()


def test_a_process_forked_under_a_hold_does_not_share_it(tmp_path):
    with Lock(tmp_path):
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.write(write, b"x")
            time.sleep(60)
            os._exit(0)
        os.read(read, 1)
    try:
        # The child lives on, as a loading process does for seconds after its parent was killed.
        with Lock(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(PracError, match=r"cannot be locked .No locks available.: choose"):
        Lock(tmp_path).__enter__()


def test_an_error_inside_gives_the_hold_up(tmp_path):
    with pytest.raises(ZeroDivisionError), Lock(tmp_path):
        1 / 0  # noqa: B018
    with Lock(tmp_path):
        pass


def test_the_header_is_readable_without_prac(tmp_path):
    path = written(tmp_path / "f")
    with safetensors.safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["prac"])
    assert (header["kind"], header["format"], header["level"]) == ("ticket", FORMAT, 3)
