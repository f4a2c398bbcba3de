"""The conjugate kernel of a finite network: the linear kernel of its features."""

from jaxdd.base import Array, Network, Variables
from jaxdd.kernels.feature import features
from jaxdd.kernels.kernel import Kernel
from jaxdd.kernels.precision import dot

__all__ = ["conjugate"]


def conjugate(
    network: Network, *, bias: bool = False, chunk: int | None = None
) -> Kernel:
    """`h(x).h(x')`, h the input of the last layer in evaluation mode.

    The kernel of FRePo (Zhou et al., NeurIPS 2022) and, with `bias`, of KRR-ST (Lee et
    al., ICLR 2024). Costs n + m passes of the network and n m d for the product. Where
    features, not kernels, are wanted, `fit_features` chooses the cheaper form.

    Args:
      network: gives the features.
      bias: append a constant feature.
      chunk: at most this many images at a time (exact; None = all).

    Returns:
      The kernel; its third argument are the network's variables.
    """

    def kernel(x1: Array, x2: Array, variables: Variables) -> Array:
        left = features(network, variables, x1, bias=bias, chunk=chunk)
        if x2 is x1:  # the passes over the images are most of the cost
            return dot(left, left.T)
        return dot(left, features(network, variables, x2, bias=bias, chunk=chunk).T)

    return kernel
