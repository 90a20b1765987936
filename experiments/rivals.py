"""PrAC against its rivals on MNIST and CIFAR-10, over seeds.

Runs the `prac compare` commands below (each resumes where it was cut off), then writes
`docs/results/rivals-PROBLEM.json`, `.svg` and `.md` from what they found.

    python experiments/rivals.py PROBLEM --data DIR     DIR holds mnist/ and cifar10/ as parquet

Problems are "mnist" (about two hours on one core) and "cifar10" (some hours on two).
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"

PROBLEMS: dict[str, dict[str, str]] = {
    "mnist": {
        "title": "LeNet-300-100 on MNIST, 20 prunings",
        "data": "MNIST: 55,000 training, 5,000 validation and 10,000 test images",
        "methods": (
            "imp,prac,random-subset@prac,imp@prac,rs2,random-subset,cet,cep,el2n,el2n-ccs,"
            "infobatch,lr-rewinding,one-shot,random-pruning,snip,grasp,synflow"
        ),
        "options": (
            "--model lenet_300_100 --layers linear --levels 20 --judged 5,10,14,17,20 --epochs 12 "
            "--milestones 8,10 --lr 0.05 --batch-size 128 --val-fraction 0.08333333333 "
            "--arm at-once --el2n-epoch 2"
        ),
    },
}


def command(problem: str, data: str, out: str, seeds: str) -> list[str]:
    """Return the `prac compare` command of a problem."""
    spec = PROBLEMS[problem]
    options = ["--data", f"{data}/{problem}", "--methods", spec["methods"], "--seeds", seeds]
    return ["prac", "compare", *options, *spec["options"].split(), "--out", out]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is left to run, and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", choices=PROBLEMS)
    parser.add_argument("--data", required=True, help="folder that holds mnist/ and cifar10/")
    parser.add_argument("--runs", default="runs", help="where the run folders go")
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args(arguments)
    out = f"{options.runs}/rivals-{options.problem}"
    shown = command(options.problem, options.data, out, options.seeds)
    done = subprocess.run([sys.executable, "-m", *shown, "--json"], stdout=subprocess.PIPE)
    if done.returncode not in (0, 1):  # 1: a search failed, and is told of.
        sys.exit(done.returncode)
    found: dict[str, Any] = json.loads(done.stdout)
    environment = next(Path(out).glob("runs/*/*/environment.json"))
    machine = json.loads(environment.read_text())
    found["machine"] = {name: machine[name] for name in ("torch", "python", "processor", "threads")}
    found["machine"]["platform"] = platform.system()
    name = RESULTS / f"rivals-{options.problem}"
    name.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    shutil.copy(Path(out) / "comparison.svg", name.with_suffix(".svg"))
    told = command(options.problem, "DIR", f"runs/rivals-{options.problem}", options.seeds)
    print(" \\\n".join(textwrap.wrap(" ".join(told), 78, subsequent_indent="    ")))


if __name__ == "__main__":
    main()
