"""Between a module and named tensors: snapshots, masks."""

import pytest
import torch
from torch import nn

from prac.errors import PracError
from prac.models import apply_masks_, check_masks, masked, restore_, snapshot


def network():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2))
    )


def test_a_snapshot_is_a_copy_with_the_buffers():
    model = network()
    taken = snapshot(model)
    assert list(taken) == list(model.state_dict())
    model[1].running_mean += 1
    with torch.no_grad():
        model[0].weight.zero_()
    assert taken["0.weight"].any()
    assert not taken["1.running_mean"].any()
    restore_(model, taken)
    assert torch.equal(model[0].weight, taken["0.weight"])
    assert not model[1].running_mean.any()
    with torch.no_grad():
        model[0].weight.zero_()
    assert taken["0.weight"].any()


def test_weights_of_another_model_are_refused_and_nothing_is_changed():
    model = network()
    before = snapshot(model)
    weights = {name: torch.full_like(value, 7) for name, value in before.items()}
    for change, message in [
        ({"3.weight": torch.ones(1)}, "hold '3.weight', which the model lacks"),
        ({"2.1.bias": None}, "the model's '2.1.bias' is not among the weights"),
        (
            {"2.1.weight": torch.ones(2, 6)},
            r"weight '2.1.weight' is \(2, 6\), the model's is \(2, 5\)",
        ),
    ]:
        changed = {n: v for n, v in {**weights, **change}.items() if v is not None}  # type: ignore[dict-item]
        with pytest.raises(PracError, match=message):
            restore_(model, changed)
    after = snapshot(model)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_masks_of_another_model_are_refused():
    model = network()
    check_masks(model, {"0.weight": torch.ones(4, 3, 3, 3).bool()})
    with pytest.raises(PracError, match="mask 'head' has no parameter in the model"):
        check_masks(model, {"head": torch.ones(1).bool()})
    message = r"mask '0.weight' is \(4, 3\), the model's weight is \(4, 3, 3, 3\)"
    with pytest.raises(PracError, match=message):
        check_masks(model, {"0.weight": torch.ones(4, 3).bool()})
    # A buffer is no weight to prune.
    with pytest.raises(PracError, match="no parameter in the model"):
        check_masks(model, {"1.running_mean": torch.ones(4).bool()})


def test_applying_masks_zeroes_exactly_the_pruned_in_place():
    weight = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    other = nn.Parameter(torch.tensor([4.0]))
    apply_masks_([(weight, torch.tensor([True, False, True])), (other, torch.tensor([True]))])
    assert weight.tolist() == [1.0, 0.0, 3.0]
    assert other.tolist() == [4.0]
    assert weight.requires_grad


def test_masked_weights_are_new_and_leave_others_alone():
    weights = {"w": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0])}
    result = masked(weights, {"w": torch.tensor([False, True])})
    assert {name: value.tolist() for name, value in result.items()} == {"w": [0, 2], "b": [3]}
    assert weights["w"].tolist() == [1.0, 2.0]
