"""Keeps prepared assets on disk under a hash of everything that decides them.

An entry is one file that appears whole or not at all; of two processes that build the
same entry at once, the last to finish replaces it by the same content.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdd.base import Corpus, PyTree
from jaxdd.data.cache import cached
from jaxdd.records import digest

__all__ = ["Together", "asset_key", "cached_tree", "find_tree"]

_FORMAT = 1  # change it when what is prepared changes, so that old entries go unused


class Together(NamedTuple):
    """How several processes that prepare the same keep together; by default one does.

    `everywhere(flag)` is whether the flag is true in all of them; `in_turn(act)` lets
    the first act before the others, who then find what it has kept.
    """

    everywhere: Callable[[bool], bool] = lambda flag: flag
    in_turn: Callable[[Callable[[], Any]], Any] = lambda act: act()
    alone: bool = True


def asset_key(corpus: Corpus, *records: Any) -> str:
    """Names an asset by its settings and the data it was prepared from.

    The corpus's hash stands for pixels and labels, the whitening's kind for the rest:
    whitening is fitted on those pixels.
    """
    data = [corpus.hash, corpus.whitening.kind, list(corpus.image_shape)]
    return digest(_FORMAT, data, str(corpus.whitening.dtype), *records)


def cached_tree(
    folder: Path | None, key: str, like: PyTree, build: Callable[[], PyTree]
) -> PyTree:
    """A pytree of arrays, from its entry if that is whole and fits, else built.

    Args:
      folder: where entries are kept; None builds every time.
      key: of the entry.
      like: abstract arrays with the expected structure, shapes and types.
      build: makes the tree, when there is no entry or it is damaged.

    Returns:
      The tree, on the device.

    Raises:
      InputError: the entry cannot be written.
    """
    if folder is None:
        return build()
    paths, structure = jax.tree.flatten_with_path(like)
    names = ["leaf" + jax.tree_util.keystr(path) for path, _ in paths]
    # Part of the name, so that an entry of another structure is never taken for this.
    layout = digest(names, [f"{leaf.dtype}{leaf.shape}" for _, leaf in paths])

    def decode() -> dict[str, np.ndarray]:
        leaves = structure.flatten_up_to(build())
        return {n: np.asarray(leaf) for n, leaf in zip(names, leaves, strict=True)}

    arrays = cached(folder, f"{key}-{layout}", decode)
    return structure.unflatten([jax.numpy.asarray(arrays[name]) for name in names])


def find_tree(folder: Path | None, key: str, like: PyTree) -> PyTree | None:
    """The tree of `cached_tree` if its entry is whole and fits, else None."""
    try:
        return cached_tree(folder, key, like, _absent)
    except LookupError:
        return None


def _absent() -> PyTree:
    raise LookupError("no entry")
