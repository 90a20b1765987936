"""PrAC against its rivals over seeds, on MNIST, on CIFAR-10, and under the paper's protocol.

Runs the `prac compare` command of a problem, which resumes where it was cut off, and writes
`docs/results/rivals-PROBLEM.json`, `.svg` and `.md` from what it found.

    python -m experiments.rivals PROBLEM --data DIR     DIR holds mnist/ and cifar10/ as parquet

"mnist" takes about an hour and a half on one core (OMP_NUM_THREADS=1), "frugal" a quarter of an
hour more, "cifar10" two hours on a core that multiplies bf16 (AMX), and several times that
elsewhere. "paper" is ResNet-20s on CIFAR-10 as published, 182 epochs and 15 prunings, and is meant
for a GPU, where `python -m bench.visit` does it in short visits. `--set` changes settings, such as
`--set "--epochs 2 --milestones 1 --levels 2 --judged 2 --limit 300"` for a rehearsal.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments import pages
from experiments.rivals_page import page
from prac.comparison import Comparison
from prac.comparison.record import read_run
from prac.errors import PracError
from prac.report import comparison_figure, renderer


@dataclass(frozen=True)
class Problem:
    """What is compared on what.

    Attributes:
        title: The page's.
        data: The data in words.
        folder: Where it lies in the data folder.
        methods: As `prac compare` takes them.
        options: Its other options.
        seeds: As it takes them.
        about: What the comparison is for, where the title does not say it.
        shares: Problem of the same settings, in whose folder it searches: what both compare is
            searched once.
        page: Name of its page, where it is not `rivals-` and its own.
        against: Pairs of methods whose differences the page tells.
    """

    title: str
    data: str
    folder: str
    methods: str
    options: str
    seeds: str = "0,1,2"
    about: str = ""
    shares: str = ""
    page: str = ""
    against: tuple[tuple[str, str], ...] = (
        ("prac-light", "random-subset@prac-light"),
        ("prac", "random-subset@prac"),
        ("prac", "imp"),
    )


PAPER_PRESET = "cifar10-resnet20s"
PAPER_METHODS = ("prac", "imp", "random-subset@prac")
PAPER_JUDGED = (3, 6, 7, 11, 15)
"""The paper's protocol: what is compared, and the levels of which published figures tell, or that
lie between them."""


MNIST = "MNIST: 55,000 training, 5,000 validation and 10,000 test images"
LENET = (
    "--model lenet_300_100 --layers linear --levels 20 --judged 6,12,16,20 --epochs 8 "
    "--milestones 5,7 --lr 0.05 --batch-size 128 --val-fraction 0.08333333333 --arm at-once"
)
CHEAP_LENET = LENET.replace(" --arm at-once", "")
CHEAP_RESNET = (
    "--image-size 16 --limit 33334 --val-fraction 0.1 --model resnet8s --levels 12 --judged "
    "8,12 --epochs 20 --milestones 10,15 --lr 0.1 --weight-decay 5e-4 --batch-size 128 "
    "--crop 2 --flip --rewind epoch:1 --arm above-once --precision bf16 --execution compiled"
)
CIFAR = "CIFAR-10 (JPEG 75): {} training, {} validation and 10,000 test images"


def paper(seeds: str, judged: str) -> Problem:
    """Return the paper's protocol with these seeds and judged levels."""
    return Problem(
        "The paper's protocol: ResNet-20s on CIFAR-10, 15 prunings",
        CIFAR.format("45,000", "5,000"),
        "cifar10",
        ",".join(PAPER_METHODS),
        f"--preset {PAPER_PRESET} --judged {judged}",
        seeds=seeds,
    )


PROBLEMS = {
    "mnist": Problem(
        "PrAC and its rivals: LeNet-300-100 on MNIST, 20 prunings",
        MNIST,
        "mnist",
        "imp,prac,random-subset@prac,imp@prac,rs2,random-subset,cet,cep,el2n:el2n-epoch=2,"
        "el2n-ccs:el2n-epoch=2,infobatch,lr-rewinding,one-shot,random-pruning,snip,grasp,synflow",
        LENET,
    ),
    "frugal": Problem(
        "Searches at a twentieth of IMP's cost: LeNet-300-100 on MNIST, 20 prunings",
        MNIST,
        "mnist",
        "imp,prac,one-shot:level-budget=0.3,one-shot,prac-light,random-subset@prac-light,"
        "imp@prac-light,"
        "prac-light:dense-fraction=0.05",
        LENET,
        about="What finds tickets as good as IMP's for a twentieth of its iterations? `prac-light` "
        "is PrAC with a dense network that sees a tenth of the data and with levels cut short. The "
        "others are the alternatives.",
        shares="mnist",
    ),
    "cifar10": Problem(
        "PrAC and its rivals: ResNet-20s on 5,000 CIFAR-10 images, 6 prunings",
        CIFAR.format("4,500", "500"),
        "cifar10",
        "imp,prac,random-subset@prac,rs2,prac-light,one-shot:level-budget=0.3,"
        "one-shot:level-budget=0.6",
        "--model resnet20s --limit 5000 --levels 6 --judged 6 --epochs 12 --milestones 7,10 "
        "--lr 0.1 --batch-size 64 --crop 4 --flip --rewind iteration:70 --arm at-once "
        "--precision bf16 --execution compiled",
        about="This size takes two cores two hours: the schedule is short, and the dense "
        "network, which starts from its initialisation, is far from converged. Tickets start from "
        "its weights at iteration 70, and are ahead of it if their masks come from long training. "
        "So matching dense says little here; compare the methods by the differences between them.",
    ),
    "cheap-mnist": Problem(
        "Winning tickets for a hundredth of IMP's cost: LeNet-300-100 on MNIST, 20 prunings",
        MNIST,
        "mnist",
        "imp,prac:arm=at-once,frugal,imp@frugal,carried,imp@carried,prac-carried,"
        "random-subset:level-start=carried@prac-carried,one-shot,early-bird,cts,gem-miner,"
        "random-pruning",
        CHEAP_LENET,
        about="Which search matches the dense network at every density at which IMP does, for the "
        "fewest iterations? `frugal` and `carried` go on from the weights just trained, level "
        "after level, and put their masks over the initialisation only at the end; `imp@frugal` "
        "and `imp@carried` take as many iterations and rewind each level. The settings of "
        "`frugal` were chosen on seeds 10 and 11.",
        page="cheap-mnist",
        against=(
            ("frugal", "imp"),
            ("carried", "imp"),
            ("frugal", "imp@frugal"),
            ("prac-carried", "carried"),
            ("prac-carried", "random-subset:level-start=carried@prac-carried"),
        ),
    ),
    "cheap-cifar": Problem(
        "Cheap searches on a converged network: ResNet-8 on CIFAR-10 at 16 x 16, 12 prunings",
        CIFAR.format("30,001", "3,333"),
        "cifar10",
        "imp,carried,prac,prac-carried,"
        "random-subset:level-start=carried@prac-carried,frugal,cts,one-shot,random-pruning",
        CHEAP_RESNET,
        about="A network with BatchNorm, trained until its accuracy has settled; tickets start "
        "from its weights after the first epoch. The settings of `carried` were chosen on seed 10, "
        "with 16 epochs.",
        page="cheap-cifar",
        against=(
            ("carried", "imp"),
            ("prac-carried", "carried"),
            ("prac-carried", "random-subset:level-start=carried@prac-carried"),
        ),
    ),
    "authors": Problem(
        "PrAC where its authors used it, at a size for two cores: ResNet-8 on CIFAR-10 at 16 x 16",
        CIFAR.format("30,001", "3,333"),
        "cifar10",
        "prac,random-subset@prac,rs2@prac,el2n:el2n-epoch=2@prac,cet,imp@prac,infobatch",
        CHEAP_RESNET.replace("--judged 8,12", "--judged 12"),
        about="A network with BatchNorm, trained until its accuracy has settled, late rewinding, "
        "12 prunings, and the paper's epsilon and window: what does PrAC's choice of examples do, "
        "beside others of the same cost? IMP on the same problem and seeds is on [another "
        "page](cheap-cifar.md), what came of each published claim on [its own](claims.md).",
        page="authors",
        against=(
            ("prac", "random-subset@prac"),
            ("prac", "cet"),
            ("prac", "imp@prac"),
            ("prac", "el2n:el2n-epoch=2@prac"),
            ("prac", "rs2@prac"),
            ("prac", "infobatch"),
        ),
    ),
    "paper": paper("0,1,2", ",".join(map(str, PAPER_JUDGED))),
}


def command(problem: Problem, data: str, out: str, changes: str = "") -> list[str]:
    """Return the `prac compare` command of a problem."""
    options = ["--data", f"{data}/{problem.folder}", "--methods", problem.methods]
    options += ["--seeds", problem.seeds, *problem.options.split(), *changes.split()]
    return ["prac", "compare", *options, "--out", out]


def page_of(name: str) -> str:
    """Return the name of a problem's page."""
    return PROBLEMS[name].page or f"rivals-{name}"


def folder_of(name: str, runs: str) -> Path:
    """Return where a problem is searched."""
    return Path(runs) / f"rivals-{PROBLEMS[name].shares or name}"


def run(name: str, data: str, runs: str, changes: str) -> dict[str, Any]:
    """Run what is left to run of a problem; return what was found and what the page needs."""
    problem, out = PROBLEMS[name], folder_of(name, runs)
    words = command(problem, data, str(out), changes)
    done = subprocess.run([sys.executable, "-m", *words, "--json"], stdout=subprocess.PIPE)
    # 1: a search failed, and is told of; but Python itself ends so too, with nothing to tell.
    if done.returncode not in (0, 1) or not done.stdout.strip():
        sys.exit(done.returncode or 1)
    return results(name, out, command(problem, "DIR", str(folder_of(name, "runs")), changes))


def results(name: str, folder: Path, made_by: Sequence[str]) -> dict[str, Any]:
    """Return what the comparison in a folder has found so far, and what a problem's page needs.

    Args:
        name: The problem's.
        folder: The comparison's; a search in it has ended.
        made_by: The command that compares the same.
    """
    problem, comparison = PROBLEMS[name], with_earlier(name, Comparison.load(folder))
    first = min(folder.glob("runs/*/*/levels/00/summary.json"))
    machine = json.loads((first.parents[2] / "environment.json").read_text())
    shown = ("torch", "python", "processor", "threads", "device")
    return {
        "problem": name,
        "name": page_of(name),
        "title": problem.title,
        "data": problem.data,
        "about": problem.about,
        "command": " ".join(made_by),
        "pairs": [list(pair) for pair in problem.against],
        "methods": dict(itertools.pairwise(made_by))["--methods"].split(","),
        "total": json.loads(first.read_text())["total"],
        "machine": {
            **{key: machine[key] for key in shown},
            **({"gpu": machine["cuda"]} if machine["device"] == "cuda" else {}),
            "platform": platform.system(),
        },
        **_without_places(comparison.to_json(), folder, problem),
    }


def with_earlier(name: str, comparison: Comparison) -> Comparison:
    """Return a comparison with those runs of the committed page that its own folder has not.

    They take hours, and a folder may be lost between two sittings. Runs of other settings, or of
    methods and seeds that are no longer compared, are left out.
    """
    path = pages.RESULTS / f"{page_of(name)}.json"
    if not path.exists():
        return comparison
    known = json.loads(path.read_text())
    mine = {**comparison.settings, "data": known["settings"].get("data")}
    if known["settings"] != mine or tuple(known["judged"]) != comparison.judged:
        return comparison
    earlier = [read_run(path, of, comparison.measure) for of in known["runs"]]
    found = {(run.method, run.seed): run for run in [*earlier, *comparison.runs]}
    methods, seeds = (of.split(",") for of in (PROBLEMS[name].methods, PROBLEMS[name].seeds))
    wanted = itertools.product(methods, map(int, seeds))
    runs = tuple(found[key] for key in wanted if key in found)
    return replace(comparison, runs=runs, seeds=tuple(map(int, seeds)))


def _without_places(found: dict[str, Any], folder: Path, problem: Problem) -> dict[str, Any]:
    """Return a comparison's values without where its folders lay, which is no one's concern."""
    runs = [
        {
            **run,
            "error": run["error"] and run["error"].replace(f"{folder}/", ""),
            "path": _last(run["path"], 3),
            "tickets": [{**one, "folder": _last(one["folder"], 2)} for one in run["tickets"]],
        }
        for run in found["runs"]
    ]
    settings = {**found["settings"], "data": f"DIR/{problem.folder}"}
    return {**found, "settings": settings, "runs": runs}


def _last(path: str, parts: int) -> str:
    return "/".join(Path(path).parts[-parts:])


def publish(results: Mapping[str, Any], folder: Path, target: Path) -> None:
    """Write a problem's results into a folder: figures, page, and the picture of a comparison.

    Where the library that draws is missing, as on a GPU's machine, `experiments.redraw` makes the
    picture from the figures later.

    Args:
        results: What `results` gave.
        folder: The comparison's.
        target: Where they go.
    """
    path = target / results["name"]
    path.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    path.with_suffix(".md").write_text(page(results))
    with suppress(PracError):
        renderer()
        shown = with_earlier(results["problem"], Comparison.load(folder))
        pages.picture(comparison_figure(shown), path.with_suffix(".svg"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is left to run, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", choices=PROBLEMS)
    parser.add_argument("--data", required=True, help="folder that holds mnist/ and cifar10/")
    parser.add_argument("--runs", default="runs", help="where the run folders go")
    parser.add_argument("--set", default="", help="options of prac compare that take others' place")
    parser.add_argument("--results", default=str(pages.RESULTS), help="where the page goes")
    options = parser.parse_args(arguments)
    found = run(options.problem, options.data, options.runs, options.set)
    publish(found, folder_of(options.problem, options.runs), Path(options.results))


if __name__ == "__main__":
    main()
