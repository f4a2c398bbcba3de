"""NTK and NNGP of infinitely wide networks, by recursion over their layers.

NTK parameterisation (Jacot et al., NeurIPS 2018).
"""

import jax
import jax.numpy as jnp

from jaxdd.base import Array, InputError
from jaxdd.kernels.activations import ACTIVATIONS, Pair
from jaxdd.kernels.kernel import Kernel
from jaxdd.records import KernelSpec

__all__ = ["kernel"]


def kernel(spec: KernelSpec, image_shape: tuple[int, int, int]) -> Kernel:
    """The kernel of the infinitely wide network that `spec` describes."""
    if spec.architecture != "fc":
        raise InputError(f"architecture {spec.architecture!r} is not there yet")
    activation = ACTIVATIONS[spec.activation]
    weight, bias = spec.weight_std**2, spec.bias_std**2

    def dense(pair: Pair) -> Pair:
        covariance, tangent = pair
        assert tangent is not None
        out = weight * covariance + bias
        return out, weight * tangent + out

    def evaluate(x1: Array, x2: Array, variables: tuple = ()) -> Array:
        flat = [x.reshape(len(x), -1) for x in (x1, x2)]
        width = flat[0].shape[1]
        product = jnp.matmul(*(flat[0], flat[1].T), precision=jax.lax.Precision.HIGHEST)
        sides = [weight * jnp.mean(x * x, 1) + bias for x in flat]
        first = weight * product / width + bias
        pair: Pair = first, first
        for _ in range(spec.depth):
            left, right = (activation.scale(side) for side in sides)
            pair = dense(activation.pair(pair, left[:, None], right[None]))
            sides = [weight * activation.variance(side) + bias for side in sides]
        return pair[spec.name == "ntk"]  # pyright: ignore[reportReturnType]

    return evaluate
