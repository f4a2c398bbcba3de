"""Rows that cover a set: greedy k-centre in whitened pixel space, on the host."""

import jax.numpy as jnp
import numpy as np

from jaxdd.base import Array, Corpus
from jaxdd.select.clusters import flat_images, groups_of

__all__ = ["k_centre_rows"]


def k_centre_rows(corpus: Corpus, size: int, ipc: int | None) -> Array:
    """Real rows [m] chosen one by one, each the farthest from those before it.

    The first is the row nearest to the mean. Class by class with `ipc` rows each where
    it is given, else over the whole set; within twice the best possible covering
    radius (Gonzalez 1985).

    Raises:
      InputError: more rows are asked for than there are.
    """
    flat, count = flat_images(corpus), size if ipc is None else ipc
    chosen = [_spread(flat[r], r, count) for r in groups_of(corpus, size, ipc)]
    return jnp.asarray(np.concatenate(chosen).astype(np.int32))


def _spread(points: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """The rows of `count` points [n,d], in the order in which they are chosen."""
    picked = [int(np.argmin(_distance(points, points.mean(0))))]
    nearest = _distance(points, points[picked[0]])
    while len(picked) < count:
        nearest[picked] = -1.0  # equal images are all at distance 0
        picked.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, _distance(points, points[picked[-1]]))
    return rows[picked]


def _distance(points: np.ndarray, centre: np.ndarray) -> np.ndarray:
    return np.square(points - centre[None]).sum(1)
