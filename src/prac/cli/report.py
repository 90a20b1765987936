"""`prac report`: a run folder as one page; several runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prac.cli.parser import Parser
from prac.io import check_new
from prac.utils import printable


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
    from prac.report import Asked, save, write_page

    asked = Asked.of(options.runs)
    out = asked.place(options.out)
    if options.png is not None:
        check_new(options.png, "charts", "folder")
    drawn = asked.drawn(examples=not options.no_examples)
    print(printable(write_page(out, drawn.html())))
    if options.png is not None:
        written = save(drawn.charts, Path(options.png))
        print(printable(f"charts: {len(written)} files in {options.png}"))
    return 0
