"""A search through the Trainer of transformers is the one by hand; what does not fit is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

import prac
from prac.errors import PracError
from tests.loops.levels import BATCH, CONFIGS, KilledError, Order, by_hand, net, pair, settings
from tests.loops.test_attaching import holds
from tests.search.test_asking import same

transformers: Any = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.filterwarnings("ignore")


class Classifier(nn.Module):
    """As a model of transformers: it takes labels, and returns its own loss."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.net(x)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def examples(digits: tuple[Tensor, Tensor]) -> list[dict[str, Tensor]]:
    return [{"x": x, "labels": y} for x, y in zip(*pair(digits), strict=True)]


def arguments(out: Path, **more: Any) -> Any:
    given = {
        "per_device_train_batch_size": BATCH,
        "per_device_eval_batch_size": 100,
        "eval_strategy": "epoch",
        "save_strategy": "no",
        "logging_strategy": "no",
        "max_grad_norm": 0.0,
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "remove_unused_columns": False,
        **more,
    }
    return transformers.TrainingArguments(str(out / "out"), **given)


def accuracy(predicted: Any) -> dict[str, float]:
    right = predicted.predictions.argmax(-1) == predicted.label_ids
    return {"accuracy": float(right.sum()) / len(right)}


def trainer_of(
    level: Any, model: Any, data: Any, out: Path, *, args: Any = None, **more: Any
) -> Any:
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    class Ordered(prac.loops.transformers.LevelTrainer):
        def get_train_dataloader(self) -> Any:
            order, batch = Order(level), self.args.per_device_train_batch_size
            return DataLoader(self.train_dataset, batch_size=batch, sampler=order)

    class Holds(transformers.TrainerCallback):
        def on_step_end(self, *_: Any, **more: Any) -> None:
            assert holds(model.net, level.masks)

    given = {
        "level": level,
        "train_dataset": prac.loops.with_ids(data, level.ids),
        "eval_dataset": data,
        "compute_metrics": accuracy,
        "optimizers": (sgd, level.schedule(sgd)),
        "callbacks": [Holds()],
        **more,
    }
    return Ordered(model, args or arguments(out), **given)


def searched(out: Path, data: Any, config: prac.SearchConfig, killed: int = -1) -> prac.Search:
    model = Classifier(net())
    with prac.Search.begin(out, net(), examples=len(data), config=config) as search:
        while (level := search.ask()) is not None:
            trainer = trainer_of(level, model, data, out)
            trainer.train()
            assert level.steps == trainer.state.global_step
            if level.index == killed:
                raise KilledError
            search.tell(
                level, model.net, predictions=lambda _, trainer=trainer: trainer.predicted(data)
            )
    return prac.Search.load(out)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_trainer_finds_what_a_loop_by_hand_finds(name, digits, tmp_path):
    config = settings(**CONFIGS[name])
    mine = searched(tmp_path / "mine", examples(digits), config)
    hand = by_hand(tmp_path / "hand", digits, config)
    same(mine, hand)
    told = [level.best_val_accuracy for level in hand.levels]
    assert [level.best_val_accuracy for level in mine.levels] == told
    if name == "stops early":
        assert any(level.stopped_early for level in mine.levels)


def test_killed_in_a_level_it_resumes(digits, tmp_path):
    config, data = settings(rewind="iteration:7"), examples(digits)
    with pytest.raises(KilledError):
        searched(tmp_path / "cut", data, config, killed=1)
    same(searched(tmp_path / "cut", data, config), by_hand(tmp_path / "hand", digits, config))


def begun(tmp_path: Path, **changes: Any) -> Any:
    return prac.Search.begin(tmp_path / "run", net(), examples=300, config=settings(**changes))


def test_a_step_of_several_batches_is_one(digits, tmp_path):
    args = arguments(
        tmp_path, gradient_accumulation_steps=2, per_device_train_batch_size=BATCH // 2
    )
    marked: dict[str, Tensor] = {}

    class Marks(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, *_: Any, model: Any, **more: Any) -> None:
            if state.global_step == 7:
                marked.update({n: one.clone() for n, one in model.net.state_dict().items()})

    with begun(tmp_path, rewind="iteration:7", levels=1) as search:
        level, model = search.ask(), Classifier(net())
        trainer = trainer_of(level, model, examples(digits), tmp_path, args=args)
        trainer.add_callback(Marks())
        trainer.train()
        assert level.steps == level.iterations == 32
        assert level.forgetting.count == 4 * 300
        search.tell(level, model.net, predictions=[0] * 300)
    first = prac.Search.load(tmp_path / "run").tickets[1]
    assert marked
    assert all(torch.equal(first.weights[name], marked[name]) for name in marked)


@pytest.mark.parametrize("strategy", ["no", "steps"])
def test_epochs_end_without_an_evaluation_or_with_one_at_their_last_step(
    strategy, digits, tmp_path
):
    args = arguments(tmp_path, eval_strategy=strategy, eval_steps=16)
    with begun(tmp_path) as search:
        level, model = search.ask(), Classifier(net())
        trainer_of(level, model, examples(digits), tmp_path, args=args).train()
        seen = ["val_accuracy" in line for line in level.metrics]
        assert seen == ([False] * 4 if strategy == "no" else [False, True] * 2)
        assert [line["lr"] for line in level.metrics] == pytest.approx([0.1, 0.1, 0.1, 0.01])
        assert all(line["train_loss"] > 0 for line in level.metrics)


def test_label_smoothing_and_a_trainer_of_one_s_own(digits, tmp_path):
    class Own(transformers.Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: Any = False, **_: Any):
            assert "id" not in inputs
            labels = inputs.pop("labels")
            outputs = {"logits": model.net(inputs["x"])}
            loss = F.cross_entropy(outputs["logits"], labels, label_smoothing=0.1)
            return (loss, outputs) if return_outputs else loss

    class Mine(prac.loops.transformers.LevelMixin, Own):
        pass

    with begun(tmp_path) as search:
        level, model = search.ask(), Classifier(net())
        data = prac.loops.with_ids(examples(digits), level.ids)
        Mine(
            model,
            arguments(tmp_path, eval_strategy="no", learning_rate=0.01),
            level=level,
            train_dataset=data,
        ).train()
        assert level.forgetting.count == 4 * 300
        assert level.forgetting.right > 600


def test_after_an_error_masks_are_off_and_the_level_is_asked_for_anew(digits, tmp_path):
    class Fails(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, *_: Any, **more: Any) -> None:
            if state.global_step == 3:
                raise KilledError

    with begun(tmp_path) as search:
        level, model = search.ask(), Classifier(net())
        trainer = trainer_of(level, model, examples(digits), tmp_path, callbacks=[Fails()])
        with pytest.raises(KilledError):
            trainer.train()
        with pytest.raises(PracError, match="nothing is attached"):
            prac.detach(model.net)
        with pytest.raises(PracError, match="level 0 was trained already"):
            trainer.train()
        again = search.ask()
        assert again is not level
        trainer_of(again, model, examples(digits), tmp_path).train()
        search.tell(again, model.net, predictions=[0] * 300)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "columns": ({"remove_unused_columns": True}, "remove_unused_columns is True, by which"),
    "best": (
        {"load_best_model_at_end": True, "save_strategy": "epoch"},
        "load_best_model_at_end is True, by which",
    ),
    "no metric": ({"monitor": "eval_f1"}, "validation gave no 'eval_f1', which monitor= names"),
    "not a level": ({"level": 3}, "level is int: expected a level that is to be trained"),
    "no ids": ({"train_dataset": "plain"}, "a batch has no 'id', the places of its examples: .*x"),
    "other ids": ({"id_name": "place"}, "a batch has no 'place', the places of its examples"),
    "outputs": (
        {"correct": lambda outputs, inputs: outputs["logits"] > 0},
        r"correct is torch.bool of shape \(40, 10\): expected",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_told_in_a_line(name, digits, tmp_path):
    changes, message = REFUSED[name]
    data, model = examples(digits), Classifier(net())
    more = {key: data if key == "train_dataset" else one for key, one in changes.items()}
    of_trainer = ("monitor", "level", "train_dataset", "id_name", "correct")
    args = arguments(tmp_path, **{n: one for n, one in more.items() if n not in of_trainer})
    given: dict[str, Any] = {name: more[name] for name in of_trainer if name in more}
    with begun(tmp_path) as search:
        level = search.ask()

        def train() -> None:
            if name != "not a level":
                trainer_of(level, model, data, tmp_path, args=args, **given).train()
            prac.loops.transformers.LevelTrainer(model, args, **given).train()

        with pytest.raises(PracError, match=message) as error:
            train()
        assert "\n" not in str(error.value)
        with pytest.raises(PracError, match="nothing is attached"):
            prac.detach(model.net)


def test_right_is_not_guessed_of_labels_for_each_token(digits, tmp_path):
    class Tokens(Classifier):
        def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
            found = super().forward(x, labels[:, 0])
            return {**found, "logits": found["logits"][:, None].expand(-1, 2, -1)}

    data = [{**one, "labels": one["labels"].repeat(2)} for one in examples(digits)]
    with begun(tmp_path) as search:
        trainer = trainer_of(search.ask(), Tokens(net()), data, tmp_path)
        with pytest.raises(PracError, match="which examples are right is not known without logits"):
            trainer.train()


def test_right_is_not_guessed_of_numbers(digits, tmp_path):
    class Regression(Classifier):
        def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.net(x)[:, :1]
            return {"loss": F.mse_loss(logits[:, 0], labels), "logits": logits}

    data = [{**one, "labels": one["labels"].float()} for one in examples(digits)]
    with begun(tmp_path) as search:
        trainer = trainer_of(search.ask(), Regression(net()), data, tmp_path)
        with pytest.raises(PracError, match="which examples are right is not known without logits"):
            trainer.train()
        with pytest.raises(
            PracError, match=r"first output is of shape \(300, 1\), which are no sc"
        ):
            trainer.predicted(data)


def test_a_level_is_not_gone_on_with_from_a_checkpoint(digits, tmp_path):
    args = arguments(tmp_path, save_strategy="steps", save_steps=8)
    with begun(tmp_path) as search:
        level, model = search.ask(), Classifier(net())
        trainer_of(level, model, examples(digits), tmp_path, args=args).train()
        level = search.ask()
        trainer = trainer_of(level, model, examples(digits), tmp_path, args=args)
        with pytest.raises(PracError, match="training goes on at step 8: a level is trained from"):
            trainer.train(resume_from_checkpoint=str(tmp_path / "out/checkpoint-8"))
