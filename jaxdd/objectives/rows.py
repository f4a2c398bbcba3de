"""Which rows of a class-major synthetic set an inner step takes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Key
from jaxdd.errors import InputError

__all__ = ["Rows", "drawn_rows", "ordered_rows", "whole_set"]

Rows = Callable[[Key, Array, Array], Array | None]
"""(key of the step, its number, classes of the outer step: int [k'], [0] = all)
-> int [b], or None for all rows in order."""


def whole_set(key: Key, number: Array, classes: Array) -> None:
    """All rows at every step."""
    del key, number, classes


def ordered_rows(num_classes: int, ipc: int, batches: int) -> Rows:
    """The batches of a set in turn, each with ipc / batches rows of every class.

    Args:
      num_classes: k.
      ipc: rows of each class.
      batches: K; step t takes batch t mod K, rows t mod K * ipc / K onwards of each
        class.

    Raises:
      InputError: the rows cannot be dealt out evenly.
    """
    if batches < 1 or ipc % batches:
        raise InputError(
            f"distill.batches={batches}: must divide the {ipc} images of each class"
        )
    if batches == 1:
        return whole_set
    each = ipc // batches

    def rows(key: Key, number: Array, classes: Array) -> Array:
        del key, classes
        start = jnp.arange(num_classes, dtype=jnp.int32)[:, None] * ipc
        inside = (number % batches) * each + jnp.arange(each, dtype=jnp.int32)
        return (start + inside[None]).reshape(-1)

    return rows


def drawn_rows(
    num_classes: int, ipc: int, per_class: int = 0, classes: int = 0, group: int = 1
) -> Rows:
    """Distinct random rows of each class, drawn anew at every step.

    Args:
      num_classes: k.
      ipc: rows of each class.
      per_class: rows of a class in a step, rounded down to whole groups, at least one
        of them; 0, or as many as there are, takes all.
      classes: random classes in a step, out of those of the outer step; 0 = all.
      group: rows that lie side by side and are only drawn together, such as an image
        and its mirror image.

    Raises:
      InputError: a number out of range.
    """
    _check(num_classes, ipc, per_class, classes, group)
    groups = ipc // group
    few = min(max(per_class // group, 1), groups) if per_class else groups

    def rows(key: Key, number: Array, chosen: Array) -> Array | None:
        del number
        whole = chosen.shape[0] == 0
        if whole and few == groups and classes in (0, num_classes):
            return None
        key_classes, key_rows = jax.random.split(key)
        which = jnp.arange(num_classes, dtype=jnp.int32) if whole else chosen
        if 0 < classes < which.shape[0]:
            which = jnp.sort(jax.random.permutation(key_classes, which)[:classes])
        inside = _draw(key_rows, which.shape[0], groups, few)
        inside = (inside[..., None] * group + jnp.arange(group)[None, None]).reshape(
            which.shape[0], -1
        )
        return (which[:, None] * ipc + inside).reshape(-1)

    return rows


def _draw(key: Key, classes: int, groups: int, few: int) -> Array:
    """Distinct places in a class, increasing, [classes,few]."""
    if few == groups:
        return jnp.broadcast_to(
            jnp.arange(groups, dtype=jnp.int32)[None], (classes, few)
        )

    def one(key: Key) -> Array:
        return jnp.sort(jax.random.permutation(key, groups)[:few])

    return jax.vmap(one)(jax.random.split(key, classes))


def _check(
    num_classes: int, ipc: int, per_class: int, classes: int, group: int
) -> None:
    if not 0 <= classes <= num_classes:
        raise InputError(
            f"distill.inner_classes={classes}: must be in [0, {num_classes}], 0 = all"
        )
    if per_class < 0:
        raise InputError(
            f"distill.inner_per_class={per_class}: must be at least 0 (0 = all)"
        )
    if group < 1 or ipc % group:
        raise InputError(f"group={group}: must divide the {ipc} rows of each class")
