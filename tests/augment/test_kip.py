"""KIP's augmentation: scipy's resampling, its ranges, its place before whitening."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxdd import whiten
from jaxdd.augment import build, kip
from jaxdd.errors import InputError
from jaxdd.records import AugmentSpec

SHAPE = (10, 8, 3)


def test_one_resampling_as_scipys(x64):
    """As Keras: output positions, from the centre, shifted and then rotated."""
    rng = np.random.default_rng(0)
    image = rng.standard_normal((2, *SHAPE))
    angle, shift = np.array([0.15, -0.1]), np.array([[0.8, -0.5], [-0.3, 0.7]])
    move = kip.kip("rotate_shift", SHAPE)
    params = {"move": {"angle": jnp.asarray(angle), "shift": jnp.asarray(shift)}}
    found = move.apply(params, jnp.asarray(image))
    centre = (np.array(SHAPE[:2]) - 1) / 2
    for number, (turn, by) in enumerate(zip(angle, shift, strict=True)):
        cos, sin = np.cos(turn), np.sin(turn)
        matrix = np.array([[cos, sin], [-sin, cos]])
        offset = matrix @ (by - centre) + centre
        for channel in range(3):
            expected = ndimage.affine_transform(
                image[number, ..., channel], matrix, offset, order=1, mode="nearest"
            )
            np.testing.assert_allclose(
                found[number, ..., channel], expected, atol=1e-10
            )


def test_draws_fill_their_ranges(key):
    params = jax.jit(kip.kip("", SHAPE).sample, static_argnums=1)(key, 2000)
    for values, reach in (
        (params["move"]["angle"], np.radians(10)),
        (params["move"]["shift"][:, 0], 1.0),
        (params["move"]["shift"][:, 1], 0.8),
    ):
        assert 0.98 * reach < float(jnp.abs(values).max()) <= reach * (1 + 1e-6)
        assert abs(float(values.mean())) < 0.06 * reach
    assert 0.45 < float(params["flip"].mean()) < 0.55
    still = kip.kip("shift", SHAPE).sample(key, 50)
    assert set(still) == {"move"}
    assert float(jnp.abs(still["move"]["angle"]).max()) == 0.0
    with pytest.raises(InputError, match="zoom"):
        build(AugmentSpec(policy="kip", strategy="zoom"), SHAPE)


@pytest.mark.parametrize("kind", ["standard", "zca_kip"])
def test_moving_commutes_with_standardising(kind, key, x64):
    """What the whitening standardises may be moved before or after it."""
    rng = np.random.default_rng(1)
    raw = rng.integers(0, 256, (40, *SHAPE), dtype=np.uint8)
    fitted, unit = whiten.fit(kind, raw), jnp.asarray(raw[:4], float) / 255
    operation = kip.kip("rotate_shift", SHAPE)
    params = operation.sample(key, 4)
    before = whiten.apply(fitted, operation.apply(params, unit))
    undone = whiten.inverse(fitted, whiten.apply(fitted, unit))
    again = whiten.apply(fitted, operation.apply(params, undone))
    np.testing.assert_allclose(again, before, atol=1e-10)
