"""Kernels of finite networks: conjugate, random features, and by name."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import kernels, networks
from jaxdd.base import Variables
from jaxdd.devices.mesh import make_mesh, replicate, use_mesh
from jaxdd.errors import InputError
from jaxdd.kernels import Ridge, conjugate, feature_map, random_features
from jaxdd.kernels.random_features import draw
from jaxdd.records import (
    ConvNet,
    KernelSpec,
    kinds,
)
from tests.kernels.toy_kernel import images
from tests.objectives.toy_network import toy_network

SHAPE = (8, 8, 2)
NETWORK = toy_network((3, 4), SHAPE, 5)
MEMBERS = 8


@pytest.fixture(scope="module")
def members():
    return jax.jit(lambda key: draw(NETWORK, key, MEMBERS))(jax.random.key(3))


@pytest.fixture(scope="module")
def pair():
    make = lambda n, seed: images(n, seed, SHAPE, jnp.float32)
    return make(6, 0), make(4, 1)


def one(members, index):
    return jax.tree.map(lambda leaf: leaf[index], members)


def test_conjugate_kernel_is_the_product_of_features(members, pair):
    variables = one(members, 0)
    f1, f2 = (NETWORK.apply(variables, x)[0].features for x in pair)
    for bias, shift in ((False, 0), (True, 1)):
        ours = conjugate(NETWORK, bias=bias, chunk=4)(*pair, variables)
        np.testing.assert_allclose(ours, f1 @ f2.T + shift, rtol=1e-5)
    own = conjugate(NETWORK)(pair[0], pair[0], variables)
    np.testing.assert_allclose(own, f1 @ f1.T, rtol=1e-5)


def test_random_features_as_published(members, pair):
    # Card kernel_ssl 4.3: K = 2 phi.phi' + 0.01, phi / sqrt(members M), concatenated.
    def phi(x):
        each = [NETWORK.apply(one(members, i), x)[0].features for i in range(MEMBERS)]
        flat = np.concatenate([np.asarray(f, np.float64) for f in each], axis=1)
        return flat / np.sqrt(MEMBERS * NETWORK.feature_dim)

    expected = 2 * phi(pair[0]) @ phi(pair[1]).T + 0.01
    kernel = random_features(NETWORK, MEMBERS)
    np.testing.assert_allclose(kernel(*pair, members), expected, rtol=1e-5)
    maps = [feature_map(NETWORK, members, x) for x in pair]
    assert maps[0].shape == (6, MEMBERS * NETWORK.feature_dim + 1)
    np.testing.assert_allclose(maps[0] @ maps[1].T, expected, rtol=1e-5)


def test_members_over_devices_equal_one_device(members, pair):
    way = np.asarray(images(6, 5, (4,), jnp.float32))

    def run(mesh):
        kernel = random_features(NETWORK, MEMBERS)
        loss = lambda x, y, v: jnp.sum(kernel(x, y, v) * way)
        given = replicate(mesh, (*pair, members))
        return jax.jit(jax.value_and_grad(loss, (0, 1)))(*given)

    value, slopes = run(None)
    mesh = make_mesh(data=8)
    with use_mesh(mesh):
        spread, others = run(mesh)
    np.testing.assert_allclose(spread, value, rtol=1e-5)
    for slope, expected in zip(others, slopes, strict=True):
        np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-6)


def test_members_must_be_there(members, pair):
    with pytest.raises(InputError, match=r"members is 0"):
        random_features(NETWORK, 0)
    with pytest.raises(InputError, match=r"axis of 8.*3 members"):
        random_features(NETWORK, 3)(*pair, members)


BODY = ConvNet(width=(4, 6), norm="none", initialiser="flax")


@pytest.mark.slow_cases("conjugate", "empirical_ntk", "random_features")
@pytest.mark.parametrize("name", ["conjugate", "random_features", "empirical_ntk"])
def test_finite_kernels_by_name(name, pair, key):
    several = {"members": 3} if name == "random_features" else {}
    spec: Any = kinds(KernelSpec)[name](name=name, network=BODY, **several)
    kernel = kernels.named(spec, SHAPE)
    assert kernels.named(spec, SHAPE) is kernel
    variables = kernels.variables(spec, key, SHAPE)
    assert isinstance(variables, Variables)
    value = kernel(pair[0], pair[0], variables)
    assert value.shape == (6, 6)
    assert np.linalg.eigvalsh(value).min() > -1e-5 * np.abs(value).max()
    leading = {leaf.shape[0] for leaf in jax.tree.leaves(variables.params)}
    assert (leading == {3}) == (name == "random_features")


@pytest.mark.slow_cases("0.001")
@pytest.mark.parametrize("relative", [1e-3, 5e-3])
def test_bfloat16_bodies_predict_within_five_percent(relative, key):
    # Card kernel_ssl 8.5 (10): the kernel and the solve stay float32.
    spec = ConvNet(width=(16, 32), norm="none", initialiser="flax")
    x = images(60, 0, (16, 16, 3), jnp.float32)
    rows = jnp.asarray(np.repeat(np.asarray(x[:20]), 3, 0)) + 0.5 * x
    y_s = images(40, 1, (4,), jnp.float32)
    ridge = Ridge(relative, "mean_trace")
    answers = []
    for dtype in ("float32", "bfloat16"):
        body = networks.build(spec, (16, 16, 3), 0, dtype=dtype)
        variables = jax.jit(body.init)(key)
        kernel = jax.jit(conjugate(body))
        k_ss = kernel(rows[:40], rows[:40], variables)
        assert k_ss.dtype == jnp.float32
        alpha, info = kernels.fit(k_ss, y_s, ridge)
        assert info.ok
        k_ts = kernel(rows[40:], rows[:40], variables)
        answers.append(kernels.predict(k_ts, alpha))
    error = np.linalg.norm(answers[1] - answers[0]) / np.linalg.norm(answers[0])
    assert 1e-6 < error < 0.05
