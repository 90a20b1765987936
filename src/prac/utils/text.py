"""Text that is safe to show: names come from files and folders, which may hold anything."""

from __future__ import annotations

import re
import unicodedata

# Control, format (bidirectional overrides among them), lone surrogates, line and paragraph ends.
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))


def printable(text: str) -> str:
    r"""Return `text` as one line that any terminal shows as it is: hidden characters as escapes.

    Control and format characters could move the cursor, hide or reorder what stands around them;
    lone surrogates, which stand for the bytes of an undecodable file name, cannot be encoded.
    Letters of any script, spaces, signs and backslashes stay as they are.

    >>> print(printable("caf\u00e9 [red]\x1b[31m\nnext"))
    café [red]\x1b[31m\nnext
    """
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in _HIDDEN
        else character
        for character in text
    )


def one_line(error: object) -> str:
    """Return an error's message with single spaces for its line ends, to stand within a line."""
    return " ".join(str(error).split())


def with_article(noun: str) -> str:
    """Return a noun, such as the name of a type, behind "a" or "an".

    >>> with_article("list"), with_article("Image"), with_article("ndarray"), with_article("UNet")
    ('a list', 'an Image', 'an ndarray', 'a UNet')
    """
    return f"{'an' if re.match(r'[aeioAEIO]|[Uu]n[a-z]|ndarray', noun) else 'a'} {noun}"
