"""TESLA's gradient as its authors compute it: every step's parameters are kept.

The procedure of justincui03/tesla (488842e, MIT), distill.py, in JAX: parameters stored
in a first loop, gradients rebuilt in a second. Imported by experiments/benches/unroll.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def stored_gradient(loss: Callable[[Any, jax.Array, jax.Array], jax.Array]) -> Callable:
    """The loss of MTT and its gradient: (theta, start, target, rows).

    Args:
      loss: the inner one, (theta, params, rows); theta is `image` and `log_rate`.
    """

    def gradient(
        theta: Any, start: jax.Array, target: jax.Array, rows: jax.Array
    ) -> tuple:
        rate = jnp.exp(theta["log_rate"])
        slope = jax.grad(loss, 1)

        def forward(state: tuple, row: jax.Array) -> tuple[tuple, jax.Array]:
            params, total = state
            step = slope(theta, params, row)
            return (params - rate * step, total + step), params

        begin = (start, jnp.zeros_like(start))
        (end, total), kept = jax.lax.scan(forward, begin, rows)
        scale = jnp.sum((start - target) ** 2)
        ahead = -2 * rate * (end - target) / scale

        def back(summed: jax.Array, entry: tuple) -> tuple[jax.Array, None]:
            params, row = entry
            along = lambda image: jnp.vdot(
                slope(theta | {"image": image}, params, row), ahead
            )
            return summed + jax.grad(along)(theta["image"]), None

        image, _ = jax.lax.scan(back, jnp.zeros_like(theta["image"]), (kept, rows))
        log_rate = jnp.vdot(ahead, total)
        moved = jnp.sum((end - target) ** 2) / scale
        return moved, {"image": image, "log_rate": log_rate}

    return gradient
