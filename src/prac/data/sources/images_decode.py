"""One encoded image to pixels: the formats, modes and resizing that every source shares."""

from __future__ import annotations

import errno
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prac.data.sources.colours import are_not_srgb
from prac.data.sources.encoded import DamagedImage, EncodedImages, Mode, Rendering
from prac.errors import PracError
from prac.utils import needed, one_line

if TYPE_CHECKING:
    from PIL import Image, features
else:
    Image = needed("PIL.Image", "data", "reading or resizing images")
    features = needed("PIL.features", "data", "reading or resizing images")

# Only formats that are plain pixels: others that PIL knows start programs (EPS) or read more files.
FORMATS = (
    *("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"),
    *(("AVIF",) if "avif" in features.get_supported() else ()),  # Not in every PIL.
)

# What is done to pictures, in words that follow "3 of 4 pictures".
FIRST_FRAME = "are animations or have several pages, of which only the first is read"
EIGHT_BITS = "have 16 bits a channel, of which the upper 8 are read"
_REMEDY = "bring them to 8 bits by the range of the whole set, or store them as floats in .npz"
BLACK = f"are black in the upper 8 of their 16 bits: if the lower ones hold them, {_REMEDY}"
DIM = f"use less than a quarter of their 16 bits' range, which leaves 64 levels at most: {_REMEDY}"
PALETTE = "have a palette, whose colours are read"
PROFILE = (
    "have a colour profile other than sRGB, which is not applied: convert them to sRGB if their "
    "colours matter"
)
TURNED = "are turned as their EXIF orientation says (not with --no-exif-rotation)"
IGNORED_ALPHA = "have transparent pixels, read in the colours that are stored there"
OVER = {
    colour: f"have transparent pixels, shown over {colour} (--background)"
    for colour in ("white", "black")
}
VANISHED = {
    colour: f"are all {colour} once shown over {colour}, their shape being in their transparency "
    f"alone: choose another --background"
    for colour in OVER
}
CLEAR = {
    colour: f"are all {colour}, being wholly transparent: --background none reads the colours that "
    f"are stored there"
    for colour in OVER
}

_SIXTEEN_BITS = frozenset(("I;16", "I;16B", "I;16L", "I;16N"))
_GREY = frozenset(("1", "L", "LA", "La"))
_USUAL = frozenset(("1", "L", "LA", "La", "RGB", "RGBA", "RGBa", "PA", "I", "F"))
# Of the others' files the first look says it: a JPEG of several pictures is no animation.
_ANIMATED = frozenset(("PNG", "GIF", "WEBP", "TIFF", "AVIF"))
_QUARTER = 64  # Of 256 levels.
_UNREAD = {"I": "signed or 32-bit integers", "F": "floating-point numbers"}
_DEEP = frozenset(("PNG", "TIFF", "PPM"))
_TURNED_LATE = frozenset(("PNG", "TIFF"))
_METADATA = frozenset(("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"))
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_UNDOING = {6: _TURNS[8], 8: _TURNS[6]}  # The others undo themselves.
_SWAPPING = frozenset(_TURNS[told] for told in (5, 6, 7, 8))
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


def probe(encoded: EncodedImages, index: int, rendering: Rendering) -> tuple[tuple[int, int], bool]:
    """Say of an image its (height, width) in pixels, as people see it, and whether it is grey.

    Raises:
        PracError: the image cannot be read.
    """
    try:
        with _open(encoded[index]) as image:
            grey, told = is_grey(image), _orientation(image)
            if image.format in _TURNED_LATE:
                image.load()
            turn = _turn(image, told, rendering)
            is_swapped = turn is not None and turn in _SWAPPING
            size = image.size if is_swapped else image.size[::-1]
            return size, grey
    except Exception as error:
        raise _damaged(encoded, index, error).error() from error


def is_stored_grey(encoded: EncodedImages, index: int) -> bool:
    """Say whether an image is grey, of which only the header is read.

    Raises:
        PracError: the image cannot be read.
    """
    try:
        with _open(encoded[index]) as image:
            return is_grey(image)
    except Exception as error:
        raise _damaged(encoded, index, error).error() from error


def is_grey(image: Image.Image) -> bool:
    """Whether an opened image has one channel, transparency aside."""
    # Grey with transparency, of 16 bits, becomes RGBA in PIL.
    return image.mode in _GREY or _has_sixteen_bits(image) or _raw_mode(image).startswith("LA;16")


class _UnreadKind(ValueError):
    """Pixels of a kind that is not read, in an image that may be whole."""


class Decoded(NamedTuple):
    """An image as uint8 (h, w, c), and what was done to it, as `Noticed.add` takes it."""

    pixels: NDArray[np.uint8]
    conversions: tuple[str, ...]


def try_decode(
    encoded: EncodedImages,
    index: int,
    mode: Mode | None,
    image_size: int | None,
    rendering: Rendering,
) -> Decoded | DamagedImage:
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
            image, conversions = _converted(opened, mode, rendering)
            if image_size is not None:
                image = fit_square(image, image_size)
            pixels: NDArray[np.uint8] = np.array(image)
    except Exception as error:
        return _damaged(encoded, index, error)
    return Decoded(pixels[:, :, None] if pixels.ndim == 2 else pixels, conversions)


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


def _converted(
    image: Image.Image, mode: Mode | None, rendering: Rendering
) -> tuple[Image.Image, tuple[str, ...]]:
    """Return an opened image as people see it, and what of it is lost or changed on the way."""
    told, grey, is_deep = _orientation(image), is_grey(image), _has_deep_channels(image)
    # An animation's pictures are looked for before the first is loaded, its file being open then.
    noted = [FIRST_FRAME] if image.format in _ANIMATED and _is_animated(image) else []
    noted += [EIGHT_BITS] if is_deep else []
    image.load()
    noted += [PROFILE] if are_not_srgb(image.info, grey) else []
    turn = _turn(image, told, rendering)
    if image.mode == "P":
        noted.append(PALETTE)
    elif image.mode not in _USUAL and not _has_sixteen_bits(image):
        noted.append(f"are in {image.mode}, converted to RGB")
    if _has_sixteen_bits(image):
        image = _high_bytes(image)
    if image.mode in _UNREAD:
        raise _UnreadKind(
            f"its pixels are {_UNREAD[image.mode]}, expected 8 or 16 bits a channel, without sign"
        )
    if is_deep:
        noted += _what_is_left(image)
    if image.has_transparency_data:
        image, seen = _over_background(image, grey, rendering.background)
        noted += seen
    wanted = mode or ("L" if grey else "RGB")
    image = image if image.mode == wanted else image.convert(wanted)
    if turn is not None:
        noted += [TURNED] if rendering.exif_rotation else []
        image = image.transpose(turn)
    elif rendering.exif_rotation and told in _TURNS:
        noted.append(TURNED)  # By PIL, on loading.
    return image, tuple(noted)


def _high_bytes(image: Image.Image) -> Image.Image:
    """Return 16 bits a pixel as 8: PIL clips them to 255 rather than scaling them."""
    values, clear = np.asarray(image), image.info.get("transparency")
    image = Image.fromarray((values >> 8).astype(np.uint8))
    if isinstance(clear, int):
        image.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return image


def _what_is_left(image: Image.Image) -> list[str]:
    """Say of an image whose upper 8 of 16 bits were read how little of it they may hold."""
    peak = int(np.asarray(image.convert("RGB")).max())
    return [BLACK] if peak == 0 else [DIM] if peak < _QUARTER else []


def _over_background(
    image: Image.Image, grey: bool, background: str
) -> tuple[Image.Image, list[str]]:
    """Return an image with transparency as it is seen over a background; all opaque, as it is."""
    # Directly to RGB, PIL warns about a palette's transparency.
    image = image.convert("LA" if grey else "RGBA")
    alpha = image.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return image, []
    if background == "none":
        return image, [IGNORED_ALPHA]
    image = image.convert("L" if grey else "RGB")
    seen = Image.new(image.mode, image.size, background)
    seen.paste(image, mask=alpha)
    words = [OVER[background]]
    if alpha.getextrema() == (0, 0):
        words += [CLEAR[background]] if image.tobytes() != seen.tobytes() else []
    elif seen.getcolors(1) is not None and alpha.getcolors(1) is None:
        words.append(VANISHED[background])
    return seen, words


def _is_animated(image: Image.Image) -> bool:
    return bool(getattr(image, "is_animated", False))


def _has_deep_channels(image: Image.Image) -> bool:
    """Say whether an opened image has 16 bits a channel, which PIL halves where it is in colour."""
    if _has_sixteen_bits(image):
        return True
    tiles = getattr(image, "tile", ())
    if image.format == "PPM" and tiles:
        stored = tiles[0][3]
        return isinstance(stored, tuple) and len(stored) == 2 and stored[1] > 255
    return image.format in _DEEP and ";16" in _raw_mode(image)


def _raw_mode(image: Image.Image) -> str:
    """Return how the pixels of an image that is opened and not loaded are stored, if PIL tells."""
    tiles = getattr(image, "tile", ())
    stored = tiles[0][3] if tiles else ""
    raw = stored if isinstance(stored, str) else stored[0] if stored else ""
    return raw if isinstance(raw, str) else ""


def _orientation(image: Image.Image) -> int:
    """Return how EXIF, or XMP, says that an image is to be turned, 1 for not at all."""
    if image.format != "TIFF" and _METADATA.isdisjoint(image.info):
        return 1
    try:
        told = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Malformed metadata says nothing about the pixels.
        return 1
    return told if isinstance(told, int) and told in _TURNS else 1


def _turn(image: Image.Image, told: int, rendering: Rendering) -> Image.Transpose | None:
    """Return what is left to do to a loaded image, where its header `told` an orientation.

    PIL turns a TIFF on loading, and forgets its orientation; that of a PNG may come behind it.
    """
    left = _orientation(image)
    if rendering.exif_rotation:
        return _TURNS.get(left)
    return _UNDOING.get(told, _TURNS.get(told)) if told != 1 and left == 1 else None


def _damaged(encoded: EncodedImages, index: int, error: Exception) -> DamagedImage:
    """What an error in reading an image says about it; raises a PracError where that is nothing.

    Leaving the image out would then hide another fault.
    """
    name = encoded.where(index)
    # A link may lead to nothing, or to itself.
    is_lost = isinstance(error, OSError) and error.errno == errno.ELOOP
    if is_lost or isinstance(error, FileNotFoundError | NotADirectoryError):
        return DamagedImage(index, name, "no such image file")
    if isinstance(error, PermissionError):
        raise PracError(f"{name}: no permission to read this image") from error
    if isinstance(error, MemoryError):
        raise PracError(f"{name}: not enough memory to decode this image") from error
    if isinstance(error, OSError) and error.errno in _NOT_THE_IMAGE:
        raise PracError(f"{name}: cannot be read ({error.strerror})") from error
    if isinstance(error, _UnreadKind):
        return DamagedImage(index, name, str(error))
    # PIL's own message repeats the buffer's address, which tells the user nothing.
    reason = "not an image of a known format" if "identify" in str(error) else one_line(error)
    kinds = ", ".join(FORMATS)
    fault = f"cannot decode this image ({reason}), which is damaged or not one of {kinds}"
    return DamagedImage(index, name, fault)
