"""Low-rank approximations of a kernel from a few of its rows (Nystrom).

Landmarks are chosen by pivoted Cholesky: each is the row that the ones before explain
least, and `L L^T` with its factor `L [m,r]` is the Nystrom approximation from them.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxdd.base import Array, PyTree
from jaxdd.errors import InputError
from jaxdd.kernels.feature import chunked
from jaxdd.kernels.kernel import Kernel
from jaxdd.kernels.precision import dot

__all__ = ["LowRank", "diagonal", "low_rank", "preconditioner"]


class LowRank(NamedTuple):
    """A pivoted Cholesky factorisation, `K ~ factor factor^T`."""

    pivots: Array
    """int32 [r], the landmarks in the order they were chosen."""
    factor: Array
    """[m,r]; a column is 0 where the rows before it explain everything."""
    left: Array
    """[], the trace of what is not explained."""


def low_rank(diagonal: Array, row: Callable[[Array], Array], rank: int) -> LowRank:
    """Pivoted Cholesky of a kernel that is given by rows; never holds [m,m].

    Greedy in the variance that is left, as LAPACK's pstrf. Costs r rows of the kernel
    and m r^2.

    Args:
      diagonal: of the kernel [m].
      row: index [] to that row [m].
      rank: landmarks r, at most m.

    Raises:
      InputError: a rank that is not in 1 to m.
    """
    size = diagonal.shape[0]
    if not 1 <= rank <= size:
        raise InputError(f"{rank} landmarks of {size} rows; choose 1 to {size}")
    # Below this a variance is rounding of the entries it was computed from.
    least = rank * jnp.finfo(diagonal.dtype).eps * jnp.max(diagonal)

    def choose(carry: tuple, step: Array) -> tuple[tuple, Array]:
        factor, variance = carry
        pivot = jnp.argmax(variance)
        height = variance[pivot]
        rest = row(pivot) - jnp.sum(factor * factor[pivot][None], axis=1)
        good = height > least
        column = rest / jnp.sqrt(jnp.where(good, height, 1))
        column = jnp.where(good, column, 0)
        variance = jnp.maximum(variance - jnp.square(column), 0).at[pivot].set(0)
        return (factor.at[:, step].set(column), variance), pivot

    start = jnp.zeros((size, rank), diagonal.dtype), diagonal
    (factor, variance), pivots = lax.scan(choose, start, jnp.arange(rank))
    return LowRank(pivots, factor, jnp.sum(variance))


def diagonal(
    kernel: Kernel, image: Array, variables: PyTree = (), *, chunk: int | None = None
) -> Array:
    """`kernel(x, x)` of every image [n], without the rest of the kernel.

    Args:
      kernel: of images.
      image: [n,h,w,c].
      variables: the kernel's third argument.
      chunk: images at a time; None = all.
    """
    of_one = lambda x: kernel(x[None], x[None], variables)[0, 0]
    return chunked(jax.vmap(of_one), image, chunk)


def preconditioner(factor: Array, lam: Array) -> Callable[[Array], Array]:
    """An approximate inverse of `K + lam I`, up to scale, from `K ~ factor factor^T`.

    `U ((s_r + lam) / (S + lam)) U^T + I - U U^T` for factor = U S^(1/2) V^T: the
    directions that are known are scaled to the size of those that are not (Frangella,
    Tropp, Udell, 2021, equation 1.3).

    Args:
      factor: [m,r].
      lam: [], the ridge.

    Returns:
      A function of right-hand sides [m,k], of cost 2 m r k; the factor's
      decomposition, m r^2, is made once.
    """
    directions, values, _ = jnp.linalg.svd(factor, full_matrices=False)
    values = jnp.square(values)
    scale = (values[-1] + lam) / (values + lam) - 1

    def apply(right: Array) -> Array:
        return right + dot(directions, scale[:, None] * dot(directions.T, right))

    return apply
