"""A teacher's outputs over all enumerated views of the training images.

Looked up by (view, row), they take the teacher out of the training loop, exactly up
to the type they are stored in.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import whiten
from jaxdd.augment.views import apply_view
from jaxdd.base import Array, Corpus, Variables
from jaxdd.records import Views

__all__ = ["build_table", "pieces", "table_bytes", "table_dtype"]

_PIECE = 32  # blocks a call
_PATIENCE = 20.0  # seconds between two lines about progress

Represent = Callable[[Variables, Array], Array]


def table_dtype(shape: tuple[int, int, int], budget: int) -> Any:
    """The widest type in which a table [views, n, d] fits a budget in bytes.

    Returns:
      float32, bfloat16, or None where not even that fits.
    """
    for dtype in (jnp.float32, jnp.bfloat16):
        if table_bytes(shape, dtype) <= budget:
            return dtype
    return None


def table_bytes(shape: tuple[int, int, int], dtype: Any) -> int:
    """Bytes of a table [views, n, d]."""
    return math.prod(shape) * jnp.dtype(dtype).itemsize


def build_table(
    represent: Represent,
    variables: Variables,
    corpus: Corpus,
    views: Views,
    like: jax.ShapeDtypeStruct,
    *,
    say: Callable[[str], None],
    block: int = 256,
) -> Array:
    """The teacher's outputs, in eval mode, of every view of every image.

    One compiled function fills some blocks of images of one view at a time, in place.
    Memory: the table and the activations of a block.

    Args:
      represent: (variables, image [n,h,w,c]) -> [n,d].
      variables: of the teacher.
      corpus: the training split.
      views: the enumerated views, applied to [0,1] pixels before whitening.
      like: shape [views, n, d] and type of the table.
      block: images forwarded at a time.
      say: told how far it is when it takes long, and how long it took.

    Returns:
      [views, n, d]; `table[view, row]` is the output of that view of that image.
    """
    fill = _filler(represent, views, min(block, corpus.size))
    table = jnp.zeros(like.shape, like.dtype)
    begin = shown = time.monotonic()
    for view in range(views.count):
        for starts in pieces(corpus.size, block):
            table = fill(table, variables, corpus, view, starts)
        jax.block_until_ready(table)
        if time.monotonic() - shown > _PATIENCE:
            shown = time.monotonic()
            say(f"teacher outputs: view {view + 1} of {views.count}")
    say(f"teacher outputs: built in {time.monotonic() - begin:.1f} s")
    return table


def pieces(rows: int, block: int) -> np.ndarray:
    """First rows of blocks, [calls, blocks a call], together covering all rows.

    The last blocks begin early enough to fit, so that some rows are done twice.
    """
    block = min(block, rows)
    blocks = -(-rows // block)
    calls = -(-blocks // _PIECE)
    per_call = -(-blocks // calls)
    starts = np.arange(calls * per_call) * block
    return np.minimum(starts, rows - block).reshape(calls, per_call)


def _filler(represent: Represent, views: Views, block: int) -> Callable[..., Array]:
    """Fills the blocks that begin at `starts`, of one view; compiled once for all."""

    def fill(
        table: Array, variables: Variables, corpus: Corpus, view: Array, starts: Array
    ) -> Array:
        def one(table: Array, start: Array) -> tuple[Array, None]:
            image = jax.lax.dynamic_slice_in_dim(corpus.image, start, block)
            unit = whiten.to_unit(image, corpus.whitening.dtype)
            shown = apply_view(unit, jnp.full(block, view, jnp.int32), views)
            new = represent(variables, whiten.apply(corpus.whitening, shown))
            new = new[None].astype(table.dtype)
            return jax.lax.dynamic_update_slice(table, new, (view, start, 0)), None

        return jax.lax.scan(one, table, starts)[0]

    return jax.jit(fill, donate_argnums=0)
