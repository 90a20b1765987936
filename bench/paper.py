"""The paper's protocol, ResNet-20s on CIFAR-10, in stages that go on from the ones before.

`python -m bench.paper FOLDER --data DIR` goes on in a comparison's folder until a moment; with
`--results DIR` it tells how far that has come instead. What is compared is the problem "paper" of
`experiments.rivals`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.progress import Told, tell_results
from bench.protocol import PAPER, SHORT, Protocol
from experiments import rivals
from prac.cli.memory import keep_freed_memory
from prac.comparison import Comparison, compare
from prac.config import flat
from prac.data import load_data
from prac.errors import PracError
from prac.events import Callback
from prac.models import load_model
from prac.training import Interrupted, RunControl

MARGIN = 5.0
"""Seconds before its end at which it begins to stop: it has still to leave."""
FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Go on, or tell how far it has come; 75 where it was stopped, 1 where a search failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of the comparison")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with cifar10/")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--execution", default="captured", help="how steps are executed")
    parser.add_argument("--until", type=float, help="when to stop, by the clock time.monotonic()")
    parser.add_argument("--stages", type=int, help="how many of the stages (default: all)")
    parser.add_argument("--short", action="store_true", help="tiny: the figures mean nothing")
    parser.add_argument("--accept-changes", action="store_true", help="as prac compare takes it")
    parser.add_argument("--results", type=Path, help="write there what was found, train nothing")
    given = parser.parse_args(arguments)
    protocol = SHORT if given.short else PAPER
    if given.results:
        tell_results(given.folder, given.results, protocol, given.device, given.execution)
        return 0
    seconds = None if given.until is None else given.until - time.monotonic() - MARGIN
    if seconds is not None and seconds <= 0:
        print("no time is left")
        return Interrupted("max-seconds").status
    try:
        with RunControl(max_seconds=seconds, tell=print).listening() as run_control:
            comparison = go_on(
                given.folder,
                given.data,
                protocol,
                device=given.device,
                execution=given.execution,
                stages=given.stages,
                callback=Told(),
                run_control=run_control,
                accept_changes=given.accept_changes,
            )
    except Interrupted as stop:
        print(stop)
        return stop.status
    except PracError as error:
        print(f"cannot go on: {error}")
        return FAILED
    return FAILED if comparison is not None and comparison.failed else 0


def go_on(
    folder: Path,
    data: Path,
    protocol: Protocol,
    *,
    device: str,
    execution: str,
    callback: Callback,
    run_control: RunControl,
    stages: int | None = None,
    accept_changes: bool = False,
) -> Comparison | None:
    """Go through the stages that are not done; return the comparison, None where all were done.

    It ends at the first stage in which a search fails.

    Raises:
        PracError: As `prac.compare`.
        Interrupted: If the pace says to stop; the same call continues.
    """
    todo = [stage for stage in protocol.stages[:stages] if not stage.is_done(folder)]
    if not todo:
        return None
    keep_freed_memory()
    recipe = protocol.recipe(data, execution)
    loaded = load_data(recipe.data)
    # Wherever the data lies this time: it is known by its content.
    about = {**flat(recipe.model), **flat(recipe.data), "data": rivals.PROBLEMS["paper"].folder}
    for stage in todo:
        comparison = compare(
            lambda: load_model(recipe.model, loaded.shape, len(loaded.classes)),
            loaded.train,
            recipe.search,
            out=folder,
            methods=rivals.PAPER_METHODS,
            seeds=stage.seeds,
            judged=stage.judged,
            val=loaded.val,
            test=loaded.test,
            device=device,
            recipe=about,
            callback=callback,
            run_control=run_control,
            accept_changes=accept_changes,
        )
        if comparison.failed:
            break
    return comparison


if __name__ == "__main__":
    sys.exit(main())
