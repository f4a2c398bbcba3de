"""Steps without derivative, windows, and transformations around `solve`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, PartitionSpec

from jaxdd.unroll import (
    SGD,
    Adam,
    Backprop,
    Separable,
    initial_carry,
    inner,
    solve,
)
from tests.unroll import cases


def test_a_window_of_all_steps_is_everything(x64: None) -> None:
    case = cases.classifier()
    options = {"start": jnp.asarray(0), "num_steps": cases.STEPS}
    functions = {
        "whole": cases.outer(case, SGD(0.9)),
        "window": cases.outer(case, SGD(0.9), **options),
    }
    found = cases.gradients(functions, *cases.point(case))
    # A traced start makes the first carry a constant; theta's part is the same.
    assert cases.distance(found["window"][:2], found["whole"][:2]) < 1e-12
    assert not any(leaf.any() for leaf in jax.tree.leaves(found["window"][2]))


def test_the_prefix_is_a_constant(x64: None) -> None:
    case = cases.classifier(random=True)
    start, optimiser = 1, Adam()
    problem = inner.problem(case.loss, optimiser, cases.rate)
    image, log_rate, params = cases.point(case)
    carry = initial_carry(optimiser, params)
    for t in range(start):
        carry = jax.jit(problem.step)(case.theta, carry, case.xs[t])

    def stopped(image: jax.Array, log_rate: jax.Array) -> jax.Array:
        theta, state = {**case.theta, "image": image, "log_rate": log_rate}, carry
        for t in range(start, start + 2):
            state = problem.step(theta, state, case.xs[t])
        return cases.end_loss(state.params)

    @jax.jit
    def windowed(start: Any) -> Any:
        def of(step: Any, image: jax.Array, log_rate: jax.Array) -> jax.Array:
            theta = {**case.theta, "image": image, "log_rate": log_rate}
            options = {"num_steps": 2, "start": start, "adjoint": Backprop(step=step)}
            first = initial_carry(optimiser, params)
            end = solve(problem, theta, first, lambda t: case.xs[t], **options)
            return cases.end_loss(end.params)

        return [jax.grad(of, (1, 2))(s, image, log_rate) for s in ("plain", "mixed")]

    expected = cases.gradient(stopped, image, log_rate)
    for got in windowed(start):
        assert cases.distance(got, expected) < 1e-8


def test_functions_and_arrays_of_steps_agree(x64: None) -> None:
    case = cases.classifier()
    problem = inner.problem(case.loss, SGD(), cases.rate)
    carry = initial_carry(SGD(), case.params)

    @jax.jit
    def run(xs: jax.Array) -> list:
        options = (
            (xs, {"start": 1}),
            (lambda t: xs[t], {"start": 1, "num_steps": 2}),
            (xs, {}),
            (xs, {"start": 1, "num_steps": 1}),
        )
        return [
            solve(problem, case.theta, carry, entries, **o).params
            for entries, o in options
        ]

    array, function, whole, fewer = run(case.xs)
    assert cases.distance(function, array) == 0
    assert cases.distance(whole, array) < 1e-15
    assert cases.distance(fewer, array) > 1e-3


ADJOINTS = [
    (Backprop("nested", step="fused"), SGD(0.5)),
    (Backprop(step="mixed"), Adam()),
    (Separable(), SGD()),
]


@pytest.mark.slow_cases("adjoint1-optimiser1")
@pytest.mark.parametrize(("adjoint", "optimiser"), ADJOINTS)
def test_many_windows_at_once(adjoint: Any, optimiser: Any, x64: None) -> None:
    """vmap, lax.map and shard_map over networks and starts, theta shared by all."""
    case = cases.classifier()
    problem = inner.problem(case.loss, optimiser, cases.rate)
    members = jax.tree.map(
        lambda leaf: np.stack([leaf * (1 + 0.1 * i) for i in range(4)]), case.params
    )
    starts = np.asarray([0, 1, 1, 0])
    floats = {name: case.theta[name] for name in ("image", "log_rate")}

    def one(floats: dict, params: Any, start: jax.Array) -> jax.Array:
        theta, carry = {**case.theta, **floats}, initial_carry(optimiser, params)
        options = {"num_steps": 2, "start": start, "adjoint": adjoint}
        return cases.end_loss(solve(problem, theta, carry, case.xs, **options).params)

    def mapped(floats: dict, *rest: Any) -> jax.Array:
        return lax.map(lambda given: one(floats, *given), rest).mean()

    def batched(floats: dict, *rest: Any) -> jax.Array:
        return lax.pmean(jax.vmap(one, (None, 0, 0))(floats, *rest).mean(), "device")

    mesh = jax.make_mesh((2,), ("device",), axis_types=(AxisType.Auto,))
    sharded = jax.shard_map(
        batched,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec("device"), PartitionSpec("device")),
        out_specs=PartitionSpec(),
    )
    expected, got = (
        jax.jit(jax.grad(function))(floats, members, starts)
        for function in (mapped, sharded)
    )
    assert cases.distance(got, expected) < 1e-12


def test_each_step_may_have_a_rate_of_its_own(x64: None) -> None:
    case = cases.quadratic(inner.learned_rate(lambda theta, t: theta["log_rates"][t]))
    log_rates = jnp.log(jnp.linspace(0.1, 0.4, 5))

    def of(log_rates: jax.Array, adjoint: Backprop) -> jax.Array:
        theta = {"image": jnp.asarray(case.theta), "log_rates": log_rates}
        carry = initial_carry(SGD(), jnp.asarray(case.params))
        end = solve(
            case.problem, theta, carry, lambda t: t, num_steps=5, adjoint=adjoint
        )
        return case.weights @ end.params

    # d end / d rate_t = -prod_{s>t} (I - rate_s Q) Q e_t, e_t the error before step t
    error, expected = case.params - case.a @ case.theta, []
    for t, rate in enumerate(np.exp(log_rates)):
        way = -rate * case.q @ error
        for later in np.exp(log_rates)[t + 1 :]:
            way = way - later * case.q @ way
        expected.append(case.weights @ way)
        error = error - rate * case.q @ error
    for adjoint in (Backprop(), Backprop(step="fused")):
        got = jax.jit(jax.grad(lambda r, a=adjoint: of(r, a)))(log_rates)
        assert cases.distance(got, jnp.asarray(expected)) < 1e-10
