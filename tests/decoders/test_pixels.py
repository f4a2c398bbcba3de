"""Pixels as parameters: where images and targets start, and what decodes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import Task, TeacherAsset, Variables
from jaxdd.decoders import centred, pixels, teacher_outputs
from jaxdd.errors import InputError
from jaxdd.records import Views
from tests.helpers import toy_corpus


def task(**changes) -> Task:
    options = {
        "image_shape": (8, 8, 1),
        "num_classes": 4,
        "size": 8,
        "ipc": 2,
        "num_steps": 1,
        "train_size": 48,
    }
    return Task(**(options | changes))


def mean_teacher(variables: Variables, image: jax.Array) -> jax.Array:
    """A teacher whose two outputs are the mean and twice the mean pixel."""
    mean = image.mean((1, 2, 3))
    return jnp.stack([mean, variables.params * mean], 1)


def test_labelled_start_is_real_images_of_their_class(key: jax.Array) -> None:
    corpus = toy_corpus()
    decoder = pixels(task())
    params = decoder.init(key, corpus, {})
    whole = decoder.decode(params, {}, key)
    np.testing.assert_array_equal(whole.target, [0, 0, 1, 1, 2, 2, 3, 3])
    real = np.asarray(corpus.image) / np.float32(255)
    for image, label in zip(whole.image, whole.target, strict=True):
        error = np.abs(real - np.asarray(image)).max((1, 2, 3))
        assert error.min() < 1e-6
        assert int(corpus.label[error.argmin()]) == int(label)


def test_rows_decode_a_part(key: jax.Array) -> None:
    decoder = pixels(task())
    params = decoder.init(key, toy_corpus(), {})
    part = decoder.decode(params, {}, key, jnp.array([2, 3]))
    np.testing.assert_array_equal(part.target, [1, 1])
    np.testing.assert_array_equal(part.image, params["image"][2:4])


def test_teacher_targets_are_its_outputs_from_table_or_network(key) -> None:
    corpus, views = toy_corpus(), Views(crop=1, flip=True)
    unit = jnp.asarray(corpus.image, jnp.float32) / 255
    variables = Variables(jnp.float32(2.0), {})
    table = np.full((views.count, corpus.size, 2), np.nan, np.float32)
    table[views.identity] = mean_teacher(variables, unit)
    decoder = pixels(task(ipc=None), targets=teacher_outputs(mean_teacher, views))
    looked_up = decoder.init(
        key, corpus, {"teacher": TeacherAsset(variables, jnp.asarray(table))}
    )
    computed = decoder.init(key, corpus, {"teacher": TeacherAsset(variables)})
    np.testing.assert_allclose(looked_up["target"], computed["target"], rtol=1e-6)
    np.testing.assert_allclose(
        computed["target"][:, 0], computed["image"].mean((1, 2, 3)), rtol=1e-5
    )
    assert decoder.floats(computed) == 8 * 64 + 8 * 2


def test_noise_start_and_raw_start_differ_from_whitened(key: jax.Array) -> None:
    noise = pixels(task(), init="noise").init(key, toy_corpus(), {})["image"]
    assert float(noise.min()) < -1
    raw = pixels(task(), space="raw").init(key, toy_corpus(), {})["image"]
    assert 0 <= float(raw.min()) <= float(raw.max()) <= 1


def test_labels_need_images_per_class() -> None:
    with pytest.raises(InputError, match="--ipc"):
        pixels(task(ipc=None))


def test_more_than_a_class_has_is_refused(key: jax.Array) -> None:
    with pytest.raises(InputError, match="ipc=13"):
        pixels(task(ipc=13, size=52)).init(key, toy_corpus(), {})


@pytest.mark.parametrize("learned", [True, False])
def test_centred_labels(learned: bool, key: jax.Array) -> None:
    decoder = pixels(task(), targets=centred(task(), scale=0.5, learned=learned))
    params = decoder.init(key, toy_corpus(), {})
    assert set(params) == ({"image", "target"} if learned else {"image"})
    whole = decoder.decode(params, {}, key)
    expected = 0.5 * (np.repeat(np.eye(4), 2, 0) - 0.25)
    np.testing.assert_allclose(whole.target, expected, rtol=1e-6)
    other = {"image": params["image"], "target": -whole.target}
    moved = decoder.decode(other, {}, key).target
    assert bool((moved == whole.target).all()) != learned
