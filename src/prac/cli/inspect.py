"""`prac inspect`: what a ticket, a run, a subset or a data set holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from prac.cli.output import print_json, print_text
from prac.cli.parser import Parser
from prac.config import DATA_NAMES, DataConfig
from prac.report import describe


def parser() -> Parser:
    """Return the parser of `prac inspect`."""
    made = Parser(
        prog="prac inspect",
        usage="%(prog)s PATH|NAME [OPTION ...]",
        description="Describe a run folder, a ticket, a subset, whatever else prac writes, or\n"
        "a data set.",
        examples=(
            "prac inspect runs/quickstart-prac",
            "prac inspect runs/quickstart-prac/levels/08/ticket.safetensors",
            "prac inspect photos --image-size 64 --skip-corrupt",
        ),
    )
    made.argument(
        "what", metavar="PATH|NAME", help="a file, a folder, or a data set's name", names=DATA_NAMES
    )
    made.option(
        "image-size",
        int | None,
        help="resize a data set's images to N x N pixels (default: none)",
        at_least=1,
    )
    turning = "turn pictures as their EXIF orientation says (default: yes)"
    made.flag("exif-rotation", turning, default=True)
    made.option(
        "background",
        Literal["white", "black", "none"],
        default="white",
        help="what is seen through transparent pixels; none for the colours stored in them "
        "(default: white)",
    )
    for column in ("image", "label"):
        made.option(
            f"{column}-column",
            help=f"column of a table's {column}s (default: found by name and kind)",
        )
    made.flag(
        "skip-corrupt",
        "list a data set's damaged and missing images instead of stopping at the first",
    )
    made.flag("json", "print it as JSON")
    return made


def run(arguments: Sequence[str]) -> int:
    """Run `prac inspect` and return its exit status."""
    options = parser().parse(arguments)
    config = DataConfig(
        options.what,
        image_size=options.image_size,
        exif_rotation=options.exif_rotation,
        background=options.background,
        image_column=options.image_column,
        label_column=options.label_column,
        skip_corrupt=options.skip_corrupt,
    )
    facts = describe(config)
    if options.json:
        print_json(facts)
    else:
        from prac.report import table_of

        print_text(table_of(facts))
    return 0
