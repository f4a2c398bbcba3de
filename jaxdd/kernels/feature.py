"""Features of a network over many images in the memory of one chunk.

The linear kernel of a finite network needs only its features; computing them in
chunks that are recomputed in the backward pass is exact, value and gradient.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Network, Variables
from jaxdd.errors import InputError

__all__ = ["chunked", "features"]


def features(
    network: Network,
    variables: Variables,
    image: Array,
    *,
    bias: bool = False,
    chunk: int | None = None,
) -> Array:
    """The input of the last layer, with running statistics (evaluation mode).

    Args:
      network: any network.
      variables: its variables.
      image: [n,h,w,c].
      bias: append a column of ones (a regularised bias of the regression).
      chunk: at most this many images at a time; None = all at once.

    Returns:
      features [n,d], or [n,d+1] with `bias`; at least float32. Besides them, memory
      for value and gradient is that of one chunk.
    """

    def embed(rows: Array) -> Array:
        output, _ = network.apply(variables, rows, train=False)
        value = output.features
        value = value.astype(jnp.promote_types(value.dtype, jnp.float32))
        if not bias:
            return value
        # Appended within the chunk, so that no second copy of all features is made.
        return jnp.concatenate([value, jnp.ones_like(value[:, :1])], axis=1)

    return chunked(embed, image, chunk)


def chunked(
    function: Callable[[Array], Array], rows: Array, chunk: int | None
) -> Array:
    """`function(rows)` for a row-wise function, in chunks recomputed for the gradient.

    The chunks are balanced (50 rows in chunks of at most 32 are two of 25), so that
    fewer rows than there are chunks are computed for nothing.

    Args:
      function: maps [n,...] to [n,...], each row on its own.
      rows: [n,...].
      chunk: at most this many rows at a time; None = all at once.

    Returns:
      what `function` returns for all rows.

    Raises:
      InputError: `chunk` is below 1.
    """
    size = rows.shape[0]
    if chunk is not None and chunk < 1:
        raise InputError(f"chunk is {chunk}; it must be at least 1, or None for all")
    if chunk is None or size <= chunk:
        return function(rows)
    count = -(-size // chunk)
    length = -(-size // count)
    # Repeating the last rows is harmless whatever the function does with zeros.
    padding = [(0, count * length - size)] + [(0, 0)] * (rows.ndim - 1)
    padded = jnp.pad(rows, padding, mode="edge") if padding[0][1] else rows
    # The scan already keeps the recomputation apart from the first computation.
    body = jax.checkpoint(function, prevent_cse=False)
    out = jax.lax.map(body, padded.reshape(count, length, *rows.shape[1:]))
    return out.reshape(count * length, *out.shape[2:])[:size]
