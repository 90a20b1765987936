"""Scores made of gradients, on a quadratic loss of which everything is known."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prac.algorithms import grasp, ones, prune, snip, synflow

NUMBERS = st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=6)
ALL = [snip, grasp, synflow]

# The loss w'Aw/2 - b'w has gradient Aw - b and Hessian A.
A = torch.tensor([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 1.0]])
B = torch.tensor([1.0, 0.0, -2.0])
W = torch.tensor([1.0, -1.0, 0.5])


def gradient(w):
    return A @ w - B


def test_snip_by_hand():
    # Aw is (1, -2.5, 1.5): the gradient is (0, -2.5, 3.5).
    assert gradient(W).tolist() == [0.0, -2.5, 3.5]
    assert snip({"w": W}, {"w": gradient(W)})["w"].tolist() == [0.0, 2.5, 1.75]


def test_grasp_by_hand():
    # Ag is (-2.5, -11, 6).
    assert grasp({"w": W}, {"w": A @ gradient(W)})["w"].tolist() == [-2.5, 11.0, 3.0]


def test_grasp_keeps_what_takes_the_most_of_the_gradient_with_it():
    small = 1e-3
    scores = grasp({"w": W}, {"w": A @ gradient(W)})["w"]
    for q in range(3):
        # A thousandth of the way to its removal, where first order is all there is.
        step = torch.zeros(3)
        step[q] = -small * W[q]
        change = gradient(W + step).square().sum() - gradient(W).square().sum()
        assert float(change / small) == pytest.approx(-2 * float(scores[q]), abs=0.05)
    kept = prune({"w": scores}, ones({"w": W}), 1 / 3)["w"]
    assert kept.tolist() == [False, True, True]  # Without the first, the norm would grow.


@given(NUMBERS)
def test_signs_matter_to_grasp_alone(pairs):
    weights = {"w": torch.tensor([w for w, _ in pairs])}
    gradients = {"w": torch.tensor([g for _, g in pairs])}
    turned = {"w": -gradients["w"]}
    for score in (snip, synflow):
        assert torch.equal(score(weights, gradients)["w"], score(weights, turned)["w"])
        assert (score(weights, gradients)["w"] >= 0).all()
    assert torch.equal(grasp(weights, gradients)["w"], -grasp(weights, turned)["w"])


@pytest.mark.parametrize("score", ALL)
def test_layers_are_those_of_the_gradients_and_weights_may_hold_more(score):
    weights = {"a": torch.ones(2), "bias": torch.ones(3), "b": torch.ones(1, 2)}
    found = score(weights, {"b": torch.ones(1, 2), "a": torch.ones(2)})
    assert list(found) == ["b", "a"]
    assert found["b"].shape == (1, 2)


@pytest.mark.parametrize("score", ALL)
def test_scores_keep_the_wider_type_and_no_graph(score):
    weight = torch.ones(2, requires_grad=True)
    found = score({"w": weight}, {"w": torch.full((2,), 1e200, dtype=torch.float64)})["w"]
    assert found.tolist() == [1e200, 1e200]
    assert not found.requires_grad


@pytest.mark.parametrize("score", ALL)
def test_what_does_not_fit_is_refused(score):
    with pytest.raises(ValueError, match="layer 'b' has gradients but no weights"):
        score({"a": torch.ones(2)}, {"b": torch.ones(2)})
    with pytest.raises(ValueError, match=r"'a' has weights of shape \(2,\) and gradients.*\(1,\)"):
        score({"a": torch.ones(2)}, {"a": torch.ones(1)})
