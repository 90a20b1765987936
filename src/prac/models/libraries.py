"""Models of timm and of torchvision, named as `timm:NAME` and `torchvision:NAME`.

Only what a library lists by name is made, from fresh weights: nothing is loaded or downloaded.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from prac.errors import PracError
from prac.models.custom import call_with
from prac.utils import needed, one_line


def build_listed(name: str, *, image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Return the model that a library lists under a name, as `build` documents."""
    make = library_factory(name)
    keywords, optional = _KEYWORDS[name.partition(":")[0]](name, image_shape)
    try:
        model = call_with(make, {"num_classes": classes, **keywords}, optional)
    except Exception as error:  # Each network has its own way to refuse a size.
        reason = one_line(error) or type(error).__name__
        raise PracError(
            f"model {name!r} cannot be made for {_times(image_shape)} images and {classes} "
            f"classes: {reason}"
        ) from error
    assert isinstance(model, nn.Module), "the libraries' models are modules"
    _check_patches(name, model, image_shape)
    return model


def _check_patches(name: str, model: nn.Module, image_shape: tuple[int, int, int]) -> None:
    """Raise a PracError where patches of a size would silently leave a part of the images out."""
    embedding = getattr(model, "patch_embed", None)
    cut, (channels, *size) = getattr(embedding, "proj", None), image_shape
    # Patches that overlap are padded; those of a hybrid are cut from maps, not from images.
    if (
        isinstance(cut, nn.Conv2d)
        and cut.in_channels == channels
        and cut.kernel_size == cut.stride
        and not getattr(embedding, "dynamic_img_pad", False)
        and any(side % patch for side, patch in zip(size, cut.stride, strict=True))
    ):
        raise PracError(
            f"model {name!r} takes images in patches of {_times(cut.stride)}, which do not divide "
            f"{_times(size)}: pass --image-size N with a multiple, or choose another model"
        )


def _times(sides: Iterable[int]) -> str:
    return "x".join(map(str, sides))


def library_factory(name: str) -> Callable[..., object]:
    """Return what makes the model that a library lists under a name.

    Raises:
        PracError: If the library cannot be imported, or lists no such model for classification.
    """
    library, _, wanted = name.partition(":")
    module: Any = _imported(name, "torchvision.models" if library == "torchvision" else library)
    if library == "torchvision":
        # Those of its subpackages find, segment or watch; they are listed with their own.
        listing = "torchvision.models.list_models(torchvision.models)"
        names = module.list_models(module=module)
        if wanted not in names and wanted in module.list_models():
            raise PracError(
                f"model {name!r} is not for classification: choose one that {listing} lists"
            )
    else:
        listing, names = "timm.list_models()", module.list_models()
    if wanted in names:
        return lambda **keywords: _make(module, library, wanted, keywords)
    base, _, tag = wanted.partition(".")
    if tag and base in names:
        raise PracError(
            f"model {name!r} names pretrained weights, which are not loaded: name the network "
            f"alone, {library}:{base}, which starts from fresh ones"
        )
    # There are too many to list, as other unknown names have it.
    near = [f"{library}:{one}" for one in difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)]
    hint = f": did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise PracError(f"unknown model {name!r}{hint} (known: those that {listing} lists)")


def _make(module: Any, library: str, wanted: str, keywords: dict[str, Any]) -> object:
    if library == "torchvision":
        return module.get_model(wanted, weights=None, **keywords)
    return module.create_model(wanted, pretrained=False, **keywords)


def _imported(name: str, module: str) -> Any:
    """Return a library's module.

    Raises:
        PracError: If it is not there, or cannot be imported, as what is made for another torch.
    """
    try:
        return needed(module, None, f"model {name!r}")
    except PracError:
        raise
    except Exception as error:
        raise PracError(
            f"model {name!r}: {module} fails to import ({type(error).__name__}: "
            f"{one_line(error)}): torchvision must be the release that is made for torch "
            f"{torch.__version__}"
        ) from error


Keywords = dict[str, Any]


def _timm_keywords(name: str, image_shape: tuple[int, int, int]) -> tuple[Keywords, Keywords]:
    """Return what a timm model is called with besides the classes, and what if it takes it."""
    channels, *size = image_shape
    return {"in_chans": channels}, {"img_size": tuple(size)}


def _torchvision_keywords(
    name: str, image_shape: tuple[int, int, int]
) -> tuple[Keywords, Keywords]:
    """Return the same for a torchvision model.

    Raises:
        PracError: If it is not for images of that shape.
    """
    channels, height, width = image_shape
    if channels != 3:
        raise PracError(
            f"model {name!r} takes images of 3 channels, these have {channels}: choose a built-in "
            f"model or one of timm's, whose first layer is made for the data"
        )
    wanted = name.partition(":")[2]
    if wanted.startswith("vit_"):
        if height != width:
            raise PracError(
                f"model {name!r} takes square images, these are {height}x{width}: pass "
                f"--image-size N, or choose one of timm's"
            )
        return {"image_size": height}, {}
    if wanted.startswith("maxvit_"):
        return {"input_size": (height, width)}, {}
    if wanted in ("googlenet", "inception_v3"):
        # Their auxiliary heads would be further outputs in training. Without the second, which is
        # their default, they warn of how long it takes.
        return {"aux_logits": False, "init_weights": True}, {}
    return {}, {}


_KEYWORDS: dict[str, Callable[[str, tuple[int, int, int]], tuple[Keywords, Keywords]]] = {
    "timm": _timm_keywords,
    "torchvision": _torchvision_keywords,
}
