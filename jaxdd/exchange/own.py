"""Our own set in one .npz: documented arrays, and all else that the set is made of.

Keys: image [m,h,w,c], label int [m], soft_label [m,k] or target [m,d] (sets of
representations, which have no label), weight [m], class_names, whitening (its kind).
`jaxdd_set` holds the rest of the description as JSON; hyper/*, fit/* and modules/* are
learned scalars, the fitted whitening and networks.
"""

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdd import artefact, files, whiten
from jaxdd.base import Distilled, Synthetic, Variables
from jaxdd.errors import InputError
from jaxdd.records import Meta, from_dict, to_dict

__all__ = ["MARK", "NAME", "is_own", "labels_of", "read", "to_arrays"]

MARK = "jaxdd_set"
"""The array that tells our files from others."""
NAME = "set.npz"
"""The file that stands beside pictures, so that nothing of the set is lost."""
_FORMAT = 1


def to_arrays(distilled: Distilled) -> dict[str, np.ndarray]:
    """The arrays of a set by their documented names."""
    synthetic, meta = distilled.synthetic, distilled.meta
    rest = {
        "hyper": synthetic.hyper,
        "fit": whiten.to_arrays(distilled.whitening),
        "modules": {n: m._asdict() for n, m in distilled.modules.items()},
    }
    packed, described = artefact.pack(rest)
    about = {"format": _FORMAT, "meta": to_dict(meta), "content": described}
    arrays = {
        MARK: np.array(json.dumps(about)),
        "image": np.asarray(synthetic.image),
        "weight": np.asarray(synthetic.weight),
        "class_names": np.array(meta.class_names, str),
        "whitening": np.array(distilled.whitening.kind),
    }
    target = np.asarray(synthetic.target)
    if meta.label_kind == "representation":
        return arrays | {"target": target} | packed
    arrays["label"] = labels_of(distilled)
    return arrays | ({"soft_label": target} if target.ndim == 2 else {}) | packed


def labels_of(distilled: Distilled) -> np.ndarray:
    """The class of each image, int32 [m]: of soft rows the highest entry."""
    target = np.asarray(distilled.synthetic.target)
    label = target.argmax(1) if target.ndim == 2 else target
    return label.astype(np.int32)


def is_own(path: Path) -> bool:
    """Whether an .npz is one that `to_arrays` describes.

    Raises:
      InputError: it is no .npz.
    """
    return MARK in files.npz_names(path)


def read(path: Path) -> Distilled:
    """Reads what `to_arrays` made.

    Raises:
      InputError: it is damaged, or another version wrote it.
    """
    arrays = files.read_npz(path)
    try:
        about = json.loads(str(arrays[MARK]))
        if about["format"] != _FORMAT:
            raise InputError(
                f"{path} has format {about['format']!r}, and this version of jaxdd "
                f"reads {_FORMAT}; read it with the version that wrote it"
            )
        return _restore(about, arrays, path)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} is damaged ({type(error).__name__}: {error}); export it anew"
        ) from error


def _restore(about: Any, arrays: dict[str, np.ndarray], path: Path) -> Distilled:
    meta = from_dict(Meta, about["meta"])
    rest = artefact.unpack(about["content"], arrays, path)
    names = {"hard": "label", "soft": "soft_label", "representation": "target"}
    target = arrays[names[meta.label_kind]]
    image, weight = arrays["image"], arrays["weight"]
    _check(meta, image, target, weight, path)
    stored = [jnp.asarray(array) for array in (image, target, weight)]
    synthetic = Synthetic(stored[0], stored[1], stored[2], rest["hyper"])
    modules = {n: Variables(**parts) for n, parts in rest["modules"].items()}
    whitening = whiten.from_arrays(str(arrays["whitening"]), rest["fit"])
    return Distilled(synthetic, meta, whitening, modules)


def _check(
    meta: Meta, image: np.ndarray, target: np.ndarray, weight: np.ndarray, path: Path
) -> None:
    """What the checks of the description leave open: the documented arrays."""
    wide = 1 if meta.label_kind == "hard" else 2
    fits = (
        image.shape == (len(image), *meta.image_shape)
        and len(image) > 0
        and weight.shape == (len(image),)
        and target.ndim == wide
        and len(target) == len(image)
    )
    if not fits or not all(np.isfinite(a).all() for a in (image, target, weight)):
        raise InputError(
            f"{path} is damaged: image {list(image.shape)}, targets "
            f"{list(target.shape)}, weight {list(weight.shape)} for images of "
            f"{list(meta.image_shape)}, all of them finite"
        )
    if meta.label_kind == "hard":
        wrong = not np.issubdtype(target.dtype, np.integer)
        if wrong or target.min() < 0 or target.max() >= meta.num_classes:
            raise InputError(
                f"{path} is damaged: labels {target.dtype} outside 0 to "
                f"{meta.num_classes - 1}"
            )
