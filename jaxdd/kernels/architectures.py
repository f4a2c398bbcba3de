"""The layers of the networks whose kernels are known in closed form.

Sources: Nguyen et al., NeurIPS 2021 (ConvNet), Shankar et al., ICML 2020 (Myrtle).
"""

from jaxdd.errors import one_of
from jaxdd.records import KernelSpec

__all__ = ["Layer", "layers"]

Layer = str
"""conv: 3x3, zero-padded; activation; pool: means of 2x2, an odd row or column left
out; global: the mean of all pixels; dense: of all that is left of an image."""

_BLOCK = ("conv", "activation")
_POOL = ("pool",)
_GLOBAL = ("global",)
_DENSE = ("dense",)
_HIDDEN = ("dense", "activation")
_MYRTLE = {"myrtle5": (2, 1, 1), "myrtle7": (2, 2, 2), "myrtle10": (3, 3, 3)}
_POOLINGS = {
    "fc": ("none",),
    "conv": ("none", "average", "global"),
    "convnet": ("none", "average"),
    "convnet3": ("none", "average"),
} | dict.fromkeys(_MYRTLE, ("none", "average"))


def layers(spec: KernelSpec) -> tuple[Layer, ...]:
    """All layers from the image to the output, in order.

    Raises:
      InputError: a pooling that the architecture does not have.
    """
    one_of(
        f"kernel.pooling (of {spec.architecture})",
        spec.pooling,
        _POOLINGS[spec.architecture],
        "Poolings of your choice: architecture='conv', or kernels.from_stax",
    )
    if spec.architecture == "fc":
        return _HIDDEN * spec.depth + _DENSE
    if spec.architecture in _MYRTLE:
        return _myrtle(_MYRTLE[spec.architecture])
    if spec.architecture == "conv" and spec.pooling != "average":
        end = _GLOBAL if spec.pooling == "global" else ()
        return _BLOCK * spec.depth + end + _DENSE
    depth = spec.depth if spec.architecture == "conv" else 3
    first = _BLOCK if spec.architecture == "convnet" else ()
    return first + (_BLOCK + _POOL) * depth + _DENSE


def _myrtle(repeats: tuple[int, ...]) -> tuple[Layer, ...]:
    """Stages of convolutions, each pooled; the last down to 1/32 of a side."""
    stages: tuple[Layer, ...] = ()
    for repeat in repeats:
        stages += _BLOCK * repeat + _POOL
    return stages + _POOL + _POOL + _DENSE
