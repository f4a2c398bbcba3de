"""The field's protocols: epoch counts, drops, and how they fit a data set."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import augment, networks
from jaxdd.errors import InputError
from jaxdd.presets import protocols
from jaxdd.records import Protocol, from_dict, to_dict
from jaxdd.training import optimisers, trainer
from jaxdd.training.batches import array_source, in_steps
from jaxdd.training.examples import student_network

COLOUR, GREY = (32, 32, 3), (28, 28, 1)


@pytest.mark.parametrize("name", protocols.PROTOCOLS)
def test_every_protocol_can_be_built(name: str) -> None:
    protocol = protocols.named(name, COLOUR, size=100)
    assert protocol.name == name
    assert from_dict(Protocol, to_dict(protocol)) == protocol
    network = student_network(protocol.network, COLOUR, 10)
    recipe = in_steps(protocol.train, 100)
    assert recipe.steps > 0
    trainer(array_source(recipe), network, recipe)
    augment.build(recipe.augment, COLOUR)


@pytest.mark.parametrize(
    ("name", "size", "last_at_full_rate", "steps"),
    [("vico", 10, 501, 1001), ("vico", 500, 1003, 2002), ("dc", 100, 151, 301)],
)
def test_the_rate_drops_where_the_authors_drop_it(
    name: str, size: int, last_at_full_rate: int, steps: int
) -> None:
    """Epochs 0 to E, and a tenth of the rate after epoch E // 2 + 1."""
    recipe = in_steps(protocols.named(name, COLOUR).train, size)
    assert recipe.steps == steps
    rate = optimisers.schedule(recipe.optimiser, recipe.steps)
    at = np.asarray(rate(jnp.asarray([0, last_at_full_rate, last_at_full_rate + 1])))
    np.testing.assert_allclose(at, [0.01, 0.01, 0.001], rtol=1e-6)


def test_idc_drops_to_a_fifth_after_two_thirds_and_five_sixths() -> None:
    """Of 1000 epochs, a step each, 666 and 833 are the first at a lower rate."""
    recipe = in_steps(protocols.named("idc", COLOUR).train, 64)
    assert recipe.steps == 1000
    rate = optimisers.schedule(recipe.optimiser, recipe.steps)
    at = [rate(jnp.asarray(step)) for step in (0, 665, 666, 832, 833, 999)]
    expected = [0.01, 0.01, 2e-3, 2e-3, 4e-4, 4e-4]
    np.testing.assert_allclose(at, expected, rtol=1e-6)


def test_ncfm_halves_four_times() -> None:
    recipe = in_steps(protocols.named("ncfm", COLOUR).train, 100)
    rate = optimisers.schedule(recipe.optimiser, recipe.steps)
    at = [rate(jnp.asarray(s)) for s in (399, 400, 800, 1200, 1600)]
    np.testing.assert_allclose(at, 1e-3 * 0.5 ** np.arange(5), rtol=1e-6)


def test_digits_are_not_flipped() -> None:
    for name in protocols.PROTOCOLS:
        protocol = protocols.named(name, GREY, mirrors=False)
        for recipe in (protocol.train, protocol.fine_tune):
            spec = recipe.augment
            assert not spec.flip
            assert "flip" not in spec.strategy
            assert spec.policy == "chain" or spec.strategy
            augment.build(spec, GREY)
    assert protocols.named("vico", COLOUR).train.augment == augment.NAMED["dsa"]


def test_dc_augments_digits_and_batch_norm() -> None:
    assert augment.is_identity(protocols.named("dc", COLOUR).train.augment)
    digits = protocols.named("dc", GREY, mirrors=False).train
    assert digits.epochs == 1001
    assert digits.augment == augment.NAMED["dc_mnist"]
    assert protocols.named("dc_bn", COLOUR).network.norm == "batch"


@pytest.mark.parametrize(("side", "depth"), [(28, 3), (32, 3), (64, 4), (128, 5)])
def test_depth_follows_the_image(side: int, depth: int) -> None:
    shape = (side, side, 1 if side == 28 else 3)
    protocol = protocols.named("vico", shape)
    assert protocol.network.width == (128,) * depth
    assert protocol.network == dataclasses.replace(
        networks.named("convnet", shape), width=(128,) * depth, depth=None
    )
    assert protocols.named("frepo", shape).network.width == tuple(
        128 * 2**i for i in range(depth)
    )


@pytest.mark.parametrize(("size", "steps"), [(10, 1000), (300, 5000), (9000, 40_000)])
def test_steps_of_frepo_follow_the_size(size: int, steps: int) -> None:
    assert protocols.named("frepo", COLOUR, size=size).train.steps == steps


def test_an_unknown_protocol_offers_the_nearest() -> None:
    with pytest.raises(InputError, match=r"'vicco' is unknown.*Did you mean 'vico'"):
        protocols.named("vicco", COLOUR)
