"""CutMix and mixup: what they draw, and that targets follow the images."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdd.augment.mix import mixing
from jaxdd.base import Mix
from jaxdd.errors import InputError
from jaxdd.records import AugmentSpec

SHAPE = (8, 10, 2)
CUTMIX, MIXUP = AugmentSpec(cutmix=1.0), AugmentSpec(mixup=0.8)


def _mix(spec: AugmentSpec) -> Mix:
    made = mixing(spec, SHAPE)
    assert made is not None
    return made


def _drawn(spec: AugmentSpec, draws: int) -> dict[str, np.ndarray]:
    """Many draws for two rows."""
    draw = jax.jit(jax.vmap(lambda key: _mix(spec).sample(key, 2)))
    return jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(5), draws)))


@pytest.fixture(scope="module")
def batch() -> tuple[jax.Array, jax.Array]:
    image = jax.random.normal(jax.random.key(2), (6, *SHAPE))
    return image, jax.nn.one_hot(jnp.array([0, 1, 2, 0, 1, 2]), 3)


def test_nothing_to_mix_is_none():
    assert mixing(AugmentSpec(policy="dsa", flip=True), SHAPE) is None


def test_cutmix_pastes_the_box_of_another_row(batch):
    image, target = (np.asarray(part) for part in batch)
    params = {
        "other": jnp.array([1, 0, 3, 2, 5, 4]),
        "box": jnp.array([[2, 5, 8, 9]]),
        "share": jnp.ones(1),
    }
    mixed, labels = _mix(CUTMIX).apply(params, *batch)
    expected = image.copy()
    expected[:, 2:8, 5:9] = image[[1, 0, 3, 2, 5, 4], 2:8, 5:9]
    np.testing.assert_array_equal(mixed, expected)
    own = 1 - 24 / 80
    np.testing.assert_allclose(
        labels, own * target + (1 - own) * target[[1, 0, 3, 2, 5, 4]], rtol=1e-6
    )


def test_loss_of_mixed_targets_is_the_mix_of_the_losses(batch, key):
    """Cross-entropy is linear in the target, so both ways of mixing agree."""
    mix = _mix(CUTMIX)
    params = jax.jit(mix.sample, static_argnums=1)(key, 6)
    _, labels = mix.apply(params, *batch)
    logits = jax.random.normal(key, (6, 3))
    plain = lambda target: optax.softmax_cross_entropy(logits, target).mean()
    top, left, bottom, right = np.asarray(params["box"][0])
    own = 1 - (bottom - top) * (right - left) / 80
    assert 0 < own < 1
    expected = own * plain(batch[1]) + (1 - own) * plain(batch[1][params["other"]])
    np.testing.assert_allclose(plain(labels), expected, rtol=1e-6)


def test_mixup_blends_images_and_targets_by_one_share(batch, key):
    mix = _mix(MIXUP)
    params = jax.jit(mix.sample, static_argnums=1)(key, 6)
    share, other = float(params["share"][0]), np.asarray(params["other"])
    assert not np.asarray(params["box"]).any()
    assert sorted(other) == list(range(6))
    for part, mixed in zip(batch, mix.apply(params, *batch), strict=True):
        expected = share * part + (1 - share) * part[other]
        np.testing.assert_allclose(mixed, expected, rtol=1e-5, atol=1e-6)


def test_cutmix_has_its_probability_and_its_boxes():
    params = _drawn(AugmentSpec(cutmix=0.3), 4000)
    top, left, bottom, right = params["box"][:, 0].T
    some = (bottom > top) & (right > left)
    # A box of less than two pixels a side is none: 1 - u < 1/16 for rows of 8 pixels.
    assert abs(some.mean() - 0.3 * 15 / 16) < 0.03
    assert (params["share"] == 1).all()
    # Both middles and ends occur, and nothing beyond.
    assert (top.min(), left.min(), bottom.max(), right.max()) == (0, 0, 8, 10)
    share = 1 - (bottom - top)[some] * (right - left)[some] / 80
    # Halves are rounded down: at most 6 of 8 rows and 8 of 10 columns.
    assert share.min() == 1 - 48 / 80
    assert share.max() > 0.9


def test_mixup_share_follows_its_beta_distribution():
    share = _drawn(AugmentSpec(mixup=0.5), 4000)["share"]
    assert abs(float(share.mean()) - 0.5) < 0.02
    assert abs(float(share.var()) - 1 / 8) < 0.01  # 1 / (4 (2 a + 1))


def test_both_together_take_turns():
    params = _drawn(AugmentSpec(cutmix=0.5, mixup=1.0), 400)
    boxed = params["box"][:, 0].any(1)
    assert 0.4 < boxed.mean() < 0.6
    assert (params["share"][boxed] == 1).all()
    assert (params["share"][~boxed] < 1).any()


@pytest.mark.parametrize(
    "target", [np.array([0, 1]), np.ones((2, 3), int), np.ones(2, np.float32)]
)
def test_targets_that_cannot_be_mixed_are_refused(target, key):
    mix = _mix(CUTMIX)
    params = jax.eval_shape(lambda: mix.sample(key, 2))
    with pytest.raises(InputError, match="float rows"):
        jax.eval_shape(mix.apply, params, jnp.ones((2, *SHAPE)), jnp.asarray(target))


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (AugmentSpec(cutmix=1.5), "cutmix"),
        (AugmentSpec(cutmix=-0.5), "cutmix"),
        (AugmentSpec(mixup=-1.0), "mixup"),
    ],
)
def test_impossible_mixing_names_its_field(spec, field):
    with pytest.raises(InputError, match=f"augment.{field}"):
        mixing(spec, SHAPE)


def test_mixing_keeps_the_dtype(key):
    mix = _mix(AugmentSpec(cutmix=0.5, mixup=1.0))
    image, target = jnp.ones((2, *SHAPE), jnp.bfloat16), jnp.eye(2)
    params = jax.eval_shape(lambda: mix.sample(key, 2))
    mixed, labels = jax.eval_shape(mix.apply, params, image, target)
    assert (mixed.dtype, labels.dtype) == (image.dtype, target.dtype)
