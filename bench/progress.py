"""How far the paper's protocol has come: lines while it goes on, figures and a page afterwards."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from bench.protocol import Protocol
from experiments import rivals
from prac.comparison import COMPARISON_FILE, Comparison
from prac.events import Event

TELLS_EVERY = 10.0


class Told:
    """Prints what goes on, with the seconds since it was made; of epochs one now and then."""

    def __init__(self) -> None:
        """Begin to count."""
        self._started = time.monotonic()
        self._epoch_told = -TELLS_EVERY

    def __call__(self, event: Event) -> None:
        """Print a line, where there is something to tell."""
        seconds = time.monotonic() - self._started
        if event.kind == "epoch":
            if seconds - self._epoch_told < TELLS_EVERY:
                return
            self._epoch_told = seconds
        line = _line(event)
        if line:
            print(f"{seconds:7.1f} s  {line}", flush=True)


def _line(event: Event) -> str:
    facts, level = event.facts, event.level
    match event.kind:
        case "contest":
            return f"{facts['number']} of {facts['of']}: {facts['method']}, seed {facts['seed']}"
        case "level":
            return (
                f"level {level} of {facts['levels']}: {facts['set_size']:,} examples, "
                f"{facts['iterations']:,} iterations"
            )
        case "epoch":
            return (
                f"level {level}, epoch {facts['epoch']} of {facts['epochs']}: "
                f"{facts['seconds']:.2f} s"
            )
        case "judging":
            return f"the ticket of level {level}, alone"
        case "retrained":
            return f"test accuracy {100 * facts['test_accuracy']:.2f} %"
        case "note":
            return str(facts["text"])
    return ""


def tell_results(
    folder: Path, results: Path, protocol: Protocol, device: str, execution: str
) -> None:
    """Write how far a comparison has come; and its figures, page and picture, once there are any.

    Args:
        folder: The comparison's.
        results: Where they go.
        protocol: What is compared.
        device: Where it was trained.
        execution: How steps were executed.
    """
    found = progress(folder, protocol)
    (results / "progress.json").write_text(json.dumps(found, indent=1) + "\n")
    if not (folder / COMPARISON_FILE).exists():
        return
    asked = Comparison.load(folder)
    if len(asked.failed) == len(asked.runs):
        return
    seeds, judged = (",".join(map(str, numbers)) for numbers in (asked.seeds, asked.judged[1:]))
    problem = rivals.paper(seeds, judged)
    changes = f"--device {device} --execution {execution}"
    command = rivals.command(problem, "DIR", str(rivals.folder_of("paper", "runs")), changes)
    found = {**rivals.results("paper", folder, command), "through": "python -m bench.visit"}
    rivals.publish(found, folder, results)


def progress(folder: Path, protocol: Protocol) -> dict[str, Any]:
    """Return how far each search and each training of a ticket has come."""
    searches = []
    for run in sorted(folder.glob("runs/*/seed-*")):
        if not run.is_dir():
            continue
        levels = [
            json.loads(path.read_text()) for path in sorted(run.glob("levels/*/summary.json"))
        ]
        done = [level for level in levels if level["iterations"]]
        of = int(protocol.recipe(Path(), "eager").search.levels)
        searches.append(
            {
                "method": run.parent.name,
                "seed": int(run.name.removeprefix("seed-")),
                "levels": len(done),
                "of": of,
                "finished": (run / f"levels/{of:02d}/summary.json").exists(),
                "iterations": sum(level["cost"]["iterations"] for level in done),
                "seconds": sum(level["cost"]["seconds"] for level in done),
            }
        )
    trained = [
        json.loads(path.read_text()) for path in sorted(folder.glob("trained/*/summary.json"))
    ]
    begun = len(list(folder.glob("trained/*/config.yaml")))
    return {
        "stages": protocol.stages_done(folder),
        "of": len(protocol.stages),
        "searches": searches,
        "trainings": {
            "ended": len(trained),
            "under_way": begun - len(trained),
            "seconds": [one["cost"]["seconds"] for one in trained],
        },
    }
