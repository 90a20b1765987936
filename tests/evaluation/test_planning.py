"""A plan of seeds: what it is made from, what it says, what it refuses, and the command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import prac
from prac.cli import main
from prac.evaluation import LevelVerdict, TestSet, Trial, Trials, Verdict
from prac.runs import ACCURACY, Measure
from prac.search import Search

PERPLEXITY = Measure("perplexity", higher_is_better=False)
DENSE = 0.90, 0.92


def trials(*values: float) -> Trials:
    return Trials(tuple(Trial(seed, of, f"at/{seed}") for seed, of in enumerate(values)))


def verdict(
    *tickets: tuple[float, ...],
    dense: tuple[float, ...] = DENSE,
    controls: Sequence[Mapping[str, tuple[float, ...]]] = (),
    test: TestSet | None = None,
    measure: Measure = ACCURACY,
) -> Verdict:
    """Return a verdict on tickets of levels from 1 on."""
    of_dense = trials(*dense)
    levels = [
        LevelVerdict(
            index,
            0.8**index,
            True,
            trials(*values),
            of_dense,
            {name: trials(*of) for name, of in named.items()},
            test=test,
            measure=measure,
        )
        for index, values in enumerate((dense, *tickets))
        for named in ([{}, *controls][index] if controls else {},)
    ]
    return Verdict(Search(Path("runs/x"), {}, []), tuple(range(len(dense))), tuple(levels))


class TestPlan:
    def test_by_hand(self):
        # Differences -0.01 and 0.01 have the variance 0.0002; of one degree of freedom, the median
        # of chi-square is 0.4549, and 0.0002 / 0.4549 / 0.005^2 is 17.6.
        plan = prac.plan_seeds(verdict((0.89, 0.93)))
        [spread] = plan.spreads
        assert (spread.what, spread.levels, spread.degrees) == ("ticket", (1,), 1)
        assert spread.found == pytest.approx(0.0002**0.5)
        assert spread.deviation == pytest.approx((0.0002 / 0.4549) ** 0.5, rel=1e-3)
        # (1.645 + 0.842)^2 * 17.6 is 108.8, and t takes one or two more than the normal does.
        assert plan.needed == 111
        assert spread.at_most == pytest.approx(3.947 * spread.found, rel=1e-3)
        assert (plan.trainings, plan.seconds, plan.trainings_left(5)) == (2, None, 6)
        assert plan.seconds_left(5) is None
        assert plan.shown == (2, 3, 5, 10, 20), "nor looks at them"
        assert prac.plan_seeds(verdict((0.89, 0.93)), 0.01).shown == (2, 3, 5, 10, 20, 29)
        assert plan.next_seeds is None, "nobody names so many"
        assert prac.plan_seeds(verdict((0.89, 0.93)), 1e-9).to_json()["needed"] > 10**12
        assert repr(plan) == "SeedPlan(111 seeds to tell 0.50 points, from 2 seeds)"

    def test_levels_are_pooled_and_controls_have_a_spread_of_their_own(self):
        controls = {"shuffled": (0.89, 0.93)}, {"shuffled": (0.80, 0.80)}
        plan = prac.plan_seeds(verdict((0.89, 0.93), (0.9, 0.92), controls=controls))
        of_tickets, of_shuffled = plan.spreads
        # Variances 0.0002 and 0; two levels that share dense runs are worth 1.6 degrees.
        assert of_tickets.found == pytest.approx(0.0001**0.5)
        assert of_tickets.levels == (1, 2)
        assert of_tickets.degrees == pytest.approx(1.6)
        assert (of_shuffled.what, of_shuffled.degrees) == ("shuffled", 2)
        assert of_shuffled.found == pytest.approx(0.0001**0.5)
        assert plan.trainings == 5
        assert plan.needed == max(one.needed(0.005) for one in plan.spreads)

    def test_seeds_are_those_planned_from_and_the_smallest_others(self):
        plan = prac.plan_seeds(replace(verdict((0.89, 0.93)), seeds=(3, 1)), 0.02)
        assert (plan.needed, plan.next_seeds) == (9, (3, 1, 0, 2, 4, 5, 6, 7, 8))
        assert prac.plan_seeds(verdict((0.89, 0.93)), 1.0).next_seeds == (0, 1)

    def test_lower_values_may_be_better_and_have_a_unit_of_their_own(self):
        found = verdict((14.0, 11.0), dense=(12.0, 11.0), measure=PERPLEXITY)
        text = prac.to_text(prac.plan_seeds(found, 2.0))
        assert "seeds tell a ticket that is 2 above the dense network" in text
        assert "point" not in text
        with pytest.raises(prac.PracError, match="half a point is meant for shares alone"):
            prac.plan_seeds(found)

    def test_two_equal_differences_tell_nothing(self):
        found = verdict((0.80, 0.82), controls=({"random": (0.7, 0.8)},))
        plan = prac.plan_seeds(found)
        assert (plan.needed, plan.needed_at_most, plan.next_seeds) == (None, None, None)
        text = " ".join(prac.to_text(plan).split())
        assert "which tells nothing of how far seeds lie apart" in text
        assert "--seeds 0,1,2." in text
        assert "seeds tell a random control" in text
        assert json.loads(json.dumps(plan.to_json()))["needed"] is None
        assert repr(plan) == "SeedPlan(equal differences tell nothing, from 2 seeds)"

    def test_what_seeds_cannot_do_is_said(self):
        text = " ".join(
            prac.to_text(prac.plan_seeds(verdict((0.89, 0.93), test=TestSet(100, 0.1)))).split()
        )
        assert "100 of them tell 91.00 % only to ±5.7 points" in text
        assert "it lets a ticket be 1.41 points worse, with any number of seeds" in text
        assert "Beware" not in text

    def test_a_dense_network_at_chance_is_no_base(self):
        found = verdict((0.1, 0.12), dense=(0.1, 0.11), test=TestSet(100, 0.1))
        assert prac.to_text(prac.plan_seeds(found)).startswith("Beware: the dense network")

    @pytest.mark.parametrize(
        ("found", "given", "told"),
        [
            (verdict((0.9,), dense=(0.9,)), {}, r"seeds are \[0\]: one tells nothing"),
            (verdict(), {}, "runs/x: only the dense network is judged"),
            (verdict((0.89, 0.93)), {"difference": 0.0}, "difference is 0.0: expected more than 0"),
            (verdict((0.89, 0.93)), {"difference": float("nan")}, "difference is nan"),
            (verdict((0.89, 0.93)), {"difference": 50}, "of a share: expected at most 1"),
            (verdict((0.89, 0.93)), {"jobs": 0}, "jobs is 0: expected a whole number"),
        ],
    )
    def test_what_gives_no_plan_is_refused(self, found, given, told):
        with pytest.raises(prac.PracError, match=told):
            prac.plan_seeds(found, **given)


@pytest.fixture
def run(judged_run, tmp_path, monkeypatch) -> str:
    """A run judged with the seeds 0 and 1 at levels 2 and 3, beside shuffled masks."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(judged_run, "run")
    return "run"


class TestCommand:
    def test_it_plans_from_what_is_trained_and_tells_what_to_do_next(self, run, capsys):
        before = Path(run, "judged/verdict.json").read_bytes()
        kept = sorted(path.name for path in Path(run, "judged").iterdir())
        words = ["judge", run, "--plan", "--levels", "3", "--shuffle", "--difference=2", "--quiet"]
        assert main(words) == 0
        out = capsys.readouterr().out
        assert "seeds tell a ticket that is 2.00 points below the dense network" in out
        assert "seeds tell a shuffled control that is 2.00 points below" in " ".join(out.split())
        *_, where, after = out.splitlines()
        assert where == "plan: run/judged/plan.json"
        plan = json.loads(Path(run, "judged/plan.json").read_text())
        seeds = ",".join(map(str, plan["next_seeds"]))
        assert after == f"next: prac judge run --levels 3 --shuffle --quiet --seeds {seeds}"
        assert plan["difference"] == pytest.approx(0.02)
        assert plan["seconds_a_seed"] > 0
        assert plan["trainings_a_seed"] == 3
        row = next(one for one in plan["rows"] if one["seeds"] == plan["needed"])
        assert row["seconds_left"] == pytest.approx((plan["needed"] - 2) * plan["seconds_a_seed"])
        assert all(one <= plan["difference"] for one in row["tells"].values())
        # Nothing was trained anew, and the verdict is the one that there was.
        assert Path(run, "judged/verdict.json").read_bytes() == before
        assert sorted(path.name for path in Path(run, "judged").iterdir()) == sorted(
            [*kept, "plan.json"]
        )

        assert main(["judge", run, "--plan", "--levels", "3", "--json", "--quiet"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed == json.loads(Path(run, "judged/plan.json").read_text())
        verdict = Verdict.load(Search.load(run))
        assert [one["of"] for one in printed["spreads"]] == ["ticket"]
        ticket = replace(verdict.levels[2], controls={})
        again = prac.plan_seeds(replace(verdict, levels=(verdict.levels[0], ticket))).to_json()
        for plan in (again, printed):
            plan.pop("dense")  # Folders are where the verdict was given.
        assert again == printed

    def test_hours_are_shared_by_jobs(self, run):
        verdict = Verdict.load(Search.load(run))
        one, two = (prac.plan_seeds(verdict, jobs=jobs) for jobs in (1, 2))
        assert two.seconds_left(5) == pytest.approx(one.seconds_left(5) * 2 / 3)

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ("--plan --seeds 4", "seeds are [4]: one tells nothing of the spread"),
            ("--plan --levels 0", "run: only the dense network is judged"),
            (
                "--sanity --levels 0",
                "is judged, and controls are of tickets",
            ),
            ("--plan --find-rewind-point", "--plan is given but not used"),
            ("--plan --barriers", "--barriers is given but not used: --plan gives no verdict"),
            ("--plan --pools", "--pools is given but not used: --plan gives no verdict"),
            ("--plan --difference 0", "difference"),
            ("--plan --difference inf", "difference"),
            ("--plan --difference 101", "101 points of a share: expected at most 100; half a"),
            ("--difference 1", "--difference is given but not used: --plan is not given"),
            (
                "--plan --task regression --task-args within=0.5",
                "difference is not given, and half a point is meant",
            ),
        ],
    )
    def test_what_does_not_go_together_is_refused_before_anything_is_trained(
        self, run, options, told, capsys
    ):
        assert main(["judge", run, *options.split()]) == 2
        assert told in capsys.readouterr().err
        assert not Path(run, "judged/plan.json").exists()

    def test_hundreds_of_seeds_are_not_listed(self, run, capsys):
        words = ["judge", run, "--plan", "--levels", "3", "--difference", "0.05", "--quiet"]
        assert main(words) == 0
        assert capsys.readouterr().out.splitlines()[-1] == (
            "next: more than 100 seeds are rarely worth it: plan a larger --difference"
        )
