"""Pages and pictures of whatever was found, as `prac report` and `prac compare` write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from prac.comparison import Comparison
from prac.errors import PracError
from prac.evaluation import Verdict
from prac.io import KINDS, check_new, kind_at
from prac.report.figures import comparison_figure
from prac.report.html.facts import RunFacts
from prac.report.html.report import REPORT_FILE, Report, write_page
from prac.report.html.several import comparison_charts, comparison_page
from prac.report.html.win import win_charts, win_page
from prac.report.pictures import renderer, save, write
from prac.report.vega import Chart
from prac.runs import search_settings
from prac.search import Search
from prac.utils import with_article
from prac.winning import Win

Found = Search | Verdict | Win | str | Path
"""What there is a page of: a search, with its verdict if it was judged, or a win; or its folder."""


def write_report(
    runs: Found | Sequence[Found], out: str | Path | None = None, *, examples: bool = True
) -> Path:
    """Write a run as one page of HTML that needs nothing but itself; several runs side by side.

    A run that is not finished, or is damaged, shows what there is.

    Args:
        runs: What `prac.find`, `prac.judge` and `prac.win` return, their folders, or several.
        out: The page; by default report.html in the run's folder, of several runs in this one.
        examples: Whether to show examples as pictures, where the run has recorded its data
            (`recipe=` of `prac.find`).

    Returns:
        Where the page is.

    Raises:
        PracError: If a folder is no search's, or the library that draws charts is not installed.
    """
    asked = Asked.of(runs)
    place = asked.place(out)
    write_page(place, asked.drawn(examples=examples).html())
    return place


def save_charts(
    runs: Comparison | Found | Sequence[Found], folder: str | Path | None = None
) -> list[Path]:
    """Write the charts of a run, of several, or the picture of a comparison as SVG and PNG.

    Args:
        runs: As `prac.write_report` takes them; or what `prac.compare` returns.
        folder: Where to; of a comparison, by default its own.

    Returns:
        Where they are.

    Raises:
        PracError: If a folder is no search's, or the library that draws charts is not installed.
    """
    if isinstance(runs, Comparison):
        return write(comparison_figure(runs), Path(folder or runs.path) / "comparison")
    if folder is None:
        raise PracError("charts of runs need a folder: name where they go")
    asked = Asked.of(runs)
    check_new(folder, "charts", "folder")
    return save(asked.drawn(examples=False).charts, Path(folder))


@dataclass(frozen=True)
class Drawn:
    """What is drawn of runs, and what makes their page."""

    charts: list[Chart]
    html: Callable[[], str]


@dataclass(frozen=True)
class Asked:
    """The folders of runs to be shown, of searches, or of one win; checked without reading much."""

    paths: tuple[Path, ...]

    @classmethod
    def of(cls, runs: Found | Sequence[Found]) -> Asked:
        """Return what is asked for, each once.

        Raises:
            PracError: If a folder is none that there is a page of, or charts cannot be drawn.
        """
        renderer()  # Before any data is loaded.
        given: object = runs
        if isinstance(given, Comparison) or not isinstance(
            given, Iterable | Verdict | Win | Search | Path
        ):
            raise PracError(
                f"there is no page of {with_article(type(given).__name__)}: expected what "
                f"prac.find, prac.judge or prac.win returned, its folder, or several of them; "
                f"prac.save_charts draws a comparison"
            )
        several = [runs] if isinstance(runs, Search | Verdict | Win | str | Path) else runs
        asked = cls(tuple(dict.fromkeys(map(_folder, several))))
        if not asked.paths:
            raise PracError("there is no run to show: name one or more")
        for path in () if asked._is_win else asked.paths:
            search_settings(path)
        return asked

    @property
    def _is_win(self) -> bool:
        return len(self.paths) == 1 and kind_at(self.paths[0]) == "win"

    def place(self, out: str | Path | None) -> Path:
        """Return where the page goes.

        Raises:
            PracError: If something else is there.
        """
        usual = Path(REPORT_FILE) if len(self.paths) > 1 else self.paths[0] / REPORT_FILE
        place = Path(out or usual)
        if place.is_dir():
            raise PracError(
                f"{place}: is {KINDS[kind_at(place)].words}: --out names the page's file"
            )
        check_new(place, "page", "page")
        return place

    def drawn(self, *, examples: bool) -> Drawn:
        """Return charts and page; to show examples, a run's data set is loaded."""
        if len(self.paths) > 1:
            facts = [RunFacts.read(path) for path in self.paths]
            return Drawn(comparison_charts(facts), lambda: comparison_page(facts))
        if self._is_win:
            found = Win.load(self.paths[0])
            return Drawn(win_charts(found), lambda: win_page(found))
        report = Report.of(self.paths[0], examples=examples)
        return Drawn(report.charts, report.html)


def _folder(run: Found) -> Path:
    if isinstance(run, Verdict):
        return run.search.path
    return run.path if isinstance(run, Search | Win) else Path(run)
