"""The published claims beside figures made by hand: what is paired, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from experiments import claims


def searched(method: str, seed: int, accuracy: float, iterations: int, cet: int = 50) -> Any:
    ticket = {
        "level": 12,
        "density": 0.069,
        "accuracy": accuracy,
        "cost": {"iterations": iterations},
    }
    levels = [
        {"index": level, "set_size": cet + cep - both, "set_parts": {"cet": cet, "cep": cep}}
        for level, cep, both in ((1, 0, 0), (2, 1, 0), (12, 10, 4))
    ]
    return {"method": method, "seed": seed, "tickets": [ticket], "levels": levels}


def compared(*runs: Any) -> Any:
    return {"total": 100, "judged": [0, 12], "runs": list(runs)}


@pytest.fixture
def figures() -> claims.Figures:
    own = compared(
        *(searched("prac", seed, 0.70 + seed / 100, 50) for seed in (0, 1)),
        *(searched("random-subset@prac", seed, 0.69 + seed / 100, 50) for seed in (1, 0)),
    )
    earlier = compared(
        *(searched("imp", seed, 0.71 + seed / 100, 100) for seed in (0, 1, 2)),
        searched("prac", 0, 0.1, 1),
    )
    return claims.Figures(own, earlier)


def test_seeds_pair_up_and_the_first_comparison_holds(figures):
    assert figures.accuracies("prac", 12) == [0.70, 0.71]
    assert figures.less("prac", "imp", 12) == pytest.approx([-0.01, -0.01])
    assert figures.less("prac", "random-subset@prac", 12) == pytest.approx([0.01, 0.01])
    assert figures.saved("prac", "imp", 12) == [0.5, 0.5]
    assert figures.part(12) == [0.56, 0.56]
    assert figures.part(12, "cep") == [0.1, 0.1]
    assert figures.beyond_cet(12) == pytest.approx([0.06, 0.06])


def test_claims_are_about_what_was_searched(figures):
    found = {claim.text: claim for claim in claims.claims(figures, {}, 12)}
    better = found["critical sets are worth more than random ones"]
    assert (better.here, better.verdict) == ("+1.00 ± 0.00 at 6.9 %", "comes out")
    saved = found["most of IMP's iterations are saved where tickets of both match"]
    assert (saved.here, saved.verdict) == ("50.00 ± 0.00 % to 6.9 %", "cannot be told")
    assert found["after the dense level, CET are half of the data"].verdict == "comes out"
    assert found["after 12 prunings the set is a third of the data"].verdict == "does not"
    assert not [text for text in found if "SNIP" in text or "another network" in text]


def test_sets_on_another_network_are_held_against_both():
    accuracies = {"own": 0.70, "transferred": 0.69, "random": 0.60}
    transfer = {"thin-vgg": {kind: [{"accuracy": of}] * 3 for kind, of in accuracies.items()}}
    figures = claims.Figures(compared(*(searched(of, 0, 0.7, 9) for of in ("prac", "imp"))))
    *_, alike, better = claims.claims(figures, transfer, None)
    assert (alike.here, alike.verdict) == ("-1.00 ± 0.00", "does not")
    assert (better.here, better.verdict) == ("+9.00 ± 0.00", "comes out")
