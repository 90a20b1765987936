"""What stands for values: lines and tables, whatever their text holds."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from prac.utils import brief, html_table
from prac.utils.showing import ROWS_AT_MOST


class Cells(HTMLParser):
    """The elements of a table, and the text in each cell of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        self.cells += [""] if tag in ("td", "th") else []

    def handle_endtag(self, tag: str) -> None:
        self.cells += [] if tag in ("td", "th") else [""]

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


@given(st.text())
def test_text_is_shown_and_never_read_as_markup_nor_steers_anything(text):
    found = html_table(text, ("name", "value"), [(text, "1")], text)
    assert set(Cells(found).tags) == {"div", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    line = brief(object(), text)
    assert "\n" not in line
    assert "\x1b" not in found + line


def test_a_name_is_in_its_cell_as_it_is():
    found = Cells(html_table("a & b", ("layer",), [("<img src=x onerror=alert(1)>",)]))
    assert "<img src=x onerror=alert(1)>" in found.cells
    assert "img" not in found.tags


def test_of_many_rows_the_first_are_shown_and_the_others_are_counted():
    rows = [(f"layer {number}",) for number in range(ROWS_AT_MOST + 7)]
    found = html_table("a ticket", ("layer",), iter(rows))
    assert f"layer {ROWS_AT_MOST - 1}<" in found
    assert f"layer {ROWS_AT_MOST}<" not in found
    assert "and 7 more" in found


def test_without_rows_there_is_no_table():
    assert "<table" not in html_table("nothing yet", ("layer",), [])
