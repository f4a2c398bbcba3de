"""Networks against PyTorch.

The arrays come from experiments/reference/networks/networks_torch.py.
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
from jaxdd.networks.resnet import ResNet

MODULES = {
    "convnet_batch": (ConvNet, {"width": (4, 6), "norm": "batch"}),
    "convnet_instance": (ConvNet, {"width": (3, 4, 5), "norm": "instance"}),
    "convnet_group": (
        ConvNet,
        {"width": (4, 8), "norm": "group", "pooling": "max"},
    ),
    "convnet_layer": (ConvNet, {"width": (4, 6), "norm": "layer"}),
    "resnet18": (ResNet, {"blocks": (2, 2, 2, 2), "channels": 2}),
    "resnet_bottleneck": (
        ResNet,
        {"blocks": (1, 2, 1), "channels": 2, "stem": "pad1", "bottleneck": True},
    ),
    "resnet_imagenet": (ResNet, {"blocks": (1, 1), "channels": 2, "stem": "imagenet"}),
    "resnet_averaged": (
        ResNet,
        {
            "blocks": (1, 1, 1),
            "channels": 2,
            "stem": "pad1",
            "averaged": True,
            "norm": "instance",
        },
    ),
    "mlp": (MLP, {"width": (6, 5)}),
}


def read(name):
    """The stored arrays in float64, by path."""
    with np.load(Path(__file__).parent / "golden" / f"networks_{name}.npz") as file:
        return {path: jnp.asarray(file[path], jnp.float64) for path in file}


def nested(arrays, kind):
    """Arrays under `kind/owner/leaf` as nested dicts."""
    tree: dict = {}
    for path, value in arrays.items():
        root, *rest = path.split("/")
        if root == kind:
            owner, leaf = rest
            tree.setdefault(owner, {})[leaf] = value
    return tree


@pytest.mark.slow_cases("resnet_bottleneck-cpu")
@pytest.mark.parametrize("conv", ["cpu", "stock"])
@pytest.mark.parametrize("name", MODULES)
def test_network_equals_pytorch(name, conv, x64):
    arrays = read(name)
    image = arrays["image"]
    kind, options = MODULES[name]
    options = options if name == "mlp" else {**options, "conv": conv}
    network = from_linen(kind(outputs=3, **options), image.shape[1:])
    variables = Variables(nested(arrays, "params"), nested(arrays, "stats"))
    fresh = jax.eval_shape(network.init, jax.random.key(0))
    assert jax.tree.structure(fresh) == jax.tree.structure(variables)

    def loss(image):
        output, after = network.apply(variables, image, train=True)
        return jnp.sum(output.logits**2), (output, after)

    def everything(image):
        gradient, (output, after) = jax.grad(loss, has_aux=True)(image)
        return network.apply(variables, image)[0], output, after.stats, gradient

    evaluated, trained, stats, gradient = jax.jit(everything)(image)
    for mode, output in (("eval", evaluated), ("train", trained)):
        for field in ("features", "logits"):
            want = arrays[f"{mode}/{field}"]
            np.testing.assert_allclose(getattr(output, field), want, atol=1e-10)
    np.testing.assert_allclose(gradient, arrays["image_gradient"], atol=1e-9)
    expected = nested(arrays, "stats_after")
    assert jax.tree.structure(expected) == jax.tree.structure(stats)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), stats, expected
    )
