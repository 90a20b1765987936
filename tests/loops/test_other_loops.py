"""Masks hold in loops of other libraries, each tried where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset

import prac
from prac.algorithms import Masks
from tests.loops.test_attaching import compiled, holds, masks_of, network

# Of those libraries, which warn of what they will be, and of what this machine has not.
pytestmark = pytest.mark.filterwarnings("ignore")

X = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(64) % 3


def batches() -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(TensorDataset(X, Y), batch_size=16)


@pytest.mark.parametrize("wrap", [lambda model: model, compiled], ids=["plain", "compiled"])
def test_accelerate(wrap):
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    bare = network()
    masks = masks_of(bare)
    adam = torch.optim.AdamW(bare.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(adam, 2)
    model, optimizer, loader, schedule = accelerator.prepare(wrap(bare), adam, batches(), schedule)
    average = AveragedModel(bare, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    average.update_parameters(bare)
    with prac.attach(model, optimizer, masks, ema=average) as attachment:
        for x, y in loader:
            with accelerator.accumulate(model):
                accelerator.backward(F.cross_entropy(model(x), y))
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            average.update_parameters(bare)
            assert holds(bare, masks)
            assert holds(average, masks)
    assert not attachment.is_attached


def test_lightning_trainer(tmp_path: Path):
    lightning: Any = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self, masks: Masks) -> None:
            super().__init__()
            self.net, self.head, self.masks, self.seen = network(), nn.Linear(3, 3), masks, []

        def training_step(self, batch, index):
            x, y = batch
            return F.cross_entropy(self.head(self.net(x)), y)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)

        def on_train_start(self):
            prac.attach(self.net, self.optimizers(), self.masks)

        def on_train_batch_end(self, *_):
            self.seen.append(holds(self.net, self.masks))

    module = Module(masks_of(network()))
    weights = module.net.get_parameter("0.weight").detach().clone()
    lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        accumulate_grad_batches=2,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    ).fit(module, batches())
    assert module.seen == [True] * 8
    assert not torch.equal(weights * module.masks["0.weight"], module.net.get_parameter("0.weight"))
    prac.detach(module.net)


def test_lightning_fabric():
    lightning = pytest.importorskip("lightning")
    fabric = lightning.Fabric(accelerator="cpu", devices=1)
    bare = network()
    masks = masks_of(bare)
    model, optimizer = fabric.setup(bare, torch.optim.Adam(bare.parameters(), lr=0.1))
    with prac.attach(model, optimizer, masks):
        for x, y in batches():
            optimizer.zero_grad()
            fabric.backward(F.cross_entropy(model(x), y))
            optimizer.step()
            assert holds(bare, masks)


class Classifier(nn.Module):
    """As a model of transformers: it takes labels, and returns its own loss."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.net(x)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def test_transformers_trainer(tmp_path: Path):
    transformers: Any = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    model = Classifier()
    masks = masks_of(model)
    seen = []

    class Hold(transformers.TrainerCallback):
        def on_train_begin(self, args, state, control, model, optimizer, **_):
            self.attachment = prac.attach(model, optimizer, masks)

        def on_step_end(self, args, state, control, model, **_):
            seen.append(holds(model, masks))

        def on_train_end(self, args, state, control, **_):
            self.attachment.check()
            self.attachment.detach()

    settings = transformers.TrainingArguments(
        str(tmp_path),
        num_train_epochs=1,
        per_device_train_batch_size=16,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    examples = [{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)]
    trainer = transformers.Trainer(model, settings, train_dataset=examples, callbacks=[Hold()])
    trainer.train()
    assert seen == [True] * 4
    prac.attach(model, torch.optim.SGD(model.parameters()), masks).detach()
