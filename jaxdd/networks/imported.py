"""Weights of PyTorch's residual networks, in the layout of the networks here.

torchvision's names are understood, under any prefix (`backbone.`, `module.encoder_q.`
...), so checkpoints of solo-learn, Barlow Twins, VICReg and MoCo fit too.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.base import Variables
from jaxdd.errors import InputError
from jaxdd.networks import build
from jaxdd.networks.initialisers import weight_dtype
from jaxdd.networks.resnet import DESIGNS
from jaxdd.records import NetworkSpec, ResNet

__all__ = ["fill", "from_torch"]

Arrays = Mapping[str, np.ndarray]

_ANCHOR = "layer1.0.conv1.weight"
_COPIES = ("momentum", "encoder_k", "teacher", "target", "ema")  # slow averages
_BODY = re.compile(r"(conv1|bn1|layer\d+|fc)\.")
_LAYER = re.compile(r"stage_(\d)_(\d+)_(conv|norm|shortcut_norm|shortcut)_?(\d?)")
_BLOCK = re.compile(r"layer(\d)\.(\d+)\.(?:conv(\d)|bn(\d)|downsample\.(\d))\..*")
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
_ENDS = {"stem": "conv1", "stem_norm": "bn1", "head": "fc"}


def from_torch(
    arrays: Arrays,
    spec: NetworkSpec,
    image_shape: tuple[int, int, int],
    outputs: int,
    *,
    where: str = "checkpoint",
) -> Variables:
    """The weights of a checkpoint, as variables of the network that `spec` describes.

    Args:
      arrays: by PyTorch's names (`jaxdd.foreign.read_tensors`). What does not belong
        to the network (projector, momentum encoder, counters) is left out.
      spec: a resnet10, resnet18, resnet34 or resnet50.
      image_shape: (h, w, c).
      outputs: 0 leaves the last layer out; otherwise it must be in the checkpoint.
      where: the file's name, for messages.

    Returns:
      The variables, for `build(spec, image_shape, outputs)`.

    Raises:
      InputError: the checkpoint is of another architecture (the first layer that does
        not fit is named), or its weights are not finite numbers.
    """
    if spec.name not in DESIGNS or DESIGNS[spec.name].averaged:
        names = [name for name, design in DESIGNS.items() if not design.averaged]
        raise InputError(
            f"network.name: {spec.name!r} cannot be filled from {where}; checkpoints "
            f"are read for {', '.join(names)}"
        )
    network = build(spec, image_shape, outputs)
    like = jax.eval_shape(network.init, jax.random.key(0))
    body = _body(arrays, where, head=bool(outputs))
    return _fill(body, like, where, _hint(body, spec))


def fill(arrays: Arrays, like: Variables, *, where: str = "checkpoint") -> Variables:
    """`from_torch` for a `ResNet` module of any size.

    Args:
      arrays: by PyTorch's names.
      like: variables of the module, or their abstract shapes.
      where: the file's name, for messages.

    Raises:
      InputError: as `from_torch`.
    """
    return _fill(_body(arrays, where, head="head" in like.params), like, where, "")


def _fill(
    body: dict[str, np.ndarray], like: Variables, where: str, hint: str
) -> Variables:
    """Every array of the body in its place, each used once."""
    filled = Variables({}, {})
    for name, target, layer, leaf, shape in _places(like, filled):
        value = body.pop(name, None)
        if value is None or value.shape != shape:
            raise _mismatch(where, name, shape, value, hint)
        target.setdefault(layer, {})[leaf] = _numbers(value, name, where)
    if body:
        name, value = next(iter(body.items()))
        raise _mismatch(where, name, None, value, hint)
    return filled


def _places(like: Variables, filled: Variables) -> Iterator[tuple]:
    """(PyTorch name, tree to fill, layer, leaf, shape), in the order of the layers."""
    for layer in sorted({*like.params, *like.stats}, key=_order):
        for tree, target in zip(like, filled, strict=True):
            for leaf, wanted in tree.get(layer, {}).items():
                name = f"{_torch_layer(layer)}.{_LEAVES[leaf]}"
                yield name, target, layer, leaf, wanted.shape


def _order(layer: str) -> tuple:
    """The place of a layer in the network."""
    match = _LAYER.fullmatch(layer)
    if not match:
        return (1, layer) if layer == "head" else (-1, layer)
    stage, index, kind, number = match.groups()
    return 0, int(stage), int(index), kind.startswith("shortcut"), number, kind


def _torch_layer(layer: str) -> str:
    """torchvision's name of a layer."""
    match = _LAYER.fullmatch(layer)
    if not match:
        return _ENDS[layer]
    stage, index, kind, number = match.groups()
    part = {
        "conv": f"conv{int(number or 0) + 1}",
        "norm": f"bn{int(number or 0) + 1}",
        "shortcut": "downsample.0",
        "shortcut_norm": "downsample.1",
    }[kind]
    return f"layer{int(stage) + 1}.{index}.{part}"


def _body(arrays: Arrays, where: str, *, head: bool) -> dict[str, np.ndarray]:
    """The arrays of one residual network, without their prefix, in the layout here."""
    ends = [n.removesuffix(_ANCHOR) for n in arrays if n.endswith(_ANCHOR)]
    if not ends:
        raise InputError(
            f"{where} holds no residual network by torchvision's names: nothing ends "
            f"with {_ANCHOR}. It holds {', '.join(list(arrays)[:5])} ..."
        )
    prefix = min(ends, key=lambda e: (any(word in e for word in _COPIES), len(e)))
    found = {}
    for full, array in arrays.items():
        name = full.removeprefix(prefix).replace(".shortcut.", ".downsample.")
        if not full.startswith(prefix) or not _BODY.match(name):
            continue
        if name.endswith("num_batches_tracked") or (not head and name[:3] == "fc."):
            continue
        found[name] = _turned(array)
    return found


def _turned(array: np.ndarray) -> np.ndarray:
    """A kernel [o,c,h,w] as [h,w,c,o], a matrix [o,c] as [c,o]."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def _numbers(value: np.ndarray, name: str, where: str) -> jax.Array:
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise InputError(f"{where}: {name} is {value.dtype}; weights are floats")
    wide = value.astype(np.float64)
    if not np.isfinite(wide).all():
        raise InputError(f"{where}: {name} holds numbers that are not finite")
    return jnp.asarray(wide, weight_dtype())


def _mismatch(
    where: str,
    name: str,
    wanted: tuple[int, ...] | None,
    value: np.ndarray | None,
    hint: str,
) -> InputError:
    """Names the layer with both shapes, as [h,w,c,o]."""
    has = f"has it as {list(value.shape)}" if value is not None else "has none"
    needs = f"needs {list(wanted)}" if wanted is not None else "has none"
    return InputError(
        f"{where} is of another architecture: at {name}, the checkpoint {has} and the "
        f"network {needs}{hint}"
    )


def _hint(body: Arrays, spec: NetworkSpec) -> str:
    """What the checkpoint seems to be, where that is not what was asked for."""
    places = {match.groups() for name in body if (match := _BLOCK.fullmatch(name))}
    blocks = Counter(stage for stage, _ in {place[:2] for place in places})
    counts = tuple(blocks[stage] for stage in sorted(blocks))
    bottleneck = any(place[2] == "3" for place in places)
    tips = []
    for name, design in DESIGNS.items():
        found = design == (counts, bottleneck, False)
        if found and name != spec.name:
            tips.append(f"network.name {name}")
    stem = body.get("conv1.weight", np.empty(0)).shape
    imagenet = isinstance(spec, ResNet) and spec.stem == "imagenet"
    if stem and (stem[0] == 7) != imagenet:
        tips.append(f"network.stem {'imagenet' if stem[0] == 7 else 'pad2 or pad1'}")
    if "bn1.running_mean" in body and spec.norm != "batch":
        tips.append("network.norm batch")
    return f". It looks like {' and '.join(tips)}" if tips else ""
