"""The field's networks by name: sizes as published, images they take, how they run."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.errors import InputError
from jaxdd.networks import NAMED, build, count_parameters, named
from jaxdd.records import (
    Activation,
    AlexNet,
    ConvNet,
    LeNet,
    MobileNet,
    ViT,
)

DIGITS, GREY, CIFAR, TINY = (8, 8, 1), (28, 28, 1), (32, 32, 3), (64, 64, 3)
PUBLISHED = [
    ("convnet", CIFAR, 10, 320_010),
    ("convnet", GREY, 10, 317_706),
    ("convnet", TINY, 200, 857_160),
    ("mlp", CIFAR, 10, 411_146),
    ("lenet", CIFAR, 10, 62_006),
    ("alexnet", CIFAR, 10, 1_872_202),
    ("vgg11", CIFAR, 10, 9_231_114),
    ("vgg11_bn", CIFAR, 10, 9_231_114),
    ("resnet18", CIFAR, 10, 11_173_962),
    ("resnet18_bn", CIFAR, 10, 11_173_962),
    ("resnet18_ap", CIFAR, 10, 11_250_762),
    ("vit", CIFAR, 10, 9_523_722),
    ("mobilenet", CIFAR, 10, 2_296_922),
]
MAIN = {name for name, *_ in PUBLISHED}
# Every other combination of these images and names is built.
TOO_SMALL = {
    DIGITS: {
        *("convnet_d4", "convnet_d5", "lenet", "vgg11", "vgg11_bn"),
        *("resnet18", "resnet18_ap", "vit_glad", "mobilenet_in"),
    },
    GREY: {"vit_glad"},
    CIFAR: set(),
    TINY: set(),
}


@pytest.mark.parametrize(("name", "shape", "outputs", "parameters"), PUBLISHED)
def test_sizes_as_published(name, shape, outputs, parameters):
    assert count_parameters(build(named(name, shape), shape, outputs)) == parameters


@pytest.mark.parametrize("shape", TOO_SMALL, ids=str)
def test_images_that_every_network_takes(shape):
    for name in NAMED:
        if name in TOO_SMALL[shape]:
            with pytest.raises(InputError, match=r"^network\."):
                named(name, shape)
            continue
        spec = named(name, shape)
        if name in MAIN:
            assert build(spec, shape, 3).output_dim == 3


@pytest.mark.parametrize(
    ("side", "channels", "depth"),
    [
        (8, 1, 2),
        (16, 3, 2),
        (28, 1, 3),
        (28, 3, 2),
        (32, 3, 3),
        (64, 3, 4),
        (128, 3, 5),
    ],
)
def test_convnets_end_in_maps_of_four_pixels(side, channels, depth):
    assert named("convnet", (side, side, channels)).depth == depth
    assert named("convnet_d1", (side, side, channels)).depth == 1


def test_names_and_sizes_that_do_not_fit():
    with pytest.raises(InputError, match=r"networks='resnet18bn'.*mean 'resnet18_bn'"):
        named("resnet18bn", CIFAR)
    with pytest.raises(InputError, match=r"vgg11.*28x28x3.*takes 32 pixels"):
        named("vgg11", (28, 28, 3))
    with pytest.raises(InputError, match=r"lenet.*8x8x1.*takes 12 pixels"):
        named("lenet", DIGITS)
    assert named("lenet", (12, 12, 1)).name == "lenet"
    with pytest.raises(InputError, match=r"network\.patch: 4 does not divide.*30x30"):
        named("vit", (30, 30, 3))
    with pytest.raises(InputError, match=r"network\.norm: 'instance'.*single pixel"):
        named("resnet18", DIGITS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": "instance"}, r"network\.norm='instance' is unknown"),
        ({"width": (12, 16)}, r"network\.width.*one length"),
        ({"heads": 5}, r"network\.heads 5.*multiple"),
        ({"dropout": 1.0}, r"network\.dropout: 1\.0"),
    ],
)
def test_a_vit_that_cannot_be_is_refused(changes, message):
    options = {"width": (12, 12), "norm": "layer", "heads": 2, **changes}
    with pytest.raises(InputError, match=message):
        build(ViT(**options), DIGITS, 3)


def test_an_unknown_activation_is_refused():
    with pytest.raises(InputError, match=r"network\.activation\.name='gelu' is unkn"):
        build(ConvNet(activation=Activation("gelu")), CIFAR, 3)  # pyright: ignore


# Small enough to run, one of each architecture.
SMALL = {
    "convnet": ConvNet(width=(4, 4), norm="group", activation=Activation("swish")),
    "lenet": LeNet(),
    "alexnet": AlexNet(norm="none"),
    "mobilenet": MobileNet(norm="batch"),
    "vit": ViT(width=(8,), depth=2, norm="layer", heads=2, dropout=0.1),
}
SHAPE = (12, 12, 1)


@pytest.mark.slow_cases("vit")
@pytest.mark.parametrize("name", ["convnet", "vit"])
def test_many_at_once_and_in_half_precision(name, key):
    keys = jax.random.split(key, 2)
    image = jax.random.normal(key, (2, *SHAPE))

    def outputs(dtype, key):
        network = build(SMALL[name], SHAPE, 3, dtype=dtype)
        return network.apply(network.init(key), image)[0]

    together = jax.jit(jax.vmap(partial(outputs, "float32")))(keys)
    alone = jax.jit(partial(outputs, "float32"))(keys[1])
    np.testing.assert_allclose(together.logits[1], alone.logits, atol=1e-5)
    assert np.abs(together.logits[0] - alone.logits).max() > 1e-3
    half = jax.jit(partial(outputs, "bfloat16"))(keys[1])
    assert half.logits.dtype == half.features.dtype == jnp.float32
    assert all(tap.dtype == jnp.bfloat16 for tap in half.taps)
    np.testing.assert_allclose(half.logits, alone.logits, atol=0.1)
    assert np.abs(half.logits - alone.logits).max() > 0


@pytest.mark.parametrize(
    ("name", "features", "taps"),
    [
        ("convnet", 36, [(12, 12, 4), (6, 6, 4)]),
        ("lenet", 84, [(12, 12, 6), (2, 2, 16), (120,), (84,)]),
        ("alexnet", 192, [(12, 12, 128), (6, 6, 192), (3, 3, 256), *[(3, 3, 192)] * 2]),
        ("vit", 8, [(10, 8)] * 2),
        (
            "mobilenet",
            1280,
            [
                *((12, 12, 16), (12, 12, 24), (6, 6, 32), (3, 3, 64), (3, 3, 96)),
                *((2, 2, 160), (2, 2, 320), (2, 2, 1280)),
            ],
        ),
    ],
)
def test_features_and_taps(name, features, taps):
    network = build(SMALL[name], SHAPE, 3)
    image = jax.ShapeDtypeStruct((5, *SHAPE), jnp.float32)
    variables = jax.eval_shape(network.init, jax.random.key(0))
    output, _ = jax.eval_shape(network.apply, variables, image)
    assert network.feature_dim == features
    assert output.features.shape == (5, features)
    assert [tap.shape for tap in output.taps] == [(5, *tap) for tap in taps]
    headless = build(SMALL[name], SHAPE, 0)
    assert (headless.feature_dim, headless.output_dim) == (features, features)
