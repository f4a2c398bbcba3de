"""The field's networks against the authors' classes, run in PyTorch.

The arrays are written by experiments/reference/networks/cross_architecture_torch.py.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import Variables
from jaxdd.networks.convnet import ConvNet
from jaxdd.networks.functional import from_linen
from jaxdd.networks.mlp import MLP
from jaxdd.networks.mobilenet import MobileNet, Stage
from jaxdd.networks.plain import PLANS, Plain
from jaxdd.networks.resnet import DESIGNS, ResNet
from jaxdd.networks.vit import ViT

THINNED, NARROW = 3, 32
STAGES = (
    *(Stage(1, 16, 1, 1), Stage(6, 24, 2, 1), Stage(6, 32, 1, 2)),
    *(Stage(6, 64, 1, 2), Stage(6, 320, 1, 2)),
)


def plain(name, **options):
    return Plain(PLANS[name], outputs=3, **{"divide": NARROW, **options})


def resnet(name, **options):
    design = DESIGNS[name]._asdict()
    small = {"channels": 64 // NARROW, "stem": "pad1", "outputs": 3}
    return ResNet(**design, **small, **options)


def convnet(**options):
    return ConvNet((4, 4), outputs=3, **options)


def transformer(**options):
    sizes = {"width": 8, "depth": 2, "heads": 2, "hidden": 12}
    return ViT(**sizes, outputs=3, **options)


MODULES = {
    "convnet_sigmoid": convnet(activation="sigmoid", norm="none", pooling="max"),
    "convnet_leakyrelu": convnet(activation="leaky_relu", norm="group", pooling="none"),
    "convnet_swish": convnet(activation="swish", norm="batch"),
    "mlp": MLP((128 // NARROW,) * 2, outputs=3),
    "lenet": plain("lenet", divide=1),
    "alexnet": plain("alexnet"),
    "alexnet_bn": plain("alexnet", norm="batch"),
    "vgg11": plain("vgg11", norm="instance"),
    "vgg11_bn": plain("vgg11", norm="batch"),
    "resnet18": resnet("resnet18", norm="instance"),
    "resnet18_bn": resnet("resnet18", norm="batch"),
    "resnet18_ap": resnet("resnet18_ap", norm="instance"),
    "vit": transformer(),
    "vit_glad": transformer(normed=False),
    "mobilenet": MobileNet(STAGES, divide=8, outputs=3),
}
FIRST = ("stem", "conv_0", "dense_0", "embed")  # what the layer is called
# With XLA's own convolutions and poolings too; other tests compare the rest.
STOCK = ("alexnet",)


def read(name):
    """The stored arrays in float64, by path."""
    with np.load(Path(__file__).parent / "golden" / f"cross_{name}.npz") as file:
        return {path: jnp.asarray(file[path], jnp.float64) for path in file}


def nested(arrays, kind):
    """Arrays under `kind/[layer/]leaf` as nested dicts."""
    tree: dict = {}
    for path, value in arrays.items():
        root, *owners = path.split("/")
        if root == kind:
            *layer, leaf = owners
            (tree.setdefault(layer[0], {}) if layer else tree)[leaf] = value
    return tree


def measured(network, variables, image):
    """Outputs in both modes, statistics afterwards, gradients of the squared logits."""

    def loss(image, params):
        given = Variables(params, variables.stats)
        output, after = network.apply(given, image, train=True)
        return jnp.sum(output.logits**2), (output, after.stats)

    differentiate = jax.grad(loss, (0, 1), has_aux=True)
    gradients, (trained, stats) = differentiate(image, variables.params)
    return network.apply(variables, image)[0], trained, stats, gradients


@pytest.mark.slow_cases(
    "mobilenet-cpu", "resnet18_ap-cpu", "resnet18_bn-cpu", "vgg11-cpu", "vgg11_bn-cpu"
)
@pytest.mark.parametrize(
    ("name", "conv"),
    [*((name, "cpu") for name in MODULES), *((name, "stock") for name in STOCK)],
)
def test_network_equals_the_authors(name, conv, x64):
    arrays = read(name)
    module = MODULES[name]
    if hasattr(module, "conv"):
        module = module.clone(conv=conv)
    _, height, width, channels = arrays["image"].shape
    network = from_linen(module, (height, width, channels))
    variables = Variables(nested(arrays, "params"), nested(arrays, "stats"))
    fresh = jax.eval_shape(network.init, jax.random.key(0))
    same = jax.tree.map(lambda a, b: a.shape == b.shape, fresh, variables)
    assert all(jax.tree.leaves(same))
    found = jax.jit(measured, static_argnums=0)(network, variables, arrays["image"])
    evaluated, trained, stats, (image_gradient, gradients) = found
    first = next(gradients[layer] for layer in FIRST if layer in gradients)
    pairs = [
        (image_gradient[:, ::THINNED, ::THINNED], arrays["image_gradient"]),
        (first["kernel"], arrays["weight_gradient"]),
    ]
    for mode, output in (("eval", evaluated), ("train", trained)):
        pairs += [
            (getattr(output, field), arrays[f"{mode}/{field}"])
            for field in ("features", "logits")
        ]
    for ours, theirs in pairs:
        scale = np.abs(theirs).max()
        assert scale > 0
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10 * scale)
    expected = nested(arrays, "stats_after")
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), stats, expected
    )
