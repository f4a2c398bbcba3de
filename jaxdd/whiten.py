"""Whitening: an explicit, invertible map from [0,1] pixels to what networks see.

Fitted once on the training split, in float64 on the host; applied inside jit to every
split, and carried in the artefact. Kinds: none, standard (per channel), and the
incompatible definitions of ZCA in use: `zca_` kornia, kip, frepo, rfad and rfad_l2.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.errors import one_of

__all__ = [
    "KINDS",
    "Whitening",
    "apply",
    "fit",
    "from_arrays",
    "inverse",
    "to_arrays",
    "to_unit",
]

_KORNIA_EPSILON = 0.1  # absolute, added to every eigenvalue
_RIDGE = 0.1  # of KIP, FRePo and RFAD, relative to the mean eigenvalue
_CHUNK = 1024  # rows in float64 at a time


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Whitening:
    """Fitted whitening; unused arrays are None.

    Attributes:
      channel_mean, channel_std: [c], standardise the channels. In `zca_kip`, which
        standardises every image by itself, they hold the average brightness and norm
        and serve the inverse only.
      mean: [d], subtracted from the flattened image. In `zca_rfad_l2`, [1], the
        average norm of the standardised images, which serves the inverse only.
      matrix, inverse_matrix: [d,d], symmetric.
      kind: one of `KINDS`.
    """

    channel_mean: jax.Array | None
    channel_std: jax.Array | None
    mean: jax.Array | None
    matrix: jax.Array | None
    inverse_matrix: jax.Array | None
    kind: str = dataclasses.field(metadata={"static": True})

    @property
    def dtype(self) -> Any:
        """The type of whitened images: that of the arrays, at least float32."""
        return jnp.result_type(jnp.float32, *jax.tree.leaves(self))


def fit(kind: str, image: np.ndarray) -> Whitening:
    """Fits a whitening on training images, in float64 on the host.

    ZCA costs n d^2 for the covariance and d^3 for its eigenvectors, and memory for a
    few [d,d] matrices: seconds at d = 784, a minute or so at d = 3072 on two cores.

    Args:
      kind: one of `KINDS`. With X [n,d] the flattened [0,1] images:
        `zca_kornia` (MTT and its family): covariance of X over n - 1, plus 0.1;
        `zca_kip`: every image minus its mean, over its norm; second moments over n,
        plus 0.1 trace / d;
        `zca_frepo`: channels standardised, pixel means subtracted, covariance over n,
        plus 0.1 trace / d; with n < d the d - n smallest eigenvalues become 1;
        `zca_rfad`: channels standardised, second moments over n, plus 0.1 trace / d;
        `zca_rfad_l2` (of SVHN): as `zca_rfad`, but every standardised image minus its
        mean, over its norm.
      image: uint8 [n,h,w,c].

    Raises:
      InputError: an unknown kind.
    """
    one_of("whitening", kind, KINDS)
    return from_arrays(kind, _FITS[kind](np.asarray(image)))


def to_unit(image: jax.Array, dtype: Any = jnp.float32) -> jax.Array:
    """uint8 pixels [...] as numbers in [0,1]."""
    # A product, because the compiler turns a division into one inside jit only.
    return jnp.asarray(image).astype(dtype) * (1 / 255)


def apply(whitening: Whitening, image: jax.Array) -> jax.Array:
    """Whitens images; differentiable.

    Args:
      whitening: as fitted.
      image: float [...,h,w,c] in [0,1].

    Returns:
      [...,h,w,c], at least float32.

    Raises:
      TypeError: the images are integers (use `to_unit` first).
    """
    if not jnp.issubdtype(image.dtype, jnp.floating):
        raise TypeError(f"images must be floats in [0,1], not {image.dtype}: to_unit")
    image = image.astype(jnp.promote_types(image.dtype, jnp.float32))
    if whitening.kind == "zca_kip":
        image = _standardise_each(image)
    elif whitening.channel_mean is not None:
        mean = _along(whitening.channel_mean, image)
        image = (image - mean) / _along(whitening.channel_std, image)
    mean: Any = whitening.mean
    matrix: Any = whitening.matrix
    if matrix is None:
        return image
    alone = whitening.kind == "zca_rfad_l2"
    flat = _flatten(_standardise_each(image) if alone else image)
    if not (alone or mean is None):
        flat = flat - _along(mean, flat)
    return jnp.matmul(flat, matrix, precision="highest").reshape(image.shape)


def inverse(whitening: Whitening, white: jax.Array) -> jax.Array:
    """Undoes `apply`; differentiable.

    `zca_kip` and `zca_rfad_l2` forget every image's brightness and norm: the averages
    of the training images stand in, so that the result is a plausible picture.

    Args:
      whitening: as fitted.
      white: float [...,h,w,c].

    Returns:
      [...,h,w,c]; in [0,1] only if the whitened images came from there.
    """
    image = white
    matrix: Any = whitening.inverse_matrix
    if matrix is not None:
        flat = jnp.matmul(_flatten(white), matrix, precision="highest")
        mean: Any = whitening.mean
        if whitening.kind == "zca_rfad_l2":
            flat = flat * mean[0]
        elif mean is not None:
            flat = flat + _along(mean, flat)
        image = flat.reshape(white.shape)
    if whitening.channel_mean is not None:
        image = image * _along(whitening.channel_std, image)
        image = image + _along(whitening.channel_mean, image)
    return image


def to_arrays(whitening: Whitening) -> dict[str, np.ndarray]:
    """The arrays that the kind uses, by name, ready to be saved."""
    return {
        name: np.asarray(getattr(whitening, name)) for name in _USED[whitening.kind]
    }


def from_arrays(kind: str, arrays: dict[str, Any]) -> Whitening:
    """The inverse of `to_arrays`.

    Raises:
      KeyError: the kind is unknown, or an array it uses is missing.
    """
    used = {name: jnp.asarray(arrays[name]) for name in _USED[kind]}
    return Whitening(**{name: used.get(name) for name in _NAMES}, kind=kind)


def _fit_none(_: np.ndarray) -> dict[str, np.ndarray]:
    return {}


def _fit_standard(image: np.ndarray) -> dict[str, np.ndarray]:
    total = square = np.zeros(image.shape[-1], np.int64)
    # Whole numbers are exact in any order. Summing over the images first, a thousand of
    # them at most, keeps everything in narrow types that a processor adds side by side.
    for start in range(0, len(image), 1000):
        rows = image[start : start + 1000].reshape(-1, image[0].size)
        sums = (
            rows.sum(0, dtype=np.uint32),
            np.square(rows, dtype=np.uint16).sum(0, dtype=np.uint32),
        )
        total, square = (
            old + new.reshape(-1, image.shape[-1]).sum(0, dtype=np.int64)
            for old, new in zip((total, square), sums, strict=True)
        )
    count = image[..., 0].size
    mean = total / count
    std = np.sqrt(square / count - mean**2) / 255
    return {"channel_mean": mean / 255, "channel_std": np.where(std > 0, std, 1.0)}


def _fit_kornia(image: np.ndarray) -> dict[str, np.ndarray]:
    mean = image.mean(axis=0, dtype=np.float64).reshape(-1) / 255
    moment = _second_moment(image, lambda rows: rows - mean)
    values, vectors = np.linalg.eigh(moment / max(len(image) - 1, 1))
    return {"mean": mean, **_roots(values + _KORNIA_EPSILON, vectors)}


def _fit_kip(image: np.ndarray) -> dict[str, np.ndarray]:
    prepare, averages = _each_alone()
    moment = _second_moment(image, prepare) / len(image)
    values, vectors = np.linalg.eigh(_regularise(moment))
    channels, (brightness, norm) = np.ones(image.shape[-1]), averages()
    return {
        "channel_mean": channels * brightness,
        "channel_std": channels * norm,
        **_roots(values, vectors),
    }


def _fit_rfad(image: np.ndarray) -> dict[str, np.ndarray]:
    channels, shift, scale = _channels(image)
    moment = _second_moment(image, lambda rows: (rows - shift) / scale) / len(image)
    values, vectors = np.linalg.eigh(_regularise(moment))
    return {**channels, **_roots(values, vectors)}


def _fit_rfad_l2(image: np.ndarray) -> dict[str, np.ndarray]:
    channels, shift, scale = _channels(image)
    prepare, averages = _each_alone()
    moment = _second_moment(image, lambda rows: prepare((rows - shift) / scale))
    values, vectors = np.linalg.eigh(_regularise(moment / len(image)))
    # The brightness of standardised images is 0 on average.
    return {**channels, "mean": averages()[1:], **_roots(values, vectors)}


def _each_alone() -> tuple[Callable[[np.ndarray], np.ndarray], Callable]:
    """Rows minus their mean, over their norm; and the averages of both so far [2]."""
    brightness, norm = [], []

    def prepare(rows: np.ndarray) -> np.ndarray:
        centred = rows - rows.mean(1, keepdims=True)
        norms = np.linalg.norm(centred, axis=1, keepdims=True)
        brightness.append(rows.mean(1))
        norm.append(norms[:, 0])
        return centred / np.where(norms > 0, norms, 1.0)

    def averages() -> np.ndarray:
        return np.array([np.concatenate(part).mean() for part in (brightness, norm)])

    return prepare, averages


def _fit_frepo(image: np.ndarray) -> dict[str, np.ndarray]:
    channels, shift, scale = _channels(image)
    mean = (image.mean(axis=0, dtype=np.float64).reshape(-1) / 255 - shift) / scale
    moment = _second_moment(image, lambda rows: (rows - shift) / scale - mean)
    values, vectors = np.linalg.eigh(_regularise(moment / len(image)))
    values[: max(len(values) - len(image), 0)] = 1.0  # ascending: the trailing ones
    return {**channels, "mean": mean, **_roots(values, vectors)}


def _channels(
    image: np.ndarray,
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Means and deviations of the channels, and both for every pixel [d]."""
    channels = _fit_standard(image)
    pixels = int(np.prod(image.shape[1:3]))
    shift, scale = (np.tile(channels[name], pixels) for name in channels)
    return channels, shift, scale


def _second_moment(
    image: np.ndarray, prepare: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Sum of outer products [d,d] of the prepared rows, without holding them all."""
    size = int(np.prod(image.shape[1:]))
    total = np.zeros((size, size))
    for rows in _chunks(image):
        ready = prepare(rows.reshape(len(rows), -1) / 255)
        total += ready.T @ ready
    return total


def _chunks(image: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(image), _CHUNK):
        yield image[start : start + _CHUNK]


def _regularise(moment: np.ndarray) -> np.ndarray:
    size = len(moment)
    return moment + _RIDGE * np.trace(moment) / size * np.eye(size)


def _roots(values: np.ndarray, vectors: np.ndarray) -> dict[str, np.ndarray]:
    root = np.sqrt(np.where(values > 0, values, 1.0))  # 0 only if all images are alike
    return {
        "matrix": (vectors / root) @ vectors.T,
        "inverse_matrix": (vectors * root) @ vectors.T,
    }


def _standardise_each(image: jax.Array) -> jax.Array:
    """Every image minus its own mean, over its own norm (0 where it is constant)."""
    axes = (-3, -2, -1)
    centred = image - image.mean(axes, keepdims=True)
    square = jnp.square(centred).sum(axes, keepdims=True)
    return centred / jnp.sqrt(jnp.where(square > 0, square, 1))


def _flatten(image: jax.Array) -> jax.Array:
    return image.reshape(*image.shape[:-3], -1)


def _along(vector: Any, image: jax.Array) -> jax.Array:
    """A vector broadcast along the last axis of an image of any rank."""
    return vector.reshape((1,) * (image.ndim - 1) + (-1,))


_NAMES = ("channel_mean", "channel_std", "mean", "matrix", "inverse_matrix")
_USED = {
    "none": (),
    "standard": ("channel_mean", "channel_std"),
    "zca_kornia": ("mean", "matrix", "inverse_matrix"),
    "zca_kip": ("channel_mean", "channel_std", "matrix", "inverse_matrix"),
    "zca_frepo": _NAMES,
    "zca_rfad": ("channel_mean", "channel_std", "matrix", "inverse_matrix"),
    "zca_rfad_l2": _NAMES,
}
_FITS = {
    "none": _fit_none,
    "standard": _fit_standard,
    "zca_kornia": _fit_kornia,
    "zca_kip": _fit_kip,
    "zca_frepo": _fit_frepo,
    "zca_rfad": _fit_rfad,
    "zca_rfad_l2": _fit_rfad_l2,
}
KINDS = tuple(_USED)
