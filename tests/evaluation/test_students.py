"""Passes over a split, sources of real images, and what a student starts from."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import whiten
from jaxdd.evaluation.students import seed_key
from jaxdd.records import (
    AugmentSpec,
    ConvNet,
    Recipe,
)
from jaxdd.select import subset
from jaxdd.training import examples
from jaxdd.training.examples import (
    apply_to_all,
    examples_of_corpus,
    examples_of_set,
    fit,
    fresh,
    outputs,
    student_network,
)
from tests.evaluation.cases import MLP, SGD, Recorder, standard_dataset

BATCH_NORM = ConvNet(width=(4,), norm="batch")


def test_a_pass_in_chunks_is_the_pass_on_all(key: jax.Array, monkeypatch) -> None:
    monkeypatch.setattr(examples, "_CHUNK", 7)  # 48 images: the last is partial
    corpus = standard_dataset().train
    network = student_network(BATCH_NORM, corpus.image_shape, 3)
    variables = jax.jit(network.init)(key)
    white = whiten.apply(corpus.whitening, whiten.to_unit(corpus.image))
    step = jax.jit(lambda v: network.apply(v, white, train=True)[1])
    for _ in range(3):  # so that the running statistics are no longer the initial ones
        variables = step(variables)
    for part in ("logits", "features"):
        found = apply_to_all(outputs(network, part))(variables, corpus)
        expected = getattr(network.apply(variables, white)[0], part)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_real_images_are_augmented_before_whitening(key: jax.Array) -> None:
    corpus = standard_dataset().train
    bright = dataclasses.replace(corpus, image=jnp.full_like(corpus.image, 255))
    recipe = Recipe(batch=32, augment=AugmentSpec(crop=2))
    source, data, _ = examples_of_corpus(bright, corpus.label, recipe)
    image, label = jax.jit(source)(key, jnp.asarray(0), data)
    ends = whiten.apply(
        corpus.whitening, jnp.asarray([0.0, 1.0]).reshape(2, 1, 1, 1)
    ).ravel()
    assert image.shape == (32, 8, 8, 1)
    assert label.shape == (32,)
    np.testing.assert_allclose(np.unique(np.round(image, 4)), ends, atol=1e-3)


def test_an_epoch_of_real_images_has_each_once(key: jax.Array) -> None:
    corpus = standard_dataset().train
    rows = jnp.arange(corpus.size)
    source, data, _ = examples_of_corpus(corpus, rows, Recipe(batch=16))
    seen = [jax.jit(source)(key, jnp.asarray(step), data) for step in range(6)]
    for epoch in (seen[:3], seen[3:]):
        drawn = np.concatenate([row for _, row in epoch])
        assert sorted(drawn) == list(range(48))
    image, drawn = seen[4]
    np.testing.assert_allclose(image, subset(corpus, drawn).image, atol=1e-6)
    assert (seen[0][1] != seen[3][1]).any()


def test_fresh_is_what_fit_starts_from() -> None:
    corpus, drive = standard_dataset().train, Recorder()
    network = student_network(MLP, corpus.image_shape, 4)
    recipe = Recipe(steps=1, optimiser=SGD)
    examples = examples_of_set(subset(corpus, jnp.arange(8)), recipe)
    key = seed_key(3, "student")
    fit(key, network, examples, drive=drive, stage="x")
    start = drive.calls["x"]["start"].variables
    for a, b in zip(
        jax.tree.leaves(start),
        jax.tree.leaves(fresh(key, network, examples)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_keys_differ_by_seed_and_purpose() -> None:
    keys = [seed_key(s, p) for s in (0, 1) for p in ("student", "random", "probe")]
    assert len({tuple(jax.random.key_data(k).tolist()) for k in keys}) == 6
