"""Sets in NumPy's files: `.npz` of named arrays, `.npy` in pairs, and safetensors.

FRePo saves `image` and centred `label` rows (`np/step*.npz`), KIP `images` and `labels`
[m,h,w,c], [m,k], with the whitening in the file's name (`_zca_`, `_nozca_`), RFAD
`images` [m,c,h,w], centred `labels`, `k` and `jit` (`best.npz`), whitened by data set.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxdd import files
from jaxdd.errors import InputError
from jaxdd.exchange.raw import Raw, from_named, number
from jaxdd.exchange.torch_sets import beside, of_name
from jaxdd.foreign import safetensors

__all__ = ["read_npy", "read_npz", "read_safetensors"]

_RFAD = {"images", "labels", "k", "jit"}
_SINGLE = (("x", "y"), ("x_train", "y_train"), ("X", "Y"), ("X", "y"))


def read_npz(path: Path) -> Raw:
    """Named arrays of an .npz.

    Raises:
      InputError: it is damaged, holds Python objects, or has no images by a known name.
    """
    arrays = files.read_npz(path)
    method, dataset = of_name(path)
    if set(arrays) >= _RFAD:
        return _rfad(arrays, path)._replace(dataset=dataset)
    raw = from_named(arrays, str(path), "npz")
    return raw._replace(method=method, dataset=dataset, space=_space(path))


def _rfad(arrays: Mapping[str, np.ndarray], path: Path) -> Raw:
    """Of yolky/RFAD: its logit scale exp(k) changes no class; its ridge is noted."""
    raw = from_named(arrays, str(path), "rfad")
    ridge = number(arrays["jit"], f"{path}: jit")
    note = (
        f"RFAD's set says ridge {ridge:g} of the mean eigenvalue for regressions:"
        f" --evaluate.regression.ridge {ridge:g}"
    )
    return raw._replace(method="rfad", space="rfad", order="nchw", notes=(note,))


def read_npy(path: Path) -> Raw:
    """Images of an .npy with the labels in the file beside it (`x.npy`, `y.npy`).

    Raises:
      InputError: a file is damaged or holds Python objects, or there are no labels.
    """
    other = beside(path, "label")
    for old, new in _SINGLE:
        if other is None and path.stem == old:
            place = path.with_name(f"{new}.npy")
            other = place if place.is_file() else None
    if other is None:
        raise InputError(
            f"{path} holds images alone; give their labels as labels.npy beside "
            "images.npy, or as y.npy beside x.npy"
        )
    return Raw(_load(path), _load(other), "npy", _space(path))


def read_safetensors(path: Path) -> Raw:
    """Named tensors of a .safetensors file, as those of a .pt.

    Raises:
      InputError: it is damaged, or has no images by a known name.
    """
    return from_named(safetensors.read(path), str(path), "named tensors")


def _space(path: Path) -> str:
    """What the names of KIP's files say."""
    parts = path.stem.split("_")
    if parts[0] != "kip":
        return ""
    return "zca_kip" if "zca" in parts else "standard" if "nozca" in parts else ""


def _load(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as handle:
            array = np.lib.format.read_array(handle, allow_pickle=False)
            if handle.read(1):
                raise ValueError("bytes follow its end")
            return array
    except Exception as error:  # whatever damage makes NumPy's parser raise
        raise InputError(
            f"{path} cannot be read, it may be damaged or hold Python objects: {error}"
        ) from error
