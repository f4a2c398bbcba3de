"""Backprop whose backward step is one forward derivative of the inner gradient.

Hessians are symmetric: the tangent of the joint gradient, by theta and by parameters, in
direction u is (M^T u, H u), all that the way back through a step needs. Kemaev et al.,
ICML 2025, arXiv 2505.00793; written here as one rule for a whole window of steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxdd.base import PyTree
from jaxdd.unroll.backprop import Block
from jaxdd.unroll.forward import require_forward_mode
from jaxdd.unroll.inner import SGD
from jaxdd.unroll.problem import Carry, InnerProblem
from jaxdd.unroll.splitting import add, hoist, join, split

__all__ = ["fused"]


def fused(problem: InnerProblem, theta: PyTree, carry: Carry, x: Any) -> Block:
    """The function that takes a step for each entry of xs, with a derivative of its own.

    It keeps the carries. With `problem.loss` a backward step is one `jvp` of its joint
    gradient; with `problem.gradient` alone, which need not be symmetric, one `vjp`.

    Args:
      problem: with an optimiser, a rate, and a loss or gradient.
      theta: what is differentiated. carry: `Carry`. x: of one step.
    """
    steps = _Steps(problem, theta, carry, x)
    rule = jax.custom_vjp(steps.run)
    rule.defvjp(steps.forward, steps.backward)

    def block(carry: Carry, xs: PyTree) -> Carry:
        floats, others = split(carry)
        outer_floats, outer_others = split(steps.outer)
        return join(*rule(outer_floats, floats, (outer_others, others, xs)))

    return block


class _Steps:
    """The window's function and its derivative, in terms of floats and the rest."""

    def __init__(self, problem: InnerProblem, theta: Any, carry: Carry, x: Any) -> None:
        slope = problem.loss or problem.gradient
        self._slope, slope_consts = hoist(slope, theta, carry.params, x)
        self._rate, rate_consts = hoist(problem.rate, theta, x)
        self.outer = (theta, slope_consts, rate_consts)
        self._has_loss = problem.loss is not None
        self._optimiser = problem.optimiser
        if self._has_loss:
            floats, others = split(self.outer)
            parts = split(carry.params)
            require_forward_mode(
                lambda f, p: self._by_jvp(f, others, p, parts[1], x, p),
                (floats, parts[0]),
                "The backward step of a fused or mixed step",
            )

    def run(self, outer_f: PyTree, carry_f: Carry, rest: Any) -> tuple[Carry, Carry]:
        return self._scan(outer_f, carry_f, rest, keep=False)[0]

    def forward(self, outer_f: PyTree, carry_f: Carry, rest: Any) -> tuple[Any, Any]:
        end, kept = self._scan(outer_f, carry_f, rest, keep=True)
        return end, (outer_f, kept, rest)

    def backward(self, saved: Any, cotangent: Any) -> tuple[PyTree, Carry, None]:
        outer_f, kept, (outer_o, _, xs) = saved

        def back(sums: Any, entry: Any) -> tuple[Any, None]:
            total, adjoint = sums
            carry, x = entry
            by_outer, adjoint = self._back(outer_f, outer_o, carry, x, adjoint)
            return (add(total, by_outer), adjoint), None

        zeros = jax.tree.map(jnp.zeros_like, outer_f)
        start = (zeros, cotangent[0])
        (total, adjoint), _ = lax.scan(back, start, (kept, xs), reverse=True)
        return total, adjoint, None

    def _scan(self, outer_f: PyTree, carry_f: Carry, rest: Any, keep: bool) -> Any:
        outer_o, carry_o, xs = rest

        def body(parts: tuple, x: Any) -> tuple[tuple, Any]:
            slope = self._gradient(outer_f, outer_o, *_params(*parts), x)
            moved, others = self._update(slope, parts[0], outer_f, parts[1], outer_o, x)
            return (moved, others), parts if keep else None

        return lax.scan(body, (carry_f, carry_o), xs)

    def _back(
        self, outer_f: PyTree, outer_o: PyTree, carry: Any, x: Any, adjoint: Carry
    ) -> tuple[PyTree, Carry]:
        """The adjoint before a step, and what the step adds to theta's gradient."""
        carry_f, carry_o = carry
        params_f, params_o = _params(*carry)

        def pull(slope: PyTree) -> tuple[PyTree, Carry, PyTree]:
            """Cotangents of the update's arguments: gradient, carry, theta."""
            function = lambda g, c, o: self._update(g, c, o, carry_o, outer_o, x)
            return jax.vjp(function, slope, carry_f, outer_f, has_aux=True)[1](adjoint)

        if isinstance(self._optimiser, SGD) and self._has_loss:
            # Linear in the gradient: the direction is known before the gradient is.
            along = pull(jax.tree.map(jnp.zeros_like, params_f))[0]
            slope, tangents = self._by_jvp(
                outer_f, outer_o, params_f, params_o, x, along
            )
            _, by_carry, by_outer = pull(slope)
        else:
            slope, products = self._products(outer_f, outer_o, params_f, params_o, x)
            along, by_carry, by_outer = pull(slope)
            tangents = products(along)
        through_params = add(by_carry.params, tangents[1])
        return add(by_outer, tangents[0]), Carry(through_params, by_carry.opt)

    def _update(
        self, slope: PyTree, carry_f: Carry, outer_f: PyTree, *rest: Any
    ) -> tuple[Carry, Carry]:
        carry_o, outer_o, x = rest
        theta, _, constants = join(outer_f, outer_o)
        rate = self._rate(constants, theta, x)
        carry = join(carry_f, carry_o)
        slope = join(slope, jax.tree.map(jnp.zeros_like, carry_o.params))
        return split(self._optimiser.update(slope, carry, rate))

    def _gradient(self, outer_f: PyTree, outer_o: PyTree, *parts: Any) -> PyTree:
        params_f, params_o, x = parts
        if self._has_loss:
            return jax.grad(self._value, 1)(outer_f, params_f, outer_o, params_o, x)
        return self._value(outer_f, params_f, outer_o, params_o, x)

    def _value(self, outer_f: PyTree, params_f: PyTree, *rest: Any) -> Any:
        """The loss; or where only the gradient is known, that."""
        outer_o, params_o, x = rest
        theta, constants, _ = join(outer_f, outer_o)
        value = self._slope(constants, theta, join(params_f, params_o), x)
        return value if self._has_loss else split(value)[0]

    def _joint(self, outer_f: PyTree, outer_o: PyTree, *rest: Any) -> Callable:
        """Parameters to the loss's gradient by (theta, parameters)."""
        params_o, x = rest
        by_both = jax.grad(self._value, (0, 1))
        return lambda params_f: by_both(outer_f, params_f, outer_o, params_o, x)

    def _by_jvp(self, outer_f: PyTree, outer_o: PyTree, *rest: Any) -> tuple:
        """The gradient, and (M^T u, H u) for u = `along`."""
        params_f, params_o, x, along = rest
        joint = self._joint(outer_f, outer_o, params_o, x)
        (_, slope), tangents = jax.jvp(joint, (params_f,), (along,))
        return slope, tangents

    def _products(self, outer_f: PyTree, outer_o: PyTree, *rest: Any) -> tuple:
        """The gradient, and the function u -> (M^T u, J^T u)."""
        params_f, params_o, x = rest
        if self._has_loss:
            joint = self._joint(outer_f, outer_o, params_o, x)
            (_, slope), products = jax.linearize(joint, params_f)
            return slope, products
        return jax.vjp(
            lambda o, p: self._value(o, p, outer_o, params_o, x), outer_f, params_f
        )


def _params(carry_f: Carry, carry_o: Carry) -> tuple[PyTree, PyTree]:
    return carry_f.params, carry_o.params
