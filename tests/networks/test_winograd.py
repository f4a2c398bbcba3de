"""Winograd's convolution: exact algebra, small error, used only where it pays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from jaxdd.networks import winograd
from jaxdd.networks.conv import convolve
from tests.networks.test_conv import arrays, curved, xla

# side (the width is one more), padding: whole and ragged tiles, ResNet's odd maps.
SHAPES = [(8, 0), (8, 1), (7, 1), (6, 2), (4, 1), (5, 1), (9, 1), (17, 1), (34, 1)]


@pytest.fixture
def small_blocks(monkeypatch):
    """Makes even small batches go through the loop over blocks."""
    monkeypatch.setattr(winograd, "_BLOCK_BYTES", 1 << 12)


@pytest.fixture
def always(monkeypatch):
    """Makes every 3x3 convolution of two or more channels take this path."""
    monkeypatch.setattr(winograd, "_MIN_CHANNELS", 2)
    monkeypatch.setattr(winograd, "_MIN_TILES", 1)
    monkeypatch.setattr(winograd, "_MIN_WORK", 1)
    monkeypatch.setattr(winograd, "_MAX_COST", dict.fromkeys(winograd._MAX_COST, 9))
    least = dict.fromkeys(winograd._MIN_PRODUCT, 4)
    monkeypatch.setattr(winograd, "_MIN_PRODUCT", least)


@pytest.mark.parametrize(("side", "padding"), SHAPES)
def test_winograd_equals_direct_convolution(side, padding, x64):
    image, kernel = arrays(3, 5, 4, side, batch=4, dtype=np.float64)
    want, pull = jax.vjp(lambda k: xla(image, k, 1, padding), kernel)
    gradient = jnp.sin(want)
    by_kernel = pull(gradient)[0]
    got = jax.jit(winograd.correlate, static_argnums=2)(image, kernel, padding)
    np.testing.assert_allclose(got, want, atol=1e-12 * abs(want).max())
    got = jax.jit(winograd.kernel_gradient, static_argnums=2)(image, gradient, padding)
    np.testing.assert_allclose(got, by_kernel, atol=1e-12 * abs(by_kernel).max())


@pytest.mark.slow_cases("1")
@pytest.mark.parametrize("batch", [1, 6, 7])
def test_winograd_in_blocks_equals_direct_convolution(batch, small_blocks, x64):
    image, kernel = arrays(3, 5, 4, 9, batch=batch, dtype=np.float64)
    want, pull = jax.vjp(lambda k: xla(image, k, 1, 1), kernel)
    got = winograd.correlate(image, kernel, 1)
    np.testing.assert_allclose(got, want, atol=1e-12 * abs(want).max())
    got, want = winograd.kernel_gradient(image, want, 1), pull(want)[0]
    np.testing.assert_allclose(got, want, atol=1e-12 * abs(want).max())


@pytest.mark.slow_cases("16")
@pytest.mark.parametrize("channels", [16, 128])
def test_winograd_float32_is_within_1e_5_of_the_exact_result(channels, x64):
    image, kernel = arrays(3, channels, 64, 16, batch=4)
    wide = image.astype(jnp.float64), kernel.astype(jnp.float64)
    exact, pull = jax.vjp(lambda i, k: xla(i, k, 1, 1), *wide)
    by_kernel = pull(exact)[1]
    got = winograd.correlate(image, kernel, 1)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, exact, atol=1e-5 * abs(exact).max())
    got = winograd.kernel_gradient(image, exact.astype(jnp.float32), 1)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, by_kernel, atol=1e-5 * abs(by_kernel).max())


def test_wide_convolution_takes_winograd_in_every_derivative(x64):
    image, kernel = arrays(3, 96, 96, 8, batch=20, dtype=np.float64)
    assert winograd.correlate_pays(image, kernel, 1)
    assert winograd.gradient_pays(image, image, 1, 3)

    def derivatives(conv):
        _, slope = curved(conv, 1, 1)
        return conv(image, kernel, 1, 1), *jax.grad(slope, (0, 1))(image, kernel)

    run = jax.jit(derivatives, static_argnums=0)
    assert "stablehlo.convolution" not in run.lower(convolve).as_text()
    for a, b in zip(run(convolve), run(xla), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11 * abs(b).max())


@pytest.mark.parametrize("padding", [0, 1, 2])
def test_winograd_derivatives_equal_direct(padding, always, small_blocks, x64):
    image, kernel = arrays(3, 5, 6, 7, batch=3, dtype=np.float64)

    def derivatives(conv):
        value, slope = curved(conv, 1, padding)
        return [jax.grad(f, (0, 1))(image, kernel) for f in (value, slope)]

    run = jax.jit(derivatives, static_argnums=0)
    got, want = (jax.tree.leaves(run(conv)) for conv in (convolve, xla))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11 * abs(b).max())


@pytest.mark.slow
def test_winograd_in_transformations_equals_top_level(always, small_blocks, x64):
    image, kernel = arrays(3, 5, 6, 6, batch=4, dtype=np.float64)
    kernels = jnp.stack([kernel, -kernel, 2 * kernel])
    value, _ = curved(convolve, 1, 1)
    gradient = jax.grad(jax.checkpoint(value), (0, 1))
    want = jax.tree.map(
        lambda *leaves: jnp.stack(leaves),
        *[jax.grad(curved(xla, 1, 1)[0], (0, 1))(image, k) for k in kernels],
    )
    looped = jax.jit(lambda: lax.map(lambda k: gradient(image, k), kernels))()
    vmapped = jax.jit(jax.vmap(gradient, (None, 0)))(image, kernels)
    for got in (looped, vmapped):
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-11 * abs(b).max())


def test_winograd_sharded_equals_single_device(always, small_blocks, x64):
    image, kernel = arrays(3, 5, 4, 5, batch=8, dtype=np.float64)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    value, _ = curved(convolve, 1, 1)
    total = lambda i, k: lax.psum(value(i, k), "data")
    sharded = jax.shard_map(
        jax.grad(total, (0, 1)),
        mesh=mesh,
        in_specs=(P("data"), P()),
        out_specs=(P("data"), P()),
    )
    got = jax.jit(sharded)(image, kernel)
    want = jax.grad(curved(xla, 1, 1)[0], (0, 1))(image, kernel)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11 * abs(b).max())


@pytest.mark.parametrize(
    ("size", "channels", "side", "batch", "dtype"),
    [
        pytest.param(5, 128, 16, 16, jnp.float32, id="kernel"),
        pytest.param(3, 8, 16, 16, jnp.float32, id="narrow"),
        pytest.param(3, 128, 5, 64, jnp.float32, id="ragged"),
        pytest.param(3, 128, 8, 2, jnp.float32, id="few-tiles"),
        pytest.param(3, 32, 8, 32, jnp.float32, id="little-work"),
        pytest.param(3, 128, 16, 16, jnp.bfloat16, id="bfloat16"),
    ],
)
def test_winograd_is_left_where_it_would_not_pay(size, channels, side, batch, dtype):
    image = jax.ShapeDtypeStruct((batch, side, side, channels), dtype)
    outputs = max(channels, 64)
    kernel = jax.ShapeDtypeStruct((size, size, channels, outputs), dtype)
    gradient = jax.ShapeDtypeStruct((batch, side, side, outputs), dtype)
    assert not winograd.correlate_pays(image, kernel, size // 2)
    assert not winograd.gradient_pays(image, gradient, size // 2, size)
