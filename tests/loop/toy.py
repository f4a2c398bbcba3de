"""A small stage for the tests of the runner: noisy linear regression."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.base import Array, Key

__all__ = ["ToyState", "assert_same", "make_step", "toy_data", "toy_state"]


class ToyState(NamedTuple):
    """All that checkpoints find hard: keys, integers, empty and zero-size leaves."""

    step: Array
    key: Key
    weight: Array
    nothing: tuple = ()
    empty: Any = None


def toy_data(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "x": rng.standard_normal((16, 6)).astype(np.float32),
        "y": rng.standard_normal((16, 3)).astype(np.float32),
    }


def toy_state(seed: int = 0) -> ToyState:
    key = jax.random.key(seed)
    return ToyState(
        step=jnp.zeros((), jnp.int32),
        key=key,
        weight=jax.random.normal(key, (6, 3)),
        empty=jnp.zeros((0, 2)),
    )


def make_step(poison: int = -1):
    """A step function and the list of its traces; `poison`: the step that is NaN."""
    traces: list[None] = []

    def step(state: ToyState, data: Any) -> tuple[ToyState, dict[str, Array]]:
        traces.append(None)
        noise = jax.random.normal(jax.random.fold_in(state.key, state.step), (6, 3))

        def loss(weight: Array) -> Array:
            return jnp.mean((data["x"] @ weight - data["y"]) ** 2)

        value, slope = jax.value_and_grad(loss)(state.weight)
        value = jnp.where(state.step == poison, jnp.nan, value)
        weight = state.weight - 0.05 * slope + 0.01 * noise
        metrics = {"loss": value, "step_squared": state.step**2}
        return state._replace(step=state.step + 1, weight=weight), metrics

    return step, traces


def assert_same(one: Any, other: Any) -> None:
    """Bit-for-bit equality of two trees."""
    one, other = jax.tree.leaves(one), jax.tree.leaves(other)
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
