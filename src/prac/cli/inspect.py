"""`prac inspect`: what a ticket, a run, a subset or a data set holds."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from prac.cli.options import Parser
from prac.describe import describe
from prac.recipe import DATA_NAMES, DataConfig


def parser() -> Parser:
    """Return the parser of `prac inspect`."""
    made = Parser(
        prog="prac inspect",
        usage="%(prog)s PATH|NAME [OPTION ...]",
        description="Describe a ticket file, a run folder, a subset file or a data set.",
        examples=(
            "prac inspect runs/quickstart-prac",
            "prac inspect runs/quickstart-prac/levels/08/ticket.safetensors",
            "prac inspect photos --image-size 64 --skip-corrupt",
        ),
    )
    made.argument(
        "what",
        metavar="PATH|NAME",
        help="a file, a folder, or a data set's name",
        names=DATA_NAMES,
    )
    made.option(
        "image-size",
        int | None,
        metavar="N",
        help="bring a data set's images to N x N pixels (default: none)",
        at_least=1,
    )
    for column in ("image", "label"):
        made.option(
            f"{column}-column",
            str | None,
            metavar="NAME",
            help=f"column of a table's {column}s (default: found by name and kind)",
        )
    made.add_argument(
        "--skip-corrupt",
        action="store_true",
        help="list a data set's damaged and missing images instead of stopping at the first",
    )
    made.add_argument("--json", action="store_true", help="print it for machines")
    return made


def run(arguments: Sequence[str]) -> int:
    """Run `prac inspect` and return its exit status."""
    options = parser().parse_args(list(arguments))
    config = DataConfig(
        options.what,
        image_size=options.image_size,
        image_column=options.image_column,
        label_column=options.label_column,
        skip_corrupt=options.skip_corrupt,
    )
    facts = describe(config)
    if options.json:
        json.dump(facts, sys.stdout, indent=2)
        print()
        return 0
    from rich.console import Console

    from prac.tables import table_of

    Console(highlight=False).print(table_of(facts))
    return 0
