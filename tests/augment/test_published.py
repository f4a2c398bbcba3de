"""Published augmentations by name."""

import jax
import jax.numpy as jnp
import pytest

from jaxdd import augment
from jaxdd.errors import InputError


@pytest.mark.parametrize("name", augment.NAMED)
def test_every_named_augmentation_can_be_built(name, key):
    spec = augment.named(name)
    assert augment.is_identity(spec) == (name == "none")
    for channels in (1, 3):
        image = jnp.ones((3, 12, 12, channels))
        op = augment.build(spec, image.shape[1:])
        drawn = jax.eval_shape(lambda op=op: op.sample(key, 3))
        assert jax.eval_shape(op.apply, drawn, image).shape == image.shape
    mixes = name in ("idc", "idc_digits")
    assert (augment.mixing(spec, (12, 12, 3)) is not None) == mixes


def test_digits_are_not_mirrored(key):
    for name in ("dsa_digits", "frepo_digits", "fyi_digits"):
        whole = augment.build(augment.named(name.removesuffix("_digits")), (12, 12, 1))
        digits = augment.build(augment.named(name), (12, 12, 1))
        drawn = [set(op.sample(key, 1)) for op in (whole, digits)]
        assert drawn[0] - drawn[1] == {"flip"}


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(InputError, match=r"'dsa_digit' is unknown. .*'dsa_digits'"):
        augment.named("dsa_digit")
