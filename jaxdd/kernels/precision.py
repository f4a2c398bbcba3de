"""Products that kernels and solves are made of: never below float32.

Network bodies may run in bfloat16 and accelerators round float32 products unless they
are told not to; kernels, solves and predictions are exempt from both.
"""

import jax
import jax.numpy as jnp
from jax import lax

from jaxdd.base import Array

__all__ = ["dot", "promote", "residual"]


def dot(a: Array, b: Array) -> Array:
    """Matrix product [n,d] by [d,m], at least in float32, at the highest precision."""
    return jnp.matmul(*promote(a, b), precision=lax.Precision.HIGHEST)


def promote(*values: Array) -> list[Array]:
    """The arrays in one dtype, at least float32."""
    dtype = jnp.promote_types(jnp.result_type(*values), jnp.float32)
    return [jnp.asarray(value, dtype) for value in values]


@jax.custom_batching.custom_vmap
def residual(matrix: Array, answer: Array, right: Array) -> Array:
    """right - matrix answer [m,k] in float64, whatever the precision of the program."""
    with jax.enable_x64(True):
        wide = [value.astype(jnp.float64) for value in (matrix, answer, right)]
        return (wide[2] - dot(wide[0], wide[1])).astype(right.dtype)


@residual.def_vmap
def _residual_rule(
    size: int, batched: list[bool], *values: Array
) -> tuple[Array, bool]:
    """Batches by the function itself: JAX's own rule would leave float64 behind."""
    stacked = [
        value if mapped else jnp.broadcast_to(value[None], (size, *value.shape))
        for value, mapped in zip(values, batched, strict=True)
    ]
    return residual(*stacked), True
