"""Optimisers against hand-written steps."""

import dataclasses
import math
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdd.errors import InputError
from jaxdd.records import (
    AdaBelief,
    Adam,
    AdamW,
    Decay,
    Lamb,
    Lars,
    Listed,
    OptimiserSpec,
    Sgd,
    Steps,
    Warmup,
)
from jaxdd.training import optimisers

PARAMS = {
    "kernel": np.array([[1.0, -2.0], [0.5, 3.0]]),
    "bias": np.array([0.3, -0.7]),
}


def _gradients(num_steps):
    rng = np.random.default_rng(1)
    return [
        {name: rng.standard_normal(p.shape) for name, p in PARAMS.items()}
        for _ in range(num_steps)
    ]


def _run(spec, gradients):
    """The parameters after each optimiser step."""
    optimiser = optimisers.build(spec, len(gradients))
    params = jax.tree.map(jnp.asarray, PARAMS)
    state, visited = optimiser.init(params), []
    for gradient in gradients:
        updates, state = optimiser.update(
            jax.tree.map(jnp.asarray, gradient), state, params
        )
        params = optax.apply_updates(params, updates)
        visited.append(params)
    return visited


def _assert_equal_trees(actual, expected):
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-12, atol=1e-13)


def test_sgd_adds_weight_decay_before_momentum(x64):
    gradients = _gradients(4)
    visited = _run(Sgd(0.1, 0.9, 0.05), gradients)
    params = {k: v.copy() for k, v in PARAMS.items()}
    buffer = {k: np.zeros_like(v) for k, v in PARAMS.items()}
    for gradient, actual in zip(gradients, visited, strict=True):
        for name in params:  # biases decay too
            buffer[name] = 0.9 * buffer[name] + gradient[name] + 0.05 * params[name]
            params[name] = params[name] - 0.1 * buffer[name]
        _assert_equal_trees(actual, params)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("trust", [0.02, 0.3])
def test_lars_equals_its_formula(clip, trust, x64):
    gradients = _gradients(5)
    gradients[1]["kernel"] *= 1e-3  # a small gradient: the clip at the rate acts
    spec = Lars(
        0.3,
        0.9,
        1e-4,
        trust=trust,
        clip_trust=clip,
        schedule=Decay("cosine"),
        warmup=Warmup(2),
    )
    visited = _run(spec, gradients)
    rate = [float(optimisers.schedule(spec, 5)(jnp.int32(t))) for t in range(5)]
    p, b = PARAMS["kernel"].copy(), PARAMS["bias"].copy()
    buffer_p, buffer_b = np.zeros_like(p), np.zeros_like(b)
    clipped = []
    for lr, gradient, actual in zip(rate, gradients, visited, strict=True):
        g, norm = gradient["kernel"], np.linalg.norm
        s = trust * norm(p) / (norm(g) + 1e-4 * norm(p) + 1e-8)
        clipped.append(s >= lr)
        if clip:
            s = min(s / lr, 1) if lr > 0 else 1
        buffer_p = 0.9 * buffer_p + s * (g + 1e-4 * p)
        buffer_b = 0.9 * buffer_b + gradient["bias"]
        p, b = p - lr * buffer_p, b - lr * buffer_b
        _assert_equal_trees(actual, {"kernel": p, "bias": b})
    assert True in clipped[1:]
    assert trust > 0.1 or False in clipped


def test_lars_passes_zero_weights_and_zero_gradients():
    transform = optimisers.scale_by_clipped_trust(lambda count: 0.1, 0.5)
    params = {"zero": jnp.zeros((2, 2)), "still": jnp.ones((2, 2))}
    gradient = {"zero": jnp.ones((2, 2)), "still": jnp.zeros((2, 2))}
    updates, _ = transform.update(gradient, transform.init(params), params)
    np.testing.assert_array_equal(updates["zero"], gradient["zero"])
    np.testing.assert_array_equal(updates["still"], gradient["still"])


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (Sgd(learning_rate=0.2), {0: 0.2, 100: 0.2}),
        (
            Sgd(learning_rate=0.2, schedule=Decay("linear", 1e-3)),
            {0: 0.2, 50: 0.2 * (1 + 1e-3) / 2, 100: 2e-4},
        ),
        (
            Sgd(learning_rate=0.2, schedule=Decay("cosine", 0.1)),
            {0: 0.2, 50: 0.2 * 0.55, 100: 0.02},
        ),
        (
            Sgd(learning_rate=0.2, schedule=Steps()),
            {0: 0.2, 49: 0.2, 50: 0.02, 100: 0.02},
        ),
        (
            Sgd(learning_rate=0.2, schedule=Decay("cosine"), warmup=Warmup(20)),
            {0: 0.0, 10: 0.1, 20: 0.2, 60: 0.1, 100: 0.0},
        ),
        (
            Sgd(
                learning_rate=0.2,
                schedule=Decay("cosine"),
                warmup=Warmup(20, start=0.02),
            ),
            {0: 0.02, 10: 0.11, 20: 0.2, 100: 0.0},
        ),
        (
            Sgd(learning_rate=0.2, schedule=Steps(), warmup=Warmup(20)),
            {10: 0.1, 49: 0.2, 50: 0.02},
        ),
    ],
)
def test_schedules_reach_their_values(spec, expected, x64):
    rate = optimisers.schedule(spec, 100)
    for step, value in expected.items():
        assert float(rate(jnp.asarray(step))) == pytest.approx(value, abs=1e-12)


def test_adamw_and_lamb_decay_apart_from_the_gradient(x64):
    zero = [jax.tree.map(np.zeros_like, PARAMS)]
    for kind in (AdamW, Lamb):
        (after,) = _run(kind(0.1, weight_decay=0.5), zero)
        assert not np.allclose(after["kernel"], PARAMS["kernel"])
    (after,) = _run(AdamW(0.1, weight_decay=0.5), zero)
    np.testing.assert_allclose(after["kernel"], PARAMS["kernel"] * 0.95, rtol=1e-12)


def test_clip_shrinks_each_leaf_by_its_own_norm(x64):
    gradient = {"kernel": np.full((2, 2), 3.0), "bias": np.array([0.1, 0.0])}
    spec = Sgd(1.0, 0.0, clip_norm=2.0)
    (after,) = _run(spec, [gradient])
    moved = PARAMS["kernel"] - after["kernel"]
    np.testing.assert_allclose(np.linalg.norm(moved), 2, rtol=1e-6)
    np.testing.assert_allclose(PARAMS["bias"] - after["bias"], gradient["bias"])


@pytest.mark.parametrize("kind", get_args(OptimiserSpec))
def test_every_optimiser_descends_under_jit_and_vmap(kind):
    spec = kind(0.05, schedule=Decay("linear", 0.1), warmup=Warmup(2))
    if kind in (Sgd, Lars):
        spec = dataclasses.replace(spec, momentum=0.5)
    optimiser = optimisers.build(spec, 30)

    @jax.jit
    @jax.vmap
    def descend(params):
        def step(carry, _):
            params, state = carry
            value, gradient = jax.value_and_grad(lambda p: jnp.sum(p["w"] ** 2))(params)
            updates, state = optimiser.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), value

        carry = (params, optimiser.init(params))
        return jax.lax.scan(step, carry, length=30)[1]

    values = descend({"w": jnp.arange(1.0, 13.0).reshape(2, 3, 2)})
    assert np.all(values[:, -1] < values[:, 0])


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (Sgd(schedule=Decay("cosin")), "optimiser.schedule.name='cosin' is unknown"),  # pyright: ignore
        (Sgd(-1.0), "optimiser.learning_rate"),
        (AdaBelief(math.nan), "optimiser.learning_rate"),
        (Adam(b2=1.0), "optimiser.b2"),
        (Sgd(schedule=Decay(final=-1.0)), "optimiser.schedule.final"),
        (Sgd(schedule=Listed((0.1, math.inf))), "optimiser.schedule.rates"),
        (Sgd(warmup=Warmup(10)), "optimiser.warmup.steps"),
        (Sgd(warmup=Warmup(start=-1e-5)), "optimiser.warmup.start"),
        (Lars(trust=math.inf), "optimiser.trust"),
        (Sgd(schedule=Steps((1.5,))), "optimiser.schedule.boundaries"),
        (Sgd(warmup=Warmup(share=1.0)), "optimiser.warmup.share"),
        (Sgd(warmup=Warmup(2, 0.5)), "only one"),
        (Adam(schedule=Steps(restart=True)), "restart"),
    ],
)
def test_bad_optimiser_settings_are_named(spec, named):
    with pytest.raises(InputError, match=named):
        optimisers.build(spec, 10)


def test_a_restart_is_a_new_optimiser_with_a_lower_rate(x64):
    gradients = _gradients(7)
    spec = Sgd(0.1, 0.9, 0.05, Steps((3 / 7, 5 / 7), 0.2, restart=True))
    visited = _run(spec, gradients)
    params = {k: v.copy() for k, v in PARAMS.items()}
    rate = 0.1
    for step, (gradient, actual) in enumerate(zip(gradients, visited, strict=True)):
        if step in (3, 5):
            rate *= 0.2
        if step in (0, 3, 5):
            buffer = {k: np.zeros_like(v) for k, v in PARAMS.items()}
        for name in params:
            buffer[name] = 0.9 * buffer[name] + gradient[name] + 0.05 * params[name]
            params[name] = params[name] - rate * buffer[name]
        _assert_equal_trees(actual, params)


def test_warmup_as_a_share_of_the_run():
    spec = Sgd(0.5, schedule=Decay("cosine"), warmup=Warmup(share=0.5))
    same = Sgd(0.5, schedule=Decay("cosine"), warmup=Warmup(10))
    steps = jnp.arange(21)
    np.testing.assert_allclose(
        optimisers.schedule(spec, 20)(steps), optimisers.schedule(same, 20)(steps)
    )


def test_clip_by_average_follows_its_recursion():
    clip = optimisers.clip_by_average(2.0, 0.9)
    state = clip.init({"image": jnp.zeros(2)})
    average = None
    for norm in (5.0, 1.0, 100.0, 3.0):
        update = {"image": jnp.array([0.6, 0.8]) * norm}
        scaled, state = clip.update(update, state)
        average = norm if average is None else 0.9 * average + 0.1 * norm
        expected = min(norm, 2 * average)
        np.testing.assert_allclose(
            jnp.linalg.norm(scaled["image"]), expected, rtol=1e-6
        )
    # Only the third norm exceeds twice the average, which holds it already.
    assert 100 > 2 * (0.9 * (0.9 * 5 + 0.1 * 1) + 0.1 * 100)


def test_an_optimiser_for_each_part() -> None:
    params = {"image": jnp.ones(3), "hyper": {"log_rate": jnp.float32(2)}}
    parts = {"image": optax.sgd(1.0), "hyper": optax.sgd(0.1), "target": optax.sgd(9)}
    optimiser = optimisers.by_part(parts)
    updates, _ = optimiser.update(params, optimiser.init(params), params)
    np.testing.assert_allclose(updates["image"], -np.ones(3))
    np.testing.assert_allclose(updates["hyper"]["log_rate"], -0.2)
    with pytest.raises(KeyError, match="other"):
        optimiser.init({**params, "other": jnp.ones(1)})


def test_a_gated_step_leaves_parameters_and_momentum() -> None:
    optimiser = optimisers.gated(optax.sgd(0.1, momentum=0.5), 1.0)
    params = jnp.array([1.0, 2.0])
    first, state = optimiser.update(params, optimiser.init(params), value=0.9)
    np.testing.assert_allclose(first, -0.1 * params)
    still, same = optimiser.update(params, state, value=1.1)
    assert not np.any(still)
    np.testing.assert_array_equal(same.inner_state[0].trace, state.inner_state[0].trace)
    moved, _ = optimiser.update(params, same, value=1.0)
    np.testing.assert_allclose(moved, -0.15 * params, rtol=1e-6)
