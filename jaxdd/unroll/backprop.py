"""Reverse mode through a window of steps: what is kept, and what is computed again."""

import math
from collections.abc import Callable
from typing import Any, Literal

import jax
from jax import lax

from jaxdd.base import PyTree

__all__ = ["block_size", "in_blocks", "scanned"]

Block = Callable[[Any, PyTree], Any]  # (carry, xs) -> carry


def scanned(
    step: Callable[[Any, Any], Any], remat: Literal["none", "step"] = "none"
) -> Block:
    """The function that takes a step for each entry of xs."""
    # Inside a loop XLA cannot merge the two computations, so nothing need prevent it.
    body = jax.checkpoint(step, prevent_cse=False) if remat == "step" else step

    def block(carry: Any, xs: PyTree) -> Any:
        return lax.scan(lambda c, x: (body(c, x), None), carry, xs)[0]

    return block


def in_blocks(block: Block, size: int) -> Block:
    """The same function, keeping only the carries between blocks of `size` steps."""

    def blocks(carry: Any, xs: PyTree) -> Any:
        count, rest = divmod(len(jax.tree.leaves(xs)[0]), size)
        whole = jax.tree.map(
            lambda leaf: leaf[: count * size].reshape(count, size, *leaf.shape[1:]), xs
        )
        carry = scanned(block, "step")(carry, whole)
        if rest:
            last = jax.tree.map(lambda leaf: leaf[count * size :], xs)
            carry = jax.checkpoint(block)(carry, last)
        return carry

    return blocks


def block_size(num_steps: int, inner: int | None) -> int:
    """Steps in a block: as given, or about the root of their number."""
    return min(num_steps, inner or math.ceil(math.sqrt(num_steps)))
