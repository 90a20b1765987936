"""Whether viewers show other colours than those that are stored: profiles other than sRGB."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from prac.utils import needed

if TYPE_CHECKING:
    from PIL import Image, ImageCms, features
else:
    Image = needed("PIL.Image", "data", "reading or resizing images")
    ImageCms = needed("PIL.ImageCms", "data", "reading or resizing images")
    features = needed("PIL.features", "data", "reading or resizing images")

_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
# Of 255: more than the plain curve of 2.2 that stands for sRGB's in many profiles.
_VISIBLE = 10
# Of a PNG: what sRGB has, and from where on it is another.
_GAMMA, _GAMMA_OFF = 1 / 2.2, 0.03
_PRIMARIES, _PRIMARIES_OFF = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06), 0.01


def are_not_srgb(info: dict[Any, Any], grey: bool) -> bool:
    """Say whether the colours of an opened image are, by what its file says, not those of sRGB.

    `info` is PIL's. Without any word they are. A malformed profile says nothing.
    """
    profile = info.get("icc_profile")
    if isinstance(profile, bytes) and profile:
        return _changes_colours(profile, grey)
    if "srgb" in info:
        return False
    gamma, primaries = info.get("gamma"), info.get("chromaticity")
    if isinstance(gamma, float) and gamma and abs(gamma - _GAMMA) > _GAMMA_OFF:
        return True
    if grey or not isinstance(primaries, tuple) or len(primaries) != len(_PRIMARIES):
        return False
    return bool(np.abs(np.subtract(primaries, _PRIMARIES)).max() > _PRIMARIES_OFF)


@functools.lru_cache(maxsize=64)  # Those of one data set have mostly one.
def _changes_colours(profile: bytes, grey: bool) -> bool:
    """Say whether a profile makes visibly other colours of some than sRGB."""
    if not features.check("littlecms2"):
        return not any("sRGB".encode(code) in profile for code in ("ascii", "utf-16-be"))
    try:
        read = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES.get(read.profile.xcolor_space.strip())
        if mode is None or mode == "CMYK":
            return mode is not None
        stored = _some_colours(grey).convert(mode)
        seen = ImageCms.profileToProfile(
            stored,
            read,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
        )
    except Exception:  # Viewers pass over it, whatever is wrong.
        return False
    one, other = (np.asarray(of, dtype=np.int16) for of in (seen, stored.convert("RGB")))
    return bool(np.abs(one - other).max() > _VISIBLE)


def _some_colours(grey: bool) -> Image.Image:
    """Return a picture of all greys, or of a grid over all colours."""
    if grey:
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None]).convert("RGB")
    levels = np.linspace(0, 255, 6).astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(6, -1, 3))
