"""One encoded image to pixels: the formats, modes and resizing that every source shares."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from prac.errors import PracError

Mode = Literal["L", "RGB"]

# Only formats that are plain pixels: others that PIL knows start programs (EPS) or read more files.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
)

_SIXTEEN_BITS = frozenset(("I;16", "I;16B", "I;16L", "I;16N"))
_GREY = frozenset(("1", "L", "LA", "La")) | _SIXTEEN_BITS


class EncodedImages(Protocol):
    """Images as they are stored: by index, the bytes of a file or the path to one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> bytes | Path: ...

    def where(self, index: int, /) -> str:
        """The name of an image in messages: its file, or its table and row."""
        ...


class ImageFiles:
    """Encoded images that are files on disk."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Path:
        return self._paths[index]

    def where(self, index: int) -> str:
        """The path."""
        return str(self._paths[index])


def probe(encoded: EncodedImages, index: int) -> tuple[tuple[int, int], bool]:
    """Read the header of an image: its (height, width) in pixels and whether it is grey.

    Raises:
        PracError: the image cannot be read.
    """
    try:
        with _open(encoded[index]) as image:
            return (image.height, image.width), image.mode in _GREY
    except Exception as error:
        raise _damaged(encoded, index, error) from error


def decode_one(
    encoded: EncodedImages, index: int, mode: Mode | None, image_size: int | None
) -> NDArray[np.uint8]:
    """Decode an image to uint8 (h, w, c), c being 1 for mode L and 3 for RGB.

    Args:
        encoded: the images.
        index: which of them.
        mode: the mode to convert to; None keeps grey as L and makes all else RGB.
        image_size: None keeps the size; otherwise the centre square is resized to this many
            pixels a side.

    Raises:
        PracError: the image is missing, truncated, corrupt, or of an unsupported kind.
    """
    # PIL's plugins raise many kinds of error on damaged input, struct.error and SyntaxError among
    # them; all mean the same to the user.
    try:
        with _open(encoded[index]) as opened:
            image = _converted(opened, mode)
            if image_size is not None:
                image = fit_square(image, image_size)
            pixels: NDArray[np.uint8] = np.array(image)
    except Exception as error:
        raise _damaged(encoded, index, error) from error
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def fit_square(image: Image.Image, size: int) -> Image.Image:
    """Bring the short side to `size` pixels and crop the centre of the long one (bilinear).

    The crop is taken in the original's coordinates, so a very long picture costs no more than a
    square one.
    """
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    if image.size == (size, size):
        return image
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.BILINEAR, box=box)


def _open(data: bytes | Path) -> Image.Image:
    return Image.open(io.BytesIO(data) if isinstance(data, bytes) else data, formats=FORMATS)


def _converted(image: Image.Image, mode: Mode | None) -> Image.Image:
    if image.mode in _SIXTEEN_BITS:
        # PIL clips 16 bits to 255 rather than scaling them.
        image.load()
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of kind {image.mode!r}, expected 8 or 16 bits a channel")
    wanted = mode or ("L" if image.mode in _GREY else "RGB")
    if image.mode == "P":
        image = image.convert("RGBA")  # Directly to RGB, PIL warns about a palette's transparency.
    return image if image.mode == wanted else image.convert(wanted)


def _damaged(encoded: EncodedImages, index: int, error: Exception) -> PracError:
    if isinstance(error, FileNotFoundError):
        return PracError(f"{encoded.where(index)}: no such image file")
    if isinstance(error, PermissionError):
        return PracError(f"{encoded.where(index)}: no permission to read this image")
    # PIL's own message repeats the buffer's address, which tells the user nothing.
    reason = "not an image of a known format" if "identify" in str(error) else str(error)
    return PracError(
        f"{encoded.where(index)}: cannot decode this image ({reason}): "
        f"it is damaged or not one of {', '.join(FORMATS)}"
    )
