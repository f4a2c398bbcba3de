"""Each step's own contribution to the gradient (TESLA), with the adjoint of the end."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxdd.base import PyTree
from jaxdd.errors import InputError
from jaxdd.unroll.backprop import Block, scanned
from jaxdd.unroll.inner import SGD
from jaxdd.unroll.problem import InnerProblem
from jaxdd.unroll.splitting import add, closed, pullback, split, with_rule

__all__ = ["separable"]


def separable(problem: InnerProblem, theta: PyTree, carry: Any, x: Any) -> Block:
    """The function that takes a step for each entry of xs; its gradient by theta is

    sum_t (d step_t / d theta)^T lambda with lambda the cotangent of the last carry, and
    by the first carry lambda itself. Cui et al., ICML 2023, equation 9, with the factor
    2 that the authors' code loses; steps are taken again, none is kept.

    Raises:
      InputError: for another optimiser than SGD without momentum.
    """
    optimiser = problem.optimiser
    if not isinstance(optimiser, SGD) or optimiser.momentum:
        raise InputError(
            "Separable() is defined for SGD without momentum; the inner optimiser is "
            f"{optimiser}. Use inner.SGD(), or adjoint=Backprop()"
        )
    problem, outer = closed(problem, theta, carry, x, "step")

    def run(outer: PyTree, carry: Any, xs: PyTree) -> tuple[Any, Any]:
        return scanned(lambda c, x: problem.step(outer, c, x))(carry, xs), carry

    def backward(outer: PyTree, carry: Any, xs: PyTree, end: Any) -> tuple:
        def body(state: Any, x: Any) -> tuple[Any, None]:
            carry, total = state
            moved, pull = pullback(lambda outer: problem.step(outer, carry, x), outer)
            return (moved, add(total, *pull(end))), None

        zeros = jax.tree.map(jnp.zeros_like, split(outer)[0])
        (_, total), _ = lax.scan(body, (carry, zeros), xs)
        return total, end

    return with_rule(run, backward, outer)
