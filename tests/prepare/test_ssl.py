"""Self-supervised training of a teacher."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import whiten
from jaxdd.devices.mesh import make_mesh, replicate, shard_rows
from jaxdd.errors import InputError
from jaxdd.loop.loop import Loop
from jaxdd.networks.teacher import represent
from jaxdd.prepare.ssl import train_teacher, two_views
from jaxdd.presets import teachers as _teachers
from jaxdd.records import (
    AugmentSpec,
    Sgd,
    Warmup,
)
from jaxdd.training import scan_drive
from tests.helpers import toy_corpus
from tests.prepare.cases import OBJECTIVES, RECIPE, TINY


@pytest.fixture(scope="module", params=OBJECTIVES)
def trained(request):
    """A teacher of each objective, its variables and the metrics of its training."""
    teacher = OBJECTIVES[request.param]
    return teacher, *train_teacher(teacher, toy_corpus())


def _close(tolerance):
    def compare(one, other):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)

    return compare


@pytest.mark.slow_cases("byol", "simclr", "vicreg")
def test_training_lowers_the_loss(trained):
    teacher, variables, metrics = trained
    assert metrics["loss"].shape == (RECIPE.steps,)
    assert metrics["loss"][-3:].mean() < 0.9 * metrics["loss"][:2].mean()
    body, _, _ = represent(teacher, (8, 8, 1))
    like = jax.eval_shape(body.init, jax.random.key(0))
    assert jax.tree.structure(variables) == jax.tree.structure(like)


def test_training_depends_on_the_seed_only():
    one, again = (train_teacher(TINY, toy_corpus())[0] for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, one, again)
    other, _ = train_teacher(dataclasses.replace(TINY, seed=1), toy_corpus())
    kernel = one.params["head"]["kernel"]
    assert not np.array_equal(other.params["head"]["kernel"], kernel)


def _teacher(name, **changes):
    """A quick teacher; by SGD, since Adam blows up the rounding of zero gradients."""
    recipe = dataclasses.replace(
        RECIPE,
        steps=3,
        optimiser=Sgd(0.05),
        augment=AugmentSpec(noise=0.05),
    )
    return dataclasses.replace(OBJECTIVES[name], recipe=recipe, **changes)


def test_scanned_stepwise_and_resumed_training_agree(tmp_path):
    teacher = _teacher("byol", target_decay=0.5)
    ends = []

    def keeping(drive):
        def kept(*args, stage):
            state, metrics = drive(*args, stage=stage)
            ends.append(state)
            return state, metrics

        return kept

    class Kill:
        def on_chunk(self, stage, step, state, metrics):
            if step == 2:
                raise KeyboardInterrupt

    def loop(*hooks):
        return Loop(tmp_path, chunk=1, save_every=1, hooks=hooks, progress=False)

    scanned = train_teacher(teacher, toy_corpus(), drive=keeping(scan_drive))
    with pytest.raises(KeyboardInterrupt):
        train_teacher(teacher, toy_corpus(), drive=loop(Kill()))
    last = loop()
    resumed = train_teacher(teacher, toy_corpus(), drive=keeping(last))
    assert last.timings["target"].steps == 2  # the kill came before the second save
    jax.tree.map(_close(1e-5), resumed, scanned)
    assert set(ends[0].ema) == {"body", "projector"}
    jax.tree.map(_close(1e-5), ends[1].ema, ends[0].ema)
    # An average that had begun anew would lie elsewhere.
    lost = (
        ends[0].ema["body"]["head"]["kernel"]
        - ends[0].variables.params["body"]["head"]["kernel"]
    )
    assert float(jnp.abs(lost).max()) > 1e-3


@pytest.mark.slow_cases("barlow", "byol")
@pytest.mark.parametrize("name", ["barlow", "byol"])
def test_rows_split_over_devices_train_the_same_teacher(name, x64):
    teacher, mesh, programs = _teacher(name), make_mesh(), []

    def drive(step, state, num_steps, data, *, stage):
        del stage
        program = jax.jit(step).lower(state, data).compile()
        programs.append(program.as_text())
        for _ in range(num_steps):
            state, metrics = program(state, data)
        return state, metrics

    def spread(step, state, num_steps, data, **named):
        state, data = replicate(mesh, (state, data))
        return drive(step, state, num_steps, data, **named)

    one = train_teacher(teacher, toy_corpus(), drive=drive)
    many = train_teacher(
        teacher, toy_corpus(), drive=spread, shard=partial(shard_rows, mesh)
    )
    jax.tree.map(_close(1e-10), many, one)
    assert len(jax.tree.leaves(many)[0].sharding.device_set) == 8
    assert "all-reduce" in programs[1]
    assert "all-reduce" not in programs[0]


def test_views_come_from_the_same_rows_and_differ(key):
    corpus = toy_corpus()
    noisy = dataclasses.replace(RECIPE, augment=AugmentSpec(noise=0.01))
    source = jax.jit(two_views(noisy, corpus.image_shape))
    (one, two), _ = source(key, 0, corpus)
    assert one.shape == (16, 8, 8, 1)
    assert not np.array_equal(one, two)
    unit = np.asarray(whiten.to_unit(corpus.image)).reshape(48, -1)
    rows = [
        np.argmin(np.sum((np.asarray(v).reshape(16, 1, -1) - unit[None]) ** 2, 2), 1)
        for v in (one, two)
    ]
    np.testing.assert_array_equal(*rows)
    assert len(set(rows[0])) == 16
    (later, _), _ = source(key, 1, corpus)
    assert not np.array_equal(one, later)


def test_views_are_whitened_after_the_augmentation(key):
    corpus = toy_corpus()
    fitted = whiten.fit("standard", np.asarray(corpus.image))
    white = dataclasses.replace(corpus, whitening=fitted)
    source = jax.jit(two_views(RECIPE, corpus.image_shape))
    (raw, _), _ = source(key, 3, corpus)
    (view, _), _ = source(key, 3, white)
    np.testing.assert_allclose(whiten.inverse(fitted, view), raw, atol=1e-5)


def test_only_the_second_view_is_solarized(key):
    corpus = toy_corpus(channels=3)
    recipe = dataclasses.replace(RECIPE, augment=AugmentSpec(solarize=1.0))
    (first, second), _ = two_views(recipe, corpus.image_shape)(key, 0, corpus)
    bright = np.asarray(first) >= 0.5
    assert bright.any()
    np.testing.assert_allclose(second, np.where(bright, 1 - first, first), atol=1e-6)


@pytest.mark.slow
def test_the_colour_recipe_lowers_its_loss():
    teacher = dataclasses.replace(
        _teachers.CIFAR,
        network=TINY.network,
        projector=(16, 16),
        recipe=dataclasses.replace(
            _teachers.CIFAR.recipe,
            steps=40,
            batch=32,
            optimiser=dataclasses.replace(
                _teachers.CIFAR.recipe.optimiser, warmup=Warmup(4)
            ),
        ),
    )
    variables, metrics = train_teacher(teacher, toy_corpus(channels=3))
    assert metrics["loss"][-8:].mean() < 0.9 * metrics["loss"][:4].mean()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables))
    assert "projector" not in variables.params


def test_a_batch_of_one_is_refused():
    lonely = dataclasses.replace(TINY, recipe=dataclasses.replace(RECIPE, batch=1))
    with pytest.raises(InputError, match="at least two rows"):
        train_teacher(lonely, toy_corpus())
