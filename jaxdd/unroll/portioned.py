"""Inner problems whose gradient is computed a few rows at a time.

On CPU the maps of a few rows stay in a core's cache, and on any machine a step needs
their memory only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxdd.base import Array, PyTree
from jaxdd.errors import InputError
from jaxdd.members import sum_of_shares
from jaxdd.unroll.problem import Carry, InnerProblem
from jaxdd.unroll.splitting import add, alike

__all__ = ["in_portions"]


def in_portions(
    problem: InnerProblem, split: Callable[[PyTree, Any], PyTree]
) -> InnerProblem:
    """The same problem, its loss taken as the mean over portions of a step's input.

    Every portion is computed again on the way back, so a checkpoint around the step is
    not needed and `Backprop("step")` puts none there. What a step keeps are the carry
    and, where its rate is learned, the gradient.

    Args:
      problem: with an optimiser, a loss and a rate, as `inner.problem` makes them.
      split: (theta, x) to the portions of a step, on a leading axis. The mean of
        `problem.loss` over them is the loss of x, e.g. that of rows, their numbers
        reshaped to [k, b / k]; or the rows of theta themselves, which then are
        gathered, and their derivatives scattered, once a step and not once a portion.

    Raises:
      InputError: when the problem lacks one of these.
    """
    loss, optimiser, rate = problem.loss, problem.optimiser, problem.rate
    if loss is None or optimiser is None or rate is None:
        raise InputError(
            "problem: in_portions needs InnerProblem.loss, optimiser and rate; make it "
            "with inner.problem"
        )

    def whole(theta: PyTree, params: PyTree, x: Any) -> Array:
        parts = split(theta, x)
        return jnp.mean(lax.map(lambda part: loss(theta, params, part), parts))

    # Inside a loop XLA cannot merge the two computations.
    slope = jax.checkpoint(jax.grad(loss, 1), prevent_cse=False)

    def share(parts: Any, given: tuple[PyTree, PyTree]) -> PyTree:
        def advance(total: PyTree, part: Any) -> tuple[PyTree, None]:
            return add(total, slope(*given, part)), None

        zeros = alike((jax.tree.map(jnp.zeros_like, given[1]), given[1]))[0]
        return lax.scan(advance, zeros, parts)[0]

    def summed(theta: PyTree, params: PyTree, x: Any) -> PyTree:
        theta, params, parts = alike((theta, params, split(theta, x)))
        total = sum_of_shares(share, parts, (theta, params))
        count = len(jax.tree.leaves(parts)[0])
        return jax.tree.map(lambda leaf: leaf / count, total)

    # What `split` gathers is gathered again too: steps would keep copies of the rows.
    gradient = jax.checkpoint(summed, prevent_cse=False)

    def step(theta: PyTree, carry: Carry, x: Any) -> Carry:
        slope = gradient(theta, carry.params, x)
        return optimiser.update(slope, carry, rate(theta, x))

    return InnerProblem(step, gradient, optimiser, whole, rate, recomputes=True)
