"""DM against the authors' program, its closed form, and its variants.

The golden file holds two steps of the authors' main_DM.py in float64, written by
experiments/reference/matching/dm_torch.py.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdd import augment, networks
from jaxdd.augment import NAMED
from jaxdd.base import (
    Augment,
    Batch,
    Distiller,
    Network,
    Output,
    PerClass,
    Pool,
    State,
    Synthetic,
    Task,
    Variables,
)
from jaxdd.composition import compose
from jaxdd.data.feeds import sample
from jaxdd.decoders import pixels
from jaxdd.errors import InputError
from jaxdd.methods.matching.dm import METHOD, DmConfig, dm
from jaxdd.methods.matching.dm_presets import SMOKE
from jaxdd.objectives.moments import mean_features
from jaxdd.pools import fresh
from jaxdd.records import (
    AugmentSpec,
    ConvNet,
    Decay,
    Sgd,
)
from tests.helpers import toy_corpus

GOLDEN = Path(__file__).parent / "golden" / "dm.npz"
TINY = ConvNet(width=(4, 4))


def _task(ipc: int = 2, classes: int = 4, side: int = 8, channels: int = 1) -> Task:
    return Task((side, side, channels), classes, classes * ipc, ipc, 10, 48)


# The authors' program --------------------------------------------------------------


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as file:
        return dict(file)


def _variables(golden: dict, norm: str, step: int) -> Variables:
    """The authors' weights in the tree of our ConvNet."""
    kind = "instance" if norm == "siamese" else norm.removesuffix("norm")
    network = networks.build(ConvNet(width=(4, 4), norm=kind), (8, 8, 3), 0)
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    params = {
        f"{kind}_{block}": {
            name: jnp.asarray(golden[f"{norm}/{kind}{block}/{name}"][step])
            for name in names
        }
        for block in range(2)
        for kind, names in {
            "conv": ("kernel", "bias"),
            "norm": ("scale", "bias"),
        }.items()
    }
    stats = jax.tree.map(lambda s: jnp.zeros(s.shape), shapes.stats)
    assert jax.tree.structure(params) == jax.tree.structure(shapes.params)
    return Variables(params, stats)


def _replayed(networks_of_steps: list[Variables]) -> Pool:
    """A pool that gives the recorded networks in their order."""
    stacked = jax.tree.map(lambda *rows: jnp.stack(rows), *networks_of_steps)

    def draw(key, pool, assets):
        return pool, jax.tree.map(lambda leaf: leaf[pool], stacked)

    return Pool(
        init=lambda key, assets, synthetic: jnp.zeros((), jnp.int32),
        draw=draw,
        update=lambda key, pool, index, synthetic, batch: pool + 1,
    )


def _golden_method(golden: dict, norm: str, chunk: int | None) -> Distiller:
    spec = ConvNet(width=(4, 4), norm=norm.removesuffix("norm"))
    network = networks.build(spec, (8, 8, 3), 0)
    return compose(
        decoder=pixels(_task(2, 3, 8, 3)),
        objective=mean_features(
            network,
            chunk_real=chunk,
            chunk_synthetic=chunk,
            joint=norm == "batchnorm",
        ),
        pool=_replayed([_variables(golden, norm, step) for step in range(2)]),
        outer=optax.sgd(1.0, momentum=0.5),
        feed=PerClass(6),
    )


@pytest.mark.slow_cases("instancenorm-4", "instancenorm-None")
@pytest.mark.parametrize(
    ("norm", "chunk"),
    [("instancenorm", None), ("instancenorm", 4), ("batchnorm", None)],
)
def test_two_steps_equal_the_authors_program(norm, chunk, golden, x64):
    """Loss and images to 1e-10 of their size: rounding of double precision."""
    method = _golden_method(golden, norm, chunk)
    images = golden[f"{norm}/images"]
    params = {"image": jnp.asarray(images[0])}
    state = State(
        jnp.zeros((), jnp.int32),
        jax.random.key(0),
        params,
        optax.sgd(1.0, momentum=0.5).init(params),
        jnp.zeros((), jnp.int32),
    )
    step, gradient = jax.jit(method.step), jax.jit(method.gradient)
    for number in range(2):
        rows = golden[f"{norm}/rows"][number]
        image = jnp.asarray(golden["image"][rows])
        batch = Batch(image, None, jnp.asarray(rows), jnp.ones(rows.shape))
        grads, _ = gradient(state, batch, {})
        state, metrics = step(state, batch, {})
        np.testing.assert_allclose(
            metrics["loss"], golden[f"{norm}/loss"][number], rtol=1e-10
        )
        np.testing.assert_allclose(
            grads["image"], golden[f"{norm}/gradients"][number], rtol=1e-8, atol=1e-12
        )
        np.testing.assert_allclose(
            state.params["image"], images[number + 1], rtol=1e-10, atol=1e-12
        )


def _replayed_draws(draws: np.ndarray, keys: jax.Array) -> Augment:
    """DSA that draws for each of these keys what the program drew for a class."""
    op = augment.build(augment.named("dsa"), (8, 8, 3))
    token, first, second, third = jnp.asarray(draws).T[..., None]
    zoom = lambda u: (1.2 - 1 / 1.2) * u + 1 / 1.2
    params = {
        "token": token.astype(int),
        "color": {
            "brightness": first - 0.5,
            "saturation": 2 * second,
            "contrast": third + 0.5,
        },
        "crop": jnp.stack([first, second], 2).astype(int) + 1,
        "cutout": jnp.stack([first, second], 2).astype(int),
        "flip": first < 0.5,
        "scale": jnp.stack([zoom(second), zoom(first)], 2),  # columns come first there
        "rotate": (2 * first - 1) * np.radians(15),
    }
    known = jax.random.key_data(keys)

    def sample(key: jax.Array, n: int) -> dict:
        assert n == 1
        which = jnp.argmax((known == jax.random.key_data(key)[None]).all(1))
        return jax.tree.map(lambda leaf: leaf[which], params)

    return Augment(sample, op.apply)


@pytest.mark.slow_cases("1")
@pytest.mark.parametrize("step", [0, 1])
def test_siamese_step_equals_the_authors_program(step, golden, key, x64):
    """Three operations of DSA in each step, one a class; loss and gradient."""
    network = networks.build(TINY, (8, 8, 3), 0)
    image = jnp.asarray(golden["siamese/images"][step])
    rows = golden["siamese/rows"][step]
    real = jnp.asarray(golden["image"][rows])
    assert set(golden["siamese/draws"][..., 0].ravel()) == set(range(6))
    draws = _replayed_draws(golden["siamese/draws"][step], jax.random.split(key, 3))
    objective = mean_features(network, augment=draws, chunk_real=4, chunk_synthetic=4)
    batch = Batch(real, None, jnp.asarray(rows), jnp.ones(rows.shape))
    variables = _variables(golden, "siamese", step)

    @jax.jit
    @jax.value_and_grad
    def value(image: jax.Array) -> jax.Array:
        synthetic = Synthetic(image, jnp.repeat(jnp.arange(3), 2), jnp.ones(6))
        return objective(synthetic, batch, variables, {}, key)[0]

    loss, gradient = value(image)
    np.testing.assert_allclose(loss, golden["siamese/loss"][step], rtol=1e-10)
    np.testing.assert_allclose(
        gradient, golden["siamese/gradients"][step], rtol=1e-8, atol=1e-12
    )


# Closed form -----------------------------------------------------------------------


@pytest.mark.slow
def test_class_mean_contracts_by_its_rate_under_the_identity(key, x64):
    """With f the identity, mean_S - mean_T shrinks by 1 - 2 rate / ipc a step."""
    corpus, ipc, rate = toy_corpus(), 2, 0.3
    task = _task(ipc)

    def apply(variables, image, *, train=False, key=None):
        flat = image.reshape(len(image), -1)
        return Output(flat, flat), variables

    network = Network(lambda key: Variables({}, {}), apply, 64, 0, "identity")
    method = compose(
        pixels(task, init="noise"),
        mean_features(network),
        fresh(network),
        optax.sgd(rate),
        PerClass(12),
    )
    state = method.init(key, corpus, {})
    batch = sample(method.feed, corpus, {}, key, 0)
    batch = batch._replace(image=batch.image.astype(jnp.float64))
    real = batch.image.mean(1)
    gap = lambda s: s.params["image"].reshape(4, ipc, 8, 8, 1).mean(1) - real
    after, _ = jax.jit(method.step)(state, batch, {})
    np.testing.assert_allclose(gap(after), (1 - 2 * rate / ipc) * gap(state), atol=1e-6)


# Variants --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def batches() -> Batch:
    """Six batches of six images per class, stacked."""
    draw = lambda n: sample(PerClass(6), toy_corpus(), {}, jax.random.key(4), n)
    return jax.jit(lambda: jax.lax.map(draw, jnp.arange(6)))()


def _trajectory(
    config: DmConfig, key: jax.Array, batches: Batch, steps: int = 2
) -> np.ndarray:
    """The images after each step."""
    method = dm(_task(), config)
    batches = jax.tree.map(lambda leaf: leaf[:steps], batches)

    @jax.jit
    def run(state: State, batches: Batch) -> tuple[State, jax.Array]:
        def body(state: State, batch: Batch) -> tuple[State, jax.Array]:
            state, _ = method.step(state, batch, {})
            return state, state.params["image"]

        return jax.lax.scan(body, state, batches)

    return np.asarray(run(method.init(key, toy_corpus(), {}), batches)[1])


@pytest.mark.slow_cases("0.0-True")
@pytest.mark.parametrize(("momentum", "alike"), [(0.0, True), (0.5, False)])
def test_classwise_updates_differ_from_joint_ones_by_momentum_only(
    momentum, alike, key, batches
):
    """Classes do not see each other, but momentum moves all of them at each turn."""
    config = DmConfig(TINY, Sgd(0.5, momentum), batch=6, chunk_real=0)
    joint = _trajectory(config, key, batches)
    by_class = _trajectory(
        dataclasses.replace(config, update="per_class"), key, batches
    )
    close = np.allclose(by_class, joint, rtol=1e-4, atol=1e-6)
    assert close == alike


def test_schedule_of_classwise_updates_lasts_the_whole_run(key, batches):
    """The optimiser steps once a class, so its schedule is that many times longer."""
    optimiser = Sgd(0.5, 0.0, schedule=Decay("linear"))
    config = DmConfig(TINY, optimiser, batch=6, update="per_class")
    # Four classes in ten steps: counted in steps, the rate would be 0 after three.
    images = _trajectory(config, key, batches, 6)
    assert np.abs(images[5] - images[4]).max() > 1e-5


@pytest.mark.slow_cases("siamese0", "siamese1")
@pytest.mark.parametrize("siamese", [AugmentSpec(crop=2, flip=True), NAMED["dsa"]])
def test_siamese_augmentation_changes_the_step(siamese, key, batches):
    config = DmConfig(TINY, batch=6, augment=siamese, chunk_real=0)
    plain = dataclasses.replace(config, augment=AugmentSpec())
    moved, still = (_trajectory(c, key, batches) for c in (config, plain))
    assert np.abs(moved - still).max() > 1e-4


def test_classes_smaller_than_the_batch_are_averaged_over_what_they_have(key, batches):
    """Rows of weight 0, as the feed pads small classes with, change nothing."""
    config = DmConfig(TINY, batch=8, chunk_real=0)
    padding = ((0, 0), (0, 0), (0, 2)) + ((0, 0),) * 3
    padded = batches._replace(
        image=jnp.pad(batches.image, padding, mode="edge"),
        weight=jnp.pad(batches.weight, padding[:3]),
    )
    few, many = (_trajectory(config, key, b) for b in (batches, padded))
    np.testing.assert_allclose(many, few, rtol=1e-5, atol=1e-6)


def test_batch_norm_runs_all_classes_together(key, batches):
    spec = ConvNet(width=(4, 4), norm="batch")
    chunked = DmConfig(spec, batch=6, chunk_real=4, chunk_synthetic=3)
    whole = dataclasses.replace(chunked, chunk_real=0, chunk_synthetic=0)
    parts, all_at_once = (_trajectory(c, key, batches) for c in (chunked, whole))
    np.testing.assert_array_equal(parts, all_at_once)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, "distill.batch"),
        ({"chunk_real": -1}, "distill.chunk_real"),
        ({"chunk_synthetic": -2}, "distill.chunk_synthetic"),
        ({"update": "both"}, "update"),
        ({"augment": AugmentSpec(policy="dsa", cutmix=0.5)}, "augment.cutmix"),
        ({"augment": AugmentSpec(mixup=0.2)}, "augment.mixup"),
        (
            {"update": "per_class", "network": ConvNet(width=(4,), norm="batch")},
            "batch",
        ),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        dm(_task(), dataclasses.replace(DmConfig(TINY), **change))


def test_a_set_without_images_per_class_is_refused():
    task = Task((8, 8, 1), 0, 6, None, 10, 48)
    with pytest.raises(InputError, match="ipc"):
        METHOD.build(task, SMOKE)
