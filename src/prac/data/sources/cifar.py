"""CIFAR-10 and CIFAR-100 as distributed: the Python and the binary version, unpacked or .tar.gz."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prac.config import DataConfig
from prac.data.sources.arrays import resized
from prac.data.sources.assemble import RawSplit, assemble
from prac.data.sources.cifar_pickle import load_plain
from prac.data.sources.types import Splits
from prac.errors import PracError
from prac.utils import one_line

_PIXELS = 3 * 32 * 32
# Twice what either version unpacks to, and many times its eight files: an archive cannot be made to
# fill the memory, nor to be read for ever.
_MAX_BYTES = 2 * 60_000 * (_PIXELS + 30)
_MAX_MEMBERS = 1000


@dataclass(frozen=True)
class _Version:
    """One of the four distributions: which files it has and where its labels are.

    `label` begins the keys of labels and class names in a pickle; in a binary record the label is
    the last of the `header_bytes`, which precede the pixels.
    """

    name: str
    folder: str
    train: tuple[str, ...]
    test: str
    names: str
    header_bytes: int
    label: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.train, self.test)


_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
_BINARY = tuple(f"{name}.bin" for name in _BATCHES)
_VERSIONS = (
    _Version("cifar10", "cifar-10-batches-py", _BATCHES, "test_batch", "batches.meta", 0, "label"),
    _Version("cifar100", "cifar-100-python", ("train",), "test", "meta", 0, "fine_label"),
    _Version("cifar10", "cifar-10-batches-bin", _BINARY, "test_batch.bin", "batches.meta.txt", 1),
    _Version("cifar100", "cifar-100-binary", ("train.bin",), "test.bin", "fine_label_names.txt", 2),
)


def is_cifar(folder: Path) -> bool:
    """Whether an unpacked distribution is in a folder, or in its usual subfolder there."""
    return _found(folder) is not None


def load_folder(folder: Path, config: DataConfig) -> Splits:
    """Load an unpacked distribution from a folder or its usual subfolder there.

    Raises:
        PracError: there is none, or a file is missing, damaged, or not what its name says.
    """
    found = _found(folder)
    if found is None:
        raise PracError(f"{folder}: no file of CIFAR-10 or CIFAR-100 is in this folder")
    version, folder = found
    contents = {}
    for name in (*version.files, version.names):
        with suppress(FileNotFoundError):  # What must not be missing is told below.
            if (folder / name).stat().st_size > _MAX_BYTES:
                raise PracError(f"{folder / name}: is too large for a file of CIFAR")
            contents[name] = (folder / name).read_bytes()
    return _splits(version, contents, folder, config)


def _found(folder: Path) -> tuple[_Version, Path] | None:
    version = _best(p.name for p in folder.iterdir() if p.is_file())
    if version is not None:
        return version, folder
    within = ((known, folder / known.folder) for known in _VERSIONS)
    return next((found for found in within if found[1].is_dir()), None)


def load_archive(path: Path, config: DataConfig) -> Splits:
    """Load a distribution from its .tar.gz, in memory.

    Raises:
        PracError: the archive is damaged, far larger than CIFAR, holds no CIFAR version, or lacks a
            file of it.
    """
    # Damaged and hostile archives raise many kinds of error: of zlib, of headers, of recursion.
    try:
        contents = _archived_files(path)
    except (PracError, MemoryError):
        raise
    except Exception as error:
        reason = one_line(error)
        raise PracError(f"{path}: not a readable .tar.gz ({reason}): download it again") from error
    version = _best(contents)
    if version is None:
        raise PracError(
            f"{path}: no file of CIFAR-10 or CIFAR-100 is in this archive "
            "(looked for data_batch_1, train, and both with .bin)"
        )
    return _splits(version, contents, path, config)


def _archived_files(path: Path) -> dict[str, bytes]:
    """The files of an archive that are any CIFAR version's, by name."""
    wanted = {name for version in _VERSIONS for name in (*version.files, version.names)}
    with path.open("rb") as packed:
        is_gzip = packed.read(2) == b"\x1f\x8b"
        packed.seek(0)
        # Unpacked here and not by tarfile, which would read what a header claims of itself.
        unpacked = gzip.GzipFile(fileobj=packed) if is_gzip else packed
        data = io.BytesIO()
        while piece := unpacked.read(1 << 20):
            data.write(piece)
            if data.tell() > _MAX_BYTES:
                limit = f"{_MAX_BYTES / 1e6:.0f} MB"
                raise PracError(f"{path}: unpacks to more than {limit}, too large for CIFAR")
    data.seek(0)
    contents: dict[str, bytes] = {}
    with tarfile.open(fileobj=data, mode="r:") as archive:
        for number, member in enumerate(archive):
            if number == _MAX_MEMBERS:
                raise PracError(f"{path}: holds more than {_MAX_MEMBERS} files, too many for CIFAR")
            if member.size > _MAX_BYTES:
                raise PracError(f"{path}: {member.name} is too large for a file of CIFAR")
            name = Path(member.name).name
            if name not in wanted or not member.isfile():
                continue
            stream = archive.extractfile(member)
            contents[name] = stream.read() if stream is not None else b""
    return contents


def _best(names: Iterable[str]) -> _Version | None:
    """The version that the most of these files belong to."""
    there = set(names)
    best = max(_VERSIONS, key=lambda version: len(there & set(version.files)))
    return best if there & set(best.files) else None


def _splits(
    version: _Version, contents: Mapping[str, bytes], where: Path, config: DataConfig
) -> Splits:
    missing = sorted(set(version.files) - contents.keys())
    if missing:
        raise PracError(
            f"{where}: the {version.name} distribution is incomplete, "
            f"{', '.join(missing)} missing: download it again"
        )
    read = _read_binary if version.header_bytes else _read_python
    classes = _label_names(version, contents, where)
    raw = {}
    for split, files in (("train", version.train), ("test", (version.test,))):
        parts = [read(version, contents[name], f"{where}/{name}") for name in files]
        pixels = np.concatenate([part[0] for part in parts])
        images = resized(torch.from_numpy(pixels.reshape(-1, 3, 32, 32)), config.image_size)
        labels = np.concatenate([part[1] for part in parts])
        origin = f"{where} ({split})" if len(files) > 1 else f"{where}/{files[0]}"
        raw[split] = RawSplit(images, labels, origin, f"{origin}, labels")
    return assemble(version.name, raw, classes)


def _read_python(
    version: _Version, data: bytes, where: str
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    batch = load_plain(data, where)
    key = f"{version.label}s"
    missing = sorted({"data", key} - set(batch))
    if missing:
        raise PracError(f"{where}: no entry {missing[0]!r}, expected a batch of {version.name}")
    pixels, labels = batch["data"], batch[key]
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        raise PracError(f"{where}: 'data' is no uint8 array, expected (n, {_PIXELS})")
    if pixels.ndim != 2 or pixels.shape[1] != _PIXELS:
        raise PracError(f"{where}: 'data' has shape {pixels.shape}, expected (n, {_PIXELS})")
    if isinstance(labels, np.ndarray) and labels.ndim == 1:
        labels = labels.tolist()
    if not isinstance(labels, list):
        raise PracError(f"{where}: {key!r} is no list, expected one label an image")
    if len(labels) != len(pixels):
        # Checked for each batch: across batches two mistakes could cancel out.
        raise PracError(f"{where}: {len(labels)} labels for {len(pixels)} images")
    # Objects keep what was stored, so that a bad label is reported as it is. One by one: NumPy
    # would look into lists of lists, which may refer to each other without end.
    return pixels, np.fromiter(labels, dtype=object, count=len(labels))


def _read_binary(
    version: _Version, data: bytes, where: str
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    record = version.header_bytes + _PIXELS
    if len(data) % record:
        raise PracError(
            f"{where}: {len(data)} bytes is no multiple of {record}, the bytes of one image in "
            f"{version.name}'s binary version: the file is truncated or another one"
        )
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, record)
    return records[:, version.header_bytes :], records[:, version.header_bytes - 1]


def _label_names(
    version: _Version, contents: Mapping[str, bytes], where: Path
) -> tuple[str, ...] | None:
    data = contents.get(version.names)
    if data is None:
        return None  # The labels are usable without their names.
    if version.header_bytes:
        lines = data.decode("utf-8", errors="replace").splitlines()
        return tuple(line.strip() for line in lines if line.strip())
    key = f"{version.label}_names"
    names = load_plain(data, f"{where}/{version.names}").get(key)
    if not isinstance(names, list) or not all(isinstance(n, bytes | str) for n in names):
        raise PracError(f"{where}/{version.names}: no list {key!r} of class names")
    return tuple(n.decode("utf-8", errors="replace") if isinstance(n, bytes) else n for n in names)
