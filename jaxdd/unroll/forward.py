"""Forward mode through a window of steps, and whether a function allows it at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree

from jaxdd.base import PyTree
from jaxdd.errors import InputError
from jaxdd.unroll.backprop import Block, scanned
from jaxdd.unroll.problem import InnerProblem
from jaxdd.unroll.splitting import closed, join, split

__all__ = ["forward", "require_forward_mode"]


def forward(
    problem: InnerProblem, theta: PyTree, carry: Any, x: Any, limit: int
) -> Block:
    """The function that takes a step for each entry of xs; its gradient by `jvp`.

    Raises:
      InputError: when theta has more than `limit` numbers, when the step does not allow
        forward mode, or when more than theta is differentiated.
    """
    size = sum(leaf.size for leaf in jax.tree.leaves(split(theta)[0]))
    if size > limit:
        raise InputError(
            f"Forward() takes a pass for each number of theta, and theta has {size}; "
            f"at most limit={limit} are allowed. Give it fewer, raise limit, or use "
            "adjoint=Backprop()"
        )
    problem, (theta, constants) = closed(problem, theta, carry, x, "step")

    def run(theta_f: PyTree, fixed: Any, rest: Any) -> Any:
        (theta_o, *others), xs = rest
        theta = join(theta_f, theta_o)
        carry, constants = join(fixed, tuple(others))
        outer = (theta, constants)
        block = scanned(lambda carry, x: problem.step(outer, carry, x))
        return split(block(carry, xs))

    rule = jax.custom_vjp(run)
    rule.defvjp(lambda *given: _forward(run, *given), _backward, symbolic_zeros=True)
    floats, others = split(theta)
    require_forward_mode(
        lambda f: problem.step((join(f, others), constants), carry, x),
        (floats,),
        "Forward()",
    )

    def block(carry: Any, xs: PyTree) -> Any:
        fixed, rest = split((carry, constants))
        return join(*rule(floats, fixed, ((others, *rest), xs)))

    return block


def _forward(run: Callable, *given: Any) -> tuple[Any, Any]:
    if any(leaf.perturbed for leaf in jax.tree.leaves(given[1], is_leaf=_is_given)):
        raise InputError(
            "Forward() differentiates by theta alone, but the carry or an array that "
            "the step closes over is differentiated too: put it into theta, wrap it in "
            "jax.lax.stop_gradient, or use adjoint=Backprop()"
        )
    theta_f, fixed, rest = jax.tree.map(
        lambda leaf: leaf.value, given, is_leaf=_is_given
    )
    flat, unflatten = ravel_pytree(theta_f)

    def slope(index: jax.Array) -> Any:
        way = unflatten(jnp.zeros_like(flat).at[index].set(1.0))
        function = lambda f: run(f, fixed, rest)[0]
        return jax.jvp(function, (theta_f,), (way,))[1]

    slopes = lax.map(slope, jnp.arange(flat.size))
    return run(theta_f, fixed, rest), (theta_f, slopes)


def _backward(saved: Any, cotangent: Any) -> tuple[PyTree, None, None]:
    theta_f, slopes = saved
    cotangents = jax.tree.map(
        lambda value: (
            jnp.zeros(value.aval.shape, value.aval.dtype)
            if _is_symbolic(value)
            else value
        ),
        cotangent[0],
        is_leaf=_is_symbolic,
    )
    flat, unflatten = ravel_pytree(theta_f)
    total = jnp.zeros_like(flat)
    for slope, value in zip(
        jax.tree.leaves(slopes), jax.tree.leaves(cotangents), strict=True
    ):
        total += slope.reshape(flat.size, -1) @ value.reshape(-1)
    return unflatten(total), None, None


def require_forward_mode(function: Callable, examples: tuple, who: str) -> None:
    """Refuses a function in which a custom reverse rule bars the way of `jvp`.

    JAX itself would notice when the program is compiled, and name no argument.
    """
    tangents = jax.tree.map(jnp.ones_like, examples)
    traced = jax.make_jaxpr(lambda *a: jax.jvp(function, *a))(examples, tangents)
    if _holds(traced.jaxpr, "custom_lin"):
        raise InputError(
            f"{who} needs forward mode, and the loss has an operation that allows only "
            'reverse mode, such as the CPU convolution. Build the network with conv="'
            'rows" or conv="stock" (--network.conv), or use adjoint=Backprop() '
            "(--adjoint.name step)"
        )


def _holds(jaxpr: Any, name: str) -> bool:
    return any(
        eqn.primitive.name == name
        or any(
            _holds(getattr(inner, "jaxpr", inner), name)
            for inner in jex.jaxprs_in_params(eqn.params)
        )
        for eqn in jaxpr.eqns
    )


def _is_given(leaf: Any) -> bool:
    return hasattr(leaf, "perturbed")


def _is_symbolic(leaf: Any) -> bool:
    return isinstance(leaf, jax.custom_derivatives.SymbolicZero)
