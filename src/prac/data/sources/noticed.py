"""What a person should know of how a data set was read: what was converted, and what left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from prac.data.sources.encoded import EncodedImages


class Noticed:
    """Pictures that were looked at, and what was done to some: how many, and the first of them."""

    def __init__(self, *, is_sample: bool = False) -> None:
        """Begin with none; a sample says of its counts that they are of the pictures looked at."""
        self.looked_at = 0
        self.is_sample = is_sample
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, encoded: EncodedImages, index: int, conversions: Iterable[str]) -> None:
        """Count a picture by what was done to it, in words that follow "3 of 4 pictures"."""
        self.looked_at += 1
        for words in conversions:
            self._counts[words] += 1
            self._first.setdefault(words, encoded.where(index))

    def join(self, other: Noticed) -> None:
        """Add what was noticed of other pictures, which come behind these."""
        self.looked_at += other.looked_at
        self.is_sample |= other.is_sample
        self._counts.update(other._counts)
        for words, name in other._first.items():
            self._first.setdefault(words, name)

    def notices(self) -> Iterator[str]:
        """Yield a line for each thing that was done to any."""
        of = f"{self.looked_at} pictures{' looked at' if self.is_sample else ''}"
        for words, count in self._counts.items():
            yield f"{count} of {of} {words}, the first of them {self._first[words]}"


def number_of(count: int, one: str, several: str | None = None) -> str:
    """Return how many there are, with the verb.

    >>> number_of(1, "file"), number_of(2, "file"), number_of(2, "class", "classes")
    ('1 file is', '2 files are', '2 classes are')
    """
    return f"{count} {one} is" if count == 1 else f"{count} {several or f'{one}s'} are"


def first_few(names: Iterable[object], most: int = 5) -> str:
    """Return names in a row, of many the first ones.

    >>> first_few("abc", most=2)
    'a, b and 1 more'
    """
    shown = list(map(str, names))
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return f"{', '.join(shown[:most])}{more}"
