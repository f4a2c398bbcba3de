"""Parameters as PyTorch lists them, in the order and layout of the networks here."""

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxdd.errors import InputError
from jaxdd.networks import build
from jaxdd.networks.convnet import first_padding
from jaxdd.records import ConvNet, Mlp, NetworkSpec

__all__ = ["TorchOrder", "torch_order"]

Shape = tuple[int, ...]


class TorchOrder(NamedTuple):
    """How a network's flat parameters follow from PyTorch's.

    With PyTorch's tensors flattened and joined in the order of `shapes`, the vector
    here (`jax.flatten_util.ravel_pytree` of the parameters) is `joined[index]`.
    """

    shapes: tuple[Shape, ...]
    index: np.ndarray  # int [p]


def torch_order(
    spec: NetworkSpec, image_shape: tuple[int, int, int], outputs: int
) -> TorchOrder:
    """The order of `list(module.parameters())` of the field's programs.

    Their ConvNet lists each block's convolution and norm, then the classifier; their
    MLP its layers. PyTorch's kernels are [o,c,h,w] and its matrices [o,i]; a map is
    flattened channels first there and channels last here.

    Args:
      spec: a convnet or an mlp.
      image_shape: (h, w, c).
      outputs: classes.

    Raises:
      InputError: another network.
    """
    if not isinstance(spec, ConvNet | Mlp):
        raise InputError(
            f"network.name={spec.name!r}: published trajectories are read for "
            "convnet and mlp"
        )
    network = build(spec, image_shape, outputs)
    params = jax.eval_shape(network.init, jax.random.key(0)).params
    filled: dict[str, dict[str, np.ndarray]] = {}
    shapes, start = [], 0
    for layer, leaf, map_shape in _entries(params, spec, image_shape):
        shape = params[layer][leaf].shape
        numbers = np.arange(start, start + prod(shape))
        theirs, ours = _laid_out(numbers, shape, map_shape)
        filled.setdefault(layer, {})[leaf] = ours
        shapes.append(theirs)
        start += prod(shape)
    flat, _ = ravel_pytree(jax.tree.map(np.asarray, filled))
    return TorchOrder(tuple(shapes), np.asarray(flat))


def _entries(
    params: dict, spec: ConvNet | Mlp, image_shape: tuple[int, int, int]
) -> Iterator[tuple[str, str, tuple[int, int] | None]]:
    """(layer, leaf, the map's sides where the layer flattens one), in their order."""
    depth = sum(name.startswith(("conv_", "dense_")) for name in params)
    flattened = "head"
    if isinstance(spec, Mlp):
        sides, flattened = image_shape[:2], "dense_0" if depth else "head"
        layers = [f"dense_{i}" for i in range(depth)]
    else:
        sides = _map_sides(spec, image_shape, depth)
        layers = [f"{part}_{i}" for i in range(depth) for part in ("conv", "norm")]
    for layer in (*layers, "head"):
        kernel = "scale" if layer.startswith("norm") else "kernel"
        for leaf in (kernel, "bias") if layer in params else ():
            flattens = layer == flattened and leaf == "kernel"
            yield layer, leaf, sides if flattens else None


def _map_sides(
    spec: ConvNet, image_shape: tuple[int, int, int], depth: int
) -> tuple[int, int]:
    """Height and width of the last map."""
    more = 2 * (first_padding(image_shape) - 1)
    halvings = 0 if spec.pooling == "none" else depth
    height, width, _ = image_shape
    return (height + more) >> halvings, (width + more) >> halvings


def _laid_out(
    numbers: np.ndarray, shape: Shape, sides: tuple[int, int] | None
) -> tuple[Shape, np.ndarray]:
    """PyTorch's shape of a parameter, and its numbers in the layout here."""
    if len(shape) == 4:
        height, width, inputs, outputs = shape
        theirs = (outputs, inputs, height, width)
        return theirs, numbers.reshape(theirs).transpose(2, 3, 1, 0)
    if len(shape) == 3:  # a norm with a scale for every place of the map
        height, width, channels = shape
        theirs = (channels, height, width)
        return theirs, numbers.reshape(theirs).transpose(1, 2, 0)
    if len(shape) == 1:
        return shape, numbers
    inputs, outputs = shape
    if sides is None:
        return (outputs, inputs), numbers.reshape(outputs, inputs).T
    maps = numbers.reshape(outputs, -1, *sides).transpose(2, 3, 1, 0)
    return (outputs, inputs), maps.reshape(inputs, outputs)
