"""Array operations shared by the CPU convolutions."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.networks.arrays import alike, pad


@pytest.mark.parametrize(
    ("rows", "columns"), [((0, 0), (0, 0)), ((1, 2), (0, 3)), ((0, 0), (2, 1))]
)
def test_pad_equals_numpy(rows, columns):
    image = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    want = np.pad(image, ((0, 0), rows, columns, (0, 0)))
    np.testing.assert_array_equal(pad(jnp.asarray(image), rows, columns), want)


def test_alike_leaves_arrays_outside_of_shard_map():
    arrays = jnp.ones(2), jnp.zeros((3, 1))
    assert all(a is b for a, b in zip(alike(*arrays), arrays, strict=True))
