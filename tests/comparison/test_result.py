"""What a comparison says of hand-made runs: verdicts, savings, rivals; its file and its words."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest
import vl_convert
from rich.console import Console

from prac.comparison import COMPARISON_FILE, Comparison, summary
from prac.comparison.pairwise import ONE_SEED, findings, pair
from prac.comparison.record import JudgedTicket, Run, SearchedLevel
from prac.errors import Damaged, PracError
from prac.report import comparison_figure, comparison_text, write
from prac.report.comparison_text import lines, short
from prac.runs import Cost

IMP_LEVEL = 1000
"""Iterations of a level of iterative magnitude pruning."""

# Mean 0.90, standard deviation 0.02.
DENSE = (0.88, 0.90, 0.92)


def run(method, seed, accuracies, *, per_level=IMP_LEVEL, rewind="init", dense=None):
    """A search whose tickets of levels 1, 2, ... have these accuracies."""
    found = (DENSE[seed] if dense is None else dense, *accuracies)
    tickets = tuple(
        JudgedTicket(
            level,
            0.8**level,
            accuracy,
            f"at/{method}/{seed}/{level}",
            Cost(iterations=per_level * level, examples_scored=7 * level, seconds=level / 2),
            Cost(iterations=IMP_LEVEL * level),
        )
        for level, accuracy in enumerate(found)
    )
    levels = tuple(
        SearchedLevel(k, 50 - k, {"cet": 30, "cep": 40} if k else {}, per_level, k == 1)
        for k in range(len(found))
    )
    return Run(method, seed, f"runs/{method}/seed-{seed}", rewind, levels, tickets)


def of(method, *by_seed, **options):
    return [run(method, seed, given, **options) for seed, given in enumerate(by_seed)]


def comparison(*runs, path="here", judged=(0, 1, 2)):
    flat = [one for several in runs for one in several]
    seeds = tuple(sorted({one.seed for one in flat}))
    return Comparison(path, seeds, judged, {"levels": 2}, tuple(flat))


WINS = ((0.88, 0.80), (0.90, 0.82), (0.92, 0.84))
ONCE = ((0.88,), (0.90,), (0.92,))
WINS_TO_THE_END = ((0.88, 0.87), (0.90, 0.89), (0.92, 0.91))
LOSES = ((0.7, 0.7), (0.71, 0.71), (0.72, 0.72))


def rows(found):
    return {row.method: row for row in summary(found)}


class TestSummary:
    def test_verdicts_are_those_of_each_methods_own_dense_networks(self):
        found = comparison(of("imp", *WINS_TO_THE_END), of("prac", *WINS), of("snip", *LOSES))
        assert [found.matching(method) for method in found.methods] == [[1, 2], [1], []]
        assert found.verdict("prac", 1).verdict == "winning"
        assert found.verdict("prac", 2).verdict == "not"
        assert found.verdict("prac", 0).verdict == "dense"
        assert found.verdict("synflow", 1) is None

    def test_from_a_rewind_point_tickets_match_and_do_not_win(self):
        found = comparison(of("imp", *WINS, rewind="epoch:1"))
        assert found.verdict("imp", 1).verdict == "matching"

    def test_savings_are_counted_where_both_match(self):
        found = comparison(
            of("imp", *WINS), of("prac", *WINS_TO_THE_END, per_level=250), of("snip", *LOSES)
        )
        prac = rows(found)["prac"]
        assert (prac.matching, prac.both_match) == (2, 1)
        assert prac.saved == prac.saved_where_both_match == 0.75
        assert rows(found)["snip"].both_match is None
        assert rows(found)["snip"].saved_where_both_match is None

    def test_where_both_match_is_the_sparsest_such_level(self):
        found = comparison(of("imp", *WINS_TO_THE_END), of("prac", *WINS_TO_THE_END))
        assert found.both_match("prac") == 2

    def test_rivals_are_the_other_methods_tickets_not_their_dense_networks(self):
        found = comparison(of("imp", *WINS), of("prac", *WINS), of("rs2", *LOSES))
        pairs = [(one.method, one.level) for one in found.pairs]
        assert pairs == [("imp", 1), ("imp", 2), ("rs2", 1), ("rs2", 2)]

    def test_savings_at_the_last_ticket_are_those_of_its_own_cost(self):
        uneven = [
            dataclasses.replace(
                one,
                tickets=tuple(
                    dataclasses.replace(t, cost=Cost(iterations=100 * t.level**2))
                    for t in one.tickets
                ),
            )
            for one in of("prac", *WINS)
        ]
        row = rows(comparison(of("imp", *WINS), uneven))["prac"]
        assert row.saved == pytest.approx(1 - 400 / 2000)
        assert row.saved_where_both_match == pytest.approx(1 - 100 / 1000)

    def test_costs_are_means_over_seeds_to_the_last_judged_ticket(self):
        row = rows(comparison(of("prac", *WINS, per_level=250)))["prac"]
        assert (row.n, row.failed) == (3, 0)
        assert (row.iterations, row.examples_scored, row.seconds) == (500, 14, 1)
        first = row.values[1]
        assert (first["level"], first["mean"]) == (1, pytest.approx(0.9))
        # Student's t of two degrees of freedom, 4.3027, times 0.02 over the root of three.
        assert first["half_width"] == pytest.approx(4.3027 * 0.02 / 3**0.5, rel=1e-4)

    def test_a_failed_search_counts_in_nothing_but_failures(self):
        broken = Run("prac", 2, "runs/prac/seed-2", error="no memory")
        found = comparison(of("imp", *WINS), [*of("prac", *WINS[:2]), broken])
        row = rows(found)["prac"]
        assert (row.n, row.failed) == (2, 1)
        assert found.failed == [broken]
        assert found.verdict("prac", 1).ticket.values == [0.88, 0.90]
        assert "prac, seed 2 failed: no memory" in list(lines(found))

    def test_a_method_that_only_failed_has_an_empty_row(self):
        found = comparison([Run("prac", 0, "runs/prac/seed-0", error="no memory")])
        row = rows(found)["prac"]
        assert (row.n, row.failed, row.iterations, row.saved, row.values) == (
            0, 1, None, None, (),
        )  # fmt: skip
        comparison_figure(found)

    def test_without_imp_nothing_is_said_of_where_both_match(self):
        found = comparison(of("prac", *WINS))
        assert rows(found)["prac"].both_match is None
        assert rows(found)["prac"].saved == 0
        assert any("imp is not among" in line for line in lines(found))


PRAC = of("prac", (0.90,), (0.91,), (0.92,), per_level=100)


def said(*accuracies, method="random-subset@prac", per_level=100):
    rival = pair(of(method, *((a,) for a in accuracies), per_level=per_level), PRAC, 1)
    return " ".join(findings([rival]))


class TestRivalry:
    """PrAC: 0.90, 0.91, 0.92 by seed; mean 0.91, deviation 0.01."""

    def test_pairs_share_the_seed(self):
        runs = of("rs2", (0.5,), (0.6,), (0.7,))
        found = pair([runs[2], runs[0]], PRAC, 1)
        assert found.ticket.values == [0.7, 0.5]
        assert found.reference.values == [0.92, 0.90]
        assert (found.iterations, found.reference_iterations, found.costs_no_more) == (
            1000, 100, False,
        )  # fmt: skip
        assert pair(runs, PRAC, 7) is None

    def test_a_control_as_good_says_that_the_choice_does_not_matter(self):
        text = said(0.905, 0.905, 0.925)
        assert "does as well as prac at level 1 (p of being worse 0.67)" in text
        assert "does not matter" in text
        assert "better" not in text

    def test_a_control_that_is_better_with_every_seed_is_reliably_better(self):
        text = said(0.91, 0.92, 0.931)
        assert "as well as" in text
        assert "even reliably better than prac at level 1" in text

    def test_a_control_reliably_worse_says_that_it_does(self):
        text = said(0.85, 0.865, 0.87)
        assert "reliably worse than prac at level 1" in text
        assert "does not matter" not in text

    def test_a_control_low_by_chance_is_undecided(self):
        text = said(0.95, 0.80, 0.90)
        assert "undecided" in text
        assert "does not matter" not in text

    def test_within_a_deviation_but_lower_with_every_seed_is_undecided_too(self):
        text = said(0.895, 0.9051, 0.915)
        assert "undecided" in text
        assert "does not matter" not in text

    def test_one_deviation_below_is_as_good(self):
        found = pair(of("rs2", (0.90,), (0.90,), (0.90,)), PRAC, 1)
        assert found.within_one_std
        assert not pair(of("rs2", (0.90,), (0.90,), (0.8999,)), PRAC, 1).within_one_std

    def test_other_methods_are_named_only_if_they_are_no_dearer(self):
        good = (0.91, 0.91, 0.92)
        assert "as few" in said(*good, method="rs2", per_level=101)
        assert "rs2 at level 1" in said(*good, method="rs2", per_level=100)
        assert "as few" in said(0.5, 0.5, 0.5, method="rs2", per_level=1)

    def test_one_seed_says_nothing(self):
        found = comparison(of("prac", (0.9,)), of("random-subset@prac", (0.5,)), judged=(0, 1))
        assert found.findings == [ONE_SEED]
        assert pair(of("rs2", (0.5,)), of("prac", (0.9,)), 1).within_one_std is None


class TestFile:
    @pytest.fixture
    def kept(self, tmp_path):
        failed = Run("snip", 0, "runs/snip/seed-0", error="no memory")
        found = comparison(of("imp", *WINS), of("prac", *WINS), [failed], path=tmp_path)
        found.write()
        return found

    def test_what_is_written_is_read(self, kept):
        assert Comparison.load(kept.path) == kept
        plain = json.loads(json.dumps(kept.to_json()))
        assert json.loads((kept.path / COMPARISON_FILE).read_text()) == plain

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            (lambda d: d["runs"][0].pop("rewind"), "run lacks rewind"),
            (lambda d: d["runs"][0].update(rewind="epoch:x"), "rewind"),
            (lambda d: d["runs"][0].update(more=1), "unknown field"),
            (lambda d: d["runs"][0]["levels"][0].update(set_size=-1), "set_size -1"),
            (lambda d: d["runs"][0]["levels"][1].update(set_parts={"cet": "x"}), "set_parts"),
            (lambda d: d["runs"][0]["tickets"][1].update(accuracy=1.5), "more than all"),
            (lambda d: d["runs"][0]["tickets"][1]["cost"].pop("iterations"), "iterations"),
            (lambda d: d.update(judged=[]), "judges no level"),
            (lambda d: d.update(seeds="0"), "seeds"),
            (lambda d: d.pop("runs"), "lacks runs"),
        ],
    )
    def test_a_damaged_file_is_told_in_a_line(self, kept, change, expected):
        values = kept.to_json()
        change(values)
        (kept.path / COMPARISON_FILE).write_text(json.dumps(values))
        with pytest.raises(Damaged, match=expected) as caught:
            Comparison.load(kept.path)
        assert "remove the file" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_folder_without_one_is_named(self, tmp_path):
        with pytest.raises(PracError, match=r"comparison\.json"):
            Comparison.load(tmp_path)


def printed(found, width=80):
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None)
    console.print(comparison_text(found, width))
    return file.getvalue()


class TestWords:
    def test_short_names_leave_the_heading_whole(self):
        text = printed(comparison(of("imp", *WINS), of("prac", *WINS)))
        heads = [line.split() for line in text.splitlines() if line.startswith(" meth")]
        assert heads
        assert all(head[0] == "method" for head in heads)

    def test_tables_fit_80_columns_whatever_the_names(self):
        names = ["imp", "prac", "random-subset@prac", "random-pruning", "lr-rewinding"]
        methods = [of(name, *WINS_TO_THE_END) for name in names]
        text = printed(comparison(*methods))
        assert max(map(len, text.splitlines())) <= 80
        for name in names:
            assert text.count(f" {name} ") >= 2, "no name is folded"
        assert "64.0%" in text
        assert "90.00±4.97" in text

    def test_long_names_are_folded_and_tables_still_fit(self):
        name = "random-subset:kept-fraction=0.05:stop-rule=stable"
        text = printed(comparison(of("imp", *WINS), of(name, *WINS)))
        assert max(map(len, text.splitlines())) <= 80
        assert name[:24] in text

    def test_what_does_not_match_is_marked(self):
        text = printed(comparison(of("imp", *WINS), of("snip", *LOSES)))
        row = [line for line in text.splitlines() if " snip " in line][-1]
        assert row.count("!") == 2
        row = [line for line in text.splitlines() if " imp " in line][-1]
        assert row.count("!") == 1

    def test_more_densities_than_fit_go_into_several_tables(self):
        many = [run("imp", seed, [0.9 - level / 100 for level in range(12)]) for seed in range(3)]
        text = printed(comparison(many, judged=tuple(range(13))))
        assert max(map(len, text.splitlines())) <= 80
        for level in range(1, 13):
            assert f"{0.8**level:.1%}" in text

    @pytest.mark.parametrize(
        ("value", "expected"),
        [(0, "0"), (99_999.4, "99,999"), (99_999.6, "100.0k"), (1e6, "1.00M"), (12.3e6, "12.3M")],
    )
    def test_numbers_are_short(self, value, expected):
        assert short(value) == expected

    def test_a_message_with_escapes_does_not_reach_the_terminal(self):
        broken = Run("prac", 0, "runs/prac/seed-0", error="\x1b[2Jgone [bold]x[/bold]")
        text = printed(comparison([broken]))
        assert "\x1b" not in text
        assert "[bold]x[/bold]" in text


class TestPicture:
    def drawn(self, *methods):
        spec = comparison_figure(comparison(*methods))
        vl_convert.vegalite_to_vega(spec)
        return spec, spec["data"]["values"], spec["concat"]

    def test_methods_of_one_density_do_not_fill_the_chart(self):
        _, points, (by_density, _) = self.drawn(of("imp", *ONCE), of("prac", *ONCE))
        (density,) = {point["density"] for point in points}
        low, high = by_density["layer"][-1]["encoding"]["x"]["scale"]["domain"]
        beside = [point["beside"] for point in points]
        assert low < min(beside) < max(beside) < high
        assert max(beside) - min(beside) < (high - low) / 4
        assert low < density < high

    def test_both_charts_have_every_method_and_the_dense_network(self):
        spec, points, charts = self.drawn(of("imp", *WINS), of("prac", *WINS, per_level=250))
        assert "3 seeds" in spec["title"]["text"]
        prac = [point for point in points if point["method"] == "prac"]
        assert [point["iterations"] for point in prac] == [250, 500]
        assert [point["y"] for point in prac] == pytest.approx([10, 18])  # Errors: wide apart.
        assert [point["density"] for point in prac] == pytest.approx([80, 64])
        # Half of the 95 % interval: see TestSummary.
        assert [prac[0]["low"], prac[0]["high"]] == pytest.approx([10 + 4.97, 10 - 4.97], abs=0.01)
        for chart in charts:
            points = chart["layer"][-1]
            assert points["encoding"]["color"]["scale"]["domain"] == ["imp", "prac", "dense"]
            assert set(points["encoding"]) == {"x", "y", "color", "shape"}
            band, line = chart["layer"][:2]
            (dense,) = band["data"]["values"]
            assert dense == pytest.approx({"y": 10, "within": 12})
            assert (band["mark"]["type"], line["mark"]["type"]) == ("rect", "rule")

    def test_charts_share_the_scale_of_accuracies(self):
        _, _, charts = self.drawn(of("imp", *WINS))
        one, other = (chart["layer"][-1]["encoding"]["y"]["scale"] for chart in charts)
        assert one == other

    def test_bars_stand_beside_each_other(self):
        _, points, charts = self.drawn(of("imp", *WINS), of("prac", *WINS))
        assert len({point["beside"] for point in points}) == len(points)
        x = charts[0]["layer"][-1]["encoding"]["x"]
        assert x["axis"]["values"] == pytest.approx([64, 80])
        assert x["scale"]["reverse"]

    def test_more_methods_than_colours_differ_in_shape_and_dashes(self):
        _, points, charts = self.drawn(*(of(f"m{number}", *WINS) for number in range(20)))
        looks = charts[0]["layer"][-1]["encoding"]
        colours, shapes = (looks[name]["scale"]["range"] for name in ("color", "shape"))
        assert len(set(zip(colours, shapes, strict=True))) == 21
        assert {point["method"] for point in points if not point["dashed"]} == {
            f"m{number}" for number in range(7)
        }

    def test_a_wide_range_keeps_differences_near_the_top_apart(self):
        _, _, (wide, _) = self.drawn(of("imp", *WINS), of("snip", *[(0.2, 0.2)] * 3))
        scale = wide["layer"][-1]["encoding"]["y"]["scale"]
        assert scale["type"] == "log"
        least, most = scale["domain"]
        assert least < 10 < 80 < most
        _, _, (narrow, _) = self.drawn(of("imp", *WINS_TO_THE_END))
        scale = narrow["layer"][-1]["encoding"]["y"]["scale"]
        assert scale["domain"][0] < 89 < 90 < scale["domain"][1]
        assert "type" not in scale

    def test_perfect_and_single_runs_are_drawn(self):
        _, (point, _), _ = self.drawn(of("imp", (1.0, 0.2)))
        assert (point["low"], point["y"], point["high"]) == (100, 100, 100)

    def test_it_is_the_same_file_for_the_same_figures(self, tmp_path):
        found = comparison(of("imp", *WINS), path=tmp_path)
        for name in ("one", "two"):
            write(comparison_figure(found), tmp_path / name)
        assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
        assert (tmp_path / "one.png").read_bytes()[:4] == b"\x89PNG"


def test_at_a_prompt_it_is_a_line_and_in_a_notebook_a_table():
    found = comparison(of("imp", *WINS), of("prac", *WINS_TO_THE_END, per_level=250))
    assert repr(found) == (
        "Comparison(here, 3 seeds, imp matches at level 1, prac matches at level 2)"
    )
    first = found.runs[0]
    assert repr(first) == "Run(imp, seed 0, judged at levels 0, 1, 2, runs/imp/seed-0)"
    assert repr(first.tickets[1]) == "JudgedTicket(level 1, density 80.0 %, 0.88, 1,000 iterations)"
    failed = Run("prac", 2, "runs/prac/seed-2", error="diverged <at> once")
    assert repr(failed) == "Run(prac, seed 2, failed: diverged <at> once, runs/prac/seed-2)"
    html = dataclasses.replace(found, runs=(*found.runs, failed))._repr_html_()
    assert html.count("<tr>") == 3
    assert "75.0 %" in html
    assert "prac, seed 2 failed: diverged &lt;at&gt; once" in html
    assert repr(found.pairs[0]).startswith("PairedComparison(imp beside prac, level 1, ")
