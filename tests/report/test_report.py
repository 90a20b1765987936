"""Reports: what they say of a run, whatever is missing or damaged, and whatever names it holds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
import vl_convert
from torch import nn

import prac
from prac.cli import main
from prac.errors import PracError
from prac.evaluation import LevelVerdict, Trial, Trials, Verdict, judge
from prac.io import read_tensors, write_tensors
from prac.report import Report, RunFacts, pictures
from prac.report.html import several
from prac.report.html.charts import charts
from prac.report.html.inside import Inside
from prac.report.html.words import answer, cost_sentence, numbers, shown_level
from prac.search import Search
from tests.conftest import SEARCH, STOP

CHARTS = [
    *("accuracy", "iterations", "sets", "distances", "validation", "forgetting", "classes"),
    "layers",
]


@pytest.fixture
def run(judged_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(judged_run, tmp_path / "run"))


class Page(HTMLParser):
    """What a page holds: its elements, the text people read, and its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: dict[str, str] = {}
        self._script: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._script = dict(attrs).get("id") or tag

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.words.append(data)
        else:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.words).split())


def specs(page: Page) -> dict[str, dict]:
    return {
        name.removeprefix("chart-"): json.loads(text)
        for name, text in page.scripts.items()
        if name.startswith("chart-")
    }


class TestPage:
    def test_it_says_first_what_was_found(self, run):
        report = Report.of(run)
        verdict = report.facts.verdict
        page = Page(report.html())
        head = next(i for i, (_, values) in enumerate(page.tags) if values.get("class"))
        assert page.tags[head][1]["class"] == "verdict"
        assert answer(report.facts) in page.said
        level = shown_level(report.facts)
        shown = [number.value for number in numbers(report.facts)]
        cost = Search.load(run).cost(level)
        judged = next(one for one in verdict.levels if one.index == level)
        assert shown == [
            f"{0.8**level:.2%}".replace("51.20%", f"{report.facts.levels[3].density:.2%}"),
            f"{100 * judged.difference:+.2f}",
            f"{cost.iterations_saved:.1%}",
        ]
        for value in shown:
            assert value in page.said

    def test_it_needs_nothing_but_itself(self, run):
        page = Page(Report.of(run).html())
        for tag, values in page.tags:
            for name in ("src", "href", "data", "action", "poster", "srcset"):
                assert (values.get(name) or "data:,").startswith("data:"), (tag, values)
        assert not re.search(r"@import|url\(", page.scripts["style"])

    def test_all_charts_are_there_with_words_for_them(self, run):
        page = Page(Report.of(run).html())
        found = specs(page)
        assert list(found) == CHARTS
        assert [v["data-name"] for _, v in page.tags if "data-chart" in v] == CHARTS
        for spec in found.values():
            assert spec["description"] in page.said
            assert len(spec["description"]) > 30
            vl_convert.vegalite_to_vega(spec)

    def test_it_is_small(self, run):
        assert len(Report.of(run).html()) < 3e6

    def test_names_are_text_whatever_they_hold(self, run):
        evil = '</script><img src=x onerror="alert(1)">\x1b[2J'
        for path in (run / "environment.json",):
            environment = json.loads(path.read_text())
            environment["classes"] = [f"{evil}{number}" for number in range(10)]
            path.write_text(json.dumps(environment))
        there = run.parent / "<b>&amp;\u202e"
        run.rename(there)
        html = Report.of(there).html()
        page = Page(html)
        images = [values for tag, values in page.tags if tag == "img"]
        assert images
        assert all("onerror" not in values for values in images)
        assert not any(tag == "b" for tag, _ in page.tags)
        assert "\x1b" not in html
        assert "\u202e" not in html
        assert specs(page)["classes"]["data"]["values"][0]["class"].startswith("</script>")


def trials(*percent: float) -> Trials:
    return Trials(tuple(Trial(seed, value / 100, "") for seed, value in enumerate(percent)))


class TestVerdict:
    """What a page says of verdicts whose figures are known."""

    DENSE = trials(90, 92, 94)

    def page(self, run: Path, *levels: LevelVerdict) -> tuple[RunFacts, Page, dict]:
        facts = RunFacts.read(run)
        dense = LevelVerdict(0, 1.0, True, levels[0].dense, levels[0].dense)
        seeds = tuple(trial.seed for trial in levels[0].dense.runs)
        facts = replace(facts, verdict=Verdict(facts.search, seeds, (dense, *levels)))
        page = Page(Report(facts, Inside(), charts(facts, Inside()), [], ()).html())
        return facts, page, specs(page)["accuracy"]

    def test_of_several_that_match_the_sparsest_is_the_answer(self, run):
        facts, page, spec = self.page(
            run,
            LevelVerdict(1, 0.8, True, trials(91, 93, 95.03), self.DENSE),
            LevelVerdict(
                2, 0.64, True, trials(90, 92, 94), self.DENSE,
                {"random": trials(90, 92, 94), "shuffled": trials(70, 71, 75)},
            ),
            LevelVerdict(3, 0.512, True, trials(80, 82, 84.03), self.DENSE),
        )  # fmt: skip
        assert answer(facts) == (
            "Ticket 2 is the sparsest that does as well as the dense network: a matching ticket of "
            "density 64.00%, test accuracy 92.00 ±4.97 %, dense 92.00 ±4.97 % (3 runs each), but "
            "the random control does as well (92.00 %): the search bought nothing there beyond how "
            "many weights each layer keeps."
        )
        # A level without controls leaves their places empty; the order is always the same.
        assert "level density test, % vs dense p shuffled random verdict" in page.said
        assert "1 80.00% 93.01 ±5.01 +1.01 1.000 winning" in page.said
        assert "2 64.00% 92.00 ±4.97 +0.00 0.500 72.00 ±6.57 92.00 ±4.97 = matching" in page.said
        assert "3 51.20% 82.01 ±5.01 -9.99 0.000 not" in page.said
        assert "=: the control does as well as its ticket" in page.said
        assert (
            "The random control does as well as the ticket at level 2: the search bought nothing "
            "there beyond how many weights each layer keeps." in page.said
        )
        assert "reliably worse than the ticket at level 2: which weights are kept" in page.said
        rows = {row["network"]: row for row in spec["data"]["values"]}
        assert {name: row["verdict"] for name, row in rows.items()} == {
            "dense": "what the others are held against",
            "ticket 1": "winning",
            "ticket 2": "matching",
            "random control of ticket 2": "as good as the ticket",
            "shuffled control of ticket 2": "not as good as the ticket",
            "ticket 3": "not",
        }
        assert spec["description"] == (
            "Mean test accuracy by density with 95 % intervals, 3 runs each; the dense network "
            "reaches 92.00 %. Tickets: 80.0% winning, 64.0% matching, 51.2% not. Controls beside "
            "them: shuffled, random."
        )

    def test_one_run_each_has_no_intervals(self, run):
        facts, page, spec = self.page(
            run, LevelVerdict(3, 0.512, True, trials(91), trials(90), {"random": trials(89)})
        )
        assert numbers(facts)[1].about == "points: 91.00% and 90.00%, one run each"
        assert "Test: of one run each; vs dense: in points." in page.said
        assert "=: the control" not in page.said
        assert spec["description"].startswith("Test accuracy by density, one run each;")
        told = {tip["field"] for layer in spec["layer"] for tip in layer["encoding"]["tooltip"]}
        assert told == {"network", "density", "accuracy", "runs", "verdict", "dense"}

    @pytest.mark.parametrize(
        ("saved", "words"),
        [
            (0.624, "It was found with 62% fewer training iterations than by IMP."),
            (0.0, "Finding it took as many training iterations as by IMP."),
            (-0.25, "It was found with 25% more training iterations than by IMP."),
        ],
    )
    def test_what_it_cost_is_told_either_way(self, saved, words):
        assert cost_sentence(saved) == words


class TestChance:
    """A run on labels that mean nothing, its tickets retrained once."""

    @pytest.mark.parametrize(("accuracy", "is_idle"), [(0.24, True), (0.9, False)])
    def test_one_run_each_at_chance_is_told(self, run, accuracy, is_idle):
        shutil.rmtree(run / "judged")
        for level in (0, 3):
            path = run / "retrain" / f"{level:02d}" / "summary.json"
            found = {"test_accuracy": accuracy, "test_metric": accuracy}
            summary = {**json.loads(path.read_text()), **found}
            path.write_text(json.dumps({**summary, "test_set": {"size": 400, "chance": 0.25}}))
        facts = RunFacts.read(run)
        assert facts.is_dense_at_chance is is_idle
        assert ("cannot be told from chance" in answer(facts)) is is_idle
        assert any("accuracy" in one.name for one in numbers(facts)) is not is_idle


class TestMissing:
    def test_a_run_that_is_not_judged_says_so(self, run):
        shutil.rmtree(run / "judged")
        report = Report.of(run)
        assert report.facts.verdict is None
        assert "No verdict yet" in Page(report.html()).said
        assert "one run each" in answer(report.facts)
        assert specs(Page(report.html()))["accuracy"]["data"]["values"]

    def test_a_run_that_was_never_retrained_has_no_accuracies(self, run):
        for name in ("judged", "retrain"):
            shutil.rmtree(run / name)
        report = Report.of(run)
        assert "was not measured" in answer(report.facts)
        assert [number.name for number in numbers(report.facts)] == [
            "of the prunable weights kept", "of IMP's iterations saved",
        ]  # fmt: skip
        assert [chart.name for chart in report.charts] == CHARTS[1:]

    def test_a_run_that_has_just_begun(self, run):
        for name in ("judged", "retrain", "levels", "metrics.jsonl"):
            path = run / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        report = Report.of(run)
        assert report.charts == []
        said = Page(report.html()).said
        assert "No ticket yet." in said
        assert "0 of 4 levels are complete" in said

    @pytest.mark.parametrize(
        ("name", "kept"),
        [
            ("levels/01/summary.json", "iterations"),
            ("levels/01/ticket.safetensors", "layers"),
            ("levels/00/examples.safetensors", "validation"),
            ("judged/verdict.json", "accuracy"),
            ("metrics.jsonl", "layers"),
            ("environment.json", "distances"),
            ("retrain/02/summary.json", "accuracy"),
        ],
    )
    def test_a_damaged_file_is_named_and_the_rest_is_shown(self, run, name, kept):
        (run / name).write_bytes(b"{ no")
        report = Report.of(run)
        page = Page(report.html())
        assert name in page.said
        assert kept in specs(page)

    def test_behind_a_damaged_level_no_cost_is_told(self, run):
        (run / "levels" / "01" / "summary.json").write_text("{}")
        facts = RunFacts.read(run)
        assert [level.index for level in facts.levels] == [0]
        assert shown_level(facts) is None

    def test_other_data_shows_no_example(self, run):
        environment = json.loads((run / "environment.json").read_text())
        environment["fingerprint"] = "0" * 64
        (run / "environment.json").write_text(json.dumps(environment))
        report = Report.of(run)
        assert report.galleries == []
        assert "is not the one of the run" in Page(report.html()).said

    def test_examples_of_another_number_are_not_shown(self, run):
        tensors, header = read_tensors(run / "levels/00/examples.safetensors", "examples")
        longer = {name: torch.cat([tensors[name]] * 2) for name in ("events", "learned")}
        header = {"level": header["level"]}
        write_tensors(run / "levels/00/examples.safetensors", tensors | longer, "examples", header)
        report = Report.of(run)
        assert report.galleries == []
        assert "the data set has" in " ".join(report.missing)

    def test_data_that_is_gone_is_told(self, run):
        config = (run / "config.yaml").read_text()
        (run / "config.yaml").write_text(config.replace("data: digits", "data: /nowhere"))
        report = Report.of(run)
        assert report.galleries == []
        assert "/nowhere" in " ".join(report.missing)

    def test_what_is_no_run_is_refused(self, tmp_path):
        with pytest.raises(PracError, match="expected a search's run folder"):
            Report.of(tmp_path)


class TestInside:
    def test_sets_and_forgetting_are_counted(self, run):
        search = Search.load(run)
        inside = Inside.read(search)
        assert sorted(inside.sets) == [1, 2, 3]
        for level, parts in inside.sets.items():
            assert sum(parts.values()) == search.levels[level].set_size
        assert sum(inside.forgotten.values()) == search.levels[0].set_size
        kept = {k: inside.densities[3][k] for k in inside.densities[3]}
        assert set(kept) == {"fc1.weight", "fc2.weight", "fc3.weight"}
        masks = search.tickets[3].masks
        assert kept["fc1.weight"] == int(masks["fc1.weight"].sum()) / masks["fc1.weight"].numel()
        assert inside.collapsed == {}

    def test_collapsed_layers_are_called_out(self, run):
        report = Report.of(run)
        densities = {**report.inside.densities, 3: {"fc1.weight": 0.1, "fc2.weight": 0.0}}
        collapsed = Inside(densities).collapsed
        assert collapsed == {3: ["fc2.weight"]}
        report = Report(report.facts, Inside(densities), [], [], ())
        assert "From level 3 on nothing is left of fc2.weight" in Page(report.html()).said


class TestExamples:
    def test_the_hardest_come_first_and_each_class_is_shown(self, run):
        report = Report.of(run)
        titles = [gallery.title for gallery in report.galleries]
        assert titles[-1] == "Unforgettable"
        easy = report.galleries[-1]
        assert len(easy.pictures) == 20
        assert [picture.caption for picture in easy.pictures] == [
            str(label) for label in range(10) for _ in range(2)
        ]
        assert all(p.uri.startswith("data:image/png;base64,iVBOR") for p in easy.pictures)
        assert re.fullmatch(r"example \d+: 0", easy.pictures[0].alt)


class TestSeveral:
    def test_runs_stand_side_by_side(self, run, tmp_path):
        other = tmp_path / "other" / "run"
        command = ["find", *SEARCH, "--method", "imp", "--out", str(other)]
        assert main(command) == 0
        facts = [RunFacts.read(run), RunFacts.read(other)]
        names = [name for name, _ in several.with_names(facts)]
        assert names == [f"{tmp_path.name}/run", "other/run"]
        page = Page(several.comparison_page(facts))
        assert list(specs(page)) == ["accuracy", "iterations", "examples"]
        for spec in specs(page).values():
            vl_convert.vegalite_to_vega(spec)
        assert "subset_rule" in page.said
        assert "batch_size" not in page.said


class TestCommand:
    def test_a_page_and_pictures_are_written(self, run, tmp_path, capsys):
        assert main(["report", str(run), "--png", str(tmp_path / "png")]) == 0
        assert (run / "report.html").read_text().startswith("<!doctype html>")
        names = sorted(path.name for path in (tmp_path / "png").iterdir())
        assert names == sorted(f"{name}{end}" for name in CHARTS for end in (".svg", ".png"))
        assert (tmp_path / "png" / "layers.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / "png" / "layers.svg").read_text()
        assert f"report: {run}/report.html" in capsys.readouterr().out

    def test_a_search_reports_at_its_end(self, run, capsys):
        options = [*SEARCH, *STOP, "--out", str(run), "--report"]
        assert main(["find", *options]) == 0
        assert (run / "report.html").exists()

    def test_the_page_goes_where_it_is_asked_to(self, run, tmp_path):
        out = tmp_path / "new" / "page.html"
        assert main(["report", str(run), "-o", str(out), "--no-examples"]) == 0
        assert "<h2>The examples</h2>" not in out.read_text()

    def test_a_folder_is_no_page(self, run, tmp_path, capsys):
        assert main(["report", str(run), "-o", str(tmp_path)]) == 2
        assert "names the page's file" in capsys.readouterr().err

    def test_without_the_library_of_charts_nothing_is_begun(self, run, monkeypatch, capsys):
        monkeypatch.setitem(sys.modules, "vl_convert", None)
        remedy = "pip install 'prac-lth[report]'"
        assert main(["find", *SEARCH, "--out", "new", "--report"]) == 2
        assert remedy in capsys.readouterr().err
        assert not Path("new").exists()
        assert main(["report", str(run)]) == 2
        assert remedy in capsys.readouterr().err
        assert not (run / "report.html").exists()

    def test_several_runs_need_no_torch(self, run):
        code = (
            "import sys\n"
            "sys.modules['torch'] = None\n"
            "from prac.report.html import several\n"
            "from prac.report.html.facts import RunFacts\n"
            "print(len(several.comparison_page([RunFacts.read(sys.argv[1])] * 2)))"
        )
        done = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        assert int(done.stdout) > 1e5


def test_a_network_of_ones_own_is_reported(tmp_path, small_net, train, val, config):
    search = prac.find(small_net(), train, config(), val=val, out=tmp_path / "own")
    judge(search, small_net, train, val=val, test=val, seeds=(0, 1), levels=(3,))
    report = Report.of(tmp_path / "own")
    assert "made from Python" in " ".join(report.missing)
    assert [chart.name for chart in report.charts] == CHARTS
    assert Page(report.html()).said


def test_pictures_are_of_any_chart(run, tmp_path):
    report = Report.of(run)
    written = pictures.save(report.charts[:1], tmp_path / "p")
    assert [path.name for path in written] == ["accuracy.svg", "accuracy.png"]


def test_layers_without_names_are_layers(tmp_path, train, config):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    prac.find(net, train, config("imp"), out=tmp_path / "run")
    assert list(Inside.read(Search.load(tmp_path / "run")).densities[0]) == ["1.weight"]
