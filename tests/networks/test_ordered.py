"""PyTorch's order of parameters in the order of the networks here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxdd import networks
from jaxdd.base import Variables
from jaxdd.errors import InputError
from jaxdd.networks.ordered import torch_order
from jaxdd.records import (
    ConvNet,
    Mlp,
    ResNet,
)


def variables_of(spec, shape, outputs, joined):
    """Variables whose numbers PyTorch would list as `joined`."""
    network = networks.build(spec, shape, outputs)
    like = jax.eval_shape(network.init, jax.random.key(0))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), like.params)
    order = torch_order(spec, shape, outputs)
    return network, Variables(ravel_pytree(zeros)[1](joined[order.index]), {})


def pieces(order, joined):
    """The numbers as PyTorch's tensors."""
    ends = np.cumsum([int(np.prod(shape)) for shape in order.shapes])
    parts = np.split(joined, ends[:-1])
    return [part.reshape(s) for part, s in zip(parts, order.shapes, strict=True)]


def test_the_published_convnet_is_listed_as_it_is():
    order = torch_order(ConvNet(width=(128,) * 3), (32, 32, 3), 10)
    block = [(128,), (128,), (128,)]
    assert list(order.shapes) == [
        (128, 3, 3, 3),
        *block,
        (128, 128, 3, 3),
        *block,
        (128, 128, 3, 3),
        *block,
        (10, 2048),
        (10,),
    ]
    assert order.index.shape == (320_010,)
    np.testing.assert_array_equal(np.sort(order.index), np.arange(320_010))


@pytest.mark.parametrize(
    ("spec", "shape", "features"),
    [
        (ConvNet(width=(2,) * 3), (28, 28, 1), 2 * 4 * 4),
        (ConvNet(width=(2, 3), pooling="none", norm="none"), (4, 6, 3), 72),
        (ConvNet(width=(2, 3)), (8, 12, 3), 18),
    ],
)
def test_the_classifier_of_other_shapes(spec, shape, features):
    order = torch_order(spec, shape, 5)
    assert order.shapes[-2:] == ((5, features), (5,))
    np.testing.assert_array_equal(np.sort(order.index), np.arange(len(order.index)))


def test_an_mlp_equals_that_of_pytorch():
    spec, shape = Mlp(width=(6, 5)), (2, 3, 2)
    order, rng = torch_order(spec, shape, 4), np.random.default_rng(0)
    joined = rng.standard_normal(len(order.index)).astype(np.float32)
    network, variables = variables_of(spec, shape, 4, joined)
    image = rng.standard_normal((7, *shape)).astype(np.float32)
    hidden = image.transpose(0, 3, 1, 2).reshape(7, -1)  # channels first
    *tensors, last, shift = pieces(order, joined)
    for weight, bias in zip(tensors[::2], tensors[1::2], strict=True):
        hidden = np.maximum(hidden @ weight.T + bias, 0)
    found = network.apply(variables, jnp.asarray(image))[0].logits
    np.testing.assert_allclose(found, hidden @ last.T + shift, rtol=1e-4, atol=1e-5)


def test_a_classifier_without_blocks_below_flattens_channels_first():
    """Its rows are permuted: the same numbers in another order would fail."""
    spec, shape = Mlp(width=()), (2, 2, 3)
    order = torch_order(spec, shape, 2)
    joined = np.arange(len(order.index), dtype=np.float32)
    network, variables = variables_of(spec, shape, 2, joined)
    weight, bias = pieces(order, joined)
    image = np.random.default_rng(1).standard_normal((3, *shape)).astype(np.float32)
    want = image.transpose(0, 3, 1, 2).reshape(3, -1) @ weight.T + bias
    found = network.apply(variables, jnp.asarray(image))[0].logits
    np.testing.assert_allclose(found, want, rtol=1e-4)
    assert (order.index != np.arange(len(order.index))).any()


def test_networks_that_are_not_listed():
    with pytest.raises(InputError, match=r"network\.name='resnet18'"):
        torch_order(ResNet("resnet18", norm="batch"), (32, 32, 3), 10)
