"""Inner optimisers against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdd.unroll import SGD, Adam, Backprop, initial_carry, inner
from tests.unroll import cases

SLOPES = np.asarray([[1.0, -2.0, 0.5], [0.3, 0.1, -0.4], [-1.0, 2.0, 0.0]])


def test_sgd_is_that_of_pytorch(x64: None) -> None:
    optimiser, params = SGD(0.9, 0.1), np.asarray([1.0, 2.0, 3.0])
    carry, speed = initial_carry(optimiser, jnp.asarray(params)), np.zeros(3)
    for slope in SLOPES:
        carry = optimiser.update(jnp.asarray(slope), carry, 0.5)
        speed = 0.9 * speed + slope + 0.1 * params
        params = params - 0.5 * speed
    np.testing.assert_allclose(carry.params, params, rtol=1e-14)
    np.testing.assert_allclose(carry.opt, speed, rtol=1e-14)
    assert initial_carry(SGD(), jnp.zeros(2)).opt == ()


def test_adam_is_that_of_optax(x64: None) -> None:
    params, other = jnp.ones(3), optax.adam(0.1, eps_root=1e-30)
    optimiser, state = Adam(), other.init(params)
    carry = initial_carry(optimiser, params)
    for slope in SLOPES:
        carry = optimiser.update(jnp.asarray(slope), carry, 0.1)
        updates, state = other.update(jnp.asarray(slope), state)
        params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(carry.params, params, rtol=1e-12)


def test_dead_units_leave_the_outer_gradient_finite() -> None:
    case = cases.classifier()
    for adjoint in (Backprop(), Backprop(step="mixed")):
        got = cases.gradient(
            cases.outer(case, Adam(), adjoint=adjoint), *cases.point(case)
        )
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(got))


def test_learned_rates_are_positive() -> None:
    rate = inner.learned_rate(lambda theta, x: theta[x])
    assert float(rate(jnp.asarray([-50.0, 1.0]), 0)) > 0


def test_a_rate_does_not_change_the_precision_of_parameters() -> None:
    carry = initial_carry(SGD(), jnp.ones(3, jnp.bfloat16))
    moved = SGD().update(carry.params, carry, jnp.asarray(0.1, jnp.float32))
    assert moved.params.dtype == jnp.bfloat16
