"""Takes apart what a custom derivative must see: numbers with gradients, and the rest.

A rule of `jax.custom_vjp` may not close over traced values, and its integers and keys
have no gradients; here both become explicit.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxdd.base import PyTree

__all__ = ["add", "alike", "hoist", "join", "split"]


def split(tree: PyTree) -> tuple[PyTree, PyTree]:
    """Two trees with None where the other has a leaf: floats, and everything else."""
    tree = jax.tree.map(jnp.asarray, tree)
    floats = jax.tree.map(lambda leaf: leaf if _is_float(leaf) else None, tree)
    others = jax.tree.map(lambda leaf: None if _is_float(leaf) else leaf, tree)
    return floats, others


def join(floats: PyTree, others: PyTree) -> PyTree:
    """The tree that `split` took apart."""
    return jax.tree.map(
        lambda one, two: two if one is None else one,
        floats,
        others,
        is_leaf=lambda leaf: leaf is None,
    )


def add(first: PyTree, second: PyTree) -> PyTree:
    """The sum of two trees."""
    return jax.tree.map(jnp.add, first, second)


def hoist(function: Callable[..., Any], *examples: Any) -> tuple[Callable, list]:
    """The function without what it closes over, which becomes its first argument.

    Args:
      function: pure. examples: arguments of the shapes it is to be called with.

    Returns:
      (closed, constants) with closed(constants, *arguments) = function(*arguments).
    """
    traced, shape = jax.make_jaxpr(function, return_shape=True)(*examples)
    structure = jax.tree.structure(shape)

    def closed(constants: list, *arguments: Any) -> Any:
        leaves = jax.tree.leaves(arguments)
        return structure.unflatten(
            jax.core.eval_jaxpr(traced.jaxpr, constants, *leaves)
        )

    return closed, traced.consts


def alike(*trees: PyTree) -> tuple[PyTree, ...]:
    """Marks all arrays as varying over the same `shard_map` axes.

    A loop must return what it was given, and a custom derivative cotangents with the
    axes of its arguments; the transpose of this marking sums over devices.
    """
    leaves = jax.tree.leaves(trees)
    axes = [jax.typeof(leaf).manual_axis_type.varying for leaf in leaves]
    everything = frozenset().union(*axes)
    if not everything:
        return trees

    def mark(leaf: Any) -> Any:
        missing = everything - jax.typeof(leaf).manual_axis_type.varying
        return lax.pcast(leaf, tuple(missing), to="varying") if missing else leaf

    return jax.tree.map(mark, trees)


def _is_float(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)
