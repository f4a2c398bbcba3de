"""DC and DSA as methods: what they share, where they differ, what they refuse."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxdd.augment import NAMED
from jaxdd.base import Batch, Task
from jaxdd.data.feeds import sample
from jaxdd.errors import InputError
from jaxdd.methods.matching.dc import METHOD, DcConfig, dc
from jaxdd.methods.matching.dc_presets import SMOKE
from jaxdd.methods.matching.dm import DmConfig, dm
from jaxdd.methods.matching.dsa import DsaConfig, dsa
from jaxdd.records import (
    AugmentSpec,
    Mlp,
    Sgd,
)
from tests.helpers import toy_corpus

TINY = DcConfig(
    Mlp(width=(6,)),
    Sgd(0.1, 0.5),
    batch=6,
    matchings=2,
    network_epochs=1,
    init="real",
)
COLOUR = AugmentSpec(policy="dsa", strategy="color")


def _task(ipc: int | None = 2) -> Task:
    return Task((8, 8, 1), 4, 4 * (ipc or 2), ipc, 10, 48)


def _as_dsa(config: DcConfig, **changes) -> DsaConfig:
    fields = {
        f.name: getattr(config, f.name)
        for f in dataclasses.fields(config)
        if f.name in DsaConfig.__dataclass_fields__
    }
    return DsaConfig(**fields, **changes)


def _images(method, key: jax.Array, steps: int = 2) -> np.ndarray:
    """The images after some steps."""
    corpus = toy_corpus()

    def batch(state) -> Batch:
        return sample(method.feed, corpus, {}, state.key, state.step)

    @jax.jit
    def run(state):
        body = lambda s, _: (method.step(s, batch(s), {})[0], None)
        return jax.lax.scan(body, state, length=steps)[0].params["image"]

    return np.asarray(run(method.init(key, corpus, {})))


def test_dsa_without_augmentation_is_dc_to_the_bit(key):
    plain = _images(dc(_task(), TINY), key)
    none = _images(dsa(_task(), _as_dsa(TINY, augment=NAMED["none"])), key)
    siamese = _images(dsa(_task(), _as_dsa(TINY, augment=COLOUR)), key)
    np.testing.assert_array_equal(none, plain)
    assert np.abs(siamese - plain).max() > 1e-5


def test_defaults_agree_but_for_augmentation_and_start():
    ours = _as_dsa(DcConfig(), augment=NAMED["dsa"])
    assert dataclasses.replace(ours, init="real") == DsaConfig()
    assert DcConfig().init == "noise"


def test_mirror_images_change_the_step_and_not_the_set(key):
    config = dataclasses.replace(TINY, meta_batch=2)
    flipped = dc(_task(), dataclasses.replace(config, flip=True))
    stored = flipped.export(flipped.init(key, toy_corpus(), {}), {})
    assert stored.image.shape == (8, 8, 8, 1)
    np.testing.assert_array_equal(stored.target, np.repeat(np.arange(4), 2))
    after, plain = (_images(m, key) for m in (flipped, dc(_task(), config)))
    assert after.shape == plain.shape
    assert np.abs(after - plain).max() > 1e-5


@pytest.mark.parametrize("update", ["joint", "per_class"])
def test_mirror_images_in_distribution_matching(update, key):
    """Classes do not share rows: joint and class-wise steps agree without momentum."""
    config = DmConfig(
        Mlp(width=(6,)),
        Sgd(0.5, 0.0),
        batch=6,
        update=update,
        chunk_synthetic=3,
        flip=True,
    )
    after = _images(dm(_task(), config), key, 1)
    assert after.shape == (8, 8, 8, 1)
    whole = dataclasses.replace(config, update="joint", chunk_synthetic=0)
    np.testing.assert_allclose(
        after, _images(dm(_task(), whole), key, 1), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, "distill.batch"),
        ({"distance": "l2"}, "distance"),
        ({"matchings": 0}, "distill.matchings"),
        ({"network_epochs": None}, "there are 2; give both"),
        ({"network_rate": -0.1}, "distill.network_rate"),
        ({"network_batch": 0}, "distill.network_batch"),
        ({"chunk_classes": -1}, "chunk_classes"),
        ({"meta_batch": 0}, "meta_batch"),
        ({"init": "reel"}, "real"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    config = dataclasses.replace(TINY, **change)
    with pytest.raises(InputError, match=message):
        dc(_task(), config)
    with pytest.raises(InputError, match=message):
        dsa(_task(), _as_dsa(config))


@pytest.mark.parametrize("name", ["cutmix", "mixup"])
def test_mixing_is_refused(name):
    config = _as_dsa(TINY, augment=AugmentSpec(policy="dsa", **{name: 0.5}))
    with pytest.raises(InputError, match=name):
        dsa(_task(), config)


def test_a_set_counted_as_a_whole_is_refused():
    with pytest.raises(InputError, match="ipc"):
        METHOD.build(_task(None), SMOKE)
