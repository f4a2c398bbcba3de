"""Exact adjoints against plain autodiff, a closed form and finite differences."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.unroll import (
    SGD,
    Adam,
    Backprop,
    Forward,
    InnerProblem,
    initial_carry,
    inner,
    solve,
)
from tests.helpers import finite_difference
from tests.unroll import cases

NONE, STEP, NESTED = (Backprop(remat) for remat in ("none", "step", "nested"))
FUSED, MIXED = (Backprop(step=step) for step in ("fused", "mixed"))
OPTIMISERS = {
    "sgd": (SGD(), 1e-10, (NONE, NESTED, FUSED)),
    "decay": (SGD(0.0, 0.05), 1e-10, (Backprop("nested", 2, step="fused"),)),
    "momentum": (SGD(0.9, 0.05), 1e-10, (STEP, FUSED, MIXED)),
    "adam": (Adam(), 1e-8, (STEP, MIXED, Backprop("nested", 2, step="mixed"))),
}


def by_hand(case: cases.Case, optimiser: Any, image: Any, log_rate: Any, params: Any):
    """The outer loss by a Python loop and the optimisers' definitions."""
    theta = {**case.theta, "image": image, "log_rate": log_rate}
    rate, zeros = jnp.exp(log_rate), jax.tree.map(jnp.zeros_like, params)
    first, second = zeros, zeros
    for t in range(1, 1 + cases.STEPS):
        g = jax.grad(case.loss, 1)(theta, params, case.xs[t - 1])
        if isinstance(optimiser, SGD):
            mu, wd = optimiser.momentum, optimiser.weight_decay
            first = jax.tree.map(
                lambda v, g, p, mu=mu, wd=wd: mu * v + g + wd * p, first, g, params
            )
            params = jax.tree.map(lambda p, v: p - rate * v, params, first)
            continue
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, g)
        second = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g**2, second, g)
        params = jax.tree.map(
            lambda p, m, s, t=t: (
                p
                - rate
                * (m / (1 - 0.9**t))
                / (jnp.sqrt(s / (1 - 0.999**t) + 1e-30) + 1e-8)
            ),
            params,
            first,
            second,
        )
    return cases.end_loss(params)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_exact_adjoints_equal_plain_autodiff(name: str, x64: None) -> None:
    case = cases.classifier(random=name == "momentum")
    optimiser, tolerance, adjoints = OPTIMISERS[name]
    functions = {a: cases.outer(case, optimiser, adjoint=a) for a in adjoints}
    functions["by hand"] = lambda *given: by_hand(case, optimiser, *given)
    found = cases.gradients(functions, *cases.point(case))
    for adjoint in adjoints:
        assert cases.distance(found[adjoint], found["by hand"]) < tolerance, adjoint


def test_a_gradient_without_a_loss_is_enough(x64: None) -> None:
    # A rotation added to the gradient: the Jacobian is not symmetric any more.
    case = cases.classifier()
    turn = jnp.asarray(np.random.default_rng(0).standard_normal((3, 3)))

    def slope(theta: dict, params: dict, x: Any) -> dict:
        g = jax.grad(case.loss, 1)(theta, params, x)
        return {**g, "last": g["last"] + 0.1 * params["last"] @ turn}

    def of(adjoint: Backprop, image: jax.Array, log_rate: jax.Array) -> jax.Array:
        optimiser = SGD()
        step = lambda theta, carry, x: optimiser.update(
            slope(theta, carry.params, x), carry, cases.rate(theta, x)
        )
        problem = InnerProblem(step, slope, optimiser, rate=cases.rate)
        theta = {**case.theta, "image": image, "log_rate": log_rate}
        carry = initial_carry(optimiser, case.params)
        end = solve(problem, theta, carry, case.xs, adjoint=adjoint)
        return cases.end_loss(end.params)

    functions = {
        adjoint: lambda *given, adjoint=adjoint: of(adjoint, *given)
        for adjoint in (FUSED, STEP)
    }
    found = cases.gradients(functions, *cases.point(case)[:2])
    assert cases.distance(found[FUSED], found[STEP]) < 1e-10


def test_values_the_loss_closes_over_are_differentiated(x64: None) -> None:
    case = cases.classifier()

    def of(adjoint: Backprop, image: jax.Array) -> jax.Array:
        loss = lambda theta, params, x: case.loss(
            {**case.theta, "image": image}, params, x
        )
        problem = inner.problem(loss, SGD(0.9), 0.2)
        carry = initial_carry(SGD(0.9), case.params)
        return cases.end_loss(solve(problem, (), carry, case.xs, adjoint=adjoint))

    functions = {
        adjoint: lambda image, adjoint=adjoint: of(adjoint, image)
        for adjoint in (FUSED, STEP)
    }
    found = cases.gradients(functions, case.theta["image"])
    assert cases.distance(found[FUSED], found[STEP]) < 1e-10


@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_closed_form_of_a_quadratic(momentum: float, x64: None) -> None:
    beta, steps = 0.3, 6
    case = cases.quadratic(beta, SGD(momentum))
    size = len(case.params)
    q, eye, zero = case.q, np.eye(size), np.zeros((size, size))
    # (p, v) -> B (p, v) + C A theta, and the adjoint of C A is applied at every step.
    b = np.block([[eye - beta * q, -beta * momentum * eye], [q, momentum * eye]])
    c = np.concatenate([beta * q, -q])
    state, expected = np.concatenate([case.weights, zero[0]]), 0.0
    for _ in range(steps):
        expected = expected + case.a.T @ (c.T @ state)
        state = b.T @ state

    def of(theta: jax.Array, adjoint: Any) -> jax.Array:
        carry = initial_carry(SGD(momentum), jnp.asarray(case.params))
        xs = jnp.zeros(steps)
        end = solve(case.problem, theta, carry, xs, adjoint=adjoint)
        return case.weights @ end.params

    functions = {
        adjoint: lambda theta, adjoint=adjoint: of(theta, adjoint)
        for adjoint in (STEP, FUSED, MIXED, Forward())
    }
    found = cases.gradients(functions, jnp.asarray(case.theta))
    for adjoint in functions:
        assert cases.distance(found[adjoint], jnp.asarray(expected)) < 1e-10, adjoint


def test_pixels_and_rate_by_finite_differences(x64: None) -> None:
    case = cases.classifier()
    of = cases.outer(case, SGD(0.9), adjoint=Backprop(step="fused"))
    given = jax.tree.map(jnp.asarray, cases.point(case))
    pixels = jax.random.choice(jax.random.key(0), 30, (5,), replace=False)

    @jax.jit
    def few(values: tuple) -> jax.Array:
        image = given[0].reshape(-1).at[pixels].set(values[0]).reshape(given[0].shape)
        return of(image, values[1], given[2])

    at = (given[0].reshape(-1)[pixels], given[1])
    for slope, inside in finite_difference(few, at):
        assert slope == pytest.approx(inside, rel=1e-6)


def test_forward_mode_gives_the_rate_of_reverse_mode(x64: None) -> None:
    case = cases.classifier()
    image, log_rate, params = cases.point(case)
    problem = inner.problem(
        lambda theta, p, x: case.loss({**case.theta, "image": image}, p, x),
        SGD(0.9),
        inner.learned_rate(lambda theta, x: theta),
    )

    def of(log_rate: jax.Array, adjoint: Any) -> jax.Array:
        carry = initial_carry(SGD(0.9), params)
        return cases.end_loss(
            solve(problem, log_rate, carry, case.xs, adjoint=adjoint).params
        )

    forward, reverse = (
        jax.jit(jax.grad(lambda r, a=a: of(r, a)))(log_rate)
        for a in (Forward(), Backprop())
    )
    assert float(forward) == pytest.approx(float(reverse), rel=1e-12)


def test_recomputing_changes_nothing_in_single_precision() -> None:
    case = cases.classifier()
    given = cases.point(case)
    function = cases.outer(case, SGD(0.9), adjoint=Backprop("step"))
    compiled = jax.jit(jax.grad(function, (0, 1, 2)))
    once, again = compiled(*given), compiled(*given)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, once, again))
    functions = {a: cases.outer(case, SGD(0.9), adjoint=a) for a in (NONE, FUSED)}
    found = cases.gradients(functions, *given)
    assert cases.distance(once, found[NONE]) < 1e-6
    assert cases.distance(found[FUSED], found[NONE]) < 1e-6
