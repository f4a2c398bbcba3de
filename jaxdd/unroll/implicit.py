"""The gradient of a stationary point by the implicit function theorem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.sparse.linalg import cg

from jaxdd.base import InputError, PyTree
from jaxdd.unroll.adjoints import Implicit
from jaxdd.unroll.backprop import Block, scanned
from jaxdd.unroll.problem import Carry, InnerProblem
from jaxdd.unroll.splitting import add, hoist, join, split

__all__ = ["implicit"]


def implicit(
    problem: InnerProblem, theta: PyTree, carry: Carry, x: Any, spec: Implicit
) -> Block:
    """The function that takes a step for each entry of xs; its gradient by theta is

    -(d F / d theta)^T (d F / d params + damping)^-T lambda at the last parameters and
    with the last x, where F is the inner gradient with weight decay; zero by the carry.

    Raises:
      InputError: when the problem lacks what the solver needs.
    """
    _require(problem, spec)
    decay = getattr(problem.optimiser, "weight_decay", 0.0)
    step, step_consts = hoist(problem.step, theta, carry, x)
    slope, consts = hoist(problem.gradient, theta, carry.params, x)
    rate, rate_consts = hoist(problem.rate or _no_rate, theta, x)
    outer = (theta, consts)

    def run(outer_f: PyTree, carry_f: Carry, rest: Any) -> Any:
        outer_o, carry_o, (hidden, _), xs = rest
        theta, _ = join(outer_f, outer_o)
        block = scanned(lambda c, x: step(hidden, theta, c, x))
        return split(block(join(carry_f, carry_o), xs))

    def forward(outer_f: PyTree, carry_f: Carry, rest: Any) -> tuple[Any, Any]:
        end = run(outer_f, carry_f, rest)
        last = jax.tree.map(lambda leaf: leaf[-1], rest[3])
        start = jax.tree.map(jnp.zeros_like, carry_f)
        theta, _ = join(outer_f, rest[0])
        beta = rate(rest[2][1], theta, last)
        return end, (outer_f, rest[0], join(*end).params, last, beta, start)

    def backward(saved: Any, cotangent: Any) -> tuple[PyTree, Carry, None]:
        outer_f, outer_o, params, x, beta, start = saved
        params_f, params_o = split(params)

        def optimality(outer_f: PyTree, params_f: PyTree) -> PyTree:
            theta, consts = join(outer_f, outer_o)
            value = split(slope(consts, theta, join(params_f, params_o), x))[0]
            return jax.tree.map(lambda g, p: g + decay * p, value, params_f)

        _, pull = jax.vjp(optimality, outer_f, params_f)
        solution = _solve(lambda v: pull(v)[1], cotangent[0].params, beta, spec)
        by_outer = jax.tree.map(jnp.negative, pull(solution)[0])
        return by_outer, start, None

    rule = jax.custom_vjp(run)
    rule.defvjp(forward, backward)

    def block(carry: Carry, xs: PyTree) -> Carry:
        (outer_f, outer_o), (carry_f, carry_o) = split(outer), split(carry)
        hidden = (step_consts, rate_consts)
        return join(*rule(outer_f, carry_f, (outer_o, carry_o, hidden, xs)))

    return block


def _solve(
    product: Callable[[PyTree], PyTree], right: PyTree, rate: Any, spec: Implicit
) -> PyTree:
    """(product + damping)^-1 right, with `spec.terms` products."""

    def damped(v: PyTree) -> PyTree:
        return jax.tree.map(lambda h, p: h + spec.damping * p, product(v), v)

    if spec.solver == "cg":
        smallest = min(jnp.finfo(leaf.dtype).eps for leaf in jax.tree.leaves(right))
        return cg(damped, right, tol=float(smallest), maxiter=spec.terms)[0]

    def term(_: Any, state: tuple) -> tuple:
        power, total = state
        total = add(total, power)
        return jax.tree.map(lambda p, h: p - rate * h, power, damped(power)), total

    zeros = jax.tree.map(jnp.zeros_like, right)
    _, total = lax.fori_loop(0, spec.terms, term, (right, zeros))
    return jax.tree.map(lambda leaf: rate * leaf, total)


def _no_rate(theta: PyTree, x: Any) -> Any:
    return jnp.ones(())


def _require(problem: InnerProblem, spec: Implicit) -> None:
    if problem.gradient is None:
        raise InputError(
            "Implicit() needs InnerProblem.gradient: give it, make the problem with "
            "inner.problem, or use adjoint=Backprop()"
        )
    if spec.solver == "cg" and problem.loss is None:
        raise InputError(
            'Implicit(solver="cg") needs a symmetric Jacobian of the inner gradient, '
            "which only a problem with a loss is known to have: give "
            'InnerProblem.loss, or use solver="neumann"'
        )
    if spec.solver == "neumann" and problem.rate is None:
        raise InputError(
            'Implicit(solver="neumann") needs InnerProblem.rate: give it, or use '
            'solver="cg"'
        )
