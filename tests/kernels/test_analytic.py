"""Kernels of infinitely wide networks against recursions, finite nets, invariances."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import kernels
from jaxdd.errors import InputError
from jaxdd.kernels import analytic
from jaxdd.records import (
    Architecture,
    Conv,
    Fc,
    LinearKernel,
    WideKernel,
)
from tests.helpers import finite_difference

SHAPE = (4, 5, 2)
POOLED = WideKernel("ntk", Conv(2, "average"))


def images(number, shape=SHAPE, seed=0):
    """Standard normal, in the precision of the moment."""
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.standard_normal((number, *shape)))


def evaluate(spec, x1, x2):
    return jax.jit(kernels.named(spec, x1.shape[1:]))(x1, x2)


def by_hand(x, y, depth, weight, bias):
    """NNGP and NTK of two flat images, by the recursion of the papers."""
    product = lambda a, b: weight**2 * a @ b / len(a) + bias**2
    k11, k22, k12 = product(x, x), product(y, y), product(x, y)
    tangent = k12
    for _ in range(depth):
        angle = np.arccos(k12 / np.sqrt(k11 * k22))
        size = np.sqrt(k11 * k22) / (2 * np.pi)
        k12 = size * (np.sin(angle) + (np.pi - angle) * np.cos(angle))
        k12 = weight**2 * k12 + bias**2
        k11, k22 = (weight**2 * k / 2 + bias**2 for k in (k11, k22))
        tangent = weight**2 * tangent * (np.pi - angle) / (2 * np.pi) + k12
    return k12, tangent


def test_dense_kernels_by_hand(x64):
    x1, x2 = images(2), images(3, seed=1)
    for place, name in enumerate(("nngp", "ntk")):
        ours = evaluate(WideKernel(name, Fc(3)), x1, x2)
        flat = [np.asarray(x).reshape(len(x), -1) for x in (x1, x2)]
        hand = [
            [by_hand(x, y, 3, 2**0.5, 0.1)[place] for y in flat[1]] for x in flat[0]
        ]
        np.testing.assert_allclose(ours, hand, rtol=1e-12)


def finite_ntk(key, x, width):
    """Jacobian times its transpose of two hidden layers in NTK parameterisation."""
    sizes = (x.shape[1], width, width, 1)
    pairs = list(pairwise(sizes))
    keys = jax.random.split(key, len(pairs))
    normal = lambda k, shape: jax.random.normal(k, shape)
    params = [
        (normal(k, p), normal(k, p[1:])) for k, p in zip(keys, pairs, strict=True)
    ]

    def apply(params):
        value = x
        for place, (weight, bias) in enumerate(params):
            value = jax.nn.relu(value) if place else value
            scale = (2 / len(weight)) ** 0.5
            value = scale * value @ weight + 0.1 * bias[None]
        return value[:, 0]

    leaves = jax.tree.leaves(jax.jacrev(apply)(params))
    flat = jnp.concatenate([leaf.reshape(len(x), -1) for leaf in leaves], 1)
    return flat @ flat.T


def test_wide_networks_approach_the_ntk(key):
    """The error of one network falls with the root of its width."""
    x = images(6)
    exact = evaluate(WideKernel("ntk", Fc(2)), x, x)
    widths, errors = (32, 128, 512), []
    for width in widths:
        draw = partial(finite_ntk, x=x.reshape(6, -1), width=width)
        found = jax.jit(lambda keys, draw=draw: jax.lax.map(draw, keys))
        gap = found(jax.random.split(key, 8)) - exact[None]
        errors.append(jnp.sqrt(jnp.mean(gap**2)) / jnp.sqrt(jnp.mean(exact**2)))
    slope = np.polyfit(np.log(widths), np.log(errors), 1)[0]
    assert abs(slope + 0.5) < 0.15, errors
    assert errors[-1] < 0.15


def test_wide_pooled_network_approaches_its_nngp(key):
    """Convolution, ReLU, averages, dense: a mean over random filters."""
    x = images(4, (4, 4, 1))
    spec = WideKernel("nngp", Conv(1, "average"))
    width = 20000
    keys = jax.random.split(key, 2)
    filters = jax.random.normal(keys[0], (3, 3, 1, width)) * (2 / 9) ** 0.5
    lines = ("NHWC", "HWIO", "NHWC")
    value = jax.lax.conv_general_dilated(x, filters, (1, 1), "SAME", None, None, lines)
    value = jax.nn.relu(value + 0.1 * jax.random.normal(keys[1], (1, 1, 1, width)))
    value = value.reshape(4, 2, 2, 2, 2, width).mean((2, 4)).reshape(4, -1)
    found = 2 * value @ value.T / value.shape[1] + 0.01
    np.testing.assert_allclose(found, evaluate(spec, x, x), rtol=0.08)


def test_dense_kernels_do_not_know_the_order_of_pixels(x64):
    x1, x2 = images(3), images(2, seed=1)
    order = np.random.default_rng(0).permutation(40)
    shuffle = lambda x: x.reshape(len(x), -1)[:, order].reshape(x.shape)
    spec = WideKernel("ntk", Fc(2))
    moved = evaluate(spec, shuffle(x1), shuffle(x2))
    np.testing.assert_allclose(moved, evaluate(spec, x1, x2), rtol=1e-13)


@pytest.mark.parametrize("name", ["ntk", "nngp"])
def test_convolutions_of_single_pixels_are_dense(name, x64):
    """Eight of nine weights see zeros, and the last layer has no such nine."""
    x1, x2 = images(3, (1, 1, 7)), images(2, (1, 1, 7), 1)
    dense = evaluate(WideKernel(name, Fc(2)), x1, x2)
    wide = WideKernel(name, Conv(2), weight_std=3 * 2**0.5)
    out = (evaluate(wide, x1, x2) - 0.01) / 9 + 0.01
    np.testing.assert_allclose(out, dense, rtol=1e-12)


def test_kernels_are_symmetric_and_positive(x64):
    x = images(4)
    x = jnp.concatenate([x, x[:1]])
    for name in ("ntk", "nngp"):
        value = np.asarray(evaluate(WideKernel(name, Conv(2, "average")), x, x))
        np.testing.assert_allclose(value, value.T, rtol=1e-7)
        assert np.linalg.eigvalsh(value).min() > -1e-6
        # A repeated image is the same row; the NTK there is good to sqrt(eps) only.
        np.testing.assert_allclose(value[0], value[4], rtol=1e-7)


def test_relu_keeps_variances(x64):
    """With weights of variance 2 and no biases, NNGP K(x,x) is that of the input."""
    x = images(3)
    expected = 2 * np.mean(np.asarray(x) ** 2, (1, 2, 3))
    ours = evaluate(WideKernel("nngp", Fc(4), bias_std=0.0), x, x)
    np.testing.assert_allclose(np.diagonal(ours), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "spec",
    [
        WideKernel("ntk", Fc(2)),
        POOLED,
        WideKernel("ntk", Conv(1, "global"), activation="erf"),
    ],
    ids=["fc", "average", "global-erf"],
)
def test_gradient_by_differences(spec, x64):
    shape = (5, 4, 1)
    kernel = kernels.named(spec, shape)
    loss = jax.jit(lambda pair: jnp.sum(jnp.sin(kernel(*pair))))
    pair = images(2, shape), images(2, shape, 1)
    for slope, ours in finite_difference(loss, pair, probes=3):
        np.testing.assert_allclose(ours, slope, rtol=1e-7, atol=1e-9)


def test_gradient_of_images_with_themselves(x64):
    """NTK(x,x) of ReLU without biases is (depth + 1) 2 |x|^2 / D, and so its slope."""
    x = images(3)
    kernel = kernels.named(WideKernel("ntk", Fc(2), bias_std=0.0), SHAPE)
    slope = jax.jit(jax.grad(lambda x: jnp.trace(kernel(x, x))))(x)
    np.testing.assert_allclose(slope, 3 * 4 * x / x[0].size, rtol=1e-6)


def test_black_borders_and_equal_images_have_finite_gradients():
    x = images(2).at[:, :2].set(0)
    for spec in (WideKernel(bias_std=0.0), WideKernel("ntk", Conv(2), bias_std=0.0)):
        kernel = kernels.named(spec, SHAPE)
        both = jnp.concatenate([x, jnp.zeros_like(x)])
        total = lambda a, kernel=kernel, both=both: kernel(a, both).sum()
        value, slope = jax.jit(jax.value_and_grad(total))(both)
        assert jnp.isfinite(value)
        assert jnp.isfinite(slope).all()


def test_blocks_change_neither_value_nor_gradient(monkeypatch, x64):
    shape = (6, 6, 1)
    x1, x2 = images(3, shape), images(5, shape, 1)
    results = []
    for block in (analytic._BLOCK, 2 * 6 * 6 * 7 * 7):  # two pairs at a time
        monkeypatch.setattr(analytic, "_BLOCK", block)
        kernel = analytic.kernel(POOLED, shape)
        loss = lambda a, b, kernel=kernel: (jnp.sin(kernel(a, b)).sum(), kernel(a, b))
        results.append(jax.jit(jax.grad(loss, (0, 1), has_aux=True))(x1, x2))
    for one, other in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-14)


def test_images_of_another_size_are_named():
    kernel = kernels.named(WideKernel(), SHAPE)
    with pytest.raises(InputError, match=r"\(4, 5, 2\), and got an array \(3, 4, 4, 2"):
        kernel(images(2), images(3, (4, 4, 2)))


def test_mapped_over_sets_of_images():
    x = images(6).reshape(3, 2, *SHAPE)
    kernel = kernels.named(WideKernel("ntk", Conv(1, "global")), SHAPE)
    together = jax.jit(jax.vmap(kernel))(x, x)
    alone = jax.jit(kernel)(x[1], x[1])
    np.testing.assert_allclose(together[1], alone, rtol=1e-5)


def test_float32_follows_float64():
    x32 = images(3, (6, 6, 1))
    assert x32.dtype == jnp.float32
    ours = evaluate(POOLED, x32, x32[:2] + 0.1)
    with jax.enable_x64(True):
        wide = jnp.asarray(np.asarray(x32), jnp.float64)
        exact = evaluate(POOLED, wide, jnp.asarray(np.asarray(x32[:2] + 0.1), float))
        assert exact.dtype == jnp.float64
    np.testing.assert_allclose(ours, exact, rtol=2e-5)
    assert evaluate(WideKernel(), x32.astype(jnp.bfloat16), x32).dtype == jnp.float32


def test_linear_kernel_and_equal_specs():
    x1, x2 = images(3), images(2, seed=1)
    expected = x1.reshape(3, -1) @ x2.reshape(2, -1).T
    np.testing.assert_allclose(evaluate(LinearKernel(), x1, x2), expected, 1e-5)
    assert kernels.named(POOLED, SHAPE) is kernels.named(POOLED, SHAPE)
    assert kernels.variables(POOLED, jax.random.key(0), SHAPE) == ()


@pytest.mark.parametrize(
    ("spec", "shape", "words"),
    [
        (
            WideKernel("ntk", Architecture("convnet")),
            (6, 8, 1),
            "layer 8 of 12.*3x4|layer 11",
        ),
        (
            WideKernel("ntk", Architecture("myrtle10")),
            (28, 28, 1),
            "myrtle10.*pooling.*1x1",
        ),
        (WideKernel("ntk", Architecture("convne")), SHAPE, "Did you mean 'convnet'"),
        (WideKernel(activation="gelu"), SHAPE, "activation='gelu'.*relu, erf"),
        (WideKernel("ntk", Fc(0)), SHAPE, "depth=0"),
        (WideKernel(weight_std=0.0), SHAPE, "weight_std=0"),
        (WideKernel(bias_std=float("nan")), SHAPE, "bias_std=nan"),
    ],
)
def test_what_is_not_supported_is_named(spec, shape, words):
    with pytest.raises(InputError, match=words):
        kernels.named(spec, shape)
