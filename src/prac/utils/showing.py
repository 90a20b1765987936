"""How values are shown to people: a short line in a terminal, a small table in a notebook."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice
from typing import Any

from prac.utils.text import printable

ROWS_AT_MOST = 40
"""Of a table in a notebook; a network may have hundreds of layers."""

_FIRST = "text-align:left;padding:2px 12px 2px 0"
_OTHER = "text-align:right;white-space:nowrap;padding:2px 0 2px 12px"
_RULE = "border-bottom:1px solid rgba(128,128,128,.5)"
# Colours are the notebook's own, light or dark: nothing here sets one but the line's grey.
_TABLE = "border-collapse:collapse;margin:6px 0;font-variant-numeric:tabular-nums"
_NOTE = "opacity:.75;font-size:90%;max-width:60em"


def brief(of: object, *parts: str | None) -> str:
    r"""Return a line that stands for an object: its class and what one wants to know of it.

    >>> brief(3, "density 16.8 %", None, "a\nb")
    'int(density 16.8 %, a\\nb)'
    """
    return f"{type(of).__name__}({printable(', '.join(part for part in parts if part))})"


def percent(share: float, digits: int = 1) -> str:
    """Return a share in percent, as sentences write it.

    >>> percent(0.16777), percent(1.0), percent(0.97314, 2)
    ('16.8 %', '100.0 %', '97.31 %')
    """
    return f"{100 * share:.{digits}f} %"


def with_interval(value: float, half_width: float | None) -> str:
    """Return a mean with its interval, if it has one; of whatever was measured.

    >>> with_interval(0.97314, 0.00521), with_interval(23.5, None)
    ('0.9731 ± 0.0052', '23.5')
    """
    return f"{value:.4g}" if half_width is None else f"{value:.4g} ± {half_width:.2g}"


def counted_as(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> counted_as(1, "run"), counted_as(1200, "example")
    ('1 run', '1,200 examples')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def of_all(count: int, total: int, what: str) -> str:
    """Return how many there are of how many.

    >>> of_all(44_700, 266_200, "weights"), of_all(300, 300, "examples")
    ('44,700 of 266,200 weights', 'all 300 examples')
    """
    return f"all {total:,} {what}" if count == total else f"{count:,} of {total:,} {what}"


def changed_fields(of: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that differ from their defaults, by name, in their order."""
    found = {}
    for field in dataclasses.fields(of):
        default: Any = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        value = getattr(of, field.name)
        if default is dataclasses.MISSING or value != default:
            found[field.name] = value
    return found


def html_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *notes: str
) -> str:
    """Return a table for a notebook: a title above, notes below; all text is escaped.

    It needs nothing but itself, and takes its colours from where it is shown. Of many rows the
    first ones are shown, and how many more there are.
    """
    left = iter(rows)
    shown = list(islice(left, ROWS_AT_MOST))
    if more := sum(1 for _ in left):
        notes = (f"and {more:,} more", *notes)
    lines = [f'<div style="overflow-x:auto"><strong>{_text(title)}</strong>']
    if shown:
        lines += [f'<table style="{_TABLE}"><thead>', _row("th", columns, f";{_RULE}"), "</thead>"]
        lines += ["<tbody>", *(_row("td", row) for row in shown), "</tbody></table>"]
    lines += [f'<div style="{_NOTE}">{_text(note)}</div>' for note in notes if note]
    return "\n".join([*lines, "</div>"])


def _row(kind: str, cells: Sequence[str], more: str = "") -> str:
    styles = (f"{_OTHER if number else _FIRST}{more}" for number in range(len(cells)))
    pairs = zip(styles, map(_text, cells), strict=True)
    told = (f'<{kind} style="{style}">{cell}</{kind}>' for style, cell in pairs)
    return f"<tr>{''.join(told)}</tr>"


def _text(text: str) -> str:
    return escape(printable(text))
