"""`prac report`: a run folder as one page; several runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prac.cli.parser import Parser
from prac.errors import PracError
from prac.io import KINDS, check_new, kind_at
from prac.runs import search_settings
from prac.utils import printable
from prac.winning import Win


def parser() -> Parser:
    """Return the parser of `prac report`."""
    made = Parser(
        prog="prac report",
        usage="%(prog)s RUN [RUN ...] [OPTION ...]",
        description="Show a run as one page of HTML that needs nothing but itself; several runs\n"
        "side by side. A run that is not finished, or is damaged, shows what there is.",
        examples=(
            "prac report runs/quickstart-prac",
            "prac report runs/quickstart-prac runs/quickstart-imp -o both.html",
        ),
    )
    made.argument("runs", nargs="+", metavar="RUN", help="run folders, or one of prac win")
    made.option(
        "out",
        metavar="FILE",
        help="the page (default: report.html in the run; of several runs, here)",
        short="o",
    )
    made.option("png", metavar="DIR", help="write the charts there too, as PNG and SVG")
    made.flag("no-examples", "leave out pictures of examples, which need the data set")
    return made


def run(arguments: Sequence[str]) -> int:
    """Run `prac report` and return its exit status."""
    options = parser().parse(arguments)
    runs = list(dict.fromkeys(options.runs))
    from prac.report import (
        REPORT_FILE,
        Report,
        RunFacts,
        comparison_charts,
        comparison_page,
        renderer,
        save,
        win_charts,
        write_page,
        write_win,
    )

    renderer()  # Before any data is loaded.
    out = Path(options.out or (REPORT_FILE if len(runs) > 1 else f"{runs[0]}/{REPORT_FILE}"))
    is_win = len(runs) == 1 and kind_at(runs[0]) == "win"
    for path in () if is_win else runs:
        search_settings(Path(path))
    if out.is_dir():
        raise PracError(f"{out}: is {KINDS[kind_at(out)].words}: --out names the page's file")
    check_new(out, "page", "page")
    if options.png is not None:
        check_new(options.png, "charts", "folder")
    if len(runs) > 1:
        facts = [RunFacts.read(path) for path in runs]
        charts = comparison_charts(facts)
        line = write_page(out, comparison_page(facts))
    elif is_win:
        found = Win.load(runs[0])
        charts, line = win_charts(found), write_win(found, out)
    else:
        report = Report.of(runs[0], examples=not options.no_examples)
        charts, line = report.charts, report.write(out)
    print(printable(line))
    if options.png is not None:
        written = save(charts, Path(options.png))
        print(printable(f"charts: {len(written)} files in {options.png}"))
    return 0
