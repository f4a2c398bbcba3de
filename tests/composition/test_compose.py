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
    Nothing,
    PerClass,
    Pool,
    Segment,
    Segments,
    Synthetic,
    Variables,
)
from jaxdd.composition import compose, one_shot
from jaxdd.devices.mesh import make_mesh, replicate, use_mesh
from jaxdd.errors import InputError
from jaxdd.training import optimisers
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


def noisy_pool() -> Pool:
    """A number drawn at every step, and how often it was updated."""
    return Pool(
        init=lambda key, assets, synthetic: jnp.zeros((), jnp.int32),
        draw=lambda key, pool, assets: (
            jnp.int32(0),
            Variables(jax.random.normal(key), {}),
        ),
        update=lambda key, pool, index, synthetic, batch: pool + 1,
    )


def scaled_distance(synthetic, batch, variables, assets, key):
    loss = variables.params**2 * jnp.sum((synthetic.image - batch.image.mean()) ** 2)
    return loss, {"loss": loss}


def averaging(count: int) -> Distiller:
    return compose(
        decoder(),
        scaled_distance,
        noisy_pool(),
        optax.sgd(0.01),
        PerClass(3),
        meta_batch=count,
    )


def test_meta_batch_averages_over_networks(key: jax.Array, batch: Batch) -> None:
    distiller = averaging(3)
    state = distiller.init(key, toy_corpus(), {})
    after, metrics = distiller.step(state, batch, {})
    draw = jax.random.split(jax.random.fold_in(state.key, 0), 4)[1]
    numbers = np.array([jax.random.normal(k) for k in jax.random.split(draw, 3)])
    away = np.asarray(state.params - batch.image.mean())
    want = np.mean(numbers**2) * 2 * away
    assert distiller.gradient is not None
    grads, same = distiller.gradient(state, batch, {})
    np.testing.assert_allclose(grads, want, rtol=1e-5)
    np.testing.assert_allclose(after.params, state.params - 0.01 * want, rtol=1e-5)
    want_loss = np.mean(numbers**2) * np.sum(away**2)
    np.testing.assert_allclose(metrics["loss"], want_loss, rtol=1e-5)
    assert same.keys() == metrics.keys()
    assert np.asarray(after.pool).tolist() == [1, 1, 1]


def test_meta_batch_spread_over_devices(key: jax.Array, batch: Batch) -> None:
    mesh = make_mesh(data=4)
    distiller = averaging(8)
    state = distiller.init(key, toy_corpus(), {})

    def spread(state, batch):
        with use_mesh(mesh):
            return distiller.step(state, batch, {})

    alone, metrics = jax.jit(lambda *given: distiller.step(*given, {}))(state, batch)
    many, same = jax.jit(spread)(*replicate(mesh, (state, batch)))
    np.testing.assert_allclose(many.params, alone.params, rtol=1e-6)
    np.testing.assert_allclose(same["loss"], metrics["loss"], rtol=1e-6)
    text = jax.jit(spread).lower(*replicate(mesh, (state, batch))).as_text()
    assert "manual_computation" in text  # else every device would do all networks


def test_each_segment_is_matched_on_its_own(key: jax.Array) -> None:
    def objective(synthetic, batch, variables, assets, key):
        piece = batch.extra
        assert piece.start.shape == (5,)
        assert piece.target.shape == (1, 5)
        loss = jnp.sum(synthetic.image) * piece.start.sum()
        return loss, {"loss": loss}

    start = jnp.arange(10.0).reshape(2, 5)
    piece = Segment(start, start[:, None] + 1, jnp.arange(2), jnp.arange(2))
    none: tuple = ()
    given = Batch(none, none, none, none, extra=piece, step=jnp.int32(0))  # type: ignore
    for count in (1, 2):
        feed = Segments(1, 2, meta_batch=count)
        distiller = compose(
            decoder(), objective, noisy_pool(), optax.sgd(1.0), feed, meta_batch=count
        )
        state = distiller.init(key, toy_corpus(), {})
        own = given._replace(extra=jax.tree.map(lambda leaf, n=count: leaf[:n], piece))
        assert distiller.gradient is not None
        grads, _ = distiller.gradient(state, own, {})
        want = float(start[:count].sum(1).mean())
        np.testing.assert_allclose(grads, np.full((4, 1, 1, 1), want), rtol=1e-6)


def test_exported_average(key: jax.Array, batch: Batch) -> None:
    parts = decoder(), class_mean_distance, counting_pool(), optax.sgd(0.5), PerClass(3)
    distiller = compose(*parts, ema=0.9)
    states = [distiller.init(key, toy_corpus(), {})]
    for _ in range(2):
        states.append(distiller.step(states[-1], batch, {})[0])
    x0, x1, x2 = (np.asarray(s.params) for s in states)
    want = 0.9 * (0.9 * x0 + 0.1 * x1) + 0.1 * x2
    np.testing.assert_allclose(distiller.export(states[-1], {}).image, want, rtol=1e-6)
    assert np.abs(want - x2).max() > 1e-3


@pytest.mark.parametrize(
    ("wrong", "named"), [({"meta_batch": 0}, "meta_batch=0"), ({"ema": 1.0}, "ema=1.0")]
)
def test_values_of_compose_without_meaning(wrong: dict, named: str) -> None:
    parts = decoder(), class_mean_distance, counting_pool(), optax.sgd(0.5), PerClass(3)
    with pytest.raises(InputError, match=named):
        compose(*parts, **wrong)


def test_the_loss_reaches_the_optimiser(key: jax.Array, batch: Batch) -> None:
    for threshold, moves in ((1e9, True), (-1.0, False)):
        outer = optimisers.gated(optax.sgd(0.5, momentum=0.5), threshold)
        distiller = build(outer=outer)
        state = distiller.init(key, toy_corpus(), {})
        after, _ = distiller.step(state, batch, {})
        same = (after.params == state.params).all()
        assert bool(same) != moves
        trace = optax.tree_utils.tree_get(after.opt, "trace")
        assert bool((trace == 0).all()) != moves
