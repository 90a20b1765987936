"""Scores of weights made from gradients, as pruning at initialisation takes them.

Which gradients, and how they are made of a network and its data, is `prac.search.gradients`.
"""

from __future__ import annotations

from torch import Tensor

from prac.algorithms.masks import Tensors


def snip(weights: Tensors, gradients: Tensors) -> dict[str, Tensor]:
    """Score each weight by how much the loss feels it: abs(w dL/dw).

    Source: SNIP (Lee et al. 2019, arXiv 1810.02340), without its division by the sum of all, which
    changes no order.

    Args:
        weights: By layer name, any shape.
        gradients: Of the loss with respect to the weights; same shapes.

    Returns:
        One score a weight, for the layers of `gradients`; higher is worth keeping.

    Raises:
        ValueError: If a layer has gradients but no weights, or of another shape.

    >>> import torch
    >>> weights, gradients = {"w": torch.tensor([2.0, -1.0])}, {"w": torch.tensor([-1.0, 3.0])}
    >>> snip(weights, gradients)["w"].tolist()
    [2.0, 3.0]
    """
    return {name: product.abs() for name, product in _products(weights, gradients).items()}


def grasp(weights: Tensors, hessian_gradients: Tensors) -> dict[str, Tensor]:
    """Score each weight by how much of the gradient's norm would go with it: w (Hg).

    Source: GraSP (Wang et al. 2020, arXiv 2002.07376). Its authors write -w (Hg) and remove the
    highest; here, as in all scores, the lowest are removed. A score may be negative.

    Args:
        weights: By layer name, any shape.
        hessian_gradients: The Hessian of the loss times its gradient; same shapes.

    Returns:
        One score a weight, for the layers of `hessian_gradients`; higher is worth keeping.

    Raises:
        ValueError: If a layer has gradients but no weights, or of another shape.

    >>> import torch
    >>> weights, products = {"w": torch.tensor([2.0, -1.0])}, {"w": torch.tensor([-1.0, 3.0])}
    >>> grasp(weights, products)["w"].tolist()
    [-2.0, -3.0]
    """
    # A step d changes the gradient g to g + Hd, and its squared norm by 2 d'Hg to first order.
    # Removing weight q is the step -w_q along q, which changes the norm by -2 w_q (Hg)_q. Training
    # goes by the gradient: what takes the most of it away is kept, where w_q (Hg)_q is highest.
    return _products(weights, hessian_gradients)


def synflow(weights: Tensors, gradients: Tensors) -> dict[str, Tensor]:
    """Score each weight by the paths through it: abs(w dR/dw), R being the network's flow.

    R is the sum of the outputs of the network with absolute weights for an input of ones. A score
    is the sum over all paths from input to output through the weight of the product of the weights
    on them, so that every layer's scores add up to the same.

    Source: SynFlow (Tanaka et al. 2020, arXiv 2006.05467), whose authors score and prune in a
    hundred rounds: in one round alone it may prune all of a layer.

    Args:
        weights: By layer name, any shape.
        gradients: Of R with respect to the absolute weights or, their sign being of no account, to
            the weights; same shapes.

    Returns:
        One score a weight, for the layers of `gradients`, never negative; higher is worth keeping.

    Raises:
        ValueError: If a layer has gradients but no weights, or of another shape.

    >>> import torch
    >>> weights, gradients = {"w": torch.tensor([2.0, -1.0])}, {"w": torch.tensor([1.0, 3.0])}
    >>> synflow(weights, gradients)["w"].tolist()
    [2.0, 3.0]
    """
    return {name: product.abs() for name, product in _products(weights, gradients).items()}


def _products(weights: Tensors, gradients: Tensors) -> dict[str, Tensor]:
    for name, gradient in gradients.items():
        if name not in weights:
            raise ValueError(f"layer {name!r} has gradients but no weights")
        if weights[name].shape != gradient.shape:
            raise ValueError(
                f"layer {name!r} has weights of shape {tuple(weights[name].shape)} and gradients "
                f"of shape {tuple(gradient.shape)}"
            )
    return {
        name: weights[name].detach() * gradient.detach() for name, gradient in gradients.items()
    }
