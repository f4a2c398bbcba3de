"""dd, bptt, rtp and rat_bptt: what they reduce to, store and refuse."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import ExpertsAsset, Task
from jaxdd.data.feeds import sample
from jaxdd.errors import InputError
from jaxdd.methods.bilevel.bptt import BpttConfig, bptt
from jaxdd.methods.bilevel.dd import DdConfig, dd
from jaxdd.methods.bilevel.rat_bptt import RatBpttConfig, rat_bptt
from jaxdd.methods.bilevel.rtp import RtpConfig, rtp
from jaxdd.records import (
    Adam,
    AugmentSpec,
    ConvNet,
    Mlp,
)
from tests.helpers import toy_corpus

TASK = Task((8, 8, 1), 4, 8, 2, 20, 48)
MLP = Mlp(width=(6,))
BATCH_NORM = ConvNet(width=(4,), norm="batch")
LONG = {"network": MLP, "inner_steps": 4, "rate": 0.2, "batch": 6, "inner_per_class": 0}
WINDOWED = RatBpttConfig(
    network=MLP,
    inner_steps=3,
    total=6,
    batch=24,
    augment=AugmentSpec(),
    inner_per_class=0,
)


def _gradient(distiller, params, key, assets=None, step=0):
    """Loss and gradient at given parameters, on the batch that the feed draws."""
    corpus, assets = toy_corpus(), assets or {}
    state = distiller.init(key, corpus, assets)
    state = state._replace(params=params or state.params, step=jnp.asarray(step))

    @jax.jit
    def run(state):
        batch = sample(distiller.feed, corpus, assets, state.key, state.step)
        return distiller.gradient(state, batch, assets)

    gradient, metrics = run(state)
    return state.params, gradient, metrics


@pytest.mark.slow
def test_bptt_without_momentum_is_dd_at_one_rate(x64, key):
    """The same real batch, network and rate: the same loss and images' gradient."""
    plain = bptt(TASK, BpttConfig(**LONG, momentum=0.0, init="noise", clip=0.0))
    config = DdConfig(MLP, batches=1, passes=4, rate=0.2, batch=24)
    fixed = dd(TASK, config)._replace(feed=plain.feed)
    params, gradient, metrics = _gradient(plain, None, key)
    raw = np.full((4, 1), np.log(np.expm1(0.2)))
    both = {**params, "hyper": {"raw_rates": jnp.asarray(raw)}}
    _, other, same = _gradient(fixed, both, key)
    np.testing.assert_allclose(metrics["loss"], same["loss"], rtol=1e-6)
    np.testing.assert_allclose(gradient["image"], other["image"], rtol=1e-6, atol=1e-9)


def test_rtp_on_its_own_pictures_is_bptt(x64, key):
    """K = C ipc, A = 1, no enlargement: the same loss, and gradients by the chain."""
    plain = bptt(TASK, BpttConfig(**LONG, init="noise"))
    memory = rtp(TASK, RtpConfig(**LONG, bases=8, downscale=1, images_per_class=2))
    params, gradient, metrics = _gradient(plain, None, key)
    own = {"basis": params["image"], "coefficient": jnp.eye(8)}
    _, other, same = _gradient(memory, own, key)
    np.testing.assert_allclose(metrics["loss"], same["loss"], rtol=1e-12)
    # The images are of single precision.
    np.testing.assert_allclose(other["basis"], gradient["image"], rtol=1e-5, atol=1e-8)
    by_coefficient = np.einsum("nhwc,khwc->nk", gradient["image"], params["image"])
    np.testing.assert_allclose(
        other["coefficient"], by_coefficient, rtol=1e-5, atol=1e-7
    )


def test_rtp_counts_what_it_stores(key):
    task = Task((8, 8, 1), 4, 40, 10, 20, 48)
    distiller = rtp(task, RtpConfig(network=MLP, bases=6, downscale=2))
    state = distiller.init(key, toy_corpus(), {})
    stored = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    assert distiller.image_floats == stored <= 40 * 64
    each = (40 * 64 - 6 * 16) // (4 * 6)
    synthetic = distiller.export(state, {})
    assert synthetic.image.shape == (4 * each, 8, 8, 1)
    assert each > 10
    np.testing.assert_array_equal(
        np.bincount(np.asarray(synthetic.target)), np.full(4, each)
    )


def test_dd_brings_the_rates_of_its_steps(key):
    config = DdConfig(MLP, batches=2, passes=3, rate=0.07, batch=24)
    distiller = dd(TASK, config)
    state = distiller.init(key, toy_corpus(), {})
    rates = distiller.export(state, {}).hyper["rates"]
    assert rates.shape == (3, 2)
    np.testing.assert_allclose(rates, 0.07, rtol=1e-5)
    low = {**state.params, "hyper": {"raw_rates": jnp.full((3, 2), -50.0)}}
    assert (distiller.export(state._replace(params=low), {}).hyper["rates"] >= 0).all()


def test_one_start_is_always_the_same_network(key):
    """Losses at two steps differ by the batch alone: with all images not at all."""
    config = DdConfig(MLP, start="fixed", batches=1, passes=2, rate=0.1, batch=48)
    params, _, first = _gradient(dd(TASK, config), None, key)
    _, _, later = _gradient(dd(TASK, config), params, key, step=1)
    assert first["loss"] == later["loss"]
    fresh = dataclasses.replace(config, start="random")
    _, _, one = _gradient(dd(TASK, fresh), params, key)
    _, _, other = _gradient(dd(TASK, fresh), params, key, step=1)
    assert one["loss"] != other["loss"]


def test_trained_starts_are_the_experts(key):
    config = DdConfig(MLP, start="trained", batches=1, passes=1, rate=1e-9, batch=48)
    distiller = dd(TASK, config)
    (need,) = distiller.needs
    assert need.experts.network == MLP
    zero = ExpertsAsset(jnp.zeros((3, 64 * 6 + 6 + 6 * 4 + 4)))
    _, _, metrics = _gradient(distiller, None, key, {"experts": zero})
    np.testing.assert_allclose(metrics["loss"], np.log(4), rtol=1e-6)


def test_learned_labels_stay_at_or_above_zero(key):
    config = dataclasses.replace(WINDOWED, labels="learned", optimiser=Adam(0.05))
    distiller, corpus = rat_bptt(TASK, config), toy_corpus()
    state = distiller.init(key, corpus, {})
    np.testing.assert_array_equal(
        state.params["target"], np.eye(4)[np.repeat(np.arange(4), 2)]
    )

    @jax.jit
    def step(state):
        return distiller.step(
            state, sample(distiller.feed, corpus, {}, state.key, state.step), {}
        )[0]

    for _ in range(3):
        state = step(state)
    target = np.asarray(distiller.export(state, {}).target)
    assert target.min() == 0
    assert (np.abs(target.sum(1) - 1) > 1e-3).any()  # they are not normalised
    assert not np.array_equal(target, np.eye(4)[np.repeat(np.arange(4), 2)])


def test_images_start_at_unit_norm(key):
    image = rat_bptt(TASK, WINDOWED).init(key, toy_corpus(), {}).params["image"]
    np.testing.assert_allclose(jnp.sum(image**2, (1, 2, 3)), 1.0, rtol=1e-5)
    xavier = bptt(TASK, BpttConfig(**LONG)).init(key, toy_corpus(), {})
    bound = np.sqrt(6 / (8 + 64))
    assert 0.9 * bound < float(jnp.abs(xavier.params["image"]).max()) <= bound


@pytest.mark.slow
def test_mirrored_rows_are_drawn_in_pairs(key):
    """With flip the inner steps see twice the images; what is stored stays."""
    for distiller in (
        bptt(TASK, BpttConfig(**{**LONG, "inner_per_class": 2}, flip=True)),
        dd(TASK, DdConfig(MLP, batches=2, passes=1, batch=24, flip=True)),
    ):
        state = distiller.init(key, toy_corpus(), {})
        assert distiller.export(state, {}).image.shape == (8, 8, 8, 1)
        _, gradient, _ = _gradient(distiller, None, key)
        assert gradient["image"].shape == (8, 8, 8, 1)
        assert bool(jnp.isfinite(gradient["image"]).all())


_BUILD = {"dd": dd, "bptt": bptt, "rtp": rtp, "rat_bptt": rat_bptt}
_BASE = {
    "dd": DdConfig(MLP, batches=1),
    "bptt": BpttConfig(**LONG),
    "rtp": RtpConfig(**LONG, bases=4),
    "rat_bptt": WINDOWED,
}


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("dd", "batches", 0),
        ("dd", "batches", 3),
        ("dd", "passes", 0),
        ("dd", "rate", 0.0),
        ("dd", "batch", 0),
        ("dd", "attack", (1, 9)),
        ("dd", "attack", (1,)),
        ("dd", "meta_batch", 0),
        ("bptt", "inner_steps", 0),
        ("bptt", "rate", -0.1),
        ("bptt", "momentum", 1.0),
        ("bptt", "weight_decay", -1.0),
        ("bptt", "clip", float("nan")),
        ("bptt", "classes", 5),
        ("bptt", "inner_per_class", -1),
        ("bptt", "init", "zero"),
        ("rtp", "bases", 0),
        ("rtp", "downscale", 3),
        ("rtp", "images_per_class", -1),
        ("rtp", "batch", 0),
        ("rtp", "classes", -1),
        ("rat_bptt", "inner_steps", 7),
        ("rat_bptt", "total", 2),
        ("rat_bptt", "first", 4),
        ("rat_bptt", "window_repeat", 0),
        ("rat_bptt", "rate", 0.0),
        ("rat_bptt", "inner_classes", 5),
        ("rat_bptt", "label_scale", 0.0),
        ("rat_bptt", "clip_factor", 0.0),
        ("rat_bptt", "clip_decay", 1.0),
    ],
)
def test_settings_out_of_range_name_themselves(name, field, value):
    config = dataclasses.replace(_BASE[name], **{field: value})
    shown = {"bases": "bases", "inner_steps": "total"}.get(field, field)
    if (name, field) == ("bptt", "inner_steps"):
        shown = "inner_steps"
    with pytest.raises(InputError, match=shown):
        _BUILD[name](TASK, config)


@pytest.mark.parametrize("name", _BUILD)
def test_batch_norm_is_refused_by_bilevel_methods(name):
    config = dataclasses.replace(_BASE[name], network=BATCH_NORM)
    with pytest.raises(InputError, match="batch norm"):
        _BUILD[name](TASK, config)


@pytest.mark.parametrize("name", ["bptt", "rtp", "rat_bptt"])
def test_mixing_is_refused_by_bilevel_methods(name):
    config = dataclasses.replace(_BASE[name], augment=AugmentSpec(mixup=0.5))
    with pytest.raises(InputError, match="mixup"):
        _BUILD[name](TASK, config)
