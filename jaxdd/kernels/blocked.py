"""A kernel by blocks: the memory of one block, the same value and gradient."""

from jaxdd.base import Array, PyTree
from jaxdd.errors import InputError
from jaxdd.kernels.feature import chunked
from jaxdd.kernels.kernel import Kernel

__all__ = ["blocked"]


def blocked(
    kernel: Kernel, rows: int | None = None, columns: int | None = None
) -> Kernel:
    """The kernel computed for at most `rows` by `columns` images at a time.

    Blocks are computed one after another and again for the gradient, so a gradient
    costs one more forward pass than that of the whole kernel. Exact: blocks are
    balanced, and the rows that fill up the last one are dropped.

    Args:
      kernel: an entry of it depends on its two images only.
      rows: of a block; None = all images x1.
      columns: of a block; None = all images x2.

    Returns:
      The kernel.

    Raises:
      InputError: rows or columns below 1.
    """
    for name, size in (("rows", rows), ("columns", columns)):
        if size is not None and size < 1:
            raise InputError(
                f"{name} is {size}; it must be at least 1, or None for all"
            )

    def whole(x1: Array, x2: Array, variables: PyTree = ()) -> Array:
        def band(some: Array) -> Array:
            block = lambda others: kernel(some, others, variables).T
            return chunked(block, x2, columns).T

        return chunked(band, x1, rows)

    return whole
