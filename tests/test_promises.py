"""Promises that no figure shows when they are broken: what counts, what is seen, what is best."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

import prac
from prac.cli import main
from prac.cli.given import early_value
from prac.config import DataConfig, SubsetConfig
from prac.data import TensorExamples, load_data
from prac.data.augment import Pipeline
from prac.io import read_tensors
from prac.report import search_summary, search_table
from prac.runs import Cost, read_metrics
from tests.conftest import SmallNet

NEVER = prac.StopConfig(rule="never")
HALF = SubsetConfig(rule="cet", kept_fraction=0.5)

QUICK = [
    "--model", "lenet_300_100", "--layers", "linear", "--data", "digits", "--limit", "200",
    "--levels", "1", "--epochs", "2", "--batch-size", "50", "--lr", "0.05", "--quiet",
]  # fmt: skip


def constant(epochs: int) -> prac.TrainConfig:
    """Return a training whose first epoch is the same however many follow."""
    return prac.TrainConfig(epochs=epochs, batch_size=50, lr=0.1)


def answers(model: nn.Module, x: Tensor) -> Tensor:
    """Return the classes that a network predicts."""
    model.eval()
    with torch.no_grad():
        return model(x).argmax(1)


def tensors(run: Path, level: int, name: str) -> dict[str, Tensor]:
    """Return the tensors of a level's file."""
    return read_tensors(run / "levels" / f"{level:02d}" / f"{name}.safetensors", name)[0]


def easy_examples() -> tuple[Tensor, Tensor]:
    """Return examples that `easy_net` gets right before any training, and goes on to."""
    y = torch.arange(200) % 2
    return torch.stack([y * 2.0 - 1, 1 - y * 2.0], dim=1), y


def easy_net() -> nn.Sequential:
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-1.0, 1.1], [1.2, -1.3]]))
        layer.bias.zero_()
    return nn.Sequential(layer)


def easy_settings(config, **changes: Any) -> prac.SearchConfig:
    training = prac.TrainConfig(epochs=3, batch_size=20, lr=1e-3)
    linear = prac.PruneConfig(layers="linear")
    return config(**{"levels": 2, "stop": NEVER, "prune": linear, "train": training, **changes})


class TestCosts:
    @pytest.fixture
    def timed_net(self, small_net, monkeypatch) -> nn.Module:
        """A network that takes a second to train on a batch and a hundred to score one."""
        now = 0.0

        class Timed(SmallNet):
            def forward(self, x: Tensor) -> Tensor:
                nonlocal now
                now += 1.0 if self.training else 100.0
                return super().forward(x)

        monkeypatch.setattr(time, "perf_counter", lambda: now)
        return Timed()

    def test_a_ledger_counted_by_hand(self, timed_net, train, val, config, tmp_path):
        settings = config(levels=2, subset=HALF, stop=NEVER)
        search = prac.find(timed_net, train, settings, val=val, out=tmp_path / "run")
        # Three epochs of 6 batches, then of 3; a validation of 100 examples, one batch, after each.
        assert [level.set_size for level in search.levels] == [300, 150, 150]
        assert search.cost(1).cost == Cost(18, 900, 300, seconds=318.0)
        assert search.cost(2).cost == Cost(27, 1350, 600, seconds=627.0)
        # Vanilla pruning trains all 300 examples at every level; 627 s for 1350 are 836 for 1800.
        assert search.cost(1).imp == Cost(18, 900, 300, seconds=318.0)
        assert search.cost(2).imp == Cost(36, 1800, 600, seconds=836.0)
        assert search.cost(2).iterations_saved == 0.25
        assert [level.imp.iterations for level in search.levels] == [18, 18, 18]

    def test_the_time_of_a_cep_pass_is_counted(self, timed_net, train, config, tmp_path):
        settings = config(levels=1, stop=NEVER)
        search = prac.find(timed_net, train, settings, out=tmp_path / "run")
        # Scored in three batches, each of two of the 50 that a step takes.
        assert search.levels[0].cost == Cost(18, 900, 300, seconds=318.0)


class TestBestEpoch:
    """Validation labels are the first epoch's own answers: no later epoch is as good by them."""

    def test_a_level_is_judged_by_its_best_epoch(self, small_net, train, val, config, tmp_path):
        short = config(levels=1, stop=NEVER, train=constant(1))
        prac.find(small_net(), train, short, out=tmp_path / "short")
        first = small_net()
        first.load_state_dict(tensors(tmp_path / "short", 0, "trained"))
        own = val[0], answers(first, val[0])
        settings = config(levels=1, stop=NEVER, train=constant(3))
        search = prac.find(small_net(), train, settings, val=own, out=tmp_path / "run")
        accuracies = [line["val_accuracy"] for line in read_metrics(tmp_path / "run")]
        assert accuracies[0] == 1.0
        assert max(accuracies[1:]) < 1.0, "the best epoch is not the last"
        assert search.levels[0].best_epoch == 1
        assert search.levels[0].best_val_accuracy == 1.0
        trained = tensors(tmp_path / "run", 0, "trained")
        assert all(torch.equal(trained[name], w) for name, w in first.state_dict().items())
        predicted = tensors(tmp_path / "run", 0, "examples")["predictions"]
        assert torch.equal(predicted.long(), answers(first, train[0]))
        first.load_state_dict(last_weights(small_net(), train, config, tmp_path))
        assert not torch.equal(predicted.long(), answers(first, train[0])), "epochs differ on it"

    def test_a_retraining_is_tested_at_its_best_epoch(
        self, small_net, train, val, config, tmp_path
    ):
        search = prac.find(small_net(), train, config(levels=1), out=tmp_path / "run")
        ticket = search.tickets[1]
        first, _ = prac.retrain(ticket, small_net(), train, constant(1))
        own = val[0], answers(first, val[0])
        model, history = prac.retrain(ticket, small_net(), train, constant(3), val=own, test=own)
        assert max(line["val_accuracy"] for line in history.epochs[1:]) < 1.0
        assert history.best_epoch == 1
        assert history.test_accuracy == 1.0
        assert torch.equal(answers(model, train[0]), answers(first, train[0]))

    @pytest.mark.filterwarnings("ignore:.*learned and never forgotten")
    def test_of_equals_the_one_of_the_lowest_loss_is_the_best(self, config, tmp_path):
        easy = easy_examples()
        search = prac.find(
            easy_net(), easy, easy_settings(config, levels=1), val=easy, out=tmp_path / "run"
        )
        lines = read_metrics(tmp_path / "run")
        assert [line["val_accuracy"] for line in lines] == [1.0] * 3
        losses = [line["val_loss"] for line in lines]
        assert len(set(losses)) == 3
        assert search.levels[0].best_epoch == losses.index(min(losses)) + 1


def last_weights(model: nn.Module, train, config, tmp_path: Path) -> dict[str, Tensor]:
    """Return the weights after three epochs, which a run without validation keeps."""
    settings = config(levels=1, stop=NEVER, train=constant(3))
    prac.find(model, train, settings, out=tmp_path / "last")
    return tensors(tmp_path / "last", 0, "trained")


class Recorded:
    """Examples that note each pass over them: its seed, and each example as it was seen."""

    def __init__(self, examples: TensorExamples) -> None:
        self.examples = examples
        self.fingerprint, self.classes = examples.fingerprint, examples.classes
        self.source_indices, self.labels = examples.source_indices, examples.labels
        self.passes: list[tuple[tuple[int, ...] | None, Tensor]] = []

    def __len__(self) -> int:
        return len(self.examples)

    def to(self, device: torch.device) -> Recorded:
        return self

    def stream(
        self, batches: Sequence[Tensor], *, seeds: Sequence[int] | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        ids, seen = torch.cat(list(batches)), []
        for x, y in self.examples.stream(batches, seeds=seeds):
            seen.append(x)
            yield x, y
        if len(ids) == len(self):
            self.passes.append(
                (None if seeds is None else tuple(seeds), torch.cat(seen)[ids.argsort()])
            )


class TestWhatIsSeen:
    def test_training_is_augmented_anew_each_epoch_and_scoring_never(
        self, small_net, train, val, config, tmp_path
    ):
        augmenting = Pipeline(crop_padding=1, flip=True)
        seen = Recorded(TensorExamples(train[0], train[1], augmenting))
        held_out = Recorded(TensorExamples(val[0], val[1], augmenting))
        settings = config(levels=2, stop=NEVER, rewind="init")
        prac.find(
            small_net(),
            seen,
            settings,
            val=held_out,
            out=tmp_path / "run",
            choose=lambda stats: stats.members,
        )
        # Per level three epochs, then the pass that predicts every example.
        scoring = [seen.passes[3], seen.passes[7]]
        epochs = [seen.passes[i] for i in (0, 1, 2, 4, 5, 6)]
        assert len(seen.passes) == 8
        assert all(torch.equal(x, train[0]) for _, x in scoring)
        assert len(held_out.passes) == 6
        assert all(torch.equal(x, val[0]) for _, x in held_out.passes)
        assert len({seed for seed, _ in epochs}) == 6
        views = [train[0], *(x for _, x in epochs)]
        for i, one in enumerate(views):
            for other in views[:i]:
                alike = (one == other).flatten(1).all(1).float().mean()
                assert alike < 0.5

    def test_dropout_draws_anew_in_every_epoch(self, small_net, train, config, tmp_path):
        drawn: list[float] = []

        class Drawing(SmallNet):
            def forward(self, x: Tensor) -> Tensor:
                if self.training:
                    drawn.append(float(torch.rand(())))
                return super().forward(x)

        def forget_checks(event: prac.Event) -> None:
            if event.kind == "level" and event.level == 0:
                drawn.clear()

        settings = config("imp", levels=2)
        prac.find(Drawing(), train, settings, out=tmp_path / "run", callback=forget_checks)
        assert len(drawn) == 2 * 3 * 6
        assert len(set(drawn)) == len(drawn)

    def test_held_out_data_is_never_augmented(self):
        data = load_data(DataConfig(name="digits", limit=100, crop=2, flip=True))
        ids = [torch.arange(10)]

        def first(examples, **options: Any) -> Tensor:
            return next(iter(examples.stream(ids, **options)))[0]

        assert data.val is not None
        assert data.test is not None
        for held_out in (data.val, data.test):
            assert torch.equal(first(held_out, seeds=[0]), first(held_out))
        assert not torch.equal(first(data.train, seeds=[0]), first(data.train))


class TestFineTuning:
    def test_the_dense_network_trains_by_the_normal_schedule(
        self, small_net, train, config, tmp_path
    ):
        search = prac.find(
            small_net(), train, config("imp", rewind="none", levels=1), out=tmp_path / "run"
        )
        normal = pytest.approx([0.1, 0.1, 0.01])
        assert [line["lr"] for line in read_metrics(tmp_path / "run")] == normal
        _, history = prac.retrain(search.tickets[0], small_net(), train, config().train)
        assert [line["lr"] for line in history.epochs] == normal


class TestLevels:
    def test_a_layer_may_be_emptied_where_that_is_allowed(self, small_net, train, config, tmp_path):
        extreme = prac.PruneConfig(layers="conv+linear", drop_fraction=0.7, allow_empty=True)
        search = prac.find(
            small_net(), train, config("imp", levels=6, prune=extreme), out=tmp_path / "run"
        )
        # The last weight is in one of two layers; where each keeps one, 2 are never pruned to 1.
        assert [level.kept for level in search.levels] == [1014, 304, 91, 27, 8, 2, 1]
        assert min(int(mask.sum()) for mask in search.tickets[6].masks.values()) == 0

    def test_the_last_level_is_a_ticket_only_and_has_stopped_nothing(
        self, small_net, train, config, tmp_path
    ):
        at_once = prac.StopConfig(epsilon=1.0, window=1, arm="at-once")
        settings = config("imp", stop=at_once, levels=2)
        search = prac.find(small_net(), train, settings, out=tmp_path / "run")
        assert [level.stopped_early for level in search.levels] == [True, True, False]

    def test_a_search_cut_before_its_last_level_is_not_finished(
        self, small_net, train, config, tmp_path
    ):
        def cut(event: prac.Event) -> None:
            if event.kind == "pruned" and event.level == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            prac.find(small_net(), train, config(levels=2), out=tmp_path / "run", callback=cut)
        search = prac.Search.load(tmp_path / "run")
        assert len(search.levels) == 2
        assert not search.finished
        assert prac.find(small_net(), train, config(levels=2), out=tmp_path / "run").finished

    def test_an_own_subset_rule_is_shown_predictions_whatever_rule_is_configured(
        self, small_net, train, config, tmp_path
    ):
        seen: list[prac.LevelStats] = []

        def everything(stats: prac.LevelStats) -> Tensor:
            seen.append(stats)
            return stats.members

        settings = config("imp", levels=2)
        prac.find(small_net(), train, settings, choose=everything, out=tmp_path / "run")
        for stats in seen:
            assert stats.dense is not None
            assert len(stats.dense) == 300
        assert [stats.pruned is None for stats in seen] == [True, False]

    @pytest.mark.filterwarnings("ignore:.*learned and never forgotten")
    def test_equally_hard_examples_come_in_another_order_at_every_level(self, config, tmp_path):
        # Alone, CEP leaves all data to level 1, so that level 2's set is filled from all of it too.
        sets = []
        for rule, level in (("prac", 1), ("cep", 2)):
            settings = easy_settings(config, subset=SubsetConfig(rule=rule))  # type: ignore[arg-type]
            search = prac.find(easy_net(), easy_examples(), settings, out=tmp_path / rule)
            assert search.levels[level - 1].set_size == 200
            assert search.levels[level].set_size == 20
            assert set(search.levels[level].set_parts.values()) == {0}
            sets.append(search.subset(level).indices)
        assert not torch.equal(*sets)


class TestRefusals:
    def test_a_negative_label(self, small_net, train, config, tmp_path):
        wrong = train[1].clone()
        wrong[7] = -1
        with pytest.raises(prac.PracError, match="training example 7 has label -1"):
            prac.find(small_net(), (train[0], wrong), config(), out=tmp_path / "run")
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize(
        ("correct", "given"),
        [
            (lambda outputs, y: (outputs.argmax(1) == y).float(), r"float32 of shape \(2,\)"),
            (lambda outputs, y: (outputs.argmax(1) == y)[:, None], r"bool of shape \(2, 1\)"),
            (lambda outputs, y: (outputs.argmax(1) == y).all(), r"bool of shape \(\)"),
        ],
        ids=["floats", "a column", "one for all"],
    )
    def test_what_counts_as_right_is_no_bool_an_example(
        self, small_net, train, config, tmp_path, correct, given
    ):
        with pytest.raises(prac.PracError, match=given + ".*one bool an example"):
            prac.find(
                small_net(), train, config(), task=prac.Task(correct=correct), out=tmp_path / "run"
            )
        assert not (tmp_path / "run").exists()


class TestCommand:
    def test_the_last_preset_and_the_last_method_win(self, capsys):
        for name in ("preset", "method"):
            twice = [f"--{name}", "one", f"--{name}=two", "--levels", "1"]
            assert early_value(twice, name) == "two"
            assert early_value([*twice, f"--{name}", "three"], name) == "three"
        methods = ["--method", "imp", "--method", "prac"]
        assert main(["find", *QUICK, *methods, "--out", "run", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["settings"]["subset_rule"] == "prac"

    def test_a_seed_is_that_of_initialisation_and_retraining_too(self, capsys):
        for seed in ("0", "1"):
            out = ["--retrain", "1", "--seed", seed, "--out", seed]
            assert main(["find", *QUICK, *out]) == 0
        one, other = (prac.Search.load(seed).tickets[0].weights for seed in ("0", "1"))
        assert not torch.equal(one["fc1.weight"], other["fc1.weight"])
        ticket = "1/levels/01/ticket.safetensors"
        for seed in ("0", "1"):
            options = ["--seed", seed, "--out", f"alone-{seed}", "--quiet"]
            assert main(["retrain", ticket, *options]) == 0
        alone = [read_metrics(Path(f"alone-{seed}")) for seed in ("0", "1")]
        assert read_metrics(Path("1/retrain/01")) == alone[1]
        assert alone[0] != alone[1]

    def test_a_table_counted_by_hand(self, small_net, train, config, tmp_path):
        settings = config(levels=2, subset=HALF, stop=NEVER)
        search = prac.find(small_net(), train, settings, out=tmp_path / "run")
        for level, accuracy in ((0, 0.9), (2, 0.875)):
            search.retrain_path(level).mkdir(parents=True)
            summary: dict[str, Any] = {
                "best_epoch": 1,
                "val_accuracy": None,
                "test_accuracy": accuracy,
            }
            summary |= {"density": search.levels[level].density, "cost": asdict(Cost())}
            (search.retrain_path(level) / "summary.json").write_text(json.dumps(summary))
        console = Console(width=100)
        with console.capture() as capture:
            console.print(search_table(search_summary(search)))
        lines = [" ".join(line.split()) for line in capture.get().splitlines()]
        rows = [line for line in lines if line[:2] in ("0 ", "1 ", "2 ")]
        # 1014 of 1042 weights, then 811, then 649; 27 iterations of vanilla pruning's 36.
        assert rows == [
            "0 100.00% 100.0% 300 100% 3/3 18 - 90.00% +0.00",
            "1 79.98% 80.5% 150 50% 3/3 9 0.0% - -",
            "2 64.00% 65.0% 150 50% - - 25.0% 87.50% -2.50",
        ]
