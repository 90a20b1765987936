"""The published claims of PrAC one by one, beside what came out on two cores.

Reads the committed figures of `experiments.rivals authors` and of `experiments.transfer`, and
writes `docs/results/claims.json` and `.md`: nothing is measured.

    python -m experiments.claims
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from experiments import pages
from experiments.pages import percent, spread, table
from prac.evaluation import half_width, mean

NAME = "claims"
COMES_OUT, DOES_NOT, CANNOT_TELL = "comes out", "does not", "cannot be told"
LEVELS = (8, 12)
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
    """The figures of a comparison by method."""

    def __init__(self, results: Mapping[str, Any]) -> None:
        """Sort the searches of a comparison's JSON."""
        self.total = results["total"]
        self.runs: dict[str, list[Mapping[str, Any]]] = {}
        for run in sorted(results["runs"], key=lambda run: run["seed"]):
            self.runs.setdefault(run["method"], []).append(run)

    def tickets(self, method: str, level: int) -> list[Mapping[str, Any]]:
        """Return a method's judged tickets of a level, by seed."""
        return [
            next(ticket for ticket in run["tickets"] if ticket["level"] == level)
            for run in self.runs[method]
        ]

    def accuracies(self, method: str, level: int) -> list[float]:
        """Return their test accuracies."""
        return [ticket["accuracy"] for ticket in self.tickets(method, level)]

    def less(self, method: str, other: str, level: int) -> list[float]:
        """Return a method's accuracies less another's, by seed."""
        pairs = zip(self.accuracies(method, level), self.accuracies(other, level), strict=True)
        return [one - of for one, of in pairs]

    def iterations(self, method: str, level: int) -> list[int]:
        """Return what finding a level's tickets took."""
        return [ticket["cost"]["iterations"] for ticket in self.tickets(method, level)]

    def part(self, level: int, name: str | None = None) -> list[float]:
        """Return the share of the data that PrAC's sets of a level hold, or a part of them."""
        return [
            (of["set_parts"].get(name, 0) if name else of["set_size"]) / self.total
            for run in self.runs["prac"]
            for of in run["levels"]
            if of["index"] == level
        ]

    def saved(self, method: str, level: int) -> list[float]:
        """Return the shares of IMP's iterations that a method saves, by seed."""
        pairs = zip(self.iterations(method, level), self.iterations("imp", level), strict=True)
        return [1 - one / of for one, of in pairs]


def told(differences: Sequence[float]) -> str:
    """Return differences in points: the mean with half of its 95 % interval."""
    width = 100 * (half_width(differences) or 0.0)
    return f"{100 * mean(differences):+.2f} ± {width:.2f}"


def at_both(
    figures: Figures, one: str, other: str, judge: Callable[[Sequence[float]], str]
) -> tuple[str, str]:
    """Return the differences of two methods at both densities, and what they make of a claim.

    It comes out where it does at either density and does not fail at the other.
    """
    found = [figures.less(one, other, level) for level in LEVELS]
    verdicts = {judge(of) for of in found}
    where = ("16.8 %", "6.9 %")
    here = "; ".join(f"{told(of)} at {at}" for of, at in zip(found, where, strict=True))
    if DOES_NOT in verdicts:
        return here, DOES_NOT
    return here, COMES_OUT if COMES_OUT in verdicts else CANNOT_TELL


def claims(authors: Mapping[str, Any], transfer: Mapping[str, Any]) -> Iterator[Claim]:
    """Yield the claims."""
    figures = Figures(authors)
    first, last = figures.part(1, "cet"), figures.part(12)
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
    cep = figures.part(2, "cep"), figures.part(12, "cep")
    yield Claim(
        "CEP grow with sparsity, from 3 to 13 % of the data at level 12",
        "3.3 to 13.0 %",
        f"{percent(cep[0])} to {percent(cep[1])} %",
        judged([b - a for a, b in zip(*cep, strict=True)]),
    )
    saved = figures.saved("prac", 8)
    yield Claim(
        "most of IMP's iterations are saved to the sparsest ticket where both match",
        "83.9 %",
        f"{percent(saved)} %, at 16.8 % density",
        judged([of - 0.5 for of in saved]),
    )
    never = "prac:stop-rule=never"
    shorter = [
        1 - one / of
        for one, of in zip(
            figures.iterations("prac", 12), figures.iterations(never, 12), strict=True
        )
    ]
    yield Claim(
        "the early stop saves most of what is left",
        "72.9 %",
        f"{percent(shorter)} %",
        judged([of - 0.5 for of in shorter]),
    )
    here, verdict = at_both(figures, "prac", never, lambda of: judged(of, allowed=0.005))
    yield Claim("the early stop costs at most half a point", "0.50", here, verdict)
    pairs = (
        ("prac", "cet", "without CEP about a point is lost", "1"),
        ("prac", "random-subset@prac", "critical sets are worth more than random ones", "yes"),
        ("prac", "synflow", "PrAC beats SynFlow at equal cost", "1.51 at 6.9 %"),
        ("prac", "snip", "PrAC beats SNIP at equal cost", "4.22 at 6.9 %"),
        ("prac", "grasp", "PrAC beats GraSP at equal cost", "4.36 at 6.9 %"),
        ("prac", "random-pruning", "PrAC's tickets are far from random masks", "yes"),
    )
    for one, other, text, published in pairs:
        here, verdict = at_both(figures, one, other, judged)
        yield Claim(text, published, here, verdict)
    here, verdict = at_both(figures, "prac", "imp", lambda of: judged(of, allowed=0.01))
    yield Claim("PrAC's tickets are within a point of IMP's", "0.5 at 26.2 %", here, verdict)
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
    "rs2@prac": "fresh random shares of 30 % an epoch (RS2), as long",
    "infobatch": "InfoBatch, at its own cost",
}
"""What the paper did not compare with, and a user would."""


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
        f"{found['dense']} %, three seeds ([figures](authors.md); sets on another network: "
        "[transfer](transfer.md), six seeds). Differences are in points, by seed, with half of "
        "their 95 % intervals. A claim comes out where the interval lies on its side of the "
        "border (0, unless it names another), does not where it lies on the other side, and "
        "cannot be told where the border is within it.",
        "",
        *table(["claim", "published", "here", "verdict"], rows),
        "",
        "What the paper does not compare with:",
        "",
        *table(["PrAC less", "points", "is PrAC better?"], found["others"]),
        "",
        "Not measured: forgetting thresholds above 0, densities below 6.9 %, the published length "
        "and resolution (they need a GPU).",
        "",
        "By `python -m experiments.claims`, from the figures of those pages.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write figures and page."""
    authors, transfer = pages.read("authors"), pages.read("transfer")
    figures = Figures(authors)
    others = []
    for method, about in ASKED.items():
        here, verdict = at_both(figures, "prac", method, judged)
        others.append([f"{about} (`{method}`)", here, verdict.replace("comes out", "yes")])
    found = {
        "dense": spread(figures.accuracies("imp", 0), factor=100, digits=1),
        "claims": [asdict(claim) for claim in claims(authors, transfer)],
        "others": others,
    }
    (pages.RESULTS / f"{NAME}.json").write_text(json.dumps(found, indent=1) + "\n")
    pages.write(NAME, page(found))


if __name__ == "__main__":
    main()
