"""Problems in portions: the same gradients, in the memory of a few rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.errors import InputError
from jaxdd.unroll import (
    SGD,
    Adam,
    Backprop,
    Implicit,
    InnerProblem,
    in_portions,
    initial_carry,
    inner,
    measure_memory,
    solve,
)

ROWS, STEPS, INPUTS, HIDDEN = 6, 3, 5, 4


def whole(optimiser=SGD()):
    """A smooth network on the rows that x names, by a learned rate."""

    def loss(theta, params, x):
        hiddens = jnp.tanh(theta["image"][x] @ params[:INPUTS])
        return jnp.mean((hiddens @ params[INPUTS:].T - theta["target"][x]) ** 2)

    rate = inner.learned_rate(lambda theta, x: theta["log_rate"])
    return inner.problem(loss, optimiser, rate)


def pairs(theta, x):
    del theta
    return x.reshape(-1, 2)


def inputs(rows=ROWS):
    rng = np.random.default_rng(0)
    theta = {
        "image": jnp.asarray(rng.standard_normal((rows, INPUTS))),
        "target": jnp.asarray(rng.standard_normal((rows, INPUTS))),
        "log_rate": jnp.log(jnp.asarray(0.3)),
    }
    params = jnp.asarray(rng.standard_normal((2 * INPUTS, HIDDEN)))
    xs = jnp.stack([jnp.asarray(rng.permutation(rows)) for _ in range(STEPS)])
    return theta, params, xs


@pytest.mark.parametrize(
    ("optimiser", "adjoint"),
    [
        (SGD(0.9, 0.01), Backprop()),
        (SGD(), Backprop("nested", 2)),
        (SGD(), Backprop(step="fused")),
        (Adam(), Backprop("none")),
        (SGD(), Implicit(terms=3)),
    ],
    ids=str,
)
def test_portions_change_no_gradient(optimiser, adjoint, x64):
    theta, params, xs = inputs()

    def outer(theta, params, problem):
        carry = initial_carry(optimiser, params)
        end = solve(problem, theta, carry, xs, adjoint=adjoint)
        return jnp.sum(jnp.sin(end.params))

    problem = whole(optimiser)
    both = problem, in_portions(problem, pairs)
    run = lambda: [jax.value_and_grad(outer, (0, 1))(theta, params, p) for p in both]
    one, other = jax.jit(run)()
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-12)


def test_portions_take_the_memory_of_a_few_rows():
    """Two of 512 rows at a time; the default adjoint adds no checkpoint of its own."""
    theta, params, xs = inputs(512)
    carry, problem = initial_carry(SGD(), params), whole()
    portioned = in_portions(problem, pairs)
    needed = [measure_memory(p, theta, carry, xs) for p in (problem, portioned)]
    saved = (512 - 2) * HIDDEN * params.dtype.itemsize  # one map, at the least
    assert needed[0] - needed[1] > saved
    bare = measure_memory(portioned, theta, carry, xs, Backprop("none"))
    assert needed[1] == bare


def test_portions_compute_each_map_twice():
    """Once forwards and once on the way back, not three times."""
    theta, params, xs = inputs()
    carry = initial_carry(SGD(), params)

    def count(problem):
        def outer(theta):
            end = solve(problem, theta, carry, xs)
            return jnp.sum(end.params)

        return str(jax.make_jaxpr(jax.grad(outer))(theta)).count(" tanh ")

    assert count(whole()) == count(in_portions(whole(), pairs)) == 2


def test_portions_need_a_loss():
    with pytest.raises(InputError, match=r"InnerProblem\.loss"):
        in_portions(InnerProblem(lambda theta, carry, x: carry), pairs)


def by_rows(steps, images=64):
    """The problem on rows of theta that are gathered once a step, and its inputs."""
    rng = np.random.default_rng(0)
    theta, params, _ = inputs(images)
    xs = jnp.stack([jnp.asarray(rng.permutation(images)) for _ in range(steps)])

    def loss(theta, params, part):
        image, target = part
        hiddens = jnp.tanh(image @ params[:INPUTS])
        return jnp.mean((hiddens @ params[INPUTS:].T - target) ** 2)

    def gathered(theta, x):
        rows = theta["image"][x], theta["target"][x]
        return jax.tree.map(lambda leaf: leaf.reshape(-1, 2, INPUTS), rows)

    rate = inner.learned_rate(lambda theta, x: theta["log_rate"])
    return in_portions(inner.problem(loss, SGD(), rate), gathered), theta, params, xs


def test_portions_may_be_rows_of_theta(x64):
    problem, theta, params, xs = by_rows(STEPS)

    def outer(theta, problem):
        end = solve(problem, theta, initial_carry(SGD(), params), xs)
        return jnp.sum(jnp.sin(end.params))

    one, other = (jax.grad(outer)(theta, p) for p in (whole(), problem))
    for name, leaf in one.items():
        np.testing.assert_allclose(other[name], leaf, rtol=1e-9, atol=1e-12)


def test_steps_keep_no_copies_of_the_rows():
    needed = []
    for steps in (2, 42):
        problem, theta, params, xs = by_rows(steps)
        needed.append(measure_memory(problem, theta, initial_carry(SGD(), params), xs))
    kept = 40 * 2 * params.size * params.dtype.itemsize  # parameters and gradient
    copies = 40 * theta["image"].size * theta["image"].dtype.itemsize
    assert needed[1] - needed[0] < kept + copies / 2
