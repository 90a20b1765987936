"""A run's telling examples as pictures: the hardest, the misjudged, the easy. Needs torch."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prac.config import DataConfig, own_part
from prac.errors import PracError
from prac.io import damaged
from prac.runs import read_examples
from prac.search import Search

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from prac.data import LoadedData

MOST = 20
"""Pictures of a kind, spread evenly over the classes."""


@dataclass(frozen=True)
class Picture:
    """One example: the image itself as a data URI, and what it is in words."""

    uri: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Examples of one kind."""

    title: str
    about: str
    pictures: tuple[Picture, ...]


def galleries(search: Search, fingerprint: object) -> list[Gallery]:
    """Return a run's examples of each kind as pictures, from the data that it recorded.

    Raises:
        PracError: If the data set is not there any more, has another fingerprint or no images, or
            the run's own files are damaged.
    """
    name = search.settings.get("data")
    if not isinstance(name, str):
        raise PracError(
            "The run was made from Python and does not name its data: no example is shown."
        )
    from prac.data import load_data

    data = load_data(own_part(DataConfig, search.settings))
    if data.train.fingerprint != fingerprint:
        raise PracError(f"The data set {name} is not the one of the run: no example is shown.")
    if len(data.shape) != 3 or data.shape[0] not in (1, 3):
        raise PracError("The examples are no images: none is shown.")
    return [
        Gallery(title, about, _pictures(data, ids, notes))
        for title, about, ids, notes in _kinds(search, data)
    ]


def _kinds(search: Search, data: LoadedData) -> Iterator[tuple[str, str, Tensor, dict[int, str]]]:
    """Yield title and words, examples with the telling ones first, and what to note of each."""
    first = _tensors(search, 0, data)
    if first is None:
        return
    members = first["members"]
    events, learned = first["events"][members].long(), first["learned"][members].bool()
    by_events = events.argsort(descending=True, stable=True)
    often = by_events[(learned & (events > 0))[by_events]]
    times = {1: "once", 2: "twice"}
    counts = ((int(members[i]), int(events[i])) for i in often[:2000])
    notes = {which: f"forgotten {times.get(count, f'{count} times')}" for which, count in counts}
    if len(often):
        about = "Learned, and forgotten again most often while the dense network trained."
        yield "The hardest", about, members[often], notes
    never = members[~learned]
    if len(never):
        yield "Never learned", "Never predicted right in training the dense network.", never, {}
    last = max(level for level in range(len(search.levels)) if _path(search, level).exists())
    if last:
        found = _tensors(search, last, data) or {}
        if len(found.get("cep", ())):
            about = (
                f"Predicted differently by the dense network and by that of level {last}: this is "
                f"what pruning has changed."
            )
            yield "Critical for pruning (CEP)", about, found["cep"], {}
    easy = members[learned & (events == 0)]
    if len(easy):
        yield "Unforgettable", "Learned once and never forgotten: for contrast.", easy, {}


def _path(search: Search, level: int) -> Path:
    return search.level_path(level) / "examples.safetensors"


def _tensors(search: Search, level: int, data: LoadedData) -> dict[str, Tensor] | None:
    """Return what a level has shown of the examples; None where it has not been trained."""
    path = _path(search, level)
    if not path.exists():
        return None
    tensors = read_examples(path)
    count = len(tensors["events"])
    if count != len(data.train):
        raise damaged(path, f"it is of {count} examples: the data set has {len(data.train)}")
    return tensors


def _pictures(data: LoadedData, ids: Tensor, notes: dict[int, str]) -> tuple[Picture, ...]:
    import torch

    from prac.data import pixels_of

    chosen = _spread(data, ids)
    pixels = pixels_of(data.train, torch.tensor(chosen)).numpy()
    labels = data.train.labels
    found = []
    for position, image in zip(chosen, pixels, strict=True):
        name = "" if labels is None else data.classes[int(labels[position])]
        place = f"example {int(data.train.source_indices[position])}"
        words = ", ".join(filter(None, (name, notes.get(position))))
        found.append(Picture(_uri(image), f"{place}: {words}", words or place))
    return tuple(found)


def _spread(data: LoadedData, ids: Tensor) -> list[int]:
    """Return up to MOST of the examples, the first of each class, sorted by class."""
    if data.train.labels is None:
        return [int(i) for i in ids[:MOST]]
    by_class: dict[int, list[int]] = {}
    each = max(MOST // max(len(data.classes), 1), 1)
    for position in ids.tolist():
        of_class = by_class.setdefault(int(data.train.labels[position]), [])
        if len(of_class) < each:
            of_class.append(position)
    return [position for label in sorted(by_class) for position in by_class[label]][:MOST]


def _uri(pixels: np.ndarray) -> str:
    from PIL import Image

    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
