"""Each step's own contribution to the gradient (TESLA), with the adjoint of the end."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxdd.base import InputError, PyTree
from jaxdd.unroll.backprop import Block, scanned
from jaxdd.unroll.inner import SGD
from jaxdd.unroll.problem import InnerProblem
from jaxdd.unroll.splitting import add, hoist, join, split

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
    step, constants = hoist(problem.step, theta, carry, x)

    def taken(outer_f: PyTree, outer_o: PyTree, carry: Any, x: Any) -> Any:
        theta, constants = join(outer_f, outer_o)
        return step(constants, theta, carry, x)

    def run(outer_f: PyTree, carry_f: Any, rest: Any) -> Any:
        outer_o, carry_o, xs = rest
        block = scanned(lambda c, x: taken(outer_f, outer_o, c, x))
        return split(block(join(carry_f, carry_o), xs))

    def backward(saved: Any, cotangent: Any) -> tuple[PyTree, Any, None]:
        outer_f, carry_f, (outer_o, carry_o, xs) = saved

        def accumulate(state: Any, x: Any) -> tuple[Any, None]:
            carry, total = state
            moved, pull, others = jax.vjp(
                lambda f: split(taken(f, outer_o, carry, x)), outer_f, has_aux=True
            )
            return (join(moved, others), add(total, *pull(cotangent[0]))), None

        state = (join(carry_f, carry_o), jax.tree.map(jnp.zeros_like, outer_f))
        (_, total), _ = lax.scan(accumulate, state, xs)
        return total, cotangent[0], None

    rule = jax.custom_vjp(run)
    rule.defvjp(lambda *given: (run(*given), given), backward)

    def block(carry: Any, xs: PyTree) -> Any:
        (outer_f, outer_o), (carry_f, carry_o) = split((theta, constants)), split(carry)
        return join(*rule(outer_f, carry_f, (outer_o, carry_o, xs)))

    return block
