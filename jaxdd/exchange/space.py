"""In which space the images of a set are, and how they come into that of networks.

A set is worthless in the wrong whitening, and a file rarely says which it is in: where
nothing says it and the numbers are no pixels, the user is asked.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxdd import whiten
from jaxdd.base import Corpus
from jaxdd.errors import InputError, one_of
from jaxdd.whiten import Whitening

__all__ = ["SPACES", "Placed", "place"]

SPACES = (*whiten.KINDS, "vico", "raw")
"""What `whitening` may be: none ([0,1] or uint8 pixels, brought into the whitening of
the evaluation), a kind of `whiten.KINDS` fitted on the training data, vico (channels
normalised by the constants of VICO's programs, which MTT, DATM and others share), or
raw (numbers that networks get as they are, beside real [0,1] pixels)."""

# Mean and deviation of each channel, from get_dataset of VICO-UoE/DatasetCondensation;
# for CIFAR-10 and SVHN they are not the data's deviations. MTT and its successors take
# the same, but CIFAR-10's for CIFAR-100.
_VICO = {
    "mnist": ((0.1307,), (0.3081,)),
    "fashion_mnist": ((0.2861,), (0.3530,)),
    "svhn": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
    "tinyimagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
_MTT = _VICO | {"cifar100": _VICO["cifar10"]}
_RFAD = {
    "mnist": "standard",
    "fashion_mnist": "standard",
    "svhn": "zca_rfad_l2",
    "cifar10": "zca_rfad",
    "cifar100": "zca_rfad",
}
"""How RFAD's program whitens each data set (yolky/RFAD @ c9ef03e)."""
_ALIAS = {"fashionmnist": "fashion_mnist", "tiny": "tinyimagenet"}
_LOWEST, _HIGHEST = -0.5, 1.5  # how far learned pixels stray from [0,1]


class Placed(NamedTuple):
    """Images in the space of networks, and what brings real images there."""

    image: np.ndarray  # float32 [m,h,w,c]
    whitening: Whitening
    space: str  # the one that the images were in
    raw: bool


def place(
    image: np.ndarray,
    said: str,
    given: str | None,
    corpus: Corpus | None,
    dataset: str,
    layout: str,
    where: str,
) -> Placed:
    """Brings images into the space of networks.

    Args:
      image: numbers [m,h,w,c], finite.
      said: the space that the file's layout or name says, or "".
      given: the space that the user says; it stands above what a layout implies.
      corpus: the real training data, on which whitenings are fitted.
      dataset: its name as the file has it, or "".
      layout: of the file (`Raw.layout`).
      where: the file, for messages.

    Raises:
      InputError: an unknown space, one that the numbers contradict, none where they are
        no pixels, or one that needs data which is not given.
    """
    if given is not None:
        one_of("whitening", given, SPACES)
    pixels = _pixels(image)
    if said == "rfad":
        said = _known(_RFAD, corpus.name if corpus else "", dataset) or ""
    said = "" if said == "none" and pixels is None and _stray(image) else said
    space = given or said or ("none" if pixels is not None else "")
    if not space:
        raise InputError(_question(image, where))
    if space == "raw":
        whole = image.dtype.kind in "iu" and pixels is not None
        image = np.asarray(pixels) if whole else image
        return Placed(image.astype(np.float32), _no_whitening(), space, True)
    if space == "none":
        return _from_pixels(pixels, image, corpus, where)
    if pixels is not None:
        raise InputError(
            f"whitening={space!r}: the images of {where} are {_range(image)}, and so "
            "they are pixels; give whitening='none'"
        )
    if space == "vico":
        name = corpus.name if corpus else dataset
        whitening = _vico(name, dataset, layout, image.shape[-1], where)
    else:
        whitening = _fitted(space, corpus, where)
    return Placed(image.astype(np.float32), whitening, space, False)


def _pixels(image: np.ndarray) -> np.ndarray | None:
    """Images as [0,1] pixels, None where their numbers can be none."""
    low, high = float(image.min()), float(image.max())
    whole = image.dtype.kind in "iu"
    if low >= 0 and high <= 1 and not whole:
        return image.astype(np.float32)
    whole = whole or np.array_equal(image, np.rint(image))
    if low < 0 or high > 255 or not whole:
        return None
    return image.astype(np.float32) * np.float32(1 / 255)  # as `whiten.to_unit`


def _stray(image: np.ndarray) -> bool:
    """Whether numbers are too far from [0,1] even for learned pixels."""
    low, high = float(image.min()), float(image.max())
    return image.dtype.kind in "iu" or low < _LOWEST or high > _HIGHEST


def _from_pixels(
    pixels: np.ndarray | None, image: np.ndarray, corpus: Corpus | None, where: str
) -> Placed:
    if pixels is None:
        if _stray(image):
            raise InputError(
                f"whitening='none': the images of {where} are {_range(image)}, and so "
                "they are no pixels; give the whitening that they are in"
            )
        pixels = image.astype(np.float32)
    whitening = _no_whitening() if corpus is None else corpus.whitening
    white = np.asarray(whiten.apply(whitening, jnp.asarray(pixels)), np.float32)
    return Placed(white, whitening, "none", False)


def _fitted(space: str, corpus: Corpus | None, where: str) -> Whitening:
    if corpus is None:
        raise InputError(
            f"{where}: whitening={space!r} is fitted on the real training data; give "
            "it (corpus)"
        )
    if corpus.whitening.kind == space:
        return corpus.whitening
    return whiten.fit(space, np.asarray(corpus.image))


def _vico(name: str, dataset: str, layout: str, channels: int, where: str) -> Whitening:
    """The constants that VICO's programs, or MTT's, normalise a data set by."""
    table = _MTT if layout == "mtt" else _VICO
    known = _known(table, name, dataset)
    if known is None:
        raise InputError(
            f"{where}: whitening='vico' is known for {', '.join(_VICO)}, and the data "
            f"is {name or 'not named'}; give whitening='standard' if it was normalised "
            "by its own channels' mean and deviation"
        )
    mean, deviation = (np.array(values, np.float32) for values in known)
    if len(mean) != channels:
        raise InputError(
            f"{where}: images of {channels} channels, and whitening='vico' has "
            f"{len(mean)} for {name}"
        )
    arrays = {"channel_mean": mean, "channel_std": deviation}
    return whiten.from_arrays("standard", arrays)


def _known(table: Mapping[str, Any], *names: str) -> Any:
    """The entry of the first name that the table has, or None."""
    plain = (name.lower().replace("-", "_") for name in names)
    return next((table[n] for t in plain if (n := _ALIAS.get(t, t)) in table), None)


def _no_whitening() -> Whitening:
    return whiten.from_arrays("none", {})


def _range(image: np.ndarray) -> str:
    return f"{image.dtype} between {image.min():.4g} and {image.max():.4g}"


def _question(image: np.ndarray, where: str) -> str:
    return (
        f"the images of {where} are {_range(image)}, so they are whitened, and nothing "
        "says how. Give whitening (--set-whitening), one of "
        f"{', '.join(s for s in SPACES if s != 'none')}: standard or vico if they were "
        "normalised by channel, zca_kornia if by MTT's ZCA (--zca), zca_kip or "
        "zca_frepo if by KIP's or FRePo's, zca_rfad if by RFAD's, raw if networks took"
        " them as they are"
    )
