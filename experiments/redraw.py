"""Make the pages and pictures of docs/results again from the figures there: nothing is measured.

    python -m experiments.redraw

Of comparisons, of Frankle and Carbin's experiment, and of the benchmarks, whose page is
docs/performance.md. The comparison under the paper's protocol is among them where a visit to a GPU
(`bench.visit`) has brought its figures.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import page, plots
from experiments import frankle_carbin, rivals
from experiments.pages import RESULTS, ROOT
from prac.comparison import COMPARISON_FILE


def main(arguments: Sequence[str] | None = None) -> None:
    """Make them all."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args(arguments)
    for name in rivals.PROBLEMS:
        figures = RESULTS / f"{rivals.page_of(name)}.json"
        if figures.exists():
            with tempfile.TemporaryDirectory() as folder:
                shutil.copy(figures, Path(folder) / COMPARISON_FILE)
                rivals.publish(json.loads(figures.read_text()), Path(folder), RESULTS)
    frankle_carbin.write_page()
    found = json.loads((RESULTS / "bench.json").read_text())
    plots.draw(found["sections"], RESULTS)
    (ROOT / "docs" / "performance.md").write_text(page.of(found))


if __name__ == "__main__":
    main()
