"""GSAM against its formula, and its invariants."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdd.errors import InputError
from jaxdd.prepare.expert_course import course_of
from jaxdd.prepare.flat import gsam
from tests.prepare.cases import EXPERTS, replaced, toy_dataset


def curved(params):
    """A loss with third derivatives, so that two points differ in their gradients."""
    a, b = params["a"], params["b"]
    return jnp.sum(jnp.sin(a) * jnp.roll(a, 1)) + jnp.sum(b**3) * jnp.sum(a) + a[0] ** 4


def params_of(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "a": jnp.asarray(rng.standard_normal(5)),
        "b": jnp.asarray(rng.standard_normal((2, 3))),
    }


def taken(radius, alpha, params):
    """What the optimiser gets, and the points at which gradients were taken."""
    points = []

    def gradient(at):
        points.append(at)
        return jax.value_and_grad(curved)(at)

    value, found = gsam(radius, alpha)(gradient, params)
    return value, found, points


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def test_it_equals_the_formula(x64):
    radius, alpha, params = 0.3, 0.7, params_of()
    value, found, _ = taken(radius, alpha, params)
    weights, slope = flat(params), flat(jax.grad(curved)(params))
    move = radius * weights**2 * slope / np.linalg.norm(np.abs(weights) * slope)
    moved = {"a": jnp.asarray((weights + move)[:5])}
    moved["b"] = jnp.asarray((weights + move)[5:].reshape(2, 3))
    there = flat(jax.grad(curved)(moved))
    cosine = slope @ there / np.linalg.norm(slope) / np.linalg.norm(there)
    across = slope - cosine * np.linalg.norm(slope) * there / np.linalg.norm(there)
    np.testing.assert_allclose(flat(found), there - alpha * across, rtol=1e-9)
    assert value == curved(params)


def test_the_move_has_the_radius_and_the_rest_is_orthogonal(x64):
    params = params_of(1)
    _, found, points = taken(0.05, 1.0, params)
    here, there = flat(points[0]), flat(points[1])
    assert np.linalg.norm((there - here) / here) == pytest.approx(0.05, rel=1e-9)
    second = flat(jax.grad(curved)(points[1]))
    across = second - flat(found)  # alpha 1
    assert abs(across @ second) < 1e-9 * np.linalg.norm(across) * np.linalg.norm(second)
    assert np.linalg.norm(across) > 1e-3


def test_no_radius_and_no_alpha_is_the_gradient(x64):
    params = params_of(2)
    plain = flat(jax.grad(curved)(params))
    np.testing.assert_allclose(flat(taken(0.0, 0.0, params)[1]), plain, rtol=1e-12)
    np.testing.assert_allclose(flat(taken(0.0, 1.0, params)[1]), plain, rtol=1e-9)
    far = flat(taken(0.3, 0.0, params)[1])
    assert np.linalg.norm(far - plain) > 1e-2 * np.linalg.norm(plain)


def test_weights_and_gradients_of_zero_stay_finite():
    zeros = jax.tree.map(jnp.zeros_like, params_of())
    for found in taken(0.1, 0.5, zeros)[1].values():
        assert jnp.isfinite(found).all()


def test_flat_experts_train_like_plain_ones_without_radius_and_alpha():
    corpus = toy_dataset().train
    states = {}
    for kind, radius in (("plain", 0.0), ("flat", 0.0), ("flat", 0.5)):
        experts = replaced(EXPERTS, kind=kind, radius=radius, alpha=0.0)
        course = course_of(experts, corpus)
        state, _ = jax.jit(course.run.step)(
            jax.jit(course.run.init)(jax.random.key(0)), course.data
        )
        states[kind, radius] = state.variables.params
    apart = lambda a, b: float(optax.tree.norm(optax.tree.sub(a, b)))
    assert apart(states["plain", 0.0], states["flat", 0.0]) < 1e-6
    assert apart(states["plain", 0.0], states["flat", 0.5]) > 1e-4


@pytest.mark.parametrize(
    ("name", "value"), [("radius", -0.1), ("alpha", float("nan")), ("count", 0)]
)
def test_settings_without_meaning(name, value):
    with pytest.raises(InputError, match=rf"experts\.{name}="):
        course_of(replaced(EXPERTS, **{name: value}), toy_dataset().train)


@pytest.mark.parametrize("kind", ["flat", "smooth"])
def test_a_few_rows_at_a_time_make_the_same_step(kind, monkeypatch):
    corpus, after = toy_dataset().train, {}
    # `jaxdd.training.trainer` is the function as well.
    module = importlib.import_module("jaxdd.training.trainer")
    for rows in (20, 6):
        monkeypatch.setattr(module, "portion_rows", lambda *_, rows=rows: rows)
        experts = replaced(EXPERTS, kind=kind, radius=0.1)
        course = course_of(experts, corpus)
        state = jax.jit(course.run.init)(jax.random.key(0))
        step = jax.jit(lambda s, d, run=course.run: run.step(s, d))
        for _ in range(3):  # the last batch of the epoch is partial
            state, metrics = step(state, course.data)
        after[rows] = state.variables.params, metrics["loss"]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        after[20],
        after[6],
    )
