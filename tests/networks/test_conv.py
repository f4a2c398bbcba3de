"""The CPU convolution: equal to XLA's in every derivative and transformation."""

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxdd import networks
from jaxdd.networks.conv import choose, convolve, general_dilated
from jaxdd.records import (
    ConvNet,
    LeNet,
)
from tests.helpers import finite_difference

# size, stride, padding, channels in and out, side: one row for every code path.
CASES = [
    pytest.param(1, 1, 0, 5, 6, 6, id="1x1"),
    pytest.param(1, 2, 0, 5, 6, 7, id="1x1-stride2"),
    pytest.param(1, 1, 1, 2, 3, 4, id="1x1-padded"),
    pytest.param(3, 1, 1, 3, 6, 8, id="few-channels"),
    pytest.param(3, 1, 3, 1, 4, 6, id="grey-padding3"),
    pytest.param(3, 1, 2, 3, 4, 6, id="stem-padding2"),
    pytest.param(3, 1, 1, 6, 5, 6, id="3x3"),
    pytest.param(3, 1, 0, 6, 5, 6, id="3x3-valid"),
    pytest.param(3, 1, 2, 6, 5, 6, id="3x3-padding2"),
    pytest.param(3, 1, 4, 5, 6, 5, id="3x3-padding4"),
    pytest.param(3, 2, 1, 6, 5, 8, id="3x3-stride2"),
    pytest.param(3, 2, 1, 6, 5, 7, id="3x3-stride2-odd"),
    pytest.param(3, 1, 1, 64, 64, 4, id="3x3-wide"),
    pytest.param(5, 1, 2, 5, 6, 7, id="5x5"),
    pytest.param(5, 2, 2, 5, 6, 9, id="5x5-stride2"),
    pytest.param(5, 1, 4, 5, 6, 7, id="5x5-padding4"),
    pytest.param(2, 1, 1, 5, 6, 5, id="even-kernel"),
    pytest.param(4, 1, 1, 5, 6, 6, id="even-kernel4"),
]


def xla(image, kernel, stride, padding):
    """XLA's own convolution."""
    pads = ((padding, padding),) * 2
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        image, kernel, (stride, stride), pads, dimension_numbers=layout
    )


def arrays(size, channels, outputs, side, batch=2, seed=0, dtype=np.float32):
    """A random image [n,s,s,c] and kernel [k,k,c,o]."""
    rng = np.random.default_rng(seed)
    image = rng.standard_normal((batch, side, side + 1, channels))
    kernel = rng.standard_normal((size, size, channels, outputs)) / size
    return jnp.asarray(image, dtype), jnp.asarray(kernel, dtype)


def curved(conv, stride, padding):
    """A scalar whose first and second derivatives exercise the convolution's."""

    def value(image, kernel):
        return jnp.sum(jnp.sin(conv(image, kernel, stride, padding)))

    def slope(image, kernel):
        first = jax.grad(value, (0, 1))(image, kernel)
        return sum(jnp.sum(jnp.cos(part)) for part in first)

    return value, slope


@pytest.mark.parametrize(
    ("size", "stride", "padding", "channels", "outputs", "side"), CASES
)
def test_conv_equals_xla_up_to_second_order(
    size, stride, padding, channels, outputs, side, x64
):
    image, kernel = arrays(size, channels, outputs, side, dtype=np.float64)

    def derivatives(conv):
        value, slope = curved(conv, stride, padding)
        first, second = (jax.grad(f, (0, 1))(image, kernel) for f in (value, slope))
        return conv(image, kernel, stride, padding), *first, *second

    run = jax.jit(derivatives, static_argnums=0)
    for ours, theirs in zip(run(convolve), run(xla), strict=True):
        assert ours.dtype == jnp.float64
        np.testing.assert_allclose(ours, theirs, atol=1e-11 * abs(theirs).max())


@pytest.mark.parametrize(
    ("size", "stride", "padding", "channels", "outputs", "side"), CASES
)
def test_conv_by_rows_equals_xla_in_every_mode(
    size, stride, padding, channels, outputs, side, x64
):
    image, kernel = arrays(size, channels, outputs, side, dtype=np.float64)
    tangents = arrays(size, channels, outputs, side, seed=1, dtype=np.float64)

    def derivatives(conv):
        value, _ = curved(conv, stride, padding)
        forward = lambda *both: conv(*both, stride, padding)
        first = jax.grad(value, (0, 1))
        pair = (image, kernel)
        outs = jax.jvp(forward, pair, tangents), jax.jvp(first, pair, tangents)
        return jax.tree.leaves(outs)

    run = jax.jit(derivatives, static_argnums=0)
    by_rows = partial(convolve, any_mode=True)
    for ours, theirs in zip(run(by_rows), run(xla), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-11 * abs(theirs).max())


def test_only_rows_allow_forward_mode():
    image, kernel = arrays(3, 6, 6, 6)
    run = lambda image, **options: convolve(image, kernel, 1, 1, **options)
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.jvp(run, (image,), (image,))
    _, tangent = jax.jvp(partial(run, any_mode=True), (image,), (image,))
    np.testing.assert_allclose(tangent, run(image), atol=1e-5)  # it is linear


def test_conv_by_rows_holds_no_convolution():
    """Whatever XLA makes of convolutions in loops, there is none."""
    image, kernel = arrays(3, 6, 6, 6)
    _, slope = curved(partial(convolve, any_mode=True), 1, 1)
    text = jax.jit(jax.grad(slope, (0, 1))).lower(image, kernel).as_text()
    assert "dot_general" in text
    assert "stablehlo.convolution" not in text


def test_conv_third_order_equals_xla(x64):
    image, kernel = arrays(3, 5, 6, 5, dtype=np.float64)

    def third(conv):
        _, slope = curved(conv, 1, 1)
        value = lambda image: jnp.sum(jax.grad(slope)(image, kernel) ** 2)
        return jax.jit(jax.grad(value))(image)

    np.testing.assert_allclose(third(convolve), third(xla), rtol=1e-9)


def test_conv_gradients_equal_finite_differences(x64):
    image, kernel = arrays(3, 5, 6, 5, dtype=np.float64)
    value, slope = curved(convolve, 1, 2)
    for f in (value, slope):
        scalar = jax.jit(lambda both, f=f: f(*both))
        for numeric, exact in finite_difference(scalar, (image, kernel)):
            assert exact == pytest.approx(numeric, rel=1e-6)


@pytest.mark.parametrize("channels", [3, 6], ids=["few", "many"])
def test_conv_in_loops_equals_top_level(channels):
    image, kernel = arrays(3, channels, 6, 6)
    kernels = jnp.stack([kernel, -kernel, 2 * kernel])
    value, _ = curved(convolve, 1, 1)
    gradient = jax.grad(value, (0, 1))
    one_by_one = [jax.jit(gradient)(image, k) for k in kernels]
    want = jax.tree.map(lambda *leaves: jnp.stack(leaves), *one_by_one)
    looped = {
        "map": jax.jit(lambda: lax.map(lambda k: gradient(image, k), kernels)),
        "scan": jax.jit(
            lambda: lax.scan(lambda c, k: (c, gradient(image, k)), 0, kernels)[1]
        ),
        "checkpoint": jax.jit(
            lambda: lax.map(
                lambda k: jax.grad(jax.checkpoint(value), (0, 1))(image, k), kernels
            )
        ),
    }
    for name, run in looped.items():
        got = run()
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
    vmapped = jax.jit(jax.vmap(gradient, (None, 0)))(image, kernels)
    for a, b in zip(jax.tree.leaves(vmapped), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [3, 6], ids=["few", "many"])
@pytest.mark.parametrize("check", [True, False])
def test_conv_sharded_equals_single_device(channels, check):
    image, kernel = arrays(3, channels, 4, 5, batch=4)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    value, _ = curved(convolve, 1, 1)

    def gradients(image, kernel):
        total = lambda i, k: lax.psum(value(i, k), "data")
        if check:
            return jax.grad(total, (0, 1))(image, kernel)
        by_image, by_kernel = jax.grad(value, (0, 1))(image, kernel)
        return by_image, lax.psum(by_kernel, "data")

    sharded = jax.shard_map(
        gradients,
        mesh=mesh,
        in_specs=(P("data"), P()),
        out_specs=(P("data"), P()),
        check_vma=check,
    )
    placed = jax.device_put(image, NamedSharding(mesh, P("data")))
    got = jax.jit(sharded)(placed, kernel)
    want = jax.jit(jax.grad(value, (0, 1)))(image, kernel)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_conv_gradients_hold_no_convolution_but_forward_ones():
    image, kernel = arrays(3, 6, 6, 6)
    _, slope = curved(convolve, 1, 1)
    text = jax.jit(jax.grad(slope, (0, 1))).lower(image, kernel).as_text()
    convolutions = [
        line for line in text.splitlines() if "stablehlo.convolution" in line
    ]
    assert convolutions
    for line in convolutions:
        assert "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]" in line
        assert "lhs_dilate = [1, 1], rhs_dilate = [1, 1]" in line


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": (3, 3)},
        {"kernel_size": (3, 3), "strides": 2, "padding": 1},
        {"kernel_size": (3, 3), "padding": "VALID"},
        {"kernel_size": (3, 3), "kernel_dilation": 2},
        {"kernel_size": (3, 3), "feature_group_count": 2},
        {"kernel_size": (3, 5)},
        {"kernel_size": (2, 2)},
        {"kernel_size": (3, 3), "strides": (1, 2)},
    ],
    ids=str,
)
def test_hook_equals_flax_convolution(options, key):
    image, _ = arrays(3, 6, 6, 7)
    stock = nn.Conv(4, **options)
    variables = jax.jit(stock.init)(key, image)
    hooked = nn.Conv(4, conv_general_dilated=general_dilated, **options)
    np.testing.assert_allclose(
        hooked.apply(variables, image), stock.apply(variables, image), atol=1e-5
    )


def test_auto_follows_the_backend(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert choose("auto") == "stock"
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert choose("auto") == "cpu"
    assert choose("stock") == "stock"
    assert choose("rows") == "rows"


@pytest.mark.slow_cases("lenet")
@pytest.mark.parametrize(
    "spec",
    [
        ConvNet(width=(6, 6), conv="rows"),
        ConvNet(width=(6, 6), pooling="max", norm="none", conv="rows"),
        LeNet(conv="rows"),
    ],
    ids=["convnet", "max", "lenet"],
)
def test_networks_of_rows_equal_stock_ones_in_forward_mode(spec, x64, key):
    """Gradient and Hessian-vector product of a loss by the parameters, and variables
    that fit either."""
    shape = (28, 28, 1) if spec.name == "lenet" else (8, 8, 3)
    image = jnp.asarray(np.random.default_rng(0).standard_normal((3, *shape)))
    rows = networks.build(spec, shape, 4)
    stock = networks.build(dataclasses.replace(spec, conv="stock"), shape, 4)
    variables = jax.jit(stock.init)(key)
    way = jax.tree.map(lambda leaf: jnp.cos(7 * leaf), variables.params)

    def derivatives(network):
        def loss(params):
            output, _ = network.apply(variables._replace(params=params), image)
            return jnp.mean(jax.nn.log_softmax(output.logits)[:, 0])

        return jax.jvp(jax.grad(loss), (variables.params,), (way,))

    ours, theirs = jax.jit(lambda: (derivatives(rows), derivatives(stock)))()
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10 * max(1, abs(b).max()))
