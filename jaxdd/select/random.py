"""Random rows, class-balanced where classes are given; and rows as a set."""

import jax
import jax.numpy as jnp

from jaxdd import whiten
from jaxdd.base import Array, Corpus, Key, Synthetic
from jaxdd.errors import InputError
from jaxdd.rng import permuted

__all__ = ["class_called", "random_rows", "subset"]


def random_rows(key: Key, corpus: Corpus, size: int, ipc: int | None) -> Array:
    """Distinct training rows [m], class-major with `ipc` a class where it is given.

    Raises:
      InputError: more rows are asked for than there are.
    """
    if ipc is None:
        if size > corpus.size:
            raise InputError(
                f"size={size}: the training set has only {corpus.size} images; "
                f"choose at most {corpus.size}"
            )
        return permuted(key, jnp.arange(size), corpus.size)
    smallest = int(jnp.min(corpus.class_count))
    if ipc > smallest:
        worst = int(jnp.argmin(corpus.class_count))
        raise InputError(
            f"ipc={ipc}: {class_called(corpus, worst)} has only {smallest} images; "
            f"choose at most {smallest}"
        )
    keys = jax.random.split(key, corpus.class_count.shape[0])
    position = jax.vmap(lambda k, n: permuted(k, jnp.arange(ipc), n))(
        keys, corpus.class_count
    )
    return jnp.take_along_axis(corpus.class_index, position, axis=1).reshape(-1)


def class_called(corpus: Corpus, number: int) -> str:
    """A class as messages call it: by its name where it has one."""
    names = corpus.class_names
    return f"class {names[number]!r}" if names else f"class {number}"


def subset(corpus: Corpus, rows: Array) -> Synthetic:
    """Real images as a set: whitened pixels [m,h,w,c] with their labels [m]."""
    unit = whiten.to_unit(corpus.image[rows])
    image = whiten.apply(corpus.whitening, unit)
    return Synthetic(image, corpus.label[rows], jnp.ones(len(rows), image.dtype))
