"""What the commands print, for whoever asks from Python: runs as values, anything as text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from rich.console import Console, RenderableType

from prac.comparison import Comparison
from prac.config import DataKeywords
from prac.evaluation import SeedPlan, Verdict
from prac.io import other_kind
from prac.report.comparison_text import comparison_text
from prac.report.describe import describe, search_summary
from prac.report.html.facts import RunFacts
from prac.report.html.words import in_short
from prac.report.plan_text import plan_text
from prac.report.tables import search_table, table_of
from prac.report.verdict_text import rewind_point_text, verdict_text
from prac.report.win_text import win_text
from prac.runs import searches_below
from prac.search import Search
from prac.winning import Win

if TYPE_CHECKING:
    from prac.evaluation import RewindPoint
    from prac.report.describe import Described


def to_text(
    what: Described | RewindPoint | SeedPlan, *, width: int = 80, **settings: Unpack[DataKeywords]
) -> str:
    """Return the tables and sentences that the commands print of something, without colours.

    Args:
        what: What `prac.find`, `prac.judge`, `prac.find_rewind_point`, `prac.plan_seeds`,
            `prac.compare` and `prac.win` return, for what the commands print; or anything that
            `prac.describe` takes, for what `prac inspect` prints.
        width: Columns that there are; 80 or more.
        settings: How a data set is read, as `prac.load_data` takes them.

    Raises:
        PracError: If it is none of them, or cannot be read.
    """
    console = Console(width=width, highlight=False, color_system=None, force_terminal=False)
    with console.capture() as found:
        console.print(_shown(what, width, settings))
    return "\n".join(line.rstrip() for line in found.get().rstrip().splitlines())


def _shown(what: Any, width: int, settings: DataKeywords) -> RenderableType:
    if isinstance(what, Search):
        return search_table(search_summary(what))
    if isinstance(what, Verdict):
        return verdict_text(what)
    if isinstance(what, SeedPlan):
        return plan_text(what)
    if isinstance(what, Comparison):
        return comparison_text(what, width)
    if isinstance(what, Win):
        return win_text(what)
    from prac.evaluation import RewindPoint

    if isinstance(what, RewindPoint):
        return rewind_point_text(what)
    return table_of(describe(what, **settings))


def list_runs(*folders: str | Path) -> list[dict[str, Any]]:
    """Return every search below some folders in short, as `prac runs --json` prints them.

    They are plain values, for Python to sort and choose from, or to make a data frame of.

    Returns:
        For each its path, how far it is, the ticket that its report features, its density,
        accuracy, difference from the dense network, iterations, saved share of IMP's and verdict,
        and its settings.

    Raises:
        PracError: If there is none below a folder.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        below = searches_below(Path(folder))
        if not below:
            raise other_kind(folder, "runs")
        found |= dict.fromkeys(below)
    return [in_short_with_settings(RunFacts.read(path)) for path in found]


def in_short_with_settings(run: RunFacts) -> dict[str, Any]:
    """Return a run in short, and its settings by flat name."""
    return {**in_short(run), "settings": run.search.settings}
