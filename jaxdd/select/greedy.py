"""Greedy rules: herding, k-centre, MMD and Gaussian-process variance.

With t rows S chosen, mu(x) the mean of k(x, x_j) over all points. Ties go to the first.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxdd.base import Array
from jaxdd.select.selection import Choice, Group, selector

__all__ = ["gp_var", "herding", "k_center", "mmd", "pivoted_cholesky"]

Variance = Literal["variance", "trace", "trace_less_variance"]


class _Rule(NamedTuple):
    """State, what each point is worth given it and t, and what a choice changes."""

    start: Callable[[Group, int], Any]
    gain: Callable[[Any, Array], Array]
    update: Callable[[Any, Group, Array, Array], Any]


def _greedily(rule: _Rule, group: Group, count: int) -> tuple[Array, Array, Any]:
    """The rows of highest gain one after another, their gains, and the last state."""

    def step(carry: tuple[Any, Array], taken: Array) -> tuple:
        state, free = carry
        gain = jnp.where(free, rule.gain(state, taken), -jnp.inf)
        best = jnp.argmax(gain).astype(jnp.int32)
        state = rule.update(state, group, best, taken)
        return (state, free.at[best].set(False)), (best, gain[best])

    start = (rule.start(group, count), group.valid)
    (state, _), (order, scores) = jax.lax.scan(step, start, jnp.arange(count))
    return order, scores, state


def _choice(rule: _Rule) -> Choice:
    return lambda group, count: _greedily(rule, group, count)[:2]


class _Means(NamedTuple):
    mean: Array  # mu [p]
    diagonal: Array  # [p]
    total: Array  # sum over S of k(x,s), [p]


def _start_means(group: Group, count: int) -> _Means:
    del count
    mean = group.times(group.share.astype(group.points.dtype))
    return _Means(mean, group.diagonal(), jnp.zeros_like(mean))


def _add(state: _Means, group: Group, row: Array, taken: Array) -> _Means:
    del taken
    return state._replace(total=state.total + group.column(row))


def _herding_gain(state: _Means, taken: Array) -> Array:
    return state.mean - state.total / (taken + 1)


def _mmd_gain(state: _Means, taken: Array) -> Array:
    return 2 * state.mean - (2 * state.total + state.diagonal) / (taken + 1)


herding = selector(_choice(_Rule(_start_means, _herding_gain, _add)))
"""Largest `mu(x) - sum_S k(x,s) / (t + 1)` next (Welling, ICML 2009; Chen et al., UAI
2010). Costs n d a row with features of d numbers, n kernel entries with a kernel."""

mmd = selector(_choice(_Rule(_start_means, _mmd_gain, _add)))
"""The row that lowers the squared MMD between S and all points the most: largest
`2 mu(x) - (2 sum_S k(x,s) + k(x,x)) / (t + 1)`; herding where k(x,x) is constant."""


class _Cover(NamedTuple):
    first: Array  # minus the squared distance from the mean, [p]
    diagonal: Array
    nearest: Array  # squared distance from S


def _start_cover(group: Group, count: int) -> _Cover:
    means = _start_means(group, count)
    first = 2 * means.mean - means.diagonal
    return _Cover(first, means.diagonal, jnp.full_like(first, jnp.inf))


def _cover_gain(state: _Cover, taken: Array) -> Array:
    return jnp.where(taken == 0, state.first, state.nearest)


def _cover(state: _Cover, group: Group, row: Array, taken: Array) -> _Cover:
    del taken
    distance = state.diagonal + state.diagonal[row] - 2 * group.column(row)
    return state._replace(nearest=jnp.minimum(state.nearest, distance))


k_center = selector(_choice(_Rule(_start_cover, _cover_gain, _cover)))
"""Farthest first, from the row nearest to the mean (Gonzalez 1985): within twice the
best possible covering radius."""


class _Deflated(NamedTuple):
    """What is left of K after the chosen rows are explained: K - L L^T."""

    residual: Array  # its diagonal, [p]
    factor: Array  # L [p,count]
    squares: Array  # sums of squares of its rows [p]; zero where no rule asks
    least: Array  # [], pivots below it are rounding


def _start_deflated(group: Group, count: int, *, squares: bool) -> _Deflated:
    diagonal = jnp.where(group.valid, group.diagonal(), 0)
    precision = jnp.finfo(diagonal.dtype).eps
    return _Deflated(
        diagonal,
        jnp.zeros((len(diagonal), count), diagonal.dtype),
        group.squares() if squares else jnp.zeros_like(diagonal),
        len(diagonal) * precision * diagonal.max(),
    )


def _deflate(
    state: _Deflated, group: Group, row: Array, taken: Array, *, squares: bool
) -> _Deflated:
    """One step of pivoted Cholesky; a pivot that is only rounding changes nothing."""
    pivot = state.residual[row]
    real = pivot > state.least
    left = group.column(row) - jnp.sum(state.factor * state.factor[row][None], 1)
    column = left / jnp.sqrt(jnp.where(real, pivot, 1))
    column = jnp.where(real & group.valid, column, 0)
    residual = jnp.maximum(state.residual - jnp.square(column), 0)
    kept = state.squares
    if squares:
        seen = jnp.sum(state.factor * column[:, None], 0)
        moved = group.times(column) - jnp.sum(state.factor * seen[None], 1)
        kept = kept - 2 * column * moved + jnp.square(column) * jnp.sum(column**2)
    factor = state.factor.at[:, taken].set(column)
    return state._replace(residual=residual, factor=factor, squares=kept)


def _variance_gain(state: _Deflated, taken: Array, *, by: Variance) -> Array:
    del taken
    if by == "variance":
        return state.residual
    real = state.residual > state.least
    explained = state.squares / jnp.where(real, state.residual, 1)
    explained = jnp.where(real, explained, 0)
    return explained if by == "trace" else explained - state.residual


def _variance_rule(by: Variance) -> _Rule:
    squares = by != "variance"
    return _Rule(
        lambda group, count: _start_deflated(group, count, squares=squares),
        lambda state, taken: _variance_gain(state, taken, by=by),
        lambda state, group, row, taken: _deflate(
            state, group, row, taken, squares=squares
        ),
    )


gp_var = {
    by: selector(_choice(_variance_rule(by)))
    for by in ("variance", "trace", "trace_less_variance")
}
"""Selectors by what they take next. variance: the row of largest conditional variance
`k(x,x) - k_xS K_SS^-1 k_Sx`, pivoted Cholesky. trace: that which lowers the sum of all
these variances the most, by `sum_j K_jx^2 / K_xx` of the K that is left; n^2 kernel
entries a row with a kernel, n d with features. trace_less_variance: the same minus
K_xx, as RFAD's program has it."""


def pivoted_cholesky(group: Group, count: int) -> tuple[Array, Array]:
    """L [p,count] of the greedy choice by variance, and the diagonal of K - L L^T."""
    *_, state = _greedily(_variance_rule("variance"), group, count)
    return state.factor, state.residual
