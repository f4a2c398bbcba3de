"""The empirical NTK: against explicit Jacobians, and the three ways of each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxdd import networks
from jaxdd.errors import InputError
from jaxdd.kernels import empirical_ntk
from jaxdd.kernels.budget import required_bytes
from jaxdd.records import (
    ConvNet,
)
from tests.kernels.toy_kernel import images
from tests.objectives.toy_network import in_float64, toy_network

SHAPE = (4, 4, 2)
NETWORK = toy_network((3,), SHAPE, 2)
METHODS = ("contraction", "chunked", "jvp")


@pytest.fixture(scope="module")
def setting():
    variables = jax.jit(NETWORK.init)(jax.random.key(0))
    make = lambda n, seed: images(n, seed, SHAPE, jnp.float32)
    return variables, make(5, 0), make(3, 1)


def jacobian(variables, image):
    """Explicit, [n,k,p]."""
    flat, unravel = ravel_pytree(variables.params)

    def logits(flat):
        given = variables._replace(params=unravel(flat))
        return NETWORK.apply(given, image)[0].logits

    return np.asarray(jax.jit(jax.jacrev(logits))(flat))


def test_all_ways_equal_explicit_jacobians(x64, setting):
    variables, x, y = in_float64(setting)
    left, right = jacobian(variables, x), jacobian(variables, y)
    expected = np.einsum("ncp,mcp->nm", left, right) / 2
    second = np.einsum("np,mp->nm", left[:, 1], right[:, 1])
    way = images(5, 2, (3,))
    slopes = []
    for method in METHODS:
        kernel = empirical_ntk(NETWORK, method, chunk=2)
        run = lambda x, y, kernel=kernel: (
            kernel(x, y, variables),
            jax.grad(lambda *p: jnp.sum(kernel(*p, variables) * way), (0, 1))(x, y),
        )
        value, slope = jax.jit(run)(x, y)
        np.testing.assert_allclose(value, expected, rtol=1e-10)
        slopes.append(slope)
        only = empirical_ntk(NETWORK, method, output=1, chunk=2)
        np.testing.assert_allclose(
            jax.jit(only)(x, y, variables), second, rtol=1e-10, atol=1e-12
        )
    for slope in slopes[1:]:
        for ours, other in zip(slope, slopes[0], strict=True):
            np.testing.assert_allclose(ours, other, rtol=1e-8, atol=1e-10)


def test_products_need_no_forward_mode(key):
    # The CPU convolution has derivatives in reverse mode only.
    spec = ConvNet(width=(4, 4), norm="none", conv="cpu")
    network = networks.build(spec, SHAPE, 2)
    variables = jax.jit(network.init)(key)
    x, y = (images(n, n, SHAPE, jnp.float32) for n in (4, 3))
    ours = jax.jit(empirical_ntk(network, "jvp"))(x, y, variables)
    whole = jax.jit(empirical_ntk(network))(x, y, variables)
    np.testing.assert_allclose(ours, whole, rtol=1e-4, atol=1e-5)


def test_memory_falls_from_way_to_way():
    network = toy_network((64,), (8, 8, 2), 10)
    variables = jax.eval_shape(network.init, jax.random.key(0))
    shape = (24, 8, 8, 2)
    taken = [
        required_bytes(
            empirical_ntk(network, method, chunk=4),
            *(shape, shape),
            variables=variables,
            gradient=False,
        )
        for method in METHODS
    ]
    assert taken[0] > 3 * taken[1] > 6 * taken[2]


def test_wrong_arguments_are_input_errors():
    with pytest.raises(InputError, match=r"Did you mean 'contraction'"):
        empirical_ntk(NETWORK, "contract")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=r"output is 2; .*0 to 1"):
        empirical_ntk(NETWORK, output=2)
