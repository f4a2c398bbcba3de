"""Takes apart what a custom derivative must see: numbers with gradients, and the rest.

A rule of `jax.custom_vjp` may not close over traced values, and its integers and keys
have no gradients; here both become explicit.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import eval_jaxpr

from jaxdd.base import PyTree
from jaxdd.unroll.backprop import Block
from jaxdd.unroll.problem import InnerProblem

__all__ = ["add", "alike", "closed", "join", "pullback", "split", "with_rule"]


def split(tree: PyTree) -> tuple[PyTree, PyTree]:
    """Two trees with None where the other has a leaf: floats, and everything else."""
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


def pullback(function: Callable[..., Any], *trees: PyTree) -> tuple[Any, Callable]:
    """`jax.vjp` by the floats of the arguments, for the floats of the value.

    Returns:
      (value, pull): pull takes a cotangent of the value's floats and returns a tuple of
      cotangents of the arguments' floats.
    """
    floats, others = split(trees)
    value, pull, rest = jax.vjp(
        lambda *floats: split(function(*join(floats, others))), *floats, has_aux=True
    )
    return join(value, rest), pull


def with_rule(
    run: Callable[[Any, Any, PyTree], tuple[Any, Any]],
    backward: Callable[[Any, Any, PyTree, Any], tuple[PyTree, PyTree]],
    outer: PyTree,
) -> Block:
    """The function (carry, xs) -> carry that `run` computes, with a derivative rule.

    Args:
      run: (outer, carry, xs) -> (carry, kept). Closes over nothing traced.
      backward: (outer, kept, xs, cotangent of the carry's floats) -> cotangents of the
        floats of (outer, carry). Closes over nothing traced.
      outer: what is differentiated besides the carry.
    """

    def forward(floats: PyTree, rest: Any) -> tuple[Any, Any]:
        others, xs = rest
        outer, carry = join(floats, others)
        end, kept = run(outer, carry, xs)
        return split(end), (outer, kept, xs)

    @jax.custom_vjp
    def rule(floats: PyTree, rest: Any) -> Any:
        return forward(floats, rest)[0]

    def back(saved: Any, cotangent: Any) -> tuple[Any, None]:
        outer, kept, xs = saved
        return backward(outer, kept, xs, cotangent[0]), None

    rule.defvjp(forward, back)

    def block(carry: Any, xs: PyTree) -> Any:
        floats, others = split((outer, carry))
        return join(*rule(floats, (others, xs)))

    return block


def closed(
    problem: InnerProblem, theta: PyTree, carry: Any, x: Any, *parts: str
) -> tuple[InnerProblem, PyTree]:
    """The problem without what it closes over, which joins theta.

    Args:
      problem: whose `parts` are needed, "step", "gradient", "loss" or "rate".
      theta, carry, x: arguments of the shapes it is to be called with.

    Returns:
      (problem, outer): its functions take `outer` in the place of theta.
    """
    examples = {
        "step": (theta, carry, x),
        "gradient": (theta, getattr(carry, "params", None), x),
        "loss": (theta, getattr(carry, "params", None), x),
        "rate": (theta, x),
    }
    hoisted = {name: _hoist(getattr(problem, name), examples[name]) for name in parts}
    constants = {name: found for name, (_, found) in hoisted.items()}

    def of_outer(name: str) -> Callable:
        function = hoisted[name][0]
        return lambda outer, *given: function(outer[1][name], (outer[0], *given))

    found = InnerProblem(step=problem.step, optimiser=problem.optimiser)
    return found._replace(**{name: of_outer(name) for name in parts}), (
        theta,
        constants,
    )


def alike(trees: PyTree) -> PyTree:
    """The trees, all arrays marked as varying over the same `shard_map` axes.

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


def _hoist(function: Callable, examples: tuple) -> tuple[Callable, list]:
    """(closed, constants) with closed(constants, arguments) = function(*arguments)."""
    traced, shape = jax.make_jaxpr(function, return_shape=True)(*examples)
    structure = jax.tree.structure(shape)

    def evaluate(constants: list, arguments: tuple) -> Any:
        leaves = jax.tree.leaves(arguments)
        return structure.unflatten(eval_jaxpr(traced.jaxpr, constants, *leaves))

    return evaluate, [jnp.asarray(constant) for constant in traced.consts]


def _is_float(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)
