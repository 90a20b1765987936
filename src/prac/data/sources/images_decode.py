"""One encoded image to pixels: the formats, modes and resizing that every source shares."""

from __future__ import annotations

import errno
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prac.data.sources.encoded import DamagedImage, EncodedImages, Mode
from prac.errors import PracError
from prac.utils import needed, one_line

if TYPE_CHECKING:
    from PIL import Image
else:
    Image = needed("PIL.Image", "data", "reading or resizing images")

# Only formats that are plain pixels: others that PIL knows start programs (EPS) or read more files.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")

_SIXTEEN_BITS = frozenset(("I;16", "I;16B", "I;16L", "I;16N"))
_GREY = frozenset(("1", "L", "LA", "La"))
# Faults of the machine or of permissions: they say nothing about the image.
_NOT_THE_IMAGE = frozenset((errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM))


@contextmanager
def bombs_refused() -> Iterator[None]:
    """Make an error of PIL's warning that an image claims to be enormous.

    To be entered by the thread that starts others, since the filters of warnings are the process's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def probe(encoded: EncodedImages, index: int) -> tuple[tuple[int, int], bool]:
    """Read the header of an image: its (height, width) in pixels and whether it is grey.

    Raises:
        PracError: the image cannot be read.
    """
    try:
        with _open(encoded[index]) as image:
            return (image.height, image.width), is_grey(image)
    except Exception as error:
        raise _damaged(encoded, index, error).error() from error


def is_grey(image: Image.Image) -> bool:
    """Whether an opened image has one channel, transparency aside."""
    return image.mode in _GREY or _has_sixteen_bits(image)


def try_decode(
    encoded: EncodedImages, index: int, mode: Mode | None, image_size: int | None
) -> NDArray[np.uint8] | DamagedImage:
    """Decode an image to uint8 (h, w, c), c being 1 for mode L and 3 for RGB, or say what ails it.

    Without a mode grey stays L and all else becomes RGB. With an `image_size` the centre square is
    resized to that many pixels a side. An image that is missing, corrupt or of an unsupported kind
    is damaged.

    Raises:
        PracError: it is not the image that is at fault, but a permission or the machine.
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
        return _damaged(encoded, index, error)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def fit_square(image: Image.Image, size: int) -> Image.Image:
    """Bring the short side to `size` pixels and crop the centre of the long one (bilinear).

    The crop is taken in the original's coordinates, so a very long picture costs no more than a
    square one.
    """
    if image.size == (size, size):
        return image
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.BILINEAR, box=box)


def fit_plane(plane: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Bring a decoded channel (h, w) to (size, size), as `fit_square` does an opened image."""
    return np.asarray(fit_square(Image.fromarray(plane), size))


def _open(data: bytes | Path) -> Image.Image:
    return Image.open(io.BytesIO(data) if isinstance(data, bytes) else data, formats=FORMATS)


def _has_sixteen_bits(image: Image.Image) -> bool:
    # As 32-bit integers PIL holds 16 bits of a PGM, and before its version 11 those of a PNG.
    return image.mode in _SIXTEEN_BITS or (image.mode == "I" and image.format in ("PNG", "PPM"))


def _converted(image: Image.Image, mode: Mode | None) -> Image.Image:
    grey = is_grey(image)
    if _has_sixteen_bits(image):
        # PIL clips 16 bits to 255 rather than scaling them.
        image.load()
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of kind {image.mode!r}, expected 8 or 16 bits a channel")
    wanted = mode or ("L" if grey else "RGB")
    if image.mode == "P":
        image = image.convert("RGBA")  # Directly to RGB, PIL warns about a palette's transparency.
    return image if image.mode == wanted else image.convert(wanted)


def _damaged(encoded: EncodedImages, index: int, error: Exception) -> DamagedImage:
    """What an error in reading an image says about it; raises a PracError where that is nothing.

    Leaving the image out would then hide another fault.
    """
    name = encoded.where(index)
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return DamagedImage(index, name, "no such image file")
    if isinstance(error, PermissionError):
        raise PracError(f"{name}: no permission to read this image") from error
    if isinstance(error, MemoryError):
        raise PracError(f"{name}: not enough memory to decode this image") from error
    if isinstance(error, OSError) and error.errno in _NOT_THE_IMAGE:
        raise PracError(f"{name}: cannot be read ({error.strerror})") from error
    # PIL's own message repeats the buffer's address, which tells the user nothing.
    reason = "not an image of a known format" if "identify" in str(error) else one_line(error)
    kinds = ", ".join(FORMATS)
    fault = f"cannot decode this image ({reason}), which is damaged or not one of {kinds}"
    return DamagedImage(index, name, fault)
