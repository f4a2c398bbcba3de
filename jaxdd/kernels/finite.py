"""Kernels of finite networks by name, and the variables they need."""

from jaxdd import networks
from jaxdd.base import Key, Network, Variables
from jaxdd.kernels.conjugate import conjugate
from jaxdd.kernels.empirical import empirical_ntk
from jaxdd.kernels.kernel import Kernel
from jaxdd.kernels.random_features import draw, random_features
from jaxdd.records import NetworkKernel, RandomFeatures

__all__ = ["Finite", "finite_kernel", "finite_variables"]

Finite = NetworkKernel | RandomFeatures


def finite_kernel(
    spec: Finite,
    image_shape: tuple[int, int, int],
    *,
    dtype: str = "float32",
) -> Kernel:
    """The kernel of a finite network.

    Args:
      spec: name, network and members.
      image_shape: (h, w, c).
      dtype: precision of the network's body; kernels are float32 at least.

    Raises:
      InputError: a network that cannot be built, or no members.
    """
    network = _network(spec, image_shape, dtype)
    if isinstance(spec, RandomFeatures):
        return random_features(network, spec.members)
    if spec.name == "conjugate":
        return conjugate(network)
    return empirical_ntk(network)


def finite_variables(
    spec: Finite, key: Key, image_shape: tuple[int, int, int]
) -> Variables:
    """Freshly drawn variables for `finite_kernel`; random features: of all members."""
    network = _network(spec, image_shape)
    if isinstance(spec, RandomFeatures):
        return draw(network, key, spec.members)
    return network.init(key)


def _network(
    spec: Finite,
    image_shape: tuple[int, int, int],
    dtype: str = "float32",
) -> Network:
    # The last layer takes no part but in the NTK, where one logit stands for all: at
    # the start they are alike.
    outputs = 1 if spec.name == "empirical_ntk" else 0
    return networks.build(spec.network, image_shape, outputs, dtype=dtype)
