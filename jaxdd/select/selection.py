"""What a selector is: rows chosen one by one among points known by their products.

Everything is computed by columns and blocks of the kernel, never all n x n of it, and
alike for each class; where there are classes they are chosen from one after another.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.base import Array, Key
from jaxdd.errors import InputError
from jaxdd.kernels import Kernel
from jaxdd.kernels.feature import chunked

__all__ = ["Choice", "Group", "Selection", "Selector", "Space", "selector"]

_BLOCK_NUMBERS = 2**24  # of a block of the kernel, rows by columns


class Selection(NamedTuple):
    """The rows a selector has chosen.

    Class by class where there are labels, and within a class in the order of choice, so
    that what a smaller budget gives are the first of each class.
    """

    indices: Array  # int32 [m], distinct rows
    weights: Array  # [m], ones
    order: Array  # int32 [m]: at which place each was chosen within its class
    scores: Array  # [m], the value of the rule when it was chosen


class Space(NamedTuple):
    """The points that are chosen from, and their inner products.

    Without a kernel the points are features [n,d] and the products linear; with one
    they are images [n,h,w,c], and `kernel(points, points) -> [n,n]`.
    """

    points: Array
    kernel: Kernel | None = None


class Group(NamedTuple):
    """The points of one class (or all) inside a program, padded to a common number."""

    points: Array  # [p,...]
    valid: Array  # bool [p]
    noise: Array  # [p] in (0,1), a fixed function of the seed and of each point
    kernel: Kernel | None

    @property
    def share(self) -> Array:
        """[p]: 1 over the number of points, 0 for the padding."""
        return self.valid / jnp.sum(self.valid)

    def diagonal(self) -> Array:
        """k(x,x) of every point, [p]."""
        if self.kernel is None:
            return jnp.sum(jnp.square(self.points), 1)
        kernel = self.kernel
        one = jax.vmap(lambda x: kernel(x[None], x[None])[0, 0])
        return chunked(one, self.points, self._rows(1))

    def column(self, row: Array) -> Array:
        """k(x,s) of every point x and the one at `row`, [p]."""
        other = self.points[row][None]
        if self.kernel is None:
            return _dot(self.points, other[0])
        kernel = self.kernel
        return chunked(
            lambda part: kernel(part, other)[:, 0], self.points, self._rows(1)
        )

    def times(self, vector: Array) -> Array:
        """K v for v [p], zero at the padding."""
        if self.kernel is None:
            return _dot(self.points, _dot(vector, self.points))
        return self._by_rows(lambda block: _dot(block, vector))

    def squares(self) -> Array:
        """The sum of squares of every row of K, [p]."""
        if self.kernel is None:
            kept = self.points * self.valid[:, None]
            return jnp.sum(_dot(kept, _dot(kept.T, kept)) * kept, 1)
        valid = self.valid
        return self._by_rows(lambda block: _dot(jnp.square(block), valid * 1.0))

    def _by_rows(self, reduce: Callable[[Array], Array]) -> Array:
        """A function of each block of rows of K [b,p] to [b]."""
        assert self.kernel is not None
        kernel, points = self.kernel, self.points
        return chunked(
            lambda part: reduce(kernel(part, points)), points, self._rows(len(points))
        )

    def _rows(self, columns: int) -> int:
        pixels = int(np.prod(self.points.shape[1:]))
        return max(1, _BLOCK_NUMBERS // (columns * pixels))


Choice = Callable[[Group, int], tuple[Array, Array]]
"""`(group, count) -> (rows int32 [count] in the order of choice, scores [count])`."""

Selector = Callable[[Key, Space, Array | None, int], Selection]
"""`(key, space, labels int [n] or None, budget) -> Selection`: as many rows of each
class as the budget says, or of all where there are no labels."""


def selector(choice: Choice) -> Selector:
    """A selector from a rule for one group of points.

    Deterministic given the key; what it chooses does not depend on the order of the
    rows, but for points that are equal.

    Args:
      choice: compiled once for each budget and shape; equal objects share it.
    """

    def choose(key: Key, space: Space, labels: Array | None, budget: int) -> Selection:
        rows, counts = _groups(len(space.points), labels, budget)
        run = _program(choice, space.kernel, budget)
        order, scores = run(key, space.points, rows, counts)
        place = jnp.tile(jnp.arange(budget, dtype=jnp.int32), len(rows))
        flat = order.reshape(-1).astype(jnp.int32)
        weights = jnp.ones(len(flat), scores.dtype)
        return Selection(flat, weights, place, scores.reshape(-1))

    return choose


@lru_cache(maxsize=64)
def _program(choice: Choice, kernel: Kernel | None, budget: int) -> Callable:
    @jax.jit
    def run(key: Key, points: Array, rows: Array, counts: Array) -> tuple[Array, Array]:
        noise = _noise(key, points)

        def one(part: tuple[Array, Array]) -> tuple[Array, Array]:
            own, count = part
            valid = jnp.arange(len(own)) < count
            group = Group(points[own], valid, noise[own], kernel)
            order, scores = choice(group, budget)
            return own[order], scores

        return jax.lax.map(one, (rows, counts))

    return run


def _groups(size: int, labels: Array | None, budget: int) -> tuple[Array, Array]:
    """The rows of each group [groups, most], padded with 0, and how many they are."""
    if budget < 1:
        raise InputError(f"budget={budget}: must be at least 1")
    known = np.zeros(size, int) if labels is None else np.asarray(labels)
    parts = [np.flatnonzero(known == c) for c in range(int(known.max()) + 1)]
    short = min(range(len(parts)), key=lambda c: len(parts[c]))
    if len(parts[short]) < budget:
        where = "there are" if labels is None else f"class {short} has"
        raise InputError(
            f"budget={budget}: {where} only {len(parts[short])} images; choose at most"
            " as many"
        )
    rows = np.zeros((len(parts), max(map(len, parts))), np.int32)
    for number, part in enumerate(parts):
        rows[number, : len(part)] = part
    return jnp.asarray(rows), jnp.asarray([len(part) for part in parts], jnp.int32)


def _noise(key: Key, points: Array) -> Array:
    """Numbers in (0,1) [n] that go with the points, in whatever order they come."""
    flat = jax.lax.bitcast_convert_type(
        points.reshape(len(points), -1).astype(jnp.float32), jnp.uint32
    )
    # Odd multipliers: a checksum of the bits in which every position counts.
    odd = 2 * jax.random.bits(key, (1, flat.shape[1]), jnp.uint32) + 1
    mixed = flat ^ (flat >> 15)
    checksum = jnp.sum(mixed * odd, 1, dtype=jnp.uint32)
    draw = jax.vmap(lambda tag: jax.random.uniform(jax.random.fold_in(key, tag)))
    tiny = jnp.finfo(jnp.float32).tiny
    return jnp.maximum(draw(checksum), tiny)


def _dot(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
