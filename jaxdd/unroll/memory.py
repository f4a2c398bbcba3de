"""What the gradient of an unrolled problem costs in memory: predicted, and measured."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdd.base import PyTree
from jaxdd.tree import size_in_bytes
from jaxdd.unroll.adjoints import Adjoint, Backprop, Forward, Implicit, Separable
from jaxdd.unroll.backprop import block_size
from jaxdd.unroll.inner import SGD
from jaxdd.unroll.problem import InnerProblem
from jaxdd.unroll.solve import solve
from jaxdd.unroll.splitting import join, pullback, split

__all__ = ["Memory", "estimate_memory", "measure_memory"]


class Memory(NamedTuple):
    """Bytes that the gradient of a window needs besides its arguments.

    `kept` is what the steps leave for the way back, the part that may grow with their
    number; `working` is what one step needs for itself.
    """

    kept: int
    working: int

    @property
    def total(self) -> int:
        """Bytes in all."""
        return self.kept + self.working


def estimate_memory(
    problem: InnerProblem,
    theta: PyTree,
    carry: Any,
    xs: Any,
    adjoint: Adjoint = Backprop(),
    *,
    num_steps: int | None = None,
) -> Memory:
    """Predicts the memory of an adjoint, without running or compiling anything.

    With T steps, c the bytes of the carry's floats, a those that the derivative of one
    step keeps and f those of the loss's: none T (c + a), step T c + a, nested
    (T/K + K) c + a, fused T c + 2 f, mixed T c + a, Separable and Implicit a, Forward
    d c + a with d numbers in theta. `kept` is exact to a few percent but for "none",
    where the compiler may drop up to half; `working` is right within a factor of 3.

    Args:
      problem, theta, carry, xs, adjoint, num_steps: of `solve`; arrays may be abstract.
    """
    theta, carry, steps, x = _abstract(theta, carry, xs, num_steps)
    state = size_in_bytes(split(carry)[0])
    one = _residuals(lambda o, c, x: problem.step(o, c, x), theta, carry, x)
    working = one + state + size_in_bytes(split(theta)[0])
    if isinstance(adjoint, Separable | Implicit):
        return Memory(0, working)
    if isinstance(adjoint, Forward):
        numbers = sum(leaf.size for leaf in jax.tree.leaves(split(theta)[0]))
        return Memory(numbers * state, working)
    if adjoint.remat == "none" and adjoint.step == "plain":
        return Memory(steps * one, working)
    if adjoint.step != "plain" and isinstance(problem.optimiser, SGD) and problem.loss:
        loss = _residuals(problem.loss, theta, carry.params, x)
        working += 2 * loss - one
    size = block_size(steps, adjoint.inner) if adjoint.remat == "nested" else steps
    blocks = -(-steps // size) if size < steps else 0
    return Memory((blocks + size) * state, working)


def measure_memory(
    problem: InnerProblem,
    theta: PyTree,
    carry: Any,
    xs: Any,
    adjoint: Adjoint = Backprop(),
    *,
    num_steps: int | None = None,
) -> int:
    """Bytes of temporary arrays of the compiled gradient; nothing is run.

    The gradient by theta of the sum of squares of the last carry.

    Args:
      problem, theta, carry, xs, adjoint, num_steps: of `solve`; arrays may be abstract.
    """
    theta, carry = jax.eval_shape(lambda *trees: trees, theta, carry)

    def outer(floats: PyTree, others: PyTree, carry: Any, xs: Any) -> jax.Array:
        theta = join(floats, others)
        end = solve(problem, theta, carry, xs, num_steps=num_steps, adjoint=adjoint)
        squares = [jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(split(end)[0])]
        return sum(squares, jnp.zeros(()))

    if callable(xs):
        gradient = jax.grad(lambda f, others, carry: outer(f, others, carry, xs))
        lowered = jax.jit(gradient).lower(*split(theta), carry)
    else:
        lowered = jax.jit(jax.grad(outer)).lower(*split(theta), carry, xs)
    analysis: Any = lowered.compile().memory_analysis()
    return analysis.temp_size_in_bytes


def _abstract(theta: PyTree, carry: Any, xs: Any, num_steps: int | None) -> tuple:
    """Shapes of theta, of the carry and of one x, and the number of steps."""
    theta, carry = jax.eval_shape(lambda *trees: trees, theta, carry)
    if callable(xs):
        x = jax.eval_shape(xs, jnp.zeros((), jnp.int32))
        return theta, carry, num_steps, x
    x = jax.eval_shape(lambda tree: jax.tree.map(lambda leaf: leaf[0], tree), xs)
    return theta, carry, num_steps or len(jax.tree.leaves(xs)[0]), x


def _residuals(function: Any, theta: PyTree, state: Any, x: Any) -> int:
    """Bytes that the derivative of function(theta, state, x) keeps."""
    kept = jax.eval_shape(
        lambda o, s, x: pullback(lambda o, s: function(o, s, x), o, s)[1],
        theta,
        state,
        x,
    )
    return size_in_bytes(kept)
