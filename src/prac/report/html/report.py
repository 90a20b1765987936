"""Reports: a run folder as one page of HTML, and its charts as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prac.errors import PracError
from prac.io import write_atomic
from prac.report.html.charts import charts
from prac.report.html.facts import RunFacts
from prac.report.html.gallery import Gallery, galleries
from prac.report.html.inside import Inside
from prac.report.html.page import page
from prac.report.vega import Chart

REPORT_FILE = "report.html"
"""A run's page, in its folder."""


@dataclass(frozen=True)
class Report:
    """A run as it is shown: what its folder says, what its tensor files hold, and what is drawn."""

    facts: RunFacts
    inside: Inside
    charts: list[Chart]
    galleries: list[Gallery]
    missing: tuple[str, ...]

    @classmethod
    def of(cls, path: str | Path, *, examples: bool = True) -> Report:
        """Return the report of a run folder, finished or not; what is damaged is left out.

        To show examples, its data set is loaded.

        Raises:
            PracError: If the folder is no search's.
        """
        facts = RunFacts.read(path)
        inside = Inside.read(facts.search)
        missing = list(inside.missing)
        shown: list[Gallery] = []
        if examples and facts.levels:
            try:
                shown = galleries(facts.search, facts.environment.get("fingerprint"))
            except (PracError, OSError) as error:
                missing.append(str(error))
        return cls(facts, inside, charts(facts, inside), shown, tuple(missing))

    def html(self) -> str:
        """Return the page."""
        return page(self.facts, self.charts, self.galleries, self.inside.collapsed, self.missing)

    def write(self, path: Path) -> str:
        """Write the page and return a line that says where it is."""
        return write_page(path, self.html())


def write_page(path: Path, html: str) -> str:
    """Write a page and return a line that says where it is.

    Raises:
        OSError: If it cannot be written.
    """
    content = html.encode(errors="backslashreplace")
    write_atomic(path, content)
    return f"report: {path} ({len(content) / 1e6:.1f} MB)"
