"""Backprop whose backward step is one forward derivative of the inner gradient.

Hessians are symmetric: the tangent of the joint gradient, by theta and by parameters,
in direction u is (M^T u, H u), all that the way back through a step needs (Kemaev et
al., ICML 2025, arXiv 2505.00793). Here it is one rule for a whole window of steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxdd.base import Array, PyTree
from jaxdd.unroll.backprop import Block
from jaxdd.unroll.forward import require_forward_mode
from jaxdd.unroll.inner import SGD, scaled
from jaxdd.unroll.problem import Carry, InnerProblem
from jaxdd.unroll.splitting import add, closed, pullback, split, with_rule

__all__ = ["fused"]


def fused(problem: InnerProblem, theta: PyTree, carry: Carry, x: Any) -> Block:
    """The function that takes a step for each entry of xs, with a rule of its own.

    It keeps the carries. With `problem.loss` a backward step is one forward derivative
    of its joint gradient; with `problem.gradient` alone, which need not be symmetric,
    one reverse derivative.

    Args:
      problem: with an optimiser, a rate, and a loss or gradient.
      theta: what is differentiated. carry: `Carry`. x: of one step.

    Raises:
      InputError: when the loss does not allow forward mode.
    """
    slope = "loss" if problem.loss else "gradient"
    found, outer = closed(problem, theta, carry, x, slope, "rate")
    gradient = jax.grad(found.loss, argnums=1) if found.loss else found.gradient
    parts = _Parts(problem.optimiser, gradient, found.rate, found.loss)
    if parts.loss:
        require_forward_mode(
            _joint(parts, outer, x), (carry.params,), "A fused or mixed step"
        )
    back = _back_sgd if isinstance(parts.optimiser, SGD) else _back

    def run(outer: PyTree, carry: Carry, xs: PyTree) -> tuple[Carry, Any]:
        def body(carry: Carry, x: Any) -> tuple[Carry, Any]:
            moved = _update(parts, outer, carry, x)
            return moved, _kept(parts, carry, moved)

        return lax.scan(body, carry, xs)

    def backward(outer: PyTree, kept: Any, xs: PyTree, end: Carry) -> Any:
        def body(sums: Any, entry: Any) -> tuple[Any, None]:
            total, adjoint = sums
            carry, x = entry
            by_outer, adjoint = back(parts, outer, carry, x, adjoint)
            return (add(total, by_outer), adjoint), None

        zeros = jax.tree.map(jnp.zeros_like, split(outer)[0])
        return lax.scan(body, (zeros, end), (kept, xs), reverse=True)[0]

    return with_rule(run, backward, outer)


class _Parts(NamedTuple):
    """A problem that has all of these, closed over nothing."""

    optimiser: Any
    gradient: Any
    rate: Any
    loss: Any  # or None


def _update(parts: _Parts, outer: PyTree, carry: Carry, x: Any) -> Carry:
    slope = parts.gradient(outer, carry.params, x)
    return parts.optimiser.update(slope, carry, parts.rate(outer, x))


def _kept(parts: _Parts, carry: Carry, moved: Carry) -> Carry:
    """What the way back needs of a step: of SGD the parameters before, v after it."""
    return Carry(carry.params, moved.opt) if isinstance(parts.optimiser, SGD) else carry


def _back_sgd(
    parts: _Parts, outer: PyTree, kept: Carry, x: Any, adjoint: Carry
) -> tuple[PyTree, Carry]:
    """Theta's gradient of one step of SGD, and the adjoint before it.

    Of p' = p - rate v', v' = mu v + g + wd p with adjoints a of p' and b of v': with
    u = b - rate a, by p it is a + H u + wd u, by v mu u, by theta M^T u, and by the
    rate -<v', a>. Without momentum <g, a> is the loss's own slope along a, so that the
    gradient itself, a sixth of the work, is not computed again.
    """
    sgd, ahead = parts.optimiser, adjoint.params
    rate, pull_rate = pullback(lambda outer: parts.rate(outer, x), outer)
    along, scale = ahead, -rate
    if sgd.momentum:
        along = jax.tree.map(lambda b, a: b + scaled(-rate, a), adjoint.opt, ahead)
        scale = jnp.ones_like(rate)
    slope, by_outer, by_params = _products(parts, outer, kept.params, x, along)
    if sgd.momentum:
        by_rate = -_dot(kept.opt, ahead)
    else:
        by_rate = -slope - sgd.weight_decay * _dot(kept.params, ahead)
    by_params = jax.tree.map(
        lambda a, h, u: a + scaled(scale, h + sgd.weight_decay * u),
        ahead,
        by_params,
        along,
    )
    (through_rate,) = pull_rate(by_rate.astype(rate.dtype))
    by_outer = jax.tree.map(lambda m, r: scaled(scale, m) + r, by_outer, through_rate)
    by_opt = jax.tree.map(lambda u: sgd.momentum * u, along) if sgd.momentum else ()
    return by_outer, Carry(by_params, by_opt)


def _back(
    parts: _Parts, outer: PyTree, carry: Carry, x: Any, adjoint: Carry
) -> tuple[PyTree, Carry]:
    """The same of any optimiser, whose algebra is differentiated in reverse mode.

    Its direction may depend on the gradient, so the gradient is linearised first.
    """
    slope, products = _linearised(parts, outer, carry.params, x)
    _, pull = pullback(
        lambda outer, carry, slope: parts.optimiser.update(
            slope, carry, parts.rate(outer, x)
        ),
        outer,
        carry,
        slope,
    )
    by_rate, by_carry, along = pull(adjoint)
    by_outer, by_params = products(along)
    return add(by_outer, by_rate), by_carry._replace(
        params=add(by_carry.params, by_params)
    )


def _products(
    parts: _Parts, outer: PyTree, params: PyTree, x: Any, along: PyTree
) -> tuple[Array, PyTree, PyTree]:
    """<g, u>, M^T u and J^T u for the direction u = `along`."""
    if parts.loss is None:
        slope, products = _linearised(parts, outer, params, x)
        return _dot(slope, along), *products(along)
    joint = _joint(parts, outer, x)
    _, (slope, products) = jax.jvp(joint, (params,), (along,))
    return slope, *products


def _linearised(
    parts: _Parts, outer: PyTree, params: PyTree, x: Any
) -> tuple[PyTree, Callable[[PyTree], tuple[PyTree, PyTree]]]:
    """The gradient g, and the function u -> (M^T u, J^T u)."""
    if parts.loss is None:
        return pullback(lambda o, p: parts.gradient(o, p, x), outer, params)
    (_, (_, slope)), products = jax.linearize(_joint(parts, outer, x), params)
    return slope, lambda along: products(along)[1]


def _joint(parts: _Parts, outer: PyTree, x: Any) -> Callable:
    """Parameters -> the loss, and its gradient by the floats of (outer, parameters)."""

    def joint(params: PyTree) -> tuple[Array, tuple[PyTree, PyTree]]:
        value, pull = pullback(lambda o, p: parts.loss(o, p, x), outer, params)
        return value, pull(jnp.ones_like(value))

    return joint


def _dot(first: PyTree, second: PyTree) -> Array:
    return sum(jax.tree.leaves(jax.tree.map(jnp.vdot, first, second)), jnp.zeros(()))
