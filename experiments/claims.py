"""The published claims of PrAC one by one, beside what came out on two cores.

Reads the committed figures of `experiments.rivals authors` and `cheap-cifar`, which are of one
problem, and of `experiments.transfer`, and writes `docs/results/claims.json` and `.md`: nothing is
measured.

    python -m experiments.claims
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from experiments import pages
from experiments.pages import percent, spread, table
from prac.evaluation import half_width, mean

NAME = "claims"
COMES_OUT, DOES_NOT, CANNOT_TELL = "comes out", "does not", "cannot be told"
EL2N = "el2n:el2n-epoch=2@prac"


@dataclass(frozen=True)
class Claim:
    """A published claim, and what came out here.

    Attributes:
        text: The claim.
        published: Its figure.
        here: What was measured.
        verdict: Whether it comes out.
    """

    text: str
    published: str
    here: str
    verdict: str


def judged(
    differences: Sequence[float], *, above: float = 0.0, allowed: float | None = None
) -> str:
    """Say what differences by seed, in shares, make of a claim about their mean.

    That it is above something, or, with `allowed`, at most so far below 0: it comes out where the
    mean's 95 % interval lies on that side whole, does not where it lies on the other, and cannot
    be told where the border is within.

    >>> judged([0.02, 0.021, 0.022]), judged([-0.02, -0.021, -0.022]), judged([-0.02, 0.02, 0.01])
    ('comes out', 'does not', 'cannot be told')
    >>> judged([-0.001, 0.001, 0.0], allowed=0.005)
    'comes out'
    """
    border = above if allowed is None else -allowed
    width = half_width(differences) or 0.0
    low, high = mean(differences) - width, mean(differences) + width
    return COMES_OUT if low > border else DOES_NOT if high < border else CANNOT_TELL


class Figures:
    """The figures of comparisons of the same problem and seeds, by method."""

    def __init__(self, *comparisons: Mapping[str, Any]) -> None:
        """Sort the searches of comparisons' JSON; of a method in several, the first one's."""
        self.total = comparisons[0]["total"]
        judged_levels = {level for found in comparisons for level in found["judged"] if level}
        self.levels = tuple(sorted(judged_levels))
        self.runs: dict[str, dict[int, Mapping[str, Any]]] = {}
        for found in comparisons:
            runs: dict[str, dict[int, Mapping[str, Any]]] = {}
            for run in found["runs"]:
                runs.setdefault(run["method"], {})[run["seed"]] = run
            self.runs = {**runs, **self.runs}

    def has(self, *methods: str) -> bool:
        """Say whether methods were searched by."""
        return self.runs.keys() >= set(methods)

    def tickets(self, method: str, level: int) -> dict[int, Mapping[str, Any]]:
        """Return a method's judged tickets of a level, by seed."""
        return {
            seed: ticket
            for seed, run in sorted(self.runs[method].items())
            for ticket in run["tickets"]
            if ticket["level"] == level
        }

    def density(self, level: int) -> str:
        """Return a level's density in per cent."""
        densities = (
            of["density"] for name in self.runs for of in self.tickets(name, level).values()
        )
        return f"{100 * next(densities):.1f} %"

    def accuracies(self, method: str, level: int) -> list[float]:
        """Return their test accuracies."""
        return [ticket["accuracy"] for ticket in self.tickets(method, level).values()]

    def less(self, method: str, other: str, level: int) -> list[float]:
        """Return a method's accuracies less another's, of the seeds that both have."""
        one, of = self.tickets(method, level), self.tickets(other, level)
        return [one[seed]["accuracy"] - of[seed]["accuracy"] for seed in one if seed in of]

    def part(self, level: int, name: str | None = None) -> list[float]:
        """Return the share of the data that PrAC's sets of a level hold, or a part of them."""
        return [
            (of["set_parts"].get(name, 0) if name else of["set_size"]) / self.total
            for run in self.runs["prac"].values()
            for of in run["levels"]
            if of["index"] == level
        ]

    def beyond_cet(self, level: int) -> list[float]:
        """Return the share of the data that PrAC's sets of a level hold and that are not CET."""
        return [a - b for a, b in zip(self.part(level), self.part(level, "cet"), strict=True)]

    def saved(self, method: str, other: str, level: int) -> list[float]:
        """Return the shares of another method's iterations that a method saves, by seed."""
        one, of = self.tickets(method, level), self.tickets(other, level)
        spent = [[t[seed]["cost"]["iterations"] for t in (one, of)] for seed in one if seed in of]
        return [1 - own / theirs for own, theirs in spent]


def told(differences: Sequence[float]) -> str:
    """Return differences in points: the mean with half of its 95 % interval."""
    width = 100 * (half_width(differences) or 0.0)
    return f"{100 * mean(differences):+.2f} ± {width:.2f}"


def at_levels(
    figures: Figures, one: str, other: str, judge: Callable[[Sequence[float]], str]
) -> tuple[str, str]:
    """Return the differences of two methods at each density, and what they make of a claim.

    Of the densities at which both were judged. It comes out where it does at one at least, and
    does not fail at another.
    """
    differences = {level: figures.less(one, other, level) for level in figures.levels}
    found = {figures.density(level): of for level, of in differences.items() if of}
    verdicts = {judge(of) for of in found.values()}
    here = "; ".join(f"{told(of)} at {density}" for density, of in found.items())
    if DOES_NOT in verdicts:
        return here, DOES_NOT
    return here, COMES_OUT if COMES_OUT in verdicts else CANNOT_TELL


def claims(
    figures: Figures, transfer: Mapping[str, Any], both_match: int | None
) -> Iterator[Claim]:
    """Yield the claims of which something was measured.

    Args:
        figures: Of the searches.
        transfer: Figures of `experiments.transfer`.
        both_match: The sparsest level at which tickets of PrAC and of IMP match; None if none.
    """
    last_level = max(figures.levels)
    first, last = figures.part(1, "cet"), figures.part(last_level)
    yield Claim(
        "after the dense level, CET are half of the data",
        "53.7 %",
        f"{percent(first)} %",
        COMES_OUT if 0.45 <= mean(first) <= 0.55 else DOES_NOT,
    )
    yield Claim(
        "after 12 prunings the set is a third of the data",
        "35.1 %",
        f"{percent(last)} %",
        COMES_OUT if 0.30 <= mean(last) <= 0.40 else DOES_NOT,
    )
    for text, published, of in (
        ("CEP grow with sparsity", "3.3 to 13.0 %", partial(figures.part, name="cep")),
        ("so do those of them that are not CET, too", "0.0 to 2.8 %", figures.beyond_cet),
    ):
        second, then = of(2), of(last_level)
        yield Claim(
            f"{text} (after 2 and after 12 prunings)",
            published,
            f"{percent(second)} to {percent(then)} %",
            judged([b - a for a, b in zip(second, then, strict=True)]),
        )
    for text, published, level in (
        ("most of IMP's iterations are saved where tickets of both match", "83.9 %", both_match),
        ("and in all, whether or not they match", "", last_level),
    ):
        if level is not None:
            saved = figures.saved("prac", "imp", level)
            here = f"{percent(saved)} % to {figures.density(level)}"
            yield Claim(text, published, here, judged([of - 0.5 for of in saved]))
    never = "prac:stop-rule=never"
    if figures.has(never):
        shorter = figures.saved("prac", never, last_level)
        yield Claim(
            "the early stop saves most of what is left",
            "72.9 %",
            f"{percent(shorter)} %",
            judged([of - 0.5 for of in shorter]),
        )
    within = (
        ("prac", never, "the early stop costs at most half a point", "0.50", 0.005),
        ("prac", "imp", "PrAC's tickets are within a point of IMP's", "0.5 at 26.2 %", 0.01),
    )
    better = (
        ("prac", "cet", "without CEP about a point is lost", "1", None),
        (
            "prac",
            "random-subset@prac",
            "critical sets are worth more than random ones",
            "yes",
            None,
        ),
        ("prac", "synflow", "PrAC beats SynFlow at equal cost", "1.51 at 6.9 %", None),
        ("prac", "snip", "PrAC beats SNIP at equal cost", "4.22 at 6.9 %", None),
        ("prac", "grasp", "PrAC beats GraSP at equal cost", "4.36 at 6.9 %", None),
        ("prac", "random-pruning", "PrAC's tickets are far from random masks", "yes", None),
    )
    for one, other, text, published, allowed in (*within, *better):
        if figures.has(other):
            here, verdict = at_levels(figures, one, other, partial(judged, allowed=allowed))
            yield Claim(text, published, here, verdict)
    if "thin-vgg" not in transfer:
        return
    searches = transfer["thin-vgg"]
    moved, own, random = (
        [run["accuracy"] for run in searches[kind]] for kind in ("transferred", "own", "random")
    )
    less = [a - b for a, b in zip(moved, own, strict=True)]
    yield Claim(
        "a set serves another network about as well as its own (within half a point)",
        "yes",
        told(less),
        judged(less, allowed=0.005),
    )
    more = [a - b for a, b in zip(moved, random, strict=True)]
    yield Claim("and better than a random set of its size", "", told(more), judged(more))


ASKED = {
    "imp@prac": "all data, for as many iterations",
    EL2N: "the highest EL2N scores, as many and as long",
    "rs2@prac": "fresh random shares of 30 % an epoch (RS2)",
    "infobatch": "InfoBatch",
}
"""What the paper did not compare with, and a user would."""
OTHERS_HEAD = ("PrAC less", "seeds", "iterations, of PrAC's", "points", "is PrAC better?")


def page(found: Mapping[str, Any]) -> str:
    """Return the page of the claims."""
    rows = [
        [of[name] for name in ("text", "published", "here", "verdict")] for of in found["claims"]
    ]
    lines = [
        "# The published claims, one by one",
        "",
        "Published are ResNet-20s on CIFAR-10 at 32 x 32, 182 epochs and 15 prunings, dense 91.3 "
        "%. Here is ResNet-8 on 30,001 images of it at 16 x 16, 20 epochs and 12 prunings, dense "
        f"{found['dense']} %, {found['seeds']} seeds ([figures](authors.md), IMP's and random "
        "masks' [earlier ones](cheap-cifar.md) of the same problem and seeds; sets on another "
        "network: [transfer](transfer.md)). Differences are in points, by seed, with half of "
        "their 95 % intervals. A claim comes out where the interval lies on its side of the "
        "border (0, unless it names another), does not where it lies on the other side, and "
        "cannot be told where the border is within it.",
        "",
        *table(["claim", "published", "here", "verdict"], rows),
        "",
        "What the paper does not compare with:",
        "",
        *table(OTHERS_HEAD, found["others"]),
        "",
        "Not measured: forgetting thresholds above 0, densities below 6.9 %, the published length "
        "and resolution (they need a GPU).",
        "",
        "By `python -m experiments.claims`, from the figures of those pages.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write figures and page."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args(arguments)
    earlier = pages.read("cheap-cifar")
    figures = Figures(earlier, pages.read("authors"))
    both_match = next(of["both_match"] for of in earlier["summary"] if of["method"] == "prac")
    others = []
    for method, about in ASKED.items():
        if figures.has(method):
            here, verdict = at_levels(figures, "prac", method, judged)
            cost = 1 - mean(figures.saved(method, "prac", max(figures.levels)))
            yes_or_no = verdict.replace(COMES_OUT, "yes").replace(DOES_NOT, "no")
            seeds = str(len(figures.less("prac", method, max(figures.levels))))
            others.append([f"{about} (`{method}`)", seeds, f"{cost:.0%}", here, yes_or_no])
    found = {
        "dense": spread(figures.accuracies("prac", 0), factor=100, digits=1),
        "seeds": len(figures.runs["prac"]),
        "claims": [asdict(claim) for claim in claims(figures, pages.read("transfer"), both_match)],
        "others": others,
    }
    (pages.RESULTS / f"{NAME}.json").write_text(json.dumps(found, indent=1) + "\n")
    pages.write(NAME, page(found))


if __name__ == "__main__":
    main()
