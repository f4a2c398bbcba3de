"""Options of the ConvNet: where it normalises, and the softplus."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import networks
from jaxdd.errors import InputError
from jaxdd.networks.layers import activate
from jaxdd.records import (
    BatchNorm,
    ConvNet,
    Softplus,
)

SHAPE = (8, 8, 2)
BEFORE = ConvNet(
    width=(3, 4),
    norm="batch",
    norm_place="before",
    batch_norm=BatchNorm(running_variance="biased"),
)


@pytest.mark.slow
def test_norms_before_convolutions_see_pooled_maps(key) -> None:
    """The second convolution's input is normalised; its statistics are Flax's."""
    network = networks.build(BEFORE, SHAPE, 2)
    variables = network.init(key)
    assert set(variables.stats) == {"norm_1"}
    image = jax.random.normal(key, (5, *SHAPE))
    output, after = network.apply(variables, image, train=True)
    first = output.taps[0]
    pooled = sum(first[:, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4
    ours = after.stats["norm_1"]
    np.testing.assert_allclose(
        ours["var"], 0.9 + 0.1 * pooled.var((0, 1, 2)), rtol=1e-5
    )
    np.testing.assert_allclose(ours["mean"], 0.1 * pooled.mean((0, 1, 2)), rtol=1e-5)
    assert "before" in network.name


def test_softplus_is_smooth_and_close_to_relu() -> None:
    x = jnp.array([-1.0, -0.01, 0.0, 0.02, 3.0])
    found = activate(x, "softplus", 60.0)
    np.testing.assert_allclose(found, np.logaddexp(0, 60 * x) / 60, rtol=1e-5)
    assert float(jnp.abs(found - jax.nn.relu(x)).max()) <= np.log(2) / 60 + 1e-6


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"activation": Softplus(0.0)}, "network.activation.sharpness"),
        ({"norm_place": "between"}, "network.norm_place"),
        ({"batch_norm": BatchNorm(0.9, "half")}, "network.batch_norm.running_variance"),
    ],
)
def test_convnet_options_are_checked(change: dict, named: str) -> None:
    with pytest.raises(InputError, match=named):
        networks.build(dataclasses.replace(BEFORE, **change), SHAPE, 2)
