"""Runs an inner optimisation as an ordinary differentiable function.

How it is differentiated is an argument: the same problem with any adjoint.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxdd.base import Array, PyTree
from jaxdd.errors import InputError
from jaxdd.unroll.adjoints import Adjoint, Backprop, Forward, Implicit, Separable
from jaxdd.unroll.backprop import Block, block_size, in_blocks, scanned
from jaxdd.unroll.forward import forward
from jaxdd.unroll.fused import fused
from jaxdd.unroll.implicit import implicit
from jaxdd.unroll.inner import SGD
from jaxdd.unroll.problem import InnerProblem
from jaxdd.unroll.separable import separable
from jaxdd.unroll.splitting import alike, closed

__all__ = ["solve"]


def solve(
    problem: InnerProblem,
    theta: PyTree,
    carry: Any,
    xs: PyTree | Callable[[Array], Any],
    *,
    num_steps: int | None = None,
    start: int | Array = 0,
    adjoint: Adjoint = Backprop(),
) -> Any:
    """Takes `start` steps without derivative, then a window of differentiated steps.

    The prefix counts as a constant, whatever theta it used; with `start=0` nothing is
    cut. Works under jit, grad, vmap, lax.map and shard_map; there, arrays that differ
    between devices belong into the arguments: JAX sums the gradient of a carry that is
    the same on all of them over devices.

    Args:
      problem: what one step does.
      theta: what is differentiated, any pytree.
      carry: what the first step starts from.
      xs: what step t gets: a pytree with a leading axis of steps, or a function of t
        (traced int32 []). Never differentiated.
      num_steps: of the window, at least 1. Default: all that xs has after `start`.
      start: steps before the window, traced or not. A traced `start + num_steps` must
        not exceed the steps of xs: it cannot be checked.
      adjoint: how the window is differentiated.

    Returns:
      The carry after `start + num_steps` steps.

    Raises:
      InputError: for steps that xs does not have, and for an adjoint that the problem
        does not allow; the message names the argument to change.
    """
    if not callable(xs):
        xs = jax.tree.map(jnp.asarray, xs)
    window = _window(xs, num_steps, start)
    problem = _at_entries(problem, xs if callable(xs) else lambda entry: entry)
    theta, carry = jax.tree.map(jnp.asarray, (theta, carry))
    xs = None if callable(xs) else xs
    theta, carry, xs, window = alike((theta, carry, xs, window))
    if not isinstance(start, int) or start:
        entry = lambda t: t if xs is None else jax.tree.map(lambda leaf: leaf[t], xs)
        carry = _prefix(problem, theta, carry, entry, start)
    return _block(problem, theta, carry, window, adjoint)(carry, window)


def _block(
    problem: InnerProblem, theta: PyTree, carry: Any, xs: PyTree, adjoint: Adjoint
) -> Block:
    """The window as a function of (carry, xs), differentiated as the adjoint says."""
    x = jax.tree.map(lambda leaf: leaf[0], xs)
    if isinstance(adjoint, Separable):
        return separable(problem, theta, carry, x)
    if isinstance(adjoint, Implicit):
        return implicit(problem, theta, carry, x, adjoint)
    if isinstance(adjoint, Forward):
        return forward(problem, theta, carry, x, adjoint.limit)
    if adjoint.step == "plain":
        step = lambda carry, x: problem.step(theta, carry, x)
        bare = adjoint.remat == "none" or problem.recomputes
        block = scanned(step, "none" if bare else "step")
    else:
        _require_parts(problem, adjoint.step)
        block = fused(problem, theta, carry, x)
    if adjoint.remat == "nested":
        length = len(jax.tree.leaves(xs)[0])
        block = in_blocks(block, block_size(length, adjoint.inner))
    return block


def _prefix(
    problem: InnerProblem,
    theta: PyTree,
    carry: Any,
    entry: Callable[[Array], Any],
    start: int | Array,
) -> Any:
    """The carry after `start` steps, a constant."""
    first = entry(jnp.asarray(0))
    problem, outer = closed(problem, theta, carry, first, "step")
    outer, carry = lax.stop_gradient((outer, carry))
    return lax.fori_loop(
        0, start, lambda t, carry: problem.step(outer, carry, entry(t)), carry
    )


def _window(xs: Any, num_steps: int | None, start: int | Array) -> PyTree:
    """The entries of the window's steps: of xs, or the numbers of the steps."""
    if num_steps is not None and num_steps < 1:
        raise InputError(f"num_steps={num_steps} must be at least 1")
    if isinstance(start, int) and start < 0:
        raise InputError(f"start={start} must not be negative")
    if callable(xs):
        if num_steps is None:
            raise InputError("num_steps is needed where xs is a function")
        return start + jnp.arange(num_steps)
    available, before = _length(xs), start if isinstance(start, int) else None
    if num_steps is None:
        if before is None:
            raise InputError("num_steps is needed where start is traced")
        num_steps = available - before
    if num_steps < 1 or num_steps + (before or 0) > available:
        raise InputError(
            f"xs has {available} steps, too few for start={start} and "
            f"num_steps={num_steps}: give more, or ask for fewer"
        )
    if before == 0 and num_steps == available:
        return xs
    return jax.tree.map(
        lambda leaf: lax.dynamic_slice_in_dim(leaf, start, num_steps), xs
    )


def _length(xs: PyTree) -> int:
    lengths = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(xs)}
    if len(lengths) != 1 or () in lengths:
        raise InputError(
            "xs must be a function of the step, or arrays of one leading axis; the "
            f"leading axes are {sorted(lengths)}"
        )
    return lengths.pop()[0]


def _at_entries(problem: InnerProblem, at: Callable[[Any], Any]) -> InnerProblem:
    """The problem as a function of entries e, for x = at(e), without derivative."""

    def moved(function: Callable | None) -> Any:
        if function is None:
            return None
        return lambda *given: function(*given[:-1], lax.stop_gradient(at(given[-1])))

    names = ("step", "gradient", "loss", "rate")
    return problem._replace(**{name: moved(getattr(problem, name)) for name in names})


def _require_parts(problem: InnerProblem, step: str) -> None:
    missing = [
        f"InnerProblem.{name}"
        for name, part in (
            ("optimiser", problem.optimiser),
            ("rate", problem.rate),
            ("loss (or gradient)", problem.loss or problem.gradient),
        )
        if part is None
    ]
    if missing:
        raise InputError(
            f'step="{step}" needs {", ".join(missing)}: make the problem with '
            'inner.problem, or use step="plain"'
        )
    if step == "fused" and not isinstance(problem.optimiser, SGD):
        raise InputError(
            f'step="fused" is for inner.SGD, and the inner optimiser is '
            f'{problem.optimiser}: use step="mixed"'
        )
