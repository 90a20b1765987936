"""Images as they are stored, not decoded yet: what every source of them hands over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from prac.errors import PracError

Mode = Literal["L", "RGB"]


@dataclass(frozen=True)
class Rendering:
    """How stored pixels become the picture that people see.

    `exif_rotation` turns a picture as its EXIF says; `background` is the colour seen through where
    it is transparent, or "none" for the colours stored there, which nobody sees.
    """

    exif_rotation: bool = True
    background: str = "white"


class EncodedImages(Protocol):
    """Images as they are stored: by index, the bytes of a file or the path to one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> bytes | Path: ...

    def where(self, index: int, /) -> str:
        """The name of an image in messages: its file, or its table and row."""


class ImageFiles(list[Path]):
    """Encoded images that are files on disk."""

    def where(self, index: int) -> str:
        """The path."""
        return str(self[index])


@dataclass(frozen=True)
class DamagedImage:
    """An image that cannot be decoded."""

    index: int  # In the split as shipped.
    name: str  # Its file, or its table and row.
    reason: str

    def error(self) -> PracError:
        """The error for it, where it may not be left out."""
        return PracError(
            f"{self.name}: {self.reason}: mend it, or pass --skip-corrupt to leave such images out"
        )
