"""The comparison of adjoints: its numbers on a quadratic, its table."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.errors import InputError
from jaxdd.unroll import SGD, Backprop, Separable, initial_carry, inner, solve
from jaxdd.unroll.compare import Comparison, Row, compare_adjoints

RATE, STEPS, SIZE = 0.1, 8, 4


def hessian() -> jnp.ndarray:
    return jnp.diag(jnp.asarray([0.5, 1.0, 2.0, 4.0]))


def quadratic():
    """loss = p' Q p / 2 - p' (theta + x), from zero; theta is what is learned."""

    def loss(theta, params, x):
        pull = jnp.vdot(params, theta["image"] + x)
        return 0.5 * params @ (hessian() @ params) - pull

    return inner.problem(loss, SGD(), RATE)


def outer(theta, carry):
    return jnp.sum(carry.params)


def inputs():
    theta = {"image": jnp.arange(1.0, SIZE + 1), "label": jnp.arange(2)}
    carry = initial_carry(SGD(), jnp.zeros(SIZE))
    return theta, carry, jnp.zeros((STEPS, SIZE))


def compared(adjoints, **options) -> Comparison:
    theta, carry, xs = inputs()
    xs = options.pop("xs", xs)
    return compare_adjoints(
        quadratic(), outer, theta, carry, xs, adjoints, repeats=1, **options
    )


def test_rows_hold_closed_forms(x64):
    """Exact: rate sum_t (1 - rate q)^t for each q; TESLA: rate T."""
    found = compared({"none": Backprop("none"), "tesla": Separable()})
    q = np.diag(hessian())
    exact = RATE * ((1 - RATE * q)[None] ** np.arange(STEPS)[:, None]).sum(0)
    tesla = np.full(SIZE, RATE * STEPS)
    norm = np.linalg.norm
    assert found["none"].bias < 1e-14
    assert found["none"].cosine == pytest.approx(1.0, abs=1e-12)
    assert found["tesla"].bias == pytest.approx(norm(tesla - exact) / norm(exact))
    cosine = tesla @ exact / norm(tesla) / norm(exact)
    assert found["tesla"].cosine == pytest.approx(cosine)
    assert math.isnan(found["tesla"].variance)
    for row in found.rows:
        assert min(row.bytes, row.flops, row.seconds) > 0


def test_flops_are_those_of_one_step(x64):
    """The same count whatever the number of steps."""
    counts = [
        compared({"step": Backprop()}, xs=jnp.zeros((steps, SIZE)))["step"].flops
        for steps in (4, 16)
    ]
    assert counts[0] == pytest.approx(counts[1], rel=0.01)


def test_keys_draw_the_inputs_and_give_variances(x64, key):
    """An unbiased noisy estimator: exact gradient plus noise of known variance."""
    noise = 0.3

    def noisy(theta, carry, xs, key):
        run = lambda image: outer(
            None, solve(quadratic(), theta | {"image": image}, carry, xs)
        )
        value, gradient = jax.value_and_grad(run)(theta["image"])
        gradient += noise * jax.random.normal(key, gradient.shape)
        return value, {"image": gradient}

    keys = jax.random.split(key, 400)
    draw = lambda key: jax.random.normal(key, (STEPS, SIZE))
    found = compared({"noisy": noisy, "step": Backprop()}, keys=keys, xs=draw)
    q = np.diag(hessian())
    exact = RATE * ((1 - RATE * q)[None] ** np.arange(STEPS)[:, None]).sum(0)
    expected = SIZE * noise**2 / np.sum(exact**2)
    assert found["noisy"].variance == pytest.approx(expected, rel=0.15)
    limit = 4 * np.sqrt(expected / len(keys))
    assert 0 < found["noisy"].bias < limit
    assert found["step"].variance < 1e-20  # linear: the inputs cancel


def test_table_is_aligned():
    row = Row("step", 1.0, 1e-16, math.nan, 2_500_000, 3e9, 0.0125)
    other = Row("separable", 0.5, 0.25, 0.5, 1000, 3e6, 1.5)
    lines = str(Comparison("Backprop()", (row, other))).splitlines()
    assert len({len(line) for line in lines[:-1]}) == 1
    assert lines[1].split() == ["step", "1.0000", "1e-16", "2.5", "3000", "12.5"]
    assert lines[2].split()[:4] == ["separable", "0.5000", "0.25", "0.5"]
    assert lines[-1] == "against Backprop()"


def test_nothing_to_compare_is_refused():
    with pytest.raises(InputError, match="adjoints"):
        compared({})
