"""Kernels with their rows over devices: as on one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.devices.mesh import make_mesh, replicate, use_mesh
from jaxdd.kernels import blocked, sharded
from tests.kernels.toy_kernel import bell, images


@pytest.mark.parametrize("rows", [16, 13])
def test_sharded_kernel_equals_single_device(rows):
    x, y = images(rows, dtype=jnp.float32), images(5, 1, dtype=jnp.float32)
    way, width = np.asarray(images(rows, 2, (5,), jnp.float32)), jnp.float32(1.3)
    shares = []

    def watched(x1, x2, variables=()):
        shares.append(x1.shape[0])
        return bell(x1, x2, variables)

    def run(kernel, mesh):
        loss = lambda x, y, w: jnp.sum(jnp.sin(kernel(x, y, w)) * way)
        given = replicate(mesh, (x, y, width))
        return jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(*given)

    value, slopes = run(bell, None)
    mesh = make_mesh(data=8)
    with use_mesh(mesh):
        spread = run(sharded(watched), mesh)
        parts = run(sharded(blocked(bell, 1, 3)), mesh)
    assert set(shares) == {2}
    for other, gradients in (spread, parts):
        np.testing.assert_allclose(other, value, rtol=1e-5)
        for slope, expected in zip(gradients, slopes, strict=True):
            np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-6)


def test_without_a_mesh_it_is_the_kernel_itself():
    x = images(3)
    np.testing.assert_array_equal(sharded(bell)(x, x), bell(x, x))


def test_no_row_is_sent_elsewhere():
    x, y = images(16, dtype=jnp.float32), images(5, 1, dtype=jnp.float32)
    mesh = make_mesh(data=8)
    split = jax.NamedSharding(mesh, jax.P("data"))
    whole = jax.NamedSharding(mesh, jax.P())
    x, y = jax.device_put(x, split), jax.device_put(y, whole)
    with use_mesh(mesh):
        program = jax.jit(sharded(bell)).lower(x, y).compile()
    text = program.as_text() or ""
    assert "fusion" in text
    assert not any(word in text for word in ("all-gather", "all-to-all", "all-reduce"))
    assert program(x, y).sharding.is_equivalent_to(split, 2)
