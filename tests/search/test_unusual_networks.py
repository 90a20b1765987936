"""Networks that hold, share or change what others do not: searched alike each time, cut or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import prac
from prac.errors import PracError
from prac.models import snapshot
from tests.search.test_randomness import FILES, CutError, muddle

KEPT = (*FILES, "levels/*/trained.safetensors")


class Base(nn.Module):
    def __init__(self, *args: Any) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.into, self.mid, self.out = nn.Linear(64, 16), nn.Linear(16, 16), nn.Linear(16, 10)
            self.begin(*args)

    def begin(self, *args: Any) -> None:
        """Add what is unusual."""

    def middle(self, h: Tensor) -> Tensor:
        return self.mid(h)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.middle(self.into(x.flatten(1)).relu()).relu())


class Counting(Base):
    """Counts its passes in evaluation too, in a buffer that its outputs depend on."""

    passes: Tensor

    def begin(self) -> None:
        self.register_buffer("passes", torch.zeros(()))

    def middle(self, h: Tensor) -> Tensor:
        self.passes += 1
        return self.mid(h) * (1 + self.passes / 100)


class Awake(Base):
    """Keeps BatchNorm in training whatever mode it is put into."""

    def begin(self) -> None:
        self.norm = nn.BatchNorm1d(16)

    def train(self, mode: bool = True) -> Awake:
        super().train(mode)
        self.norm.training = True
        return self

    def middle(self, h: Tensor) -> Tensor:
        return self.norm(h)


class Merging(Base):
    """Merges a low-rank part into its weight for evaluation, by data, as adapters do."""

    def begin(self) -> None:
        self.a, self.b = nn.Parameter(torch.randn(16, 2) / 9), nn.Parameter(torch.randn(2, 16) / 9)
        self.is_merged = False

    def train(self, mode: bool = True) -> Merging:
        if self.is_merged == mode:
            self.mid.weight.data += (-1 if mode else 1) * (self.a @ self.b).detach()
            self.is_merged = not mode
        return super().train(mode)

    def middle(self, h: Tensor) -> Tensor:
        more = 0 if self.is_merged else functional.linear(h, self.a @ self.b)
        return self.mid(h) + more


class Patched(Base):
    """Has its layer's pass replaced by a function that closes over the layer itself."""

    def begin(self) -> None:
        self.norm = nn.BatchNorm1d(16)
        old = self.norm.forward
        self.norm.forward = lambda input: old(input)  # type: ignore[method-assign]

    def middle(self, h: Tensor) -> Tensor:
        return self.norm(h)


class Source:
    def __init__(self) -> None:
        self.generators = {"own": np.random.default_rng(3)}


class Drawing(Base):
    """Draws from a generator that lies deep within an object, and from one of its class."""

    source = torch.Generator().manual_seed(5)

    def begin(self) -> None:
        self.held = [Source()]

    def middle(self, h: Tensor) -> Tensor:
        scale = self.held[0].generators["own"].random()
        return self.mid(h) * (scale + float(torch.rand(1, generator=self.source)))


class Complex(Base):
    def begin(self) -> None:
        self.mid = nn.Linear(16, 16, dtype=torch.complex64)

    def middle(self, h: Tensor) -> Tensor:
        return self.mid(h.to(torch.complex64)).abs()


class Strided(Base):
    """Has weights that are every second column of another tensor."""

    def begin(self) -> None:
        self.mid.weight = nn.Parameter((torch.randn(16, 32) / 9)[:, ::2])


NETWORKS = [Counting, Awake, Merging, Patched, Drawing, Complex, Strided]


@pytest.mark.parametrize("make", NETWORKS)
def test_an_unusual_network_is_searched_alike_each_time_and_put_back(
    make, train, val, config, tmp_path, run_files
):
    settings, model = config(levels=1), make()
    before, saved = snapshot(model), 0

    def search(name: str, model: nn.Module, **more: Any) -> dict[str, bytes]:
        muddle()
        prac.find(model, train, settings, val=val, out=tmp_path / name, **more)
        return run_files(tmp_path / name, *KEPT)

    def cut(event: prac.Event) -> None:
        nonlocal saved
        saved += event.kind in ("saved", "epoch")
        if saved == 4:
            raise CutError

    whole = search("one", model)
    assert all(value.equal(before[name]) for name, value in snapshot(model).items())
    assert search("one", model) == whole  # It is done.
    with pytest.raises(CutError):
        search("two", make(), run_control=prac.RunControl(save_every=2), callback=cut)
    assert search("two", make()) == whole


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_weight_that_is_a_view_trains_as_its_copy_does(
    optimizer, train, val, config, tmp_path, run_files
):
    rate = 0.1 if optimizer == "sgd" else 1e-3
    settings = config(
        levels=1, train=prac.TrainConfig(epochs=2, batch_size=50, lr=rate, optimizer=optimizer)
    )
    losses = []
    for name, copies in (("view", False), ("copy", True)):
        model = Strided()
        if copies:
            model.mid.weight = nn.Parameter(model.mid.weight.detach().contiguous())
        prac.find(model, train, settings, val=val, out=tmp_path / name)
        metrics = (tmp_path / name / "metrics.jsonl").read_text()
        losses.append([float(part.split(":")[1]) for part in metrics.split(",") if "_loss" in part])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_task_that_draws_judges_alike_each_time_cut_or_not(
    small_net, train, config, tmp_path, run_files
):
    def correct(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.argmax(1) == targets) & (torch.rand(len(targets)) > 0.3)

    task, settings, saved = prac.Task(correct=correct), config(levels=1), 0

    def search(name: str, **more: Any) -> dict[str, bytes]:
        muddle()
        prac.find(small_net(), train, settings, out=tmp_path / name, task=task, **more)
        return run_files(tmp_path / name, *FILES)

    def cut(event: prac.Event) -> None:
        nonlocal saved
        saved += event.kind == "saved"
        if saved == 2:
            raise CutError

    whole = search("one")
    assert search("two") == whole
    with pytest.raises(CutError):
        search("three", run_control=prac.RunControl(save_every=2), callback=cut)
    assert search("three") == whole


class Functional(nn.Module):
    """Asks for sparse gradients by a function, which no layer tells of."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.words, self.out = nn.Parameter(torch.randn(30, 8)), nn.Linear(8, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(functional.embedding(tokens, self.words, sparse=True).mean(1))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sparse_gradients_that_no_layer_tells_of_are_trained_on(momentum, config, tmp_path):
    tokens = torch.randint(0, 30, (64, 5), generator=torch.Generator().manual_seed(0))
    data = tokens, torch.arange(64) % 3
    steps = prac.TrainConfig(epochs=2, batch_size=16, lr=0.1, weight_decay=0, momentum=momentum)
    settings = config(levels=1, train=steps, prune=prac.PruneConfig(layers="output"))
    search = prac.find(Functional(), data, settings, out=tmp_path / "run", callback=print)
    assert search.finished
    assert prac.retrain(search.tickets[1], Functional(), data, steps)[1].best_epoch == 2


def in_training_only() -> nn.Module:
    class Late(Base):
        def middle(self, h: Tensor) -> Tensor:
            if self.training and not hasattr(self, "more"):
                self.more = nn.Linear(16, 16)
            return self.mid(h)

    return Late()


def of_any_shape() -> nn.Module:
    class Seeing(Base):
        def begin(self) -> None:
            self.register_buffer("seen", torch.zeros(()))

        def middle(self, h: Tensor) -> Tensor:
            self.seen = h.detach()
            return self.mid(h)

    return Seeing()


def without_a_mode() -> nn.Module:
    class Modeless(Base):
        def train(self) -> Modeless:  # type: ignore[override]
            return self

    return Modeless()


def renamed() -> nn.Module:
    def rename(module: nn.Module, kept: dict[str, Any], prefix: str, _: object) -> None:
        kept["encoder"] = kept.pop("into.weight")

    model = Base()
    model._register_state_dict_hook(rename)
    return model


def made_in_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return Base()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (in_training_only, "made 'more.bias' in its first pass"),
        (of_any_shape, r"the model's 'seen' is torch\.float32 of shape \(\), and .* after a batch"),
        (without_a_mode, r"train\(True\) raises TypeError: .*an own train\(\) has to take a mode"),
        (renamed, r"state_dict lacks 'into\.weight', as parameters\(\) call it"),
        (made_in_inference_mode, r"was made under torch\.inference_mode\(\)"),
    ],
)
def test_what_no_state_could_be_put_back_to_is_told_before_anything_is_written(
    make, told, train, config, tmp_path
):
    with pytest.raises(PracError, match=told):
        prac.find(make(), train, config(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_call_where_no_gradients_are_taken_takes_them_all_the_same(
    small_net, train, config, tmp_path, run_files
):
    settings = config(levels=1)
    prac.find(small_net(), train, settings, out=tmp_path / "one")
    model = small_net()
    with torch.no_grad():
        prac.find(model, train, settings, out=tmp_path / "two")
    assert run_files(tmp_path / "one", *KEPT) == run_files(tmp_path / "two", *KEPT)
    within = torch.autocast("cpu", dtype=torch.bfloat16)
    with within, pytest.raises(PracError, match=r"within torch\.autocast: call it outside"):
        prac.find(small_net(), train, settings, out=tmp_path / "three")


def test_a_buffer_over_a_weight_s_memory_is_masked_with_it(train, config, tmp_path):
    class Shadowed(Base):
        def begin(self) -> None:
            self.register_buffer("shadow", self.mid.weight.data)

    search = prac.find(Shadowed(), train, config(levels=1), out=tmp_path / "run")
    ticket = search.tickets[1]
    assert ticket.tied == {"shadow": "mid.weight"}
    model = Shadowed()
    model.load_state_dict(ticket.masked_weights())
    assert model.mid.weight[~ticket.masks["mid.weight"]].eq(0).all()


def test_layers_in_a_list_and_counters_are_told_of(train, config, tmp_path):
    class Listing(Base):
        def begin(self) -> None:
            self.more, self.steps = [nn.Linear(16, 16)], 0

        def middle(self, h: Tensor) -> Tensor:
            self.steps += 1
            return self.more[0](self.mid(h))

    told = []
    prac.find(
        *(Listing(), train, config(levels=1)),
        out=tmp_path / "run",
        callback=lambda event: told.append(str(event.facts.get("text", ""))),
    )
    (layers,) = [line for line in told if line.startswith("layers in the model's 'more' are none")]
    (counter,) = [line for line in told if line.startswith("each step changes the model's 'steps'")]
    assert "nn.ModuleList" in layers
    assert "make it a buffer" in counter


def test_gradients_that_a_model_had_are_its_own_again(small_net, train, config, tmp_path):
    model = small_net()
    model(train[0]).sum().backward()
    before: list[Any] = [parameter.grad for parameter in model.parameters()]
    values = [gradient.clone() for gradient in before]
    prac.find(model, train, config(levels=1), out=tmp_path / "run")
    after: list[Any] = [parameter.grad for parameter in model.parameters()]
    assert all(one is other for one, other in zip(before, after, strict=True))
    assert all(one.equal(other) for one, other in zip(values, after, strict=True))


def test_names_that_look_like_patterns_and_further_names_of_shared_weights_are_found(
    train, config, tmp_path
):
    class Named(Base):
        def begin(self) -> None:
            self.more = nn.ModuleDict({"[0]": nn.Linear(16, 16, bias=False)})
            self.again = self.mid

    def masked(**patterns: Any) -> set[str]:
        settings = config(levels=1, prune=prac.PruneConfig(layers="linear", **patterns))
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        search = prac.find(Named(), train, settings, out=out, callback=print)
        return set(search.tickets[1].masks)

    assert masked(include=("more.[0].weight",)) == {"more.[0].weight"}
    assert masked(include=("again.weight",)) == {"mid.weight"}
    assert "mid.weight" not in masked(exclude=("again.*",))
