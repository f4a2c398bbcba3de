"""Random starts of published programs, and a decoder that begins with one of them."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Assets, Corpus, Decoder, Key, PyTree, Task
from jaxdd.decoders.pixels import pixels

__all__ = ["noisy_pixels", "started", "unit_noise", "xavier_uniform"]

Draw = Callable[[Key, tuple[int, ...]], Array]


def xavier_uniform(key: Key, shape: tuple[int, ...]) -> Array:
    """Glorot's uniform draw of the matrix [n, rest]: bound sqrt(6 / (n + rest)).

    PyTorch's `xavier_uniform_` of an embedding with one row an image.
    """
    bound = math.sqrt(6 / (shape[0] + math.prod(shape[1:])))
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def unit_noise(key: Key, shape: tuple[int, ...]) -> Array:
    """Normal draws, each row [...] of Euclidean norm one."""
    drawn = jax.random.normal(key, shape)
    norm = jnp.sqrt(jnp.sum(drawn**2, tuple(range(1, len(shape))), keepdims=True))
    return drawn / norm


def started(decoder: Decoder, draw: Draw) -> Decoder:
    """A decoder of pixels whose images begin with `draw(key, shape)`.

    Args:
      decoder: with an entry `params["image"]`.
      draw: (key, shape) -> the images at step 0.
    """

    def init(key: Key, corpus: Corpus, assets: Assets) -> PyTree:
        key_rest, key_image = jax.random.split(key)
        params = decoder.init(key_rest, corpus, assets)
        image = draw(key_image, params["image"].shape)
        return {**params, "image": image.astype(params["image"].dtype)}

    return decoder._replace(init=init)


_DRAWS: dict[str, Draw] = {"unit_noise": unit_noise, "xavier": xavier_uniform}


def noisy_pixels(task: Task, init: str) -> Decoder:
    """A decoder of pixels that starts as `pixels` can, or with a draw of this module.

    Args:
      task: as `pixels` takes it.
      init: `unit_noise`, `xavier`, or what `pixels` knows.

    Raises:
      InputError: an unknown start.
    """
    if init in _DRAWS:
        return started(pixels(task, init="noise"), _DRAWS[init])
    return pixels(task, init=init)
