"""Rows drawn by their ridge leverage, without replacement."""

from functools import lru_cache

import jax
import jax.numpy as jnp

from jaxdd.base import Array
from jaxdd.errors import InputError
from jaxdd.kernels.ridge import Ridge
from jaxdd.select.greedy import pivoted_cholesky
from jaxdd.select.selection import Group, Selector, selector

__all__ = ["leverage", "leverage_scores"]


@lru_cache(maxsize=64)
def leverage(ridge: float = 1e-3, landmarks: int = 256) -> Selector:
    """Draws rows with odds `tau_i = [K (K + lam I)^-1]_ii`, distinct ones.

    One after another from those that are left (Gumbel top-k on log tau); scores are
    tau. El Alaoui and Mahoney, NeurIPS 2015; Musco and Musco, NeurIPS 2017.

    Args:
      ridge: lam in units of the mean eigenvalue.
      landmarks: see `leverage_scores`.

    Raises:
      InputError: a ridge or number of landmarks out of range.
    """
    checked = Ridge(ridge)
    if landmarks < 1:
        raise InputError(f"landmarks={landmarks}: must be at least 1")

    def choice(group: Group, count: int) -> tuple[Array, Array]:
        tau = leverage_scores(group, checked, landmarks)
        odds = jnp.log(tau) - jnp.log(-jnp.log(group.noise)).astype(tau.dtype)
        odds = jnp.where(group.valid, odds, -jnp.inf)
        _, order = jax.lax.top_k(odds, count)
        return order.astype(jnp.int32), tau[order]

    return selector(choice)


def leverage_scores(group: Group, ridge: Ridge, landmarks: int) -> Array:
    """tau [p] in (0,1].

    Exact, in n d^2, where features have at most as many numbers as there are landmarks,
    or these are as many as the rank of K. Else of the Nystrom kernel L L^T of landmarks
    chosen by variance, in n m^2, with what it leaves of k(x,x) as if it were noise of
    each point's own: `l (L^T L + lam I)^-1 l^T + r / (r + lam)`.
    """
    count = min(landmarks, len(group.points))
    if group.kernel is None and group.points.shape[1] <= landmarks:
        factor = group.points * group.valid[:, None]
        rest = jnp.zeros(len(factor), factor.dtype)
    else:
        factor, rest = pivoted_cholesky(group, count)
    valid = group.valid
    trace = jnp.sum(jnp.where(valid, jnp.sum(jnp.square(factor), 1) + rest, 0))
    lam = jnp.maximum(ridge.value * trace / jnp.sum(valid), jnp.finfo(trace.dtype).tiny)
    square = jnp.matmul(factor.T, factor, precision=jax.lax.Precision.HIGHEST)
    shifted = square + lam * jnp.eye(len(square), dtype=square.dtype)
    root = jnp.linalg.cholesky(shifted)
    solved = jax.scipy.linalg.solve_triangular(root, factor.T, lower=True)
    tau = jnp.sum(jnp.square(solved), 0) + rest / (rest + lam)
    return jnp.clip(tau, jnp.finfo(tau.dtype).tiny, 1)
