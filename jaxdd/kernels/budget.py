"""How large the blocks of a kernel may be in a given memory.

The program that will run is compiled for a few sizes, and the compiler says what it
sets aside; nothing is computed.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdd.base import PyTree
from jaxdd.errors import InputError
from jaxdd.kernels.blocked import blocked
from jaxdd.kernels.kernel import Kernel
from jaxdd.kernels.sharded import sharded

__all__ = ["Blocks", "choose_blocks", "required_bytes", "within"]

Shape = tuple[int, ...]


class Blocks(NamedTuple):
    """Sizes for `blocked`, and what the kernel then takes."""

    rows: int
    columns: int
    bytes: int
    """What kernel and gradient take: images, gradients, the kernel, temporaries."""


def choose_blocks(
    kernel: Kernel,
    x_shape: Shape,
    y_shape: Shape,
    budget_bytes: int,
    *,
    variables: PyTree = (),
    gradient: bool = True,
) -> Blocks:
    """The largest blocks whose program fits into a memory.

    Rows first, as many as fit with all columns; where a single row does not fit, as
    many columns of it as do. Compiles one program where everything fits at once, else
    four to eight.

    Args:
      kernel: of images only, not yet blocked.
      x_shape: [n,h,w,c] of all rows (of one device's, where they are sharded).
      y_shape: [m,h,w,c] of all columns.
      budget_bytes: what value and gradient may take together.
      variables: the kernel's third argument, or its shapes.
      gradient: with the gradient by both sets of images, or the value only.

    Returns:
      Rows and columns for `blocked`, and the bytes that the program takes with them.

    Raises:
      InputError: not even one image by one image fits; says the bytes.
    """

    @cache
    def cost(rows: int, columns: int) -> int:
        parts = blocked(kernel, rows, columns)
        return required_bytes(
            parts, x_shape, y_shape, variables=variables, gradient=gradient
        )

    n, m = x_shape[0], y_shape[0]
    rows, taken = _largest(lambda size: cost(size, m), n, budget_bytes)
    if taken <= budget_bytes:
        return Blocks(rows, m, taken)
    columns, taken = _largest(lambda size: cost(1, size), m, budget_bytes)
    if taken <= budget_bytes:
        return Blocks(1, columns, taken)
    raise _refusal(n, m, x_shape, taken, budget_bytes, "one pair of images at a time")


def within(
    kernel: Kernel,
    x_shape: Shape,
    y_shape: Shape,
    budget_bytes: int,
    *,
    variables: PyTree = (),
) -> tuple[Kernel, tuple[str, ...]]:
    """The kernel in the blocks that a memory allows, and what a run has to say on it.

    Args:
      kernel, x_shape, y_shape, variables: see `choose_blocks`.
      budget_bytes: for value and gradient; 0 = no limit is known.

    Returns:
      The kernel, itself where it fits at once, and a line that names the blocks (none
      without a limit).

    Raises:
      InputError: not even one image by one image fits; says the bytes.
    """
    if not budget_bytes:
        return kernel, ()
    rows, columns, taken = choose_blocks(
        kernel, x_shape, y_shape, budget_bytes, variables=variables
    )
    n, m = x_shape[0], y_shape[0]
    at_once = (rows, columns) == (n, m)
    blocks = "at once" if at_once else f"in blocks of {rows:,} by {columns:,}"
    line = (
        f"kernel of {n:,} by {m:,} images: {blocks}, {taken / 1e6:,.1f} MB of"
        f" {budget_bytes / 1e6:,.1f} MB"
    )
    return (kernel if at_once else sharded(blocked(kernel, rows, columns))), (line,)


def required_bytes(
    kernel: Kernel,
    x_shape: Shape,
    y_shape: Shape,
    *,
    variables: PyTree = (),
    gradient: bool = True,
) -> int:
    """Bytes of the compiled program of a kernel: arguments, results, temporaries.

    Args:
      kernel: blocked or not.
      x_shape: [n,h,w,c].
      y_shape: [m,h,w,c].
      variables: the kernel's third argument, or its shapes.
      gradient: with the gradient by both sets of images, or the value only.
    """
    image = lambda shape: jax.ShapeDtypeStruct(shape, jnp.result_type(float))
    x, y = image(x_shape), image(y_shape)

    def both(x: Any, y: Any, variables: PyTree, slope: Any) -> Any:
        value, pull = jax.vjp(lambda x, y: kernel(x, y, variables), x, y)
        return value, pull(slope)

    if gradient:
        slope = jax.eval_shape(kernel, x, y, variables)
        lowered = jax.jit(both).lower(x, y, variables, slope)
    else:
        lowered = jax.jit(kernel).lower(x, y, variables)
    stats: Any = lowered.compile().memory_analysis()
    return (
        stats.argument_size_in_bytes
        + stats.output_size_in_bytes
        + stats.temp_size_in_bytes
    )


def _largest(cost: Callable[[int], int], most: int, limit: int) -> tuple[int, int]:
    """The largest size up to `most` that is found to cost at most `limit`, its cost.

    Everything at once is tried first. Then, a cost being nearly a constant plus so much
    for each row, two of them predict the size, and what is predicted is tried. Returns
    (1, its cost) if nothing fits.
    """
    whole = cost(most)
    if whole <= limit or most == 1:
        return most, whole
    first = cost(1)
    if first > limit or most == 2:
        return 1, first
    probe = min(4, most - 1)
    slope = max((cost(probe) - first) / (probe - 1), 1.0)
    size = min(most - 1, int((limit - first) / slope) + 1)
    while size > 1:
        size = _even(size, most)
        last = cost(size)
        if last <= limit:
            return size, last
        size = min(size - 1, int(size * 0.9 * (limit - first) / (last - first)))
    return 1, first


def _even(size: int, most: int) -> int:
    """A divisor of `most` in (size/2, size], else the size.

    Blocks that do not divide the images evenly make a copy of all that is filled up.
    """
    near = (n for n in range(size, size // 2, -1) if most % n == 0)
    return next(near, size)


def _refusal(
    rows: int, columns: int, shape: Shape, taken: int, budget: int, how: str
) -> InputError:
    """What to say where the smallest block does not fit."""
    size = "x".join(map(str, shape[1:]))
    return InputError(
        f"a kernel of {rows:,} by {columns:,} images of {size} takes {taken:,} bytes"
        f" even {how}, and the memory budget is {budget:,} bytes. Give more memory,"
        " smaller batches, fewer synthetic images or a cheaper kernel"
    )
