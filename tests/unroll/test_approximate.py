"""Adjoints with gradients of their own, against their definitions and their bias."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxdd.unroll import (
    SGD,
    Backprop,
    Implicit,
    InnerProblem,
    Separable,
    asymmetry,
    initial_carry,
    solve,
)
from tests.unroll import cases

STEPS, BETA = 6, 0.3


def run(case: cases.Quadratic, theta: Any, first: Any, **options: Any) -> Any:
    """The parameters after `STEPS` steps from `first`."""
    carry = initial_carry(SGD(), jnp.asarray(first))
    options = {"num_steps": STEPS} | options
    return solve(case.problem, theta, carry, lambda t: t, **options).params


def quadratic_gradients(case: cases.Quadratic, first: Any, options: dict) -> dict:
    """Of weights @ end by theta, for several options of `solve`."""
    functions = {
        name: lambda theta, chosen=chosen: (
            case.weights @ run(case, theta, first, **chosen)
        )
        for name, chosen in options.items()
    }
    found = cases.gradients(functions, jnp.asarray(case.theta))
    return {name: value[0] for name, value in found.items()}


def test_separable_is_the_gradient_of_its_surrogate(x64: None) -> None:
    case, optimiser = cases.classifier(), SGD(0.0, 0.01)

    def surrogate(image: Any, log_rate: Any, params: Any) -> jax.Array:
        theta = {**case.theta, "image": image, "log_rate": log_rate}
        moved = params
        for x in case.xs:
            fixed = lax.stop_gradient(params)
            slope = jax.grad(case.loss, 1)(theta, fixed, x)
            step = jax.tree.map(
                lambda p, g: -jnp.exp(log_rate) * (g + 0.01 * p), fixed, slope
            )
            moved, params = jax.tree.map(jnp.add, (moved, params), (step, step))
        return cases.end_loss(moved)

    functions = {
        "surrogate": surrogate,
        "separable": cases.outer(case, optimiser, adjoint=Separable()),
        "exact": cases.outer(case, optimiser),
        "one": cases.outer(case, optimiser, adjoint=Separable(), num_steps=1),
        "exact of one": cases.outer(case, optimiser, num_steps=1),
    }
    found = cases.gradients(functions, *cases.point(case))
    assert cases.distance(found["separable"], found["surrogate"]) < 1e-10
    assert cases.distance(found["separable"], found["exact"]) > 0.01
    # One step: exact by theta, and not half of it as in the authors' code.
    assert cases.distance(found["one"][:2], found["exact of one"][:2]) < 1e-10


def test_the_error_of_separable_on_a_quadratic(x64: None) -> None:
    case = cases.quadratic(BETA)
    found = quadratic_gradients(
        case, case.params, {"separable": {"adjoint": Separable()}, "exact": {}}
    )
    # Each step adds A^T beta Q lambda; exact: with (I - beta Q)^(T-1-t) before lambda.
    decay, error = np.eye(len(case.q)) - BETA * case.q, 0.0
    for t in range(STEPS):
        power = np.linalg.matrix_power(decay, STEPS - 1 - t) - np.eye(len(case.q))
        error = error - BETA * case.a.T @ case.q @ power @ case.weights
    got = found["separable"] - found["exact"]
    assert cases.distance(got, error) < 1e-10


def test_truncated_backprop_at_the_optimum_is_neumann(x64: None) -> None:
    case = cases.quadratic(BETA)
    best = case.a @ case.theta
    found = quadratic_gradients(
        case,
        best,
        {
            "window": {"start": 2, "num_steps": 4},
            "neumann": {"adjoint": Implicit("neumann", terms=4)},
            "more": {"adjoint": Implicit("neumann", terms=5)},
        },
    )
    assert cases.distance(found["neumann"], found["window"]) < 1e-12
    assert cases.distance(found["more"], found["window"]) > 1e-3


def test_conjugate_gradients_and_long_unrolls_reach_the_implicit_one(x64: None) -> None:
    case = cases.quadratic(BETA)
    best = case.a @ case.theta
    found = quadratic_gradients(
        case,
        best,
        {
            "cg": {"adjoint": Implicit("cg", terms=4)},
            "damped": {"adjoint": Implicit("cg", terms=4, damping=0.5)},
            "long": {"num_steps": 200},
            "short": {"num_steps": 5},
        },
    )
    # The optimum is A theta, so d (weights @ p) / d theta = A^T weights.
    exact = case.a.T @ case.weights
    damped = np.linalg.solve(case.q + 0.5 * np.eye(len(case.q)), case.weights)
    assert cases.distance(found["cg"], exact) < 1e-10
    assert cases.distance(found["long"], exact) < 1e-10
    assert cases.distance(found["short"], exact) > 0.01
    assert cases.distance(found["damped"], case.a.T @ case.q @ damped) < 1e-10


def test_weight_decay_belongs_to_the_optimality_condition(x64: None) -> None:
    case = cases.quadratic(BETA, SGD(0.0, 0.2))
    hessian = case.q + 0.2 * np.eye(len(case.q))
    best = np.linalg.solve(hessian, case.q @ case.a @ case.theta)
    found = quadratic_gradients(
        case, best, {"cg": {"adjoint": Implicit("cg", terms=4)}}
    )
    exact = case.a.T @ case.q @ np.linalg.solve(hessian, case.weights)
    assert cases.distance(found["cg"], exact) < 1e-10


def test_asymmetry_tells_gradients_from_other_maps(x64: None, key: jax.Array) -> None:
    case = cases.quadratic(BETA)
    at = (jnp.asarray(case.theta), jnp.asarray(case.params), 0.0, key)
    turn = np.triu(np.ones((4, 4)))
    slope = lambda theta, params, x: turn @ params
    turned = InnerProblem(case.problem.step, slope)
    assert float(asymmetry(case.problem, *at)) < 1e-12
    assert float(asymmetry(turned, *at)) > 0.01


@pytest.mark.parametrize("adjoint", [Implicit(), Backprop()])
def test_the_first_carry_counts_only_where_it_matters(adjoint: Any, x64: None) -> None:
    case = cases.quadratic(BETA)
    of = lambda first: case.weights @ run(case, case.theta, first, adjoint=adjoint)
    got = jax.jit(jax.grad(of))(jnp.asarray(case.params))
    decay = np.linalg.matrix_power(np.eye(len(case.q)) - BETA * case.q, STEPS)
    expected = 0.0 if isinstance(adjoint, Implicit) else decay @ case.weights
    np.testing.assert_allclose(got, expected * np.ones(len(case.q)), atol=1e-12)
