"""Residual networks: the sizes their sources state, stems, and what does not fit."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import records
from jaxdd.errors import InputError
from jaxdd.networks import build, count_parameters
from jaxdd.networks.functional import from_linen
from jaxdd.networks.resnet import ResNet, stem_side


def sizes(name, **options):
    """A network on 32x32 colour images of ten classes, unless told otherwise."""
    side, outputs = options.pop("side", 32), options.pop("outputs", 10)
    return build(records.ResNet(name, **options), (side, side, 3), outputs)


@pytest.mark.parametrize(
    ("name", "stem", "outputs", "parameters"),
    [
        ("resnet18", "imagenet", 1000, 11_689_512),  # torchvision's tables
        ("resnet34", "imagenet", 1000, 21_797_672),
        ("resnet50", "imagenet", 1000, 25_557_032),
        ("resnet18", "pad1", 10, 11_173_962),  # dataset condensation's networks
        ("resnet18_ap", "pad1", 10, 11_250_762),
    ],
)
def test_parameters_as_published(name, stem, outputs, parameters):
    network = sizes(name, norm="batch", stem=stem, outputs=outputs)
    assert count_parameters(network) == parameters


@pytest.mark.parametrize(
    ("name", "width"), [("resnet10", 512), ("resnet34", 512), ("resnet50", 2048)]
)
def test_features_are_the_global_average(name, width):
    assert sizes(name, outputs=0).feature_dim == width


@pytest.mark.parametrize(
    ("stem", "maps"),
    [("pad2", [34, 17, 9, 5]), ("pad1", [32, 16, 8, 4]), ("imagenet", [8, 4, 2, 1])],
)
def test_maps_of_each_stem(stem, maps):
    network = sizes("resnet10", stem=stem, norm="batch")

    def taps(key):
        image = jnp.zeros((1, 32, 32, 3))
        return network.apply(network.init(key), image)[0].taps

    found = jax.eval_shape(taps, jax.random.key(0))
    assert [tap.shape[1] for tap in found] == maps
    assert stem_side(stem, 32) == maps[0]


def scales(variables):
    """The scale of every normalisation that ends a block."""
    return {
        name: float(jnp.abs(layer["scale"]).max())
        for name, layer in variables.params.items()
        if name.endswith("norm_1")
    }


def test_blocks_start_as_the_identity_unless_told_otherwise(key):
    for zero_last, scale in ((True, 0.0), (False, 1.0)):
        module = ResNet((1, 1), channels=4, zero_last=zero_last)
        found = scales(from_linen(module, (8, 8, 3)).init(key))
        assert found == dict.fromkeys(("stage_0_0_norm_1", "stage_1_0_norm_1"), scale)
    plain = records.ResNet("resnet18")
    assert plain.zero_last
    other = dataclasses.replace(plain, zero_last=False)
    assert build(plain, (8, 8, 3), 2) is not build(other, (8, 8, 3), 2)


def test_the_imagenet_stem_is_drawn_as_torchvision_draws_it(key):
    module = ResNet((1,), channels=64, stem="imagenet")
    kernel = from_linen(module, (32, 32, 3)).init(key).params["stem"]["kernel"]
    assert kernel.shape == (7, 7, 3, 64)
    assert np.std(kernel) == pytest.approx((2 / (64 * 49)) ** 0.5, rel=0.03)


def test_averaged_networks_need_eight_pixels():
    with pytest.raises(InputError, match=r"resnet18_ap averages.*leaves 7 pixels"):
        sizes("resnet18_ap", stem="pad1", side=7)
    with pytest.raises(InputError, match=r"leaves 7 pixels.*28x28"):
        sizes("resnet10_ap", stem="imagenet", side=28)
    averaged = sizes("resnet10_ap", stem="imagenet", side=29, norm="batch")
    assert averaged.feature_dim == 512
    assert sizes("resnet10_ap", stem="pad1", side=64).feature_dim == 512 * 64


def test_instance_norm_of_a_single_pixel_is_refused():
    for name, options in (
        ("resnet18", {"stem": "pad1", "side": 8}),
        ("resnet18", {"stem": "imagenet"}),
        ("resnet18_ap", {"stem": "pad1", "side": 15}),
    ):
        with pytest.raises(InputError, match=r"'instance'.*single pixel.*'batch'"):
            sizes(name, **options)
        assert sizes(name, **options, norm="batch").output_dim == 10
    assert sizes("resnet18", stem="pad1", side=9).feature_dim == 512


@pytest.mark.slow
def test_uniform_draws_stages_as_pytorch_draws_any_convolution(key):
    for kind, spread in (
        ("uniform", (3 * 9 * 64) ** -0.5),
        ("torch", (2 / (9 * 128)) ** 0.5),
    ):
        module = ResNet((1, 1), channels=64, initialiser=kind, stem="pad1")
        kernel = from_linen(module, (8, 8, 3)).init(key).params["stage_1_0_conv_0"]
        assert np.std(kernel["kernel"]) == pytest.approx(spread, rel=0.02), kind
        if kind == "uniform":
            assert np.abs(kernel["kernel"]).max() <= (9 * 64) ** -0.5


def test_an_unknown_stem_is_refused():
    with pytest.raises(InputError, match=r"network\.stem='pad3' is unknown"):
        sizes("resnet18", stem="pad3")
    with pytest.raises(InputError, match=r"resnet35.*Did you mean"):
        sizes("resnet35")
