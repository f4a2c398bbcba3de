"""Batches of a set for a short training: permutations, cut into pieces."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.base import Array, Key
from jaxdd.rng import permuted

__all__ = ["chunks"]


def chunks(
    key: Key, steps: int, batch: int, size: int, group: int = 1
) -> tuple[Array, Array]:
    """Rows of consecutive batches: a permutation after another, cut into batches.

    Where `batch` does not divide the size, the rest of a permutation comes first, as
    in the trajectory methods' programs, which take their pieces from the end.

    Args:
      key: of the permutations.
      steps: how many batches, t.
      batch: rows of each, at most the size.
      size: rows of the set, m.
      group: this many adjacent rows go together and count as one for permutations;
        divides the size. A batch has `batch // group` such groups.

    Returns:
      The rows, int32 [t,b], and their weights, float32 [t,b]: 0 for rows that fill up a
      rest. b is `batch` rounded down to whole groups.
    """
    count, groups = batch // group, size // group
    per_pass = -(-groups // count)
    passes, place = np.divmod(np.arange(steps), per_pass)
    first = (per_pass - 1 - place) * count
    position = first[:, None] + np.arange(count)[None]
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(passes)
    chosen = jax.vmap(lambda k, at: permuted(k, at, groups))(keys, position % groups)
    rows = chosen[..., None] * group + jnp.arange(group, dtype=jnp.int32)[None, None]
    weight = np.repeat(position < groups, group, axis=1).astype(np.float32)
    return rows.reshape(steps, count * group), jnp.asarray(weight)
