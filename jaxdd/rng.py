"""Random draws that are pure functions of a key and a position.

A permutation is evaluated element by element, so that an epoch of any length costs
nothing per step and a run can resume anywhere without replaying it.
"""

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Key

__all__ = ["epoch_batch", "epoch_rows", "permuted"]

_ROUNDS = 8  # four are enough for a pseudo-random permutation (Luby and Rackoff, 1988)


def permuted(key: Key, position: Array, size: Array | int) -> Array:
    """The element at `position` of a pseudo-random permutation of range(size).

    A balanced Feistel network permutes the next power of four at or above `size`;
    walking its cycles until the value falls below `size` restricts it to the range
    (Black and Rogaway, 2002), in under four expected rounds.

    Args:
      key: chooses the permutation.
      position: int32 [...], each in [0, size).
      size: length of the range, may be traced; at least 1.

    Returns:
      int32 [...], distinct for distinct positions.
    """
    size = jnp.asarray(size, jnp.uint32)
    bits = 32 - jax.lax.clz(jnp.maximum(size - 1, 1))
    half = (bits + 1) // 2
    mask = (jnp.uint32(1) << half) - 1
    words = jax.random.bits(key, (_ROUNDS,), jnp.uint32)

    def encrypt(value: Array) -> Array:
        left, right = value >> half, value & mask
        for word in words:
            left, right = right, left ^ (_mix(right ^ word) & mask)
        return (left << half) | right

    def walk(value: Array) -> Array:
        return jnp.where(value < size, value, encrypt(value))

    first = encrypt(jnp.asarray(position).astype(jnp.uint32))
    last = jax.lax.while_loop(lambda v: jnp.any(v >= size), walk, first)
    return last.astype(jnp.int32)


def epoch_rows(key: Key, step: Array | int, batch: int, size: int) -> Array:
    """The rows of one step of sampling without replacement within each epoch.

    The last, partial batch of an epoch is dropped; the next epoch is a new
    permutation. A set no larger than `batch` is used whole at every step, in order.

    Args:
      key: constant through a run.
      step: int32 [], may be traced.
      batch: rows a step; 0 = the whole set.
      size: rows of the set.

    Returns:
      int32 [min(batch, size)], or [size] where batch is 0.
    """
    if not 0 < batch < size:
        return jnp.arange(size, dtype=jnp.int32)
    epoch, place = jnp.divmod(jnp.asarray(step, jnp.int32), size // batch)
    position = place * batch + jnp.arange(batch, dtype=jnp.int32)
    return permuted(jax.random.fold_in(key, epoch), position, size)


def epoch_batch(
    key: Key, step: Array | int, batch: int, size: int
) -> tuple[Array, Array]:
    """As `epoch_rows`, but every row of an epoch is used: its last batch is partial.

    Args:
      key: constant through a run.
      step: int32 [], may be traced.
      batch: rows a step; 0 = the whole set.
      size: rows of the set.

    Returns:
      The rows, int32 [min(batch, size)], and their weights, float32: 0 for the rows
      that fill up a partial batch (the first ones of the same epoch).
    """
    if not 0 < batch < size:
        rows = jnp.arange(size, dtype=jnp.int32)
        return rows, jnp.ones(size, jnp.float32)
    epoch, place = jnp.divmod(jnp.asarray(step, jnp.int32), -(-size // batch))
    position = place * batch + jnp.arange(batch, dtype=jnp.int32)
    rows = permuted(jax.random.fold_in(key, epoch), position % size, size)
    return rows, (position < size).astype(jnp.float32)


def _mix(value: Array) -> Array:
    """A 32-bit integer hash (the finaliser of MurmurHash3)."""
    value = (value ^ (value >> 16)) * jnp.uint32(0x85EBCA6B)
    value = (value ^ (value >> 13)) * jnp.uint32(0xC2B2AE35)
    return value ^ (value >> 16)
