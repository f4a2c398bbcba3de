"""The laws of memory, read from compiled programs; nothing is run."""

import jax
import jax.numpy as jnp
import pytest

from jaxdd.unroll import (
    SGD,
    Adam,
    Backprop,
    Separable,
    estimate_memory,
    initial_carry,
    inner,
    measure_memory,
)

IMAGES, PIXELS, HIDDEN, CLASSES = 8, 20, 64, 5
PARAMETERS = HIDDEN * (PIXELS + CLASSES)
SHORT, LONG = 16, 64


def loss(theta: dict, params: jax.Array, x: jax.Array) -> jax.Array:
    """Of a network of two layers with flat parameters."""
    first = params[: PIXELS * HIDDEN].reshape(PIXELS, HIDDEN)
    last = params[PIXELS * HIDDEN :].reshape(HIDDEN, CLASSES)
    logits = jax.nn.relu(theta["image"] @ first) @ last
    return -jax.nn.log_softmax(logits)[:, 0].mean()


# Bytes for each parameter and further step.
LAWS = [
    (SGD(), Backprop("step"), 4.0),
    (SGD(), Backprop("nested"), 4.0 * (16 - 8) / (LONG - SHORT)),
    (SGD(), Backprop(step="fused"), 4.0),
    (SGD(0.9, 0.01), Backprop(step="fused"), 8.0),
    (Adam(), Backprop(step="mixed"), 12.0),
    (SGD(), Separable(), 0.0),
]


@pytest.mark.parametrize(("optimiser", "adjoint", "growth"), LAWS)
def test_growth_with_the_number_of_steps(optimiser, adjoint, growth: float) -> None:
    problem = inner.problem(
        loss, optimiser, inner.learned_rate(lambda theta, x: theta["log_rate"])
    )
    theta = {"image": jnp.ones((IMAGES, PIXELS)), "log_rate": jnp.zeros(())}
    carry = initial_carry(optimiser, jnp.zeros(PARAMETERS))
    given = (problem, theta, carry, lambda t: t, adjoint)
    measured, estimated = [], []
    for steps in (SHORT, LONG):
        measured.append(measure_memory(*given, num_steps=steps))
        estimated.append(estimate_memory(*given, num_steps=steps).total)
    unit = PARAMETERS * (LONG - SHORT)
    assert (measured[1] - measured[0]) / unit == pytest.approx(growth, 0.05, abs=0.02)
    assert (estimated[1] - estimated[0]) / unit == pytest.approx(growth, 0.05)
    assert 1 / 3 < measured[1] / estimated[1] < 3


def test_plain_backprop_keeps_what_each_step_needs() -> None:
    theta, carry = {"image": jnp.ones((IMAGES, PIXELS))}, jnp.zeros(PARAMETERS)
    problem = inner.problem(loss, SGD(), 0.1)
    given = (problem, theta, initial_carry(SGD(), carry), jnp.arange(LONG))
    kept, again = (
        measure_memory(*given, Backprop(remat)) for remat in ("none", "step")
    )
    assert kept > 1.5 * again
    assert 0.4 < kept / estimate_memory(*given, Backprop("none")).total < 1.5
