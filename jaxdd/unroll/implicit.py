"""The gradient of a stationary point by the implicit function theorem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.scipy.sparse.linalg import cg

from jaxdd.base import Array, PyTree
from jaxdd.errors import InputError
from jaxdd.unroll.adjoints import Implicit
from jaxdd.unroll.backprop import Block, scanned
from jaxdd.unroll.problem import Carry, InnerProblem
from jaxdd.unroll.splitting import add, closed, pullback, split, with_rule

__all__ = ["asymmetry", "implicit"]


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
    parts = ("step", "gradient", "rate") if problem.rate else ("step", "gradient")
    problem, outer = closed(problem, theta, carry, x, *parts)

    gradient: Any = problem.gradient

    def run(outer: PyTree, carry: Carry, xs: PyTree) -> tuple[Carry, Any]:
        end = scanned(lambda c, x: problem.step(outer, c, x))(carry, xs)
        return end, (end.params, split(carry)[0])

    def backward(outer: PyTree, kept: Any, xs: PyTree, end: Carry) -> tuple:
        params, start = kept
        x = jax.tree.map(lambda leaf: leaf[-1], xs)

        def optimality(outer: PyTree, params: PyTree) -> PyTree:
            slope = gradient(outer, params, x)
            return jax.tree.map(lambda g, p: g + decay * p, slope, params)

        _, pull = pullback(optimality, outer, params)
        rate = problem.rate(outer, x) if problem.rate else None
        solution = _solve(lambda v: pull(v)[1], end.params, rate, spec)
        by_outer = jax.tree.map(jnp.negative, pull(solution)[0])
        return by_outer, jax.tree.map(jnp.zeros_like, start)

    return with_rule(run, backward, outer)


def asymmetry(
    problem: InnerProblem, theta: PyTree, params: PyTree, x: Any, key: Array
) -> Array:
    """How far the Jacobian J of the inner gradient is from symmetric, [].

    |<u, J v> - <v, J u>| / (|J^T u| |v|) for random u and v: rounding for the gradient
    of a loss, of the order of 1 for other maps. Conjugate gradients need the former.

    Args:
      problem: with a gradient. theta, params, x: where. key: draws u and v.
    """
    flat, unflatten = ravel_pytree(params)
    gradient: Any = problem.gradient
    first, second = (
        unflatten(jax.random.normal(k, flat.shape, flat.dtype))
        for k in jax.random.split(key)
    )
    _, pull = jax.vjp(lambda params: gradient(theta, params, x), params)
    (by_first,), (by_second,) = pull(first), pull(second)
    u, v, ju, jv = (ravel_pytree(t)[0] for t in (first, second, by_first, by_second))
    scale = jnp.linalg.norm(ju) * jnp.linalg.norm(v)
    return jnp.abs(u @ jv - v @ ju) / scale


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
