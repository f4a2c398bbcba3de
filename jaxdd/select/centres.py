"""Rows that cover a set: farthest first in whitened pixel space."""

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Corpus
from jaxdd.select.clusters import flat_images, groups_of
from jaxdd.select.greedy import k_center
from jaxdd.select.selection import Space

__all__ = ["k_center_rows"]


def k_center_rows(corpus: Corpus, size: int, ipc: int | None) -> Array:
    """Real rows [m] chosen one by one, each the farthest from those before it.

    The first is the row nearest to the mean. Class by class with `ipc` rows each where
    it is given, else over the whole set (`greedy.k_center`).

    Raises:
      InputError: more rows are asked for than there are.
    """
    groups_of(corpus, size, ipc)
    labels, count = (None, size) if ipc is None else (corpus.label, ipc)
    space = Space(jnp.asarray(flat_images(corpus)))
    return k_center(jax.random.key(0), space, labels, count).indices
