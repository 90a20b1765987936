"""The language reference that Python ships for its `help()`: real English with no download."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from prac.config import DataConfig
from prac.data.sources.types import Source, Splits
from prac.errors import PracError

LENGTH = 64
"""Characters of a sequence."""

OTHER = "\ufffd"
ALPHABET = "\n" + "".join(map(chr, range(32, 127))) + OTHER
"""What characters are numbered by: the same whatever the text, so that tickets fit any Python's."""

_EVERY = 5


def load_python_topics(config: DataConfig) -> Splits:
    """Load Python's own language reference as sequences of characters, split by topic.

    An input is int64 (64,), characters by their places in `ALPHABET`; its targets are int64 (64,),
    of each the character that follows. Every fifth topic, by name, is test text. A paragraph that
    several topics hold is in the first of them only, so that no test text is trained on. The text
    is that of the Python which runs, and differs from one release to the next: examples have
    another fingerprint then, and searches say so.

    Raises:
        PracError: If this Python lacks it, or pictures are asked for.
    """
    if config.image_size is not None:
        raise PracError(
            "python_topics is text, but image_size is set: it is for pictures; leave it out"
        )
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise PracError(
            "this Python lacks its module pydoc_data.topics, whose text is the data set "
            "python_topics: install the whole of its standard library"
        ) from error
    texts = once_only(topics)
    parts = {"train": list(texts)}
    parts["test"] = parts["train"][_EVERY - 1 :: _EVERY]
    parts["train"] = [name for name in texts if name not in parts["test"]]
    sources = {split: _source(split, (texts[name] for name in of)) for split, of in parts.items()}
    return Splits(sources["train"], None, sources["test"], "python_topics", None)


def once_only(topics: Mapping[str, str]) -> dict[str, str]:
    r"""Return topics by name, in order, without paragraphs that an earlier one has.

    Those too short for a sequence are left out.

    >>> list(once_only({"b": "same" * 20, "a": "same" * 20 + "\n\n" + "own" * 30}))
    ['a']
    """
    known: set[str] = set()
    found = {}
    for name in sorted(topics):
        paragraphs = topics[name].split("\n\n")
        words = [" ".join(of.split()) for of in paragraphs]
        own = [of for of, told in zip(paragraphs, words, strict=True) if told not in known]
        known.update(words)
        text = "\n\n".join(own)
        if len(text) > LENGTH:
            found[name] = text
    return found


def _source(split: str, texts: Iterable[str]) -> Source:
    pairs = [sequences(text) for text in texts]
    inputs, targets = (torch.cat(part) for part in zip(*pairs, strict=True))
    return Source(inputs, targets, tuple(ALPHABET), f"python_topics ({split})")


def sequences(text: str) -> tuple[Tensor, Tensor]:
    """Return a text's characters as int64 (n, 64), and those that follow them; the rest is cut off.

    >>> inputs, targets = sequences("ab" * 70)
    >>> inputs.shape, "".join(ALPHABET[i] for i in targets[1, :3])
    (torch.Size([2, 64]), 'bab')
    """
    numbers = {character: number for number, character in enumerate(ALPHABET)}
    other = numbers[OTHER]
    of = torch.tensor([numbers.get(character, other) for character in text])
    count = (len(of) - 1) // LENGTH
    end = count * LENGTH
    return of[:end].view(count, LENGTH), of[1 : end + 1].view(count, LENGTH)
