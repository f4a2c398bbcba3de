"""What a program will cost, before it runs: FLOPs, memory, seconds per step.

FLOPs are counted from the jaxpr, because the compiler counts the body of a loop once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.base import PyTree
from jaxdd.devices import mesh as devices
from jaxdd.loop.chunk import Step, compiled_chunk
from jaxdd.loop.jaxprs import flops

__all__ = [
    "Memory",
    "Speed",
    "count_flops",
    "materialise",
    "memory",
    "seconds_per_step",
]


class Memory(NamedTuple):
    """Bytes of a compiled program; `temporary` is what it needs besides the others."""

    arguments: int
    outputs: int
    temporary: int


class Speed(NamedTuple):
    """What a step costs, and the chunk it runs in."""

    seconds: float
    compile_seconds: float
    memory: Memory


def count_flops(fn: Callable, *arguments: Any) -> int:
    """Floating-point operations of `fn(*arguments)`, an addition counting as one.

    Matrix products, convolutions, Cholesky factors and triangular solves count;
    elementwise operations and reductions do not. A loop counts as its body times its
    length (once, where the length is only known at run time), a branch as its
    costliest side, a program mapped over devices as all of them together.

    Args:
      fn: any function that JAX can trace.
      *arguments: arrays or `jax.ShapeDtypeStruct`s.

    Example:
      >>> count_flops(lambda a, b: a @ b, jnp.ones((2, 3)), jnp.ones((3, 5)))
      60
    """
    return flops(jax.make_jaxpr(fn)(*arguments))


def memory(fn: Callable, *arguments: Any, donate: tuple[int, ...] = ()) -> Memory:
    """What the compiler sets aside for `fn(*arguments)`.

    Args:
      fn: any function that JAX can trace.
      *arguments: arrays or `jax.ShapeDtypeStruct`s.
      donate: positions of arguments whose memory the outputs may take over.
    """
    program = jax.jit(fn, donate_argnums=donate).lower(*arguments).compile()
    return _memory(program)


def _memory(program: Any) -> Memory:
    stats = program.memory_analysis()
    return Memory(
        stats.argument_size_in_bytes,
        stats.output_size_in_bytes,
        stats.temp_size_in_bytes,
    )


def materialise(tree: PyTree, seed: int = 0) -> PyTree:
    """Arrays in place of every `jax.ShapeDtypeStruct`: valid, but without meaning.

    Floats are uniform in [0,1), integers and booleans 0, keys distinct. Real arrays are
    kept, which matters where an integer decides how long a loop runs.
    """
    rng = np.random.default_rng(seed)

    def made(leaf: Any) -> Any:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            keys = jax.random.split(jax.random.key(seed), int(np.prod(leaf.shape)))
            return keys.reshape(leaf.shape)
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.asarray(rng.random(leaf.shape, np.float32), leaf.dtype)
        return jnp.zeros(leaf.shape, leaf.dtype)

    return jax.tree.map(made, tree)


def seconds_per_step(
    step: Step, state: PyTree, data: PyTree, *, budget: float = 2.0, length: int = 50
) -> Speed:
    """How long one step takes inside the compiled chunk that `Loop` runs.

    Args:
      step: (state, data) -> (state, metrics).
      state: arrays or `jax.ShapeDtypeStruct`s; not consumed.
      data: the same.
      budget: seconds to measure for; at least two steps run.
      length: most steps in one chunk.

    Returns:
      Seconds of a step and of the compilation before it, and the chunk's memory.
    """
    state, data = materialise((state, data))
    mesh = devices.mesh_of((state, data))
    state, data = devices.placed_copy(state, mesh), devices.replicate(mesh, data)
    began = time.monotonic()
    program = compiled_chunk(step, length, state, data)
    compiled = time.monotonic() - began

    def timed(state: PyTree, steps: int) -> tuple[PyTree, float]:
        count = devices.replicate(mesh, np.int32(steps))
        began = time.monotonic()
        state = jax.block_until_ready(program(state, data, count)[0])
        return state, (time.monotonic() - began) / steps

    state, _ = timed(state, 1)  # the first call also loads the program
    state, seconds = timed(state, 1)
    steps = min(length, int(budget / max(seconds, 1e-9)))
    if steps > 1:
        _, seconds = timed(state, steps)
    return Speed(seconds, compiled, _memory(program))
