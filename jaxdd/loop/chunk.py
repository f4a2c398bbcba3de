"""The compiled chunk: up to so many steps of a stage without touching the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import tree
from jaxdd.base import Array, Metrics, PyTree
from jaxdd.devices import mesh as devices
from jaxdd.loop.jaxprs import host_calls

__all__ = ["HostTransferError", "Step", "chunk_program", "compiled_chunk"]

Step = Callable[[Any, PyTree], tuple[Any, Metrics]]


class HostTransferError(RuntimeError):
    """A step calls the host, which would stall the device at every step."""


def chunk_program(step: Step, length: int) -> Callable:
    """Up to `length` steps as one pure function of (state, data, count, streamed=None).

    `count` is traced, so chunks of any length share one compilation, and the rounding
    of a step does not depend on the chunk it falls into.

    Args:
      step: (state, data) -> (state, metrics); with rows of a stream, every leaf
        [length,...], it gets (*data, row) instead of the data, a row for each step.
      length: rows of the buffers for the metrics.

    Returns:
      A function of (state, data, count) that returns the state, the metrics [length]
      of which `count` rows are valid, and whether the state holds a NaN.
    """
    step = jax.jit(step, inline=True)  # traced once, for its shapes and for the loop

    def run(
        state: Any, data: PyTree, count: Array, streamed: PyTree = None
    ) -> tuple[Any, Metrics, Array]:
        def data_of(index: Array | int) -> PyTree:
            return data if streamed is None else (*data, tree.take(streamed, index))

        buffers = jax.tree.map(
            lambda leaf: jnp.zeros((length, *leaf.shape), leaf.dtype),
            jax.eval_shape(lambda s: step(s, data_of(0)), state)[1],
        )

        def body(index: Array, carry: tuple[Any, Metrics]) -> tuple[Any, Metrics]:
            state, buffers = carry
            state, metrics = step(state, data_of(index))
            return state, tree.write(buffers, index, metrics)

        state, buffers = jax.lax.fori_loop(0, count, body, (state, buffers))
        return state, buffers, _has_nan(state)

    return run


def compiled_chunk(
    step: Step, length: int, state: Any, data: PyTree, streamed: PyTree = None
) -> Callable:
    """A compiled `chunk_program` that consumes the state it is given.

    Args:
      step: (state, data) -> (state, metrics).
      length: most steps in a call.
      state: of the first call; those it returns lie on the same devices.
      data: constant arrays.
      streamed: rows of the stream for the steps of the first call, or None.

    Raises:
      HostTransferError: the step calls the host.
    """
    mesh = devices.mesh_of(state)
    places = None
    if mesh is not None:  # or the compiler may hand the state on split otherwise
        places = (jax.tree.map(lambda leaf: leaf.sharding, state), None, None)
    program = chunk_program(step, length)
    jitted = jax.jit(program, donate_argnums=0, out_shardings=places)
    count = devices.replicate(mesh, np.int32(0))
    rows = () if streamed is None else (streamed,)
    traced = jitted.trace(state, data, count, *rows)
    # The transfer guard does not see callbacks, so they are looked for here.
    if calls := host_calls(traced.jaxpr):
        raise HostTransferError(
            f"the step calls the host ({', '.join(sorted(calls))}). Remove the"
            " callback; to debug, run the steps with jaxdd.training.scan_drive"
        )
    return traced.lower().compile()


def _has_nan(tree: PyTree) -> Array:
    """Whether any leaf holds a NaN; metrics often miss what the last update did."""
    found = [
        jnp.isnan(leaf).any()
        for leaf in jax.tree.leaves(tree)
        if jnp.issubdtype(leaf.dtype, jnp.inexact)
    ]
    return jnp.stack(found).any() if found else jnp.asarray(False)
