"""Impossible pairs of problem and adjoint: the message names what to change."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jaxdd.errors import InputError
from jaxdd.networks.conv import convolve
from jaxdd.records import AdjointSpec
from jaxdd.unroll import (
    SGD,
    Adam,
    Backprop,
    Forward,
    Implicit,
    InnerProblem,
    Separable,
    initial_carry,
    inner,
    named,
    solve,
)

FUSED, MIXED = Backprop(step="fused"), Backprop(step="mixed")
SLOPE = lambda theta, params, x: params * theta


def loss(theta: jax.Array, params: jax.Array, x: Any) -> jax.Array:
    return jnp.sum(theta * params**2)


def bare(optimiser: Any = None, gradient: Any = None) -> InnerProblem:
    step = lambda theta, carry, x: carry._replace(params=carry.params * theta)
    return InnerProblem(step, gradient, optimiser)


def attempt(problem: InnerProblem, **options: Any) -> Any:
    carry = initial_carry(problem.optimiser or SGD(), jnp.ones(3))
    xs = options.pop("xs", jnp.arange(4))
    return solve(problem, options.pop("theta", jnp.ones(())), carry, xs, **options)


CASES = [
    (bare(), {"adjoint": FUSED}, "optimiser"),
    (bare(SGD(), SLOPE), {"adjoint": FUSED}, "rate"),
    (inner.problem(loss, Adam(), 0.1), {"adjoint": FUSED}, 'step="mixed"'),
    (inner.problem(loss, SGD(0.9), 0.1), {"adjoint": Separable()}, "momentum"),
    (inner.problem(loss, Adam(), 0.1), {"adjoint": Separable()}, "inner.SGD"),
    (bare(), {"adjoint": Separable()}, "inner.SGD"),
    (bare(), {"adjoint": Implicit()}, "InnerProblem.gradient"),
    (bare(SGD(), SLOPE), {"adjoint": Implicit()}, 'solver="neumann"'),
    (bare(SGD(), SLOPE), {"adjoint": Implicit("neumann")}, "InnerProblem.rate"),
    (bare(), {"adjoint": Forward(), "theta": jnp.ones(65)}, "limit=64"),
    (bare(), {"start": -1}, "start=-1"),
    (bare(), {"start": 3, "num_steps": 2}, "xs has 4 steps"),
    (bare(), {"start": 4}, "xs has 4 steps"),
    (bare(), {"num_steps": 5}, "xs has 4 steps"),
    (bare(), {"num_steps": 0}, "num_steps=0"),
    (bare(), {"start": jnp.asarray(1)}, "num_steps"),
    (bare(), {"xs": lambda t: t}, "num_steps"),
    (bare(), {"xs": (jnp.arange(3), jnp.arange(4))}, "leading ax"),
]


@pytest.mark.parametrize(("problem", "options", "says"), CASES)
def test_impossible_pairs(problem: InnerProblem, options: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        attempt(problem, **options)


SETTINGS = [
    (lambda: Backprop("stpe"), "Did you mean 'step'"),
    (lambda: Backprop(step="fast"), "fused"),
    (lambda: Backprop(inner=3), 'remat="nested"'),
    (lambda: Backprop("nested", 0), "inner=0"),
    (lambda: Implicit("lu"), "neumann"),
    (lambda: Implicit(terms=0), "terms=0"),
    (lambda: Implicit(damping=-1.0), "damping"),
    (lambda: SGD(1.0), "momentum"),
    (lambda: SGD(weight_decay=-1.0), "weight_decay"),
    (lambda: Adam(b2=1.0), "b2"),
    (lambda: Adam(eps=0.0), "eps"),
    (lambda: Adam(eps_root=0.0), "1e-30"),
    (lambda: inner.problem(loss, SGD(), 0.0), "rate=0.0"),
    (lambda: named(AdjointSpec("stop")), "Did you mean 'step'"),  # pyright: ignore
]


@pytest.mark.parametrize(("make", "says"), SETTINGS)
def test_settings_out_of_range(make: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()


@pytest.mark.parametrize("adjoint", [FUSED, MIXED, Forward(limit=1000)])
def test_forward_mode_needs_a_convolution_that_allows_it(adjoint: Any) -> None:
    image = jnp.ones((2, 4, 4, 5))

    def conv_loss(theta: Any, params: jax.Array, x: Any) -> jax.Array:
        kernel = theta * params.reshape(3, 3, 5, 2)
        return jnp.square(convolve(image, kernel, padding=1)).sum()

    problem = inner.problem(conv_loss, SGD(), 0.1)
    carry = initial_carry(SGD(), jnp.ones(90))
    run = lambda theta, adjoint: solve(
        problem, theta, carry, jnp.arange(2), adjoint=adjoint
    ).params.sum()
    with pytest.raises(InputError, match=r'conv="rows".*adjoint'):
        jax.eval_shape(lambda theta: run(theta, adjoint), jnp.ones(()))
    jax.eval_shape(jax.grad(lambda theta: run(theta, Backprop())), jnp.ones(()))


def test_forward_mode_is_for_theta_alone() -> None:
    problem = inner.problem(loss, SGD(), 0.1)

    def of(params: jax.Array, scale: jax.Array) -> jax.Array:
        carry = initial_carry(SGD(), params * scale)
        return solve(
            problem, scale, carry, jnp.arange(2), adjoint=Forward()
        ).params.sum()

    with pytest.raises(InputError, match="stop_gradient"):
        jax.grad(of)(jnp.ones(3), jnp.ones(()))


def test_names_of_configurations() -> None:
    assert named(AdjointSpec()) == Backprop()
    assert named(AdjointSpec("fused", inner=4)) == Backprop("nested", 4, "fused")
    assert named(AdjointSpec("nested")) == Backprop("nested")
    assert named(AdjointSpec("implicit_cg", 5, 0.1)) == Implicit("cg", 5, 0.1)
    assert named(AdjointSpec("separable")) == Separable()
    assert named(AdjointSpec("forward")) == Forward()
