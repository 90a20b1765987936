"""A search through Lightning's Trainer is the one by hand; what does not fit is told in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import prac
from prac.errors import PracError
from tests.loops.levels import BATCH, CONFIGS, KilledError, Order, by_hand, dataset, net, settings
from tests.loops.test_attaching import holds
from tests.search.test_asking import same

L: Any = pytest.importorskip("lightning")
# Of Lightning's own.
pytestmark = pytest.mark.filterwarnings("ignore")

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Digits(L.LightningModule):
    def __init__(self, net: nn.Module, level: Any) -> None:
        super().__init__()
        self.net, self.level, self.steps = net, level, 0
        self.right = self.seen = 0

    def training_step(self, batch: Any, index: int) -> Any:
        _, x, y = batch
        outputs = self.net(x)
        return {"loss": F.cross_entropy(outputs, y), "correct": outputs.argmax(1) == y}

    def on_train_batch_end(self, *_: Any) -> None:
        assert holds(self.net, self.level.masks)
        self.steps += 1

    def on_validation_epoch_start(self) -> None:
        self.right = self.seen = 0

    def validation_step(self, batch: Any, index: int) -> None:
        x, y = batch
        self.right += int((self.net(x).argmax(1) == y).sum())
        self.seen += len(y)

    def on_validation_epoch_end(self) -> None:
        accuracy = torch.tensor(self.right / self.seen, dtype=torch.float64)
        self.log("val_accuracy", accuracy)

    def predict_step(self, batch: Any, index: int) -> Any:
        return self.net(batch[0])

    def configure_optimizers(self) -> Any:
        sgd = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        return [sgd], [{"scheduler": self.level.schedule(sgd), "interval": "step"}]


def fitted(
    module: Any, level: Any, data: Any, callback: Any = None, batch: int = BATCH, **more: Any
) -> Any:
    examples = prac.loops.with_ids(data, level.ids)
    loader = DataLoader(examples, batch_size=batch, sampler=Order(level))
    callback = callback or prac.loops.lightning.LevelCallback(level)
    trainer = L.Trainer(**{"max_epochs": -1, "callbacks": [callback], **QUIET, **more})
    trainer.fit(module, loader, DataLoader(data, batch_size=100))
    return trainer


def searched(out: Path, data: Any, config: prac.SearchConfig, killed: int = -1) -> prac.Search:
    model = net()
    with prac.Search.begin(out, net(), examples=len(data), config=config) as search:
        while (level := search.ask()) is not None:
            module = Digits(model, level)
            trainer = fitted(module, level, data)
            assert module.steps == level.steps == trainer.global_step
            if level.index == killed:
                raise KilledError
            loader = DataLoader(data, batch_size=100)
            search.tell(
                level,
                model,
                predictions=lambda _, module=module, loader=loader: prac.loops.lightning.predicted(
                    L.Trainer(**QUIET), module, loader
                ),
            )
    return prac.Search.load(out)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_trainer_finds_what_a_loop_by_hand_finds(name, digits, tmp_path):
    config = settings(**CONFIGS[name])
    mine = searched(tmp_path / "mine", dataset(digits), config)
    hand = by_hand(tmp_path / "hand", digits, config)
    same(mine, hand)
    told = [level.best_val_accuracy for level in hand.levels]
    assert [level.best_val_accuracy for level in mine.levels] == told
    if name == "stops early":
        assert any(level.stopped_early for level in mine.levels)


def test_killed_in_a_level_it_resumes(digits, tmp_path):
    config, data = settings(rewind="iteration:7"), dataset(digits)
    with pytest.raises(KilledError):
        searched(tmp_path / "cut", data, config, killed=1)
    same(searched(tmp_path / "cut", data, config), by_hand(tmp_path / "hand", digits, config))


def test_a_step_of_several_batches_is_one(digits, tmp_path):
    config, data, marked = settings(rewind="iteration:7", levels=1), dataset(digits), {}

    class Marks(L.Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            if trainer.global_step == 7 and not marked:
                marked.update({name: one.clone() for name, one in net_of(module).items()})

    def net_of(module: Any) -> dict[str, Any]:
        return module.net.state_dict()

    with prac.Search.begin(tmp_path / "run", net(), examples=300, config=config) as search:
        level = search.ask()
        model = net()
        callbacks = [Marks(), prac.loops.lightning.LevelCallback(level)]
        module = Digits(model, level)
        more: dict[str, Any] = {
            "accumulate_grad_batches": 2,
            "callbacks": callbacks,
            "batch": BATCH // 2,
        }
        trainer = fitted(module, level, data, **more)
        assert trainer.global_step == level.steps == level.iterations == 32
        assert module.steps == 60
        assert level.forgetting.count == 4 * 300
        search.tell(level, model, predictions=[0] * 300)
    first = prac.Search.load(tmp_path / "run").tickets[1]
    assert marked
    assert all(torch.equal(first.weights[name], marked[name]) for name in marked)
    assert prac.Search.load(tmp_path / "run").levels[0].cost.iterations == 32


def test_after_an_error_masks_are_off_and_the_level_is_asked_for_anew(digits, tmp_path):
    data = dataset(digits)

    class Fails(Digits):
        def training_step(self, batch: Any, index: int) -> Any:
            if self.steps == 3:
                raise KilledError
            return super().training_step(batch, index)

    with prac.Search.begin(tmp_path / "run", net(), examples=300, config=settings()) as search:
        level, model = search.ask(), net()
        with pytest.raises(KilledError):
            fitted(Fails(model, level), level, data)
        with pytest.raises(PracError, match="nothing is attached"):
            prac.detach(model)
        with pytest.raises(PracError, match="level 0 was trained already: tell it, or ask for it"):
            fitted(Digits(model, level), level, data)
        again = search.ask()
        assert again is not level
        assert again.forgetting.count == 0
        fitted(Digits(model, again), again, data)
        search.tell(again, model, predictions=[0] * 300)


class Bare(Digits):
    def training_step(self, batch: Any, index: int) -> Any:
        return super().training_step(batch, index)["loss"]


class Twice(Digits):
    def __init__(self, net: nn.Module, level: Any) -> None:
        super().__init__(net, level)
        self.teacher = nn.Sequential(*net.children())


class Several(Digits):
    automatic_optimization = False
    net: nn.Sequential

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(part.parameters(), lr=0.1) for part in list(self.net)[::2]]


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "no outcome": (Bare, {}, "training_step returned no 'correct': return a dict with 'loss' and"),
    "two of them": (Twice, {}, "several parts, 'net', 'teacher' of the Twice has the weights of"),
    "another net": (
        lambda _, level: Digits(nn.Linear(2, 2), level),
        {},
        "no part of the Digits has the weights of the search's network",
    ),
    "two optimizers": (Several, {}, "the LightningModule has 2 optimizers: LevelCallback follow"),
    "no metric": (Digits, {"monitor": "f1"}, "validation gave no 'f1', which monitor= names: it "),
    "no ids": (Digits, {"ids": lambda batch: batch[1]}, "ids are torch.float32 of shape"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_told_in_a_line(name, digits, tmp_path):
    make, options, message = REFUSED[name]
    with prac.Search.begin(tmp_path / "run", net(), examples=300, config=settings()) as search:
        level, model = search.ask(), net()
        callback = prac.loops.lightning.LevelCallback(level, **options)
        with pytest.raises(PracError, match=message) as error:
            fitted(make(model, level), level, dataset(digits), callback)
        assert "\n" not in str(error.value)
        with pytest.raises(PracError, match="nothing is attached"):
            prac.detach(model)


def test_a_part_can_be_named_and_outcomes_made_of_outputs(digits, tmp_path):
    class Outputs(Twice):
        def training_step(self, batch: Any, index: int) -> Any:
            _, x, y = batch
            outputs = self.net(x)
            return {"loss": F.cross_entropy(outputs, y), "outputs": outputs.detach()}

    with prac.Search.begin(tmp_path / "run", net(), examples=300, config=settings()) as search:
        level, model = search.ask(), net()
        callback = prac.loops.lightning.LevelCallback(
            level,
            module=model,
            ids=lambda batch: batch[0],
            correct=lambda outputs, batch: outputs["outputs"].argmax(1) == batch[2],
        )
        fitted(Outputs(model, level), level, dataset(digits), callback)
        assert level.steps == level.iterations


def test_a_metric_of_the_search_s_own_is_taken_by_its_name_and_direction(digits, tmp_path):
    class Perplexity(Digits):
        def on_validation_epoch_end(self) -> None:
            values = [5.0, 9.0, 3.0, 3.0, 4.0]  # The first is of the sanity check.
            self.log("val_perplexity", values[self.at])
            self.at += 1

        at = 0

    metric = prac.Metric.perplexity()
    with prac.Search.begin(
        tmp_path / "run", net(), examples=300, config=settings(levels=1), metric=metric
    ) as search:
        level, model = search.ask(), net()
        fitted(Perplexity(model, level), level, dataset(digits))
        assert [line["val_metric"] for line in level.metrics] == [9.0, 3.0, 3.0, 4.0]
        search.tell(level, model, predictions=[0] * 300)
    first = prac.Search.load(tmp_path / "run").levels[0]
    assert (first.best_epoch, first.best_val_metric) == (3, 3.0)


def test_a_level_is_not_gone_on_with_from_a_checkpoint(digits, tmp_path):
    data = dataset(digits)
    with prac.Search.begin(tmp_path / "run", net(), examples=300, config=settings()) as search:
        level = search.ask()
        module = Digits(net(), level)
        trainer = fitted(module, level, data)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        level = search.ask()
        again = L.Trainer(
            max_epochs=-1, callbacks=[prac.loops.lightning.LevelCallback(level)], **QUIET
        )
        loader = DataLoader(prac.loops.with_ids(data, level.ids), batch_size=BATCH)
        with pytest.raises(PracError, match="training goes on at step 32: a level is trained from"):
            again.fit(Digits(net(), level), loader, ckpt_path=tmp_path / "last.ckpt")


def test_what_a_predicting_loader_and_step_have_to_be(digits, tmp_path):
    data = dataset(digits)
    predicted = prac.loops.lightning.predicted
    module: Any = Digits(net(), None)
    with pytest.raises(PracError, match="shuffles them: expected shuffle=False"):
        predicted(L.Trainer(**QUIET), module, DataLoader(data, shuffle=True))
    module.predict_step = lambda batch: 3
    with pytest.raises(PracError, match=r"predict_step returned .*int.*: expected classes"):
        predicted(L.Trainer(**QUIET), module, DataLoader(data, batch_size=100))


def test_averages_that_are_validated_in_the_weights_place_are_refused(digits, tmp_path):
    averaging: Any = pytest.importorskip("lightning.pytorch.callbacks")
    if not hasattr(averaging, "EMAWeightAveraging"):
        pytest.skip("this Lightning has no averaging")
    with prac.Search.begin(tmp_path / "run", net(), examples=300, config=settings()) as search:
        level, model = search.ask(), net()
        follower = prac.loops.lightning.LevelCallback(level)
        callbacks = [follower, averaging.EMAWeightAveraging()]
        with pytest.raises(PracError, match="has EMAWeightAveraging, whose averages are validated"):
            fitted(Digits(model, level), level, dataset(digits), callbacks=callbacks)


def test_a_metric_under_another_name_is_told(digits, tmp_path):
    class Renamed(Digits):
        def log(self, name: str, *args: Any, **more: Any) -> None:
            super().log("val_acc", *args, **more)

    with prac.Search.begin(tmp_path / "run", net(), examples=300, config=settings()) as search:
        level = search.ask()
        with pytest.warns(
            UserWarning, match="validation gave no 'val_accuracy', by which the best"
        ):
            fitted(Renamed(net(), level), level, dataset(digits))
