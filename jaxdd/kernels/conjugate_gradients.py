"""Preconditioned conjugate gradients for many right-hand sides at once."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from jaxdd.base import Array

__all__ = ["Outcome", "conjugate_gradients"]

Product = Callable[[Array], Array]


class Outcome(NamedTuple):
    """How a solve ended."""

    steps: Array  # int32 [], products with the matrix
    residual: Array  # [], the largest of a column, relative to its right-hand side
    ok: Array  # bool [], whether the last round reached the tolerance by its recursion


def conjugate_gradients(
    product: Product,
    residual: Product,
    right: Array,
    inverse: Product,
    tolerance: float,
    steps: int,
    rounds: int,
) -> tuple[Array, Outcome]:
    """The solution of a symmetric positive definite system, and how it was reached.

    Columns share the products, [m,k] at a time, and nothing else: each has step lengths
    of its own and rests when it has converged. After each round the residual is
    computed anew and the next round solves for what is left.

    Args:
      product: [m,k] to [m,k], the matrix.
      residual: an answer [m,k] to right - matrix answer, as exactly as possible.
      right: [m,k].
      inverse: an approximate inverse of the matrix.
      tolerance: of the residual, relative to the right-hand side.
      steps: at most so many in all.
      rounds: at least 1.
    """
    size = _norm(right)
    goal = tolerance * size

    def again(carry: tuple, _: None) -> tuple[tuple, None]:
        answer, error, step, _ = carry
        end = _round(product, error, inverse, goal, step, steps)
        answer = answer + end.answer
        ok = jnp.all(_norm(end.error) <= goal)
        return (answer, residual(answer), end.step, ok), None

    start = jnp.zeros_like(right), right, jnp.int32(0), jnp.asarray(False)
    (answer, error, step, ok), _ = lax.scan(again, start, None, length=rounds)
    miss = jnp.max(_norm(error) / jnp.where(size > 0, size, 1))
    return answer, Outcome(step, miss, ok)


class _Search(NamedTuple):
    """Where all columns are."""

    answer: Array  # [m,k]
    error: Array  # [m,k], the residual by recursion
    way: Array  # [m,k]
    slope: Array  # [k], residual . preconditioned residual
    step: Array  # int32 []


def _round(
    product: Product,
    right: Array,
    inverse: Product,
    goal: Array,
    step: Array,
    most: int,
) -> _Search:
    """From zero until the residual by recursion reaches the goal."""

    def unfinished(search: _Search) -> Array:
        return (search.step < most) & jnp.any(_norm(search.error) > goal)

    def advance(search: _Search) -> _Search:
        active = _norm(search.error) > goal
        image = product(search.way)
        curvature = _inner(search.way, image)
        length = jnp.where(active, search.slope / _nonzero(curvature), 0)
        error = search.error - length[None] * image
        preconditioned = inverse(error)
        slope = _inner(error, preconditioned)
        turn = jnp.where(active, slope / _nonzero(search.slope), 0)
        return _Search(
            search.answer + length[None] * search.way,
            error,
            preconditioned + turn[None] * search.way,
            slope,
            search.step + 1,
        )

    way = inverse(right)
    start = _Search(jnp.zeros_like(right), right, way, _inner(right, way), step)
    return lax.while_loop(unfinished, advance, start)


def _inner(a: Array, b: Array) -> Array:
    """Inner products of columns, [m,k] to [k]."""
    return jnp.sum(a * b, axis=0)


def _norm(a: Array) -> Array:
    """Norms of columns, [m,k] to [k]."""
    return jnp.sqrt(_inner(a, a))


def _nonzero(value: Array) -> Array:
    """The value where it is not 0, which a column that has converged may have."""
    return jnp.where(value == 0, 1, value)
