"""What is no network to search is refused for its true reason, with what to do."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm
from torch.optim.swa_utils import AveragedModel

import prac


def mlp(apply=lambda layer: None, layers=(0, 2, 4)):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            *(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 10))
        )
    for number in layers:
        apply(model[number])
    return model


class Flat(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x.flatten(1))


class Single(Flat):
    def __deepcopy__(self, memo):
        raise TypeError("there is but one of me")


class FullyShardedDataParallel(Flat):
    """As the class of torch.distributed.fsdp is called, which a single process cannot make."""


class DistributedDataParallel(nn.parallel.DistributedDataParallel):
    def __init__(self, inner):  # Without a process group.
        nn.Module.__init__(self)
        self.module = inner


def half_pruned():
    model = mlp()
    prune.l1_unstructured(model[2], "weight", 0.5)
    return model


@pytest.mark.filterwarnings("ignore")  # Some of these torch itself advises against.
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: nn.DataParallel(mlp()), r"wrapped in DataParallel.*pass its \.module"),
        (lambda: DistributedDataParallel(mlp()), r"wrapped in Distributed.*pass its \.module"),
        (lambda: FullyShardedDataParallel(mlp()), "wrapped in FullySharded.*pass the module"),
        (lambda: torch.compile(mlp()), "wrapped by torch.compile"),
        (lambda: torch.jit.script(mlp()), "is a ScriptModule"),
        (lambda: Flat(torch.compile(mlp())), "layer 'inner' is wrapped by torch.compile"),
        (lambda: Single(mlp()), "the model cannot be copied.*but one of me.*keep what cannot be"),
        (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(10)), "'1.weight' has no shape yet"),
        (half_pruned, r"layer 'inner\.2' is pruned by torch\.nn\.utils\.prune.*prune\.remove"),
        (lambda: mlp(weight_norm), "parametrised weights 1,482.*remove_weight_norm"),
        (lambda: mlp(spectral_norm), "parametrised weights 1,440.*remove_parametrizations"),
        (lambda: mlp(parametrizations.weight_norm), "parametrised weights 1,482"),
        (lambda: mlp(parametrizations.orthogonal), "parametrised weights 1,440"),
    ],
)
def test_wrapped_and_altered_models_get_the_reason_and_the_remedy(
    make, told, train, config, tmp_path
):
    model = make()
    wrapped = isinstance(model, nn.Sequential) and not isinstance(model[0], nn.Flatten)
    with pytest.raises(prac.PracError, match=told) as caught:
        prac.find(
            Flat(model) if wrapped else model,
            train,
            config(prune=prac.PruneConfig()),
            out=tmp_path / "run",
        )
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: nn.DataParallel(Flat(mlp())), r"wrapped in DataParallel.*pass its \.module"),
        (lambda: Flat(nn.DataParallel(mlp())), r"layer 'inner' is wrapped in DataParallel"),
        (lambda: AveragedModel(Flat(mlp())), r"wrapped in AveragedModel.*pass its \.module"),
        (lambda: Flat(half_pruned()), r"prune\.remove"),
        (lambda: Flat(mlp(weight_norm)), "is computed from others"),
        (lambda: Flat(mlp(parametrizations.weight_norm)), "is computed from others"),
        (lambda: Flat(mlp(spectral_norm)), "is computed from others"),
    ],
)
def test_a_ticket_says_why_it_does_not_go_into_such_a_model(make, told, train, config, tmp_path):
    settings = config(levels=1, prune=prac.PruneConfig(layers="linear"))
    ticket = prac.find(Flat(mlp()), train, settings, out=tmp_path / "run").tickets[1]
    with pytest.raises(prac.PracError, match=told):
        ticket.apply(make())
    with pytest.raises(prac.PracError, match=told):
        prac.retrain(ticket, make(), train, settings.train)


def test_a_model_made_permanent_is_searched(train, config, tmp_path):
    model = half_pruned()
    prune.remove(model[2], "weight")
    settings = config(levels=1, prune=prac.PruneConfig())
    assert prac.find(Flat(model), train, settings, out=tmp_path / "run").finished


@pytest.mark.filterwarnings("ignore")
def test_a_scripted_layer_and_patterns_over_parametrised_weights(train, config, tmp_path):
    model = Flat(mlp(weight_norm, layers=(2,)))
    model.inner[1] = torch.jit.script(nn.ReLU())
    settings = config(levels=1, prune=prac.PruneConfig(include=("*",)))
    search = prac.find(model, train, settings, out=tmp_path / "run")
    assert list(search.tickets[1].masks) == ["inner.0.weight", "inner.4.weight"]


def test_a_layer_under_a_parametrisation_is_left_out_and_said(train, config, tmp_path):
    model = Flat(mlp(parametrizations.weight_norm, layers=(2,)))
    told = []
    settings = config(levels=1, prune=prac.PruneConfig())
    prac.find(model, train, settings, out=tmp_path / "run", callback=told.append)
    (parameters,) = (event.facts["parameters"] for event in told if event.kind == "search")
    assert parameters["prunable"] == {"linear layers": 1024}
    assert parameters["left_out"]["parametrised weights"] == 256 + 16
