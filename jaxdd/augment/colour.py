"""Operations that change colours: jitter, grayscale, solarize; on [0,1] pixels.

Parameters have leading axis n or 1. The four jitters run in a fixed order (brightness,
contrast, saturation, hue), where torchvision draws the order.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Augment, Key, PyTree

__all__ = ["colour_jitter", "grayscale", "solarize"]

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def colour_jitter(
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    probability: float = 1.0,
) -> Augment:
    """Random brightness, contrast, saturation and hue, all or none of them per image.

    Factors are uniform in [max(0, 1 - x), 1 + x], the hue is turned by a uniform share
    of the circle in [-hue, hue]; after each operation pixels are clipped to [0,1].
    Saturation and hue need three channels; where they are zero, any number will do.
    Parameters: {"on": bool [n], and a factor [n] for each operation switched on}.
    """
    strengths = {
        "brightness": brightness,
        "contrast": contrast,
        "saturation": saturation,
    }

    def sample(key: Key, n: int) -> PyTree:
        key_on, key_hue, *keys = jax.random.split(key, 5)
        params = {"on": jax.random.bernoulli(key_on, probability, (n,))}
        for k, (name, x) in zip(keys, strengths.items(), strict=True):
            if x:
                low = max(0.0, 1 - x)
                params[name] = jax.random.uniform(k, (n,), minval=low, maxval=1 + x)
        if hue:
            params["hue"] = jax.random.uniform(key_hue, (n,), minval=-hue, maxval=hue)
        return params

    def apply(params: PyTree, image: Array) -> Array:
        changed = image
        for name, operation in _OPERATIONS.items():
            if name in params:
                factor = _column(params[name]).astype(image.dtype)
                changed = jnp.clip(operation(changed, factor), 0.0, 1.0)
        return jnp.where(_column(params["on"]), changed, image)

    return Augment(sample, apply)


def grayscale(probability: float) -> Augment:
    """Replaces an image by its luma in all three channels. Parameters: bool [n]."""

    def apply(on: Array, image: Array) -> Array:
        return jnp.where(_column(on), _luma(image), image)

    return Augment(_coin(probability), apply)


def solarize(probability: float) -> Augment:
    """Inverts the pixels above 1/2. Parameters: bool [n]."""

    def apply(on: Array, image: Array) -> Array:
        return jnp.where(_column(on) & (image > 0.5), 1.0 - image, image)

    return Augment(_coin(probability), apply)


def _coin(probability: float) -> Callable[[Key, int], Array]:
    return lambda key, n: jax.random.bernoulli(key, probability, (n,))


def _column(params: Array) -> Array:
    """Parameters [n] ready to broadcast against images."""
    return params[:, None, None, None]


def _luma(image: Array) -> Array:
    """The brightness [n,h,w,1] of colour images; grey images are their own."""
    if image.shape[-1] != 3:
        return image.mean(-1, keepdims=True)
    weights = jnp.asarray(_LUMA, image.dtype)[None, None, None]
    return (image * weights).sum(-1, keepdims=True)


def _brightness(image: Array, factor: Array) -> Array:
    return factor * image


def _contrast(image: Array, factor: Array) -> Array:
    middle = _luma(image).mean((1, 2), keepdims=True)
    return middle + factor * (image - middle)


def _saturation(image: Array, factor: Array) -> Array:
    grey = _luma(image)
    return grey + factor * (image - grey)


def _hue(image: Array, turn: Array) -> Array:
    """Turns the hue of HSV by a share `turn` of the full circle.

    Value and chroma stay; channel i of a pixel with hue H (in sixths) is
    value - chroma * clip(min(x, 4 - x), 0, 1) with x = (offset_i + H) mod 6 and offsets
    5, 3, 1 for red, green, blue.
    """
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    value, chroma = image.max(-1), image.max(-1) - image.min(-1)
    # A grey pixel has no hue; any value gives the same colour back.
    safe = jnp.where(chroma > 0, chroma, 1.0)
    sixth = jnp.where(
        value == red,
        (green - blue) / safe,
        jnp.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    offset = jnp.asarray([5.0, 3.0, 1.0], image.dtype)[None, None, None]
    place = (offset + sixth[..., None] + 6 * turn) % 6
    fall = jnp.clip(jnp.minimum(place, 4 - place), 0.0, 1.0)
    return value[..., None] - chroma[..., None] * fall


_OPERATIONS = {
    "brightness": _brightness,
    "contrast": _contrast,
    "saturation": _saturation,
    "hue": _hue,
}
