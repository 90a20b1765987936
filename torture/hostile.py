"""Hostile files: small good ones, each way to spoil them, and a reader that cannot be hurt by them.

The digest of a spoilt header is computed anew where that is possible: an attacker would too.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import resource
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load, save
from torch import Tensor

from prac.algorithms import ForgettingTable
from prac.errors import PracError
from prac.io import content_digest, write_tensors
from prac.runs import Cost, RunState, Subset, Ticket
from prac.runs.checkpoint import read_state, to_tensors

Kind = Literal["ticket", "subset", "state"]
Outcome = Literal["refused", "read", "crashed"]
KINDS: tuple[Kind, ...] = ("ticket", "subset", "state")
READERS: dict[Kind, Callable[[Path], object]] = {
    "ticket": Ticket.load,
    "subset": Subset.load,
    "state": read_state,
}

GIGABYTE = 2**30

WRONG: tuple[Any, ...] = (
    None, True, False, -1, 0, 1.5, 2**63, -(2**63) - 1, 10**30, float("nan"), float("inf"), "", "1",
    "../../x", "a\nb", "\x1b[2J", "\ud800", [], [[]], {}, {"a": {}}, [None], ["a", "a"], [-1],
    [2**62, 2**62], [[1]], [["w", [-1]]], [["w", [2**40]]], [["w", [2**32, 2**32]]],
    [["w", "3"]], [["../w", [1]]], [["w", []]], {"x": "\r"},
)  # fmt: skip
"""What a field of a header may be replaced by: seldom what it should be."""


def good_file(kind: Kind) -> bytes:
    """Return the bytes of a small whole file of a kind."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "good"
        _WRITERS[kind](path)
        return path.read_bytes()


def _weights() -> dict[str, Tensor]:
    return {
        "a.weight": torch.arange(6.0).view(2, 3) / 8,
        "a.bias": torch.tensor([0.5, -0.5]),
        "n": torch.tensor(3),
    }


def _ticket(path: Path) -> None:
    origin = {
        "level": 2,
        "density": 0.5,
        "settings": {"seed": 0, "rewind": "init"},
        "classes": ["a", "b"],
        "versions": {"torch": "2"},
        "set_parts": {"cet": 3},
        "architecture": "Net-1",
        "fingerprint": "ab",
    }
    masks = {"a.weight": torch.tensor([[True, False, True], [False, True, False]])}
    Ticket(_weights(), masks, origin).save(path)


def _subset(path: Path) -> None:
    indices = torch.tensor([1, 4, 5])
    Subset(indices, indices * 10, "ab", 6, {"level": 1, "by_class": [2, 1]}).save(path)


def _state(path: Path) -> None:
    weights = _weights()
    masks = {"a.weight": torch.tensor([[True, False, True], [False, True, False]])}
    members = torch.tensor([0, 2])
    state = RunState(
        level=1,
        step=4,
        weights=weights,
        masks=masks,
        members=members,
        table=ForgettingTable.empty(3).update(members, torch.tensor([True, False])),
        optimizer={"0/momentum_buffer": torch.zeros(2, 3)},
        rewind=weights,
        candidate=masks,
        distances=(0.25,),
        epoch_losses=torch.tensor([2.5]),
        epoch_examples=2,
        epoch_correct=1,
        best=weights,
        best_accuracy=0.5,
        best_epoch=1,
        dense_predictions=torch.tensor([1, 0, 2], dtype=torch.int32),
        source=weights,
        difficulty=torch.tensor([0.5, 0.0, 1.25]),
        newest_losses=torch.tensor([0.5, torch.inf, 2.0]),
        epoch_start_losses=torch.full((3,), torch.inf),
        cost=Cost(4, 8, 3, 0.5),
    )
    tensors, header = to_tensors(state)
    write_tensors(path, tensors, "state", {**header, "metrics_bytes": 10})


_WRITERS: dict[Kind, Callable[[Path], None]] = {
    "ticket": _ticket,
    "subset": _subset,
    "state": _state,
}


@dataclass(frozen=True)
class Parts:
    """A file taken apart: its tensors, and prac's header without the digest."""

    tensors: dict[str, Tensor]
    header: dict[str, Any]

    @classmethod
    def of(cls, whole: bytes) -> Parts:
        """Return the parts of a good file's bytes."""
        outer, _ = split(whole)
        header = json.loads(outer["__metadata__"]["prac"])
        del header["digest"]
        return cls(load(whole), header)

    def whole(self) -> bytes:
        """Return the bytes of a file of these parts, its digest being right."""
        header = {**self.header, "digest": content_digest(self.tensors, self.header)}
        return save(self.tensors, {"prac": json.dumps(header)})


def split(whole: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the safetensors header of a file as JSON has it, and the bytes behind it."""
    end = 8 + int.from_bytes(whole[:8], "little")
    return json.loads(whole[8:end]), whole[end:]


def joined(header: Any, content: bytes) -> bytes:
    """Return a file of a safetensors header, as JSON or as bytes, and the bytes behind it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


def hostile_files(kind: Kind, whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield every enumerable way to spoil a good file, as (name of the fault, its bytes).

    Args:
        kind: Of the file.
        whole: The good file's bytes, as `good_file` makes them.
    """
    yield from truncated(whole)
    yield from flipped(whole)
    yield from with_wrong_fields(whole)
    yield from with_wrong_layouts(whole)
    yield from with_wrong_tensors(whole)
    other = next(one for one in KINDS if one != kind)
    yield f"a {other}", good_file(other)
    parts = Parts.of(whole)
    yield f"a {kind} called {other}", replace(parts, header={**parts.header, "kind": other}).whole()


def truncated(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a file cut off at every length, and with something behind its end."""
    for length in range(len(whole)):
        yield f"truncated to {length} bytes", whole[:length]
    yield "a byte behind the end", whole + b"\0"


def flipped(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a file with each of its bytes changed, the digest being left as it was."""
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        yield f"bit {position % 8} of byte {position} flipped", bytes(damaged)


def with_wrong_fields(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a file with each field of prac's header wrong or missing, its digest being right."""
    parts = Parts.of(whole)
    for place in _places(parts.header):
        for value in WRONG:
            header = _changed(parts.header, place, value)
            if header != parts.header:
                yield f"{'.'.join(place)} is {value!r:.40}", replace(parts, header=header).whole()
        header = _changed(parts.header, place, _REMOVED)
        yield f"{'.'.join(place)} is missing", replace(parts, header=header).whole()
    yield "an unknown field", replace(parts, header={**parts.header, "surprise": 1}).whole()
    text = json.dumps(parts.header)
    digest = content_digest(parts.tensors, parts.header)
    texts = {
        "a digest that is no text": json.dumps({**parts.header, "digest": 3}),
        "no digest": text,
        "a header that is a list": "[]",
        "a header that is no JSON": "{",
        "a field twice": f'{text[:-1]}, "digest": "{digest}", "digest": "{digest}"}}',
        "a header nested deep": "[" * 100_000,
        "a long number": f'{text[:-1]}, "digest": "{digest}", "n": {"9" * 10_000}}}',
        "a digest of text": json.dumps({**parts.header, "digest": "0" * 64}),
    }
    for name, changed in texts.items():
        yield name, save(parts.tensors, {"prac": changed})
    yield "no header of prac's", save(parts.tensors)
    yield "more metadata", save(parts.tensors, {"prac": text, "other": "x"})


def with_wrong_layouts(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a file whose safetensors header lies about its tensors."""
    header, content = split(whole)
    names = [name for name in header if name != "__metadata__"]
    for name in names:
        facts = header[name]
        start, end = facts["data_offsets"]
        lies: dict[str, Any] = {
            "shape": [[end - start], [-1], [2**63], [2**62, 2**62], [0, 2**62, 2**62], [1.0],
                      [True], "3", None, [1] * 100_000, [0, 2**64 - 1], facts["shape"] + [2]],
            "data_offsets": [[start + 1, end], [start, end + 1], [end, start], [start, 2**63],
                             [-1, end], [0, end], [start], [start, end, end], None, "0", [0, 0],
                             [2**64, 2**64], [0.0, 1.0], [start, len(content) + 8]],
            "dtype": ["F4", "F64", "BOOL", "I8", "U8", "C64", "f32", None, 3, "", "F8_E8M0"],
        }  # fmt: skip
        for field, values in lies.items():
            for value in values:
                if value != facts[field]:
                    changed = {**header, name: {**facts, field: value}}
                    yield f"{name} has {field} {value!r:.40}", joined(changed, content)
            missing = {key: fact for key, fact in facts.items() if key != field}
            yield f"{name} has no {field}", joined({**header, name: missing}, content)
        for other in ("/etc/passwd", "../x", "a\\b", "a..b", ".a", "a.", "", "a\0b", "a\x1b[2J",
                      "weight/", "mask/x", "\u202ex", name + "/"):  # fmt: skip
            renamed = {(other if key == name else key): fact for key, fact in header.items()}
            yield f"{name} is called {other!r}", joined(renamed, content)
        without = {key: fact for key, fact in header.items() if key != name}
        yield f"{name} is in no header", joined(without, content)
        twice = json.dumps(header)[:-1] + f", {json.dumps(name)}: {json.dumps(facts)}}}"
        yield f"{name} is there twice", joined(twice.encode(), content)
        yield f"{name} has more facts", joined({**header, name: {**facts, "x": 1}}, content)
        yield f"{name} is a list", joined({**header, name: []}, content)
    yield "a hole", joined(header, b"\0" * 8 + content)
    wrong: tuple[Any, ...] = (None, [], {"prac": 1}, {"prac": None}, "x", {"prac": {}})
    for metadata in wrong:
        changed = {**header, "__metadata__": metadata}
        yield f"metadata is {metadata!r}", joined(changed, content)
    for text in (b"", b"null", b"3", b"[]", b"{", b"\xff\xfe{}", b"[" * 100_000, b'{"a":' * 50_000,
                 b'{"a": NaN}', json.dumps(header).encode("utf-16")):  # fmt: skip
        yield f"the header is {text[:20]!r}", joined(text, content)
    for length in (0, 1, 2**24 + 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1):
        yield f"the header has {length} bytes", struct.pack("<Q", length) + whole[8:]
    yield "a header of 20 megabytes", joined(b'{"a":' + b" " * 20_000_000, content)
    many = {f"t{i}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in range(20_000)}
    yield "many tensors", joined(header | many, content)


def with_wrong_tensors(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a file with each tensor wrong, missing or too many, its digest being right."""
    parts = Parts.of(whole)
    for name, tensor in parts.tensors.items():
        others: dict[str, Tensor] = {
            "of another type": tensor.to(torch.int16 if tensor.is_floating_point() else torch.half),
            "of another whole type": tensor.to(torch.uint8),
            "longer": torch.cat([tensor.reshape(-1), tensor.reshape(-1)[:1]]),
            "empty": tensor.reshape(-1)[:0],
            "of another shape": tensor[None],
            "negative": -1 - tensor.abs() if tensor.dtype != torch.bool else tensor.to(torch.int8),
            "one number": torch.zeros((), dtype=tensor.dtype),
            "another way round": tensor.reshape(-1).flip(0).reshape(tensor.shape),
        }
        if tensor.is_floating_point():
            others["NaN"] = torch.full_like(tensor, torch.nan)
            others["infinite"] = torch.full_like(tensor, torch.inf)
        else:
            most = 1 if tensor.dtype == torch.bool else torch.iinfo(tensor.dtype).max
            others["large"] = torch.full_like(tensor, most)
        for fault, other in others.items():
            same = other.dtype == tensor.dtype and torch.equal(other, tensor)
            if not same:
                tensors = {**parts.tensors, name: other.contiguous()}
                yield f"{name} is {fault}", replace(parts, tensors=tensors).whole()
        tensors = {key: one for key, one in parts.tensors.items() if key != name}
        yield f"{name} is missing", replace(parts, tensors=tensors).whole()
    tensors = {**parts.tensors, "surprise": torch.zeros(1)}
    yield "an unknown tensor", replace(parts, tensors=tensors).whole()


def mutated(whole: bytes, draw: random.Random) -> bytes:
    """Return a file changed at random where its structure is, its digest right half of the time.

    Args:
        whole: A good file's bytes.
        draw: Source of the changes.
    """
    header, content = split(whole)
    text = json.loads(header["__metadata__"]["prac"])
    for _ in range(draw.randint(1, 3)):
        target = draw.choice((header, text))
        places = [place for place in _places(target) if place[0] != "__metadata__"]
        if not places:
            break
        changed = _changed(target, draw.choice(places), draw.choice((*WRONG, _REMOVED)))
        if target is header:
            header = changed
        else:
            text = changed
    if draw.random() < 0.5:
        behind = bytearray(content)
        if behind:
            behind[draw.randrange(len(behind))] = draw.randrange(256)
        content = bytes(behind)
    header["__metadata__"] = {"prac": json.dumps(text)}
    spoilt = joined(header, content)
    return with_right_digest(spoilt) if draw.random() < 0.5 else spoilt


def with_right_digest(whole: bytes) -> bytes:
    """Return a file with the digest that belongs to its content; unchanged where none can be."""
    try:
        outer, content = split(whole)
        header = json.loads(outer["__metadata__"]["prac"])
        header.pop("digest", None)
        header["digest"] = content_digest(load(whole), header)
        outer["__metadata__"]["prac"] = json.dumps(header)
        return joined(outer, content)
    except BaseException as error:
        # Whatever the library makes of it, panics too: such a file is hostile enough as it is.
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        return whole


class _Removed:
    pass


_REMOVED = _Removed()


def _places(header: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the names that lead to each field, nested ones too."""
    for name, value in header.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from _places(value, (*above, name))


def _changed(header: dict[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return the header with one field replaced or removed."""
    first, *rest = place
    if rest:
        return {**header, first: _changed(header[first], tuple(rest), value)}
    if isinstance(value, _Removed):
        return {name: old for name, old in header.items() if name != first}
    return {**header, first: value}


@dataclass(frozen=True)
class Attempt:
    """What came of reading a file.

    Attributes:
        outcome: "refused" with one PracError line that names the file, "read", or "crashed".
        message: The error, or what crashed.
        seconds: Wall time.
        peak_bytes: Most memory that the reading process had held until then.
    """

    outcome: Outcome
    message: str
    seconds: float
    peak_bytes: int


class Reader:
    """Reads files in a child process with a limit on memory and time, so that nothing can hurt.

    Args:
        kind: What the files should be.
        memory: Bytes of address space beyond what the process has when it begins.
        timeout: Seconds a file may take; longer counts as a crash.
    """

    def __init__(self, kind: Kind, *, memory: int = 2 * GIGABYTE, timeout: float = 30.0) -> None:
        """Name the limits; the process starts with the first file."""
        self.kind = kind
        self.memory = memory
        self.timeout = timeout
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Reader:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._stop()

    def attempt(self, path: Path) -> Attempt:
        """Return what comes of reading a file."""
        if self._process is None:
            self._pipe, theirs = multiprocessing.Pipe()
            # Spawned: a fork of a process with torch's threads may hang.
            self._process = multiprocessing.get_context("spawn").Process(
                target=_serve, args=(theirs, self.kind, self.memory), daemon=True
            )
            self._process.start()
            theirs.close()
            self._receive(120.0)
        assert self._pipe is not None, "it was just made"
        started = time.perf_counter()
        self._pipe.send(str(path))
        found = self._receive(self.timeout)
        if found is None:
            seconds = time.perf_counter() - started
            self._process.join(0.2)
            status = self._process.exitcode
            self._stop()
            why = f"took over {self.timeout} s" if status is None else f"died with {status}"
            return Attempt("crashed", why, seconds, 0)
        return Attempt(*found)

    def _receive(self, timeout: float) -> tuple[Outcome, str, float, int] | None:
        assert self._pipe is not None, "the process was started"
        try:
            if self._pipe.poll(timeout):
                found: tuple[Outcome, str, float, int] = self._pipe.recv()
                return found
        except EOFError:
            pass
        return None

    def _stop(self) -> None:
        if self._process is not None and self._pipe is not None:
            self._pipe.close()
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None


def attempt(path: Path, kind: Kind = "ticket", *, memory: int = 2 * GIGABYTE) -> Attempt:
    """Return what comes of reading one file in a process of its own."""
    with Reader(kind, memory=memory) as reader:
        return reader.attempt(path)


def try_here(kind: Kind, path: Path) -> tuple[Outcome, str]:
    """Return what comes of reading a file in this process, and the error."""
    try:
        READERS[kind](path)
    except PracError as error:
        message = str(error)
        clear = message.startswith(f"{path}: ") and message.isprintable() and len(message) < 1000
        return ("refused" if clear else "crashed"), message
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return "crashed", f"{type(error).__name__}: {error}"
    return "read", ""


def _serve(pipe: Connection, kind: Kind, memory: int) -> None:
    """Read the files whose names come through the pipe, until it is closed."""
    torch.set_num_threads(1)
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except OSError:
        pass  # Only Linux tells how much there is already.
    pipe.send(None)
    while True:
        try:
            path = Path(pipe.recv())
        except EOFError:
            return
        started = time.perf_counter()
        outcome, message = try_here(kind, path)
        seconds = time.perf_counter() - started
        pipe.send((outcome, message, seconds, _peak_bytes()))


def _peak_bytes() -> int:
    """Return the most memory that this process has held since it began."""
    try:
        # Not getrusage's figure, which also counts what was there before exec.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
