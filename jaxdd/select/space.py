"""The space in which rows of a corpus are compared: pixels, features or a kernel."""

from functools import lru_cache

import jax
import jax.numpy as jnp

from jaxdd import kernels, networks
from jaxdd.base import Corpus, Key, Variables
from jaxdd.kernels.finite import Finite
from jaxdd.records import KernelSpec, LinearKernel
from jaxdd.select.clusters import flat_images
from jaxdd.select.selection import Space

__all__ = ["space_of"]

_CHUNK = 256  # images whose activations are held at a time


def space_of(spec: KernelSpec, corpus: Corpus, key: Key) -> Space:
    """The corpus as a selector sees it.

    linear: whitened pixels; conjugate and random_features: features of networks drawn
    here; other kernels: whitened images with the kernel.

    Args:
      spec: of the kernel.
      corpus: the images.
      key: of finite networks.

    Raises:
      InputError: a kernel that is unknown or cannot take the images.
    """
    shape = corpus.image_shape
    kernel = kernels.named(spec, shape)
    if isinstance(spec, LinearKernel):
        return Space(jnp.asarray(flat_images(corpus)))
    variables = kernels.variables(spec, key, shape)
    white = jnp.asarray(flat_images(corpus)).reshape(-1, *shape)
    if isinstance(spec, Finite) and spec.name != "empirical_ntk":
        return Space(_features(spec, shape)(variables, white))
    return Space(white, _bound(kernel, variables))


@lru_cache(maxsize=16)
def _features(spec: Finite, shape: tuple[int, int, int]):
    """`(variables, white images) -> [n,d]`, whose products are the kernel."""
    network = networks.build(spec.network, shape, 0)
    make = kernels.features if spec.name == "conjugate" else kernels.feature_map
    return jax.jit(
        lambda variables, image: make(network, variables, image, chunk=_CHUNK)
    )


def _bound(kernel: kernels.Kernel, variables: Variables | tuple) -> kernels.Kernel:
    """The kernel itself where it has no variables, so that programs are shared."""
    if isinstance(variables, Variables):
        return lambda x1, x2: kernel(x1, x2, variables)
    return kernel
