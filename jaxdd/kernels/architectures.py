"""The layers of the networks whose kernels are known in closed form.

Sources: Nguyen et al., NeurIPS 2021 (ConvNet), Shankar et al., ICML 2020 (Myrtle).
"""

from jaxdd.records import Architecture, Conv, Fc

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


def layers(spec: Fc | Conv | Architecture) -> tuple[Layer, ...]:
    """All layers from the image to the output, in order."""
    if isinstance(spec, Fc):
        return _HIDDEN * spec.depth + _DENSE
    if spec.name in _MYRTLE:
        return _myrtle(_MYRTLE[spec.name])
    if isinstance(spec, Architecture):
        first = _BLOCK if spec.name == "convnet" else ()
        return first + (_BLOCK + _POOL) * 3 + _DENSE
    if spec.pooling == "average":
        return (_BLOCK + _POOL) * spec.depth + _DENSE
    end = _GLOBAL if spec.pooling == "global" else ()
    return _BLOCK * spec.depth + end + _DENSE


def _myrtle(repeats: tuple[int, ...]) -> tuple[Layer, ...]:
    """Stages of convolutions, each pooled; the last down to 1/32 of a side."""
    stages: tuple[Layer, ...] = ()
    for repeat in repeats:
        stages += _BLOCK * repeat + _POOL
    return stages + _POOL + _POOL + _DENSE
