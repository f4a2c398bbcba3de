"""Small operations on pytrees that jax.tree and optax.tree do not have."""

from typing import Any

import jax

from jaxdd.base import Array, PyTree

__all__ = ["size_in_bytes", "take", "write"]


def take(tree: PyTree, index: Array | int) -> PyTree:
    """Row `index` (traced or static) of every leaf."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def write(tree: PyTree, index: Array, row: PyTree) -> PyTree:
    """The tree with `row` written at `index` of every leaf's first axis."""
    return jax.tree.map(lambda leaf, new: leaf.at[index].set(new), tree, row)


def size_in_bytes(tree: Any) -> int:
    """Bytes of all array leaves (abstract arrays count too)."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
