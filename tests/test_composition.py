"""compose: order of a step, gradient, per-class updates; one_shot."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdd.base import (
    Batch,
    Decoder,
    Distiller,
    InputError,
    Nothing,
    PerClass,
    Pool,
    Synthetic,
    Variables,
)
from jaxdd.composition import compose, one_shot
from tests.helpers import toy_corpus


def decoder(classes: int = 2, ipc: int = 2) -> Decoder:
    target = jnp.repeat(jnp.arange(classes), ipc)

    def decode(params, assets, key, rows=None):
        whole = Synthetic(params, target, jnp.ones(len(target)))
        return whole if rows is None else jax.tree.map(lambda a: a[rows], whole)

    def init(key, corpus, assets):
        return jax.random.normal(key, (classes * ipc, 1, 1, 1))

    return Decoder(init, decode, lambda p: jnp.clip(p, -5, 5), lambda p: p.size)


def counting_pool() -> Pool:
    """Remembers the mean of the set it was last updated with."""
    return Pool(
        init=lambda key, assets, synthetic: jnp.zeros(()),
        draw=lambda key, pool, assets: (jnp.int32(0), Variables(jnp.ones(()), {})),
        update=lambda key, pool, index, synthetic, batch: synthetic.image.mean(),
    )


def class_mean_distance(synthetic, batch, variables, assets, key):
    k = batch.image.shape[0]
    own = synthetic.image.reshape(k, -1).mean(1)
    real = batch.image.reshape(k, -1).mean(1)
    loss = jnp.sum((own - real) ** 2)
    return loss, {"loss": loss}


def build(update: str = "joint", outer=None) -> Distiller:
    return compose(
        decoder(),
        class_mean_distance,
        counting_pool(),
        outer or optax.sgd(0.5),
        PerClass(3),
        update=update,
    )


@pytest.fixture
def batch(key: jax.Array) -> Batch:
    image = jax.random.normal(key, (2, 3, 1, 1, 1))
    return Batch(
        image, jnp.zeros((2, 3), int), jnp.zeros((2, 3), int), jnp.ones((2, 3))
    )


def test_step_is_the_optimiser_applied_to_the_gradient(key, batch) -> None:
    distiller = build()
    state = distiller.init(key, toy_corpus(), {})
    after, metrics = distiller.step(state, batch, {})
    assert distiller.gradient is not None
    grads, same = distiller.gradient(state, batch, {})
    np.testing.assert_allclose(after.params, state.params - 0.5 * grads, rtol=1e-6)
    assert float(metrics["loss"]) == float(same["loss"])


def test_pool_sees_the_new_set(key: jax.Array, batch: Batch) -> None:
    distiller = build()
    state = distiller.init(key, toy_corpus(), {})
    after, _ = distiller.step(state, batch, {})
    np.testing.assert_allclose(after.pool, after.params.mean(), rtol=1e-6)


def test_project_bounds_the_parameters(key: jax.Array, batch: Batch) -> None:
    distiller = build(outer=optax.sgd(1e4))
    after, _ = distiller.step(distiller.init(key, toy_corpus(), {}), batch, {})
    assert float(jnp.abs(after.params).max()) == 5


def test_per_class_equals_joint_for_plain_sgd(key: jax.Array, batch: Batch) -> None:
    joint, split = build(), build("per_class")
    state = joint.init(key, toy_corpus(), {})
    one, metrics = joint.step(state, batch, {})
    other, summed = split.step(state, batch, {})
    np.testing.assert_allclose(one.params, other.params, rtol=1e-6)
    np.testing.assert_allclose(metrics["loss"], summed["loss"], rtol=1e-6)
    assert split.gradient is None


def test_per_class_momentum_moves_all_classes(key: jax.Array, batch: Batch) -> None:
    """One optimiser step per class: each also moves the others by their momentum."""
    distiller = build("per_class", optax.sgd(0.5, momentum=0.5))
    state = distiller.init(key, toy_corpus(), {})
    for _ in range(2):
        before, (state, _) = state, distiller.step(state, batch, {})
    x = np.asarray(before.params, np.float64).reshape(2, 2)
    trace = np.asarray(before.opt[0].trace, np.float64).reshape(2, 2)
    real = np.asarray(batch.image).reshape(2, 3).mean(1)
    for c in range(2):
        grad = np.zeros_like(x)
        grad[c] = x[c].mean() - real[c]
        trace = 0.5 * trace + grad
        x = x - 0.5 * trace
    np.testing.assert_allclose(state.params.reshape(2, 2), x, rtol=1e-5)


def test_unknown_update_is_refused() -> None:
    with pytest.raises(InputError, match="update='serial'"):
        build("serial")


def test_one_shot_changes_nothing_after_init(key: jax.Array) -> None:
    distiller = one_shot(
        lambda key, corpus, assets: Synthetic(
            corpus.image[:2] / 255, corpus.label[:2], jnp.ones(2)
        )
    )
    assert isinstance(distiller.feed, Nothing)
    state = distiller.init(key, toy_corpus(), {})
    after, metrics = distiller.step(state, None, {})
    assert metrics == {}
    np.testing.assert_array_equal(after.params["image"], state.params["image"])
    exported = distiller.export(after, {})
    assert exported.image.shape == (2, 8, 8, 1)
