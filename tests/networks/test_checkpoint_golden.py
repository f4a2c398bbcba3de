"""Checkpoints that PyTorch wrote give its outputs.

They come from experiments/reference/networks/checkpoint_torch.py.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.foreign import read_tensors
from jaxdd.networks.functional import from_linen
from jaxdd.networks.imported import fill
from jaxdd.networks.resnet import ResNet

FOLDER = Path(__file__).parent / "golden"
BASIC = ResNet((1, 2), channels=4, outputs=3)
BOTTLENECK = ResNet((1, 1), channels=2, outputs=3, bottleneck=True, stem="imagenet")


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("basic.pt", BASIC),
        ("basic.pth", BASIC),
        ("basic.safetensors", BASIC),
        ("basic.ckpt", BASIC.clone(outputs=0)),
        ("bottleneck.pt", BOTTLENECK),
    ],
)
def test_checkpoint_gives_the_outputs_of_pytorch(name, module, x64):
    path = FOLDER / f"checkpoint_{name}"
    with np.load(path.with_suffix(".npz")) as file:
        want = {key: file[key] for key in file}
    network = from_linen(module, want["image"].shape[1:])
    like = jax.eval_shape(network.init, jax.random.key(0))
    variables = fill(read_tensors(path), like)
    assert jax.tree.structure(like) == jax.tree.structure(variables)
    output, _ = jax.jit(network.apply)(variables, jnp.asarray(want["image"]))
    np.testing.assert_allclose(output.features, want["features"], rtol=1e-9, atol=1e-9)
    if module.outputs:
        np.testing.assert_allclose(output.logits, want["logits"], rtol=1e-9, atol=1e-9)
