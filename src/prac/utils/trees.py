"""Tensors, alone or in tuples, lists and mappings of them: what a batch of inputs may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from torch import Tensor

Tree: TypeAlias = Any
"""A tensor, or a tuple, a list or a mapping of trees."""


def leaves(tree: Tree) -> list[Tensor]:
    """Return what a tree holds, in order, a mapping's by its own order of names.

    >>> leaves({"ids": 1, "more": (2, [3])})
    [1, 2, 3]
    """
    if isinstance(tree, Tensor):  # As nearly all are, at every step of a training.
        return [tree]
    if isinstance(tree, Mapping):
        return [leaf for part in tree.values() for leaf in leaves(part)]
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]


def named_leaves(tree: Tree, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what a tree holds, each with its place as Python writes it.

    >>> dict(named_leaves({"ids": 1, "more": (2, [3])}, "x"))
    {"x['ids']": 1, "x['more'][0]": 2, "x['more'][1][0]": 3}
    """
    if isinstance(tree, Mapping):
        for key, part in tree.items():
            yield from named_leaves(part, f"{name}[{key!r}]")
    elif isinstance(tree, (tuple, list)):
        for number, part in enumerate(tree):
            yield from named_leaves(part, f"{name}[{number}]")
    else:
        yield name, tree


def mapped(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Return a tree of what a function gives for a leaf and those in its place in others.

    Mappings become dicts; named tuples stay such.

    >>> mapped(lambda a, b: a + b, {"ids": 1, "more": (2,)}, {"ids": 10, "more": (20,)})
    {'ids': 11, 'more': (22,)}
    """
    if isinstance(tree, Tensor):
        return function(tree, *others)
    if isinstance(tree, Mapping):
        return {
            key: mapped(function, part, *(other[key] for other in others))
            for key, part in tree.items()
        }
    if isinstance(tree, (tuple, list)):
        parts = [mapped(function, *each) for each in zip(tree, *others, strict=True)]
        return of_kind(tree, parts)
    return function(tree, *others)


def split(tree: Tree, sizes: list[int]) -> list[Tree]:
    """Return a tree of (n, ...) tensors as one of (size, ...) each.

    >>> import torch
    >>> [part["a"].tolist() for part in split({"a": torch.arange(3)}, [2, 1])]
    [[0, 1], [2]]
    """
    if isinstance(tree, Tensor):
        return list(tree.split(sizes))
    parts = [leaf.split(sizes) for leaf in leaves(tree)]
    return [filled(tree, [part[number] for part in parts]) for number in range(len(sizes))]


def filled(tree: Tree, values: list[Any]) -> Tree:
    """Return a tree of the same form with other values, in the order of its leaves.

    >>> filled({"ids": 1, "more": (2, [3])}, [4, 5, 6])
    {'ids': 4, 'more': (5, [6])}
    """
    rest = iter(values)
    return mapped(lambda _: next(rest), tree)


def arguments(tree: Tree) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a batch of inputs as a function takes it: mappings by name, tuples one by one.

    >>> arguments({"ids": 1}), arguments((1, 2)), arguments([1, 2])
    (((), {'ids': 1}), ((1, 2), {}), (([1, 2],), {}))
    """
    if isinstance(tree, Tensor):
        return (tree,), {}
    if isinstance(tree, Mapping):
        return (), dict(tree)
    return (tree if isinstance(tree, tuple) else (tree,)), {}


def of_kind(tree: Any, parts: list[Any]) -> Any:
    """Return a tuple or a list of other parts, of the kind of another: named tuples stay such."""
    if isinstance(tree, list):
        return parts
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
