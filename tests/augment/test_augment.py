"""Building and chaining operations, and what every operation promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import augment
from jaxdd.errors import InputError
from jaxdd.records import AugmentSpec

SHAPE = (6, 6, 3)
SPECS = {
    "crop": AugmentSpec(crop=2),
    "flip": AugmentSpec(flip=True),
    "shift_scale": AugmentSpec(shift=1.5, scale=0.2),
    "resized_crop": AugmentSpec(min_area=0.2),
    "noise": AugmentSpec(noise=0.1),
    "colour": AugmentSpec(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
    "grayscale": AugmentSpec(grayscale=0.5),
    "blur": AugmentSpec(blur_second=0.5),
    "solarize": AugmentSpec(solarize=0.5),
}
LINEAR = ("crop", "flip", "shift_scale", "resized_crop", "grayscale", "blur")


def _build(name: str) -> augment.Augment:
    return augment.build(SPECS[name], SHAPE, second_view=True)


@pytest.fixture(scope="module")
def image() -> jax.Array:
    return jax.random.uniform(jax.random.key(7), (5, *SHAPE))


@pytest.mark.parametrize("name", SPECS)
def test_one_draw_is_shared_by_all_images(name, image, key):
    op = _build(name)
    params = op.sample(key, 1)
    assert all(leaf.shape[0] == 1 for leaf in jax.tree.leaves(params))
    together = op.apply(params, image)
    apart = [op.apply(params, image[i : i + 1]) for i in range(len(image))]
    np.testing.assert_allclose(together, jnp.concatenate(apart), atol=1e-6)


@pytest.mark.parametrize("name", SPECS)
def test_own_draws_differ_and_keep_shape_and_dtype(name, key):
    op = _build(name)
    params = op.sample(key, 16)
    assert all(leaf.shape[0] == 16 for leaf in jax.tree.leaves(params))
    same = jnp.broadcast_to(jax.random.uniform(key, (1, *SHAPE)), (16, *SHAPE))
    out = op.apply(params, same)
    assert out.shape == same.shape
    assert out.dtype == same.dtype
    assert float(jnp.ptp(out, axis=0).max()) > 0.01


@pytest.mark.parametrize("name", LINEAR)
def test_geometry_is_linear_and_its_transpose_is_the_gradient(name, key, x64):
    op = _build(name)
    params = op.sample(key, 4)
    x, y = jax.random.normal(key, (2, 4, *SHAPE))
    forward = lambda image: op.apply(params, image)
    np.testing.assert_allclose(forward(2 * x + y), 2 * forward(x) + forward(y))
    _, pull = jax.vjp(forward, x)
    np.testing.assert_allclose(jnp.vdot(forward(x), y), jnp.vdot(x, pull(y)[0]))


def test_empty_specification_is_the_identity(image, key):
    spec = AugmentSpec()
    assert augment.is_identity(spec)
    assert not any(augment.is_identity(s) for s in SPECS.values())
    op = augment.build(spec, SHAPE)
    np.testing.assert_array_equal(op.apply(op.sample(key, 5), image), image)


def test_operations_run_in_the_order_of_the_chain(image, key):
    plus = augment.Augment(lambda key, n: (), lambda params, x: x + 1)
    twice = augment.Augment(lambda key, n: (), lambda params, x: x * 2)
    op = augment.chain({"plus": plus, "twice": twice})
    np.testing.assert_allclose(op.apply(op.sample(key, 1), image), 2 * (image + 1))


@pytest.mark.parametrize(
    ("spec", "second_view"),
    [
        (AugmentSpec(solarize=1.0), True),
        (AugmentSpec(solarize_first=1.0), False),
        (AugmentSpec(blur_second=1.0), True),
        (AugmentSpec(blur=1.0), False),
    ],
)
def test_blur_and_solarize_act_on_their_own_view(spec, second_view, image, key):
    op = augment.build(spec, SHAPE, second_view=second_view)
    assert float(jnp.abs(op.apply(op.sample(key, 5), image) - image).max()) > 0.05
    op = augment.build(spec, SHAPE, second_view=not second_view)
    np.testing.assert_array_equal(op.apply(op.sample(key, 5), image), image)


@pytest.mark.parametrize(
    ("spec", "shape", "field"),
    [
        (AugmentSpec(crop=-1), SHAPE, "crop"),
        (AugmentSpec(crop=6), SHAPE, "crop"),
        (AugmentSpec(min_area=1.5), SHAPE, "min_area"),
        (AugmentSpec(hue=0.7), SHAPE, "hue"),
        (AugmentSpec(blur=1.1), SHAPE, "blur"),
        (AugmentSpec(solarize_first=-0.1), SHAPE, "solarize_first"),
        (AugmentSpec(grayscale=0.5), (6, 6, 1), "grayscale"),
        (AugmentSpec(saturation=0.5), (6, 6, 1), "saturation"),
        (AugmentSpec(strategy="flip"), SHAPE, "strategy"),
        (AugmentSpec(policy="dsa", strategy="flipp"), SHAPE, "strategy.*mean 'flip'"),
        (AugmentSpec(policy="frepo", strategy="scale"), SHAPE, "strategy"),
        (AugmentSpec(policy="dc", noise=0.1), SHAPE, "noise=0.1.*'chain'"),
        (AugmentSpec(policy="dsaa"), SHAPE, "policy='dsaa'.*mean 'dsa'"),  # type: ignore
    ],
)
def test_impossible_settings_name_their_field(spec, shape, field):
    with pytest.raises(InputError, match=f"augment.{field}"):
        augment.build(spec, shape)
