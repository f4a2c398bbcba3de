"""Kernels between images by name and options (`jaxdd.kernels.named`)."""

from dataclasses import dataclass, field
from typing import Literal

from jaxdd.records.networks import ConvNet, NetworkSpec

__all__ = [
    "Architecture",
    "Conv",
    "Fc",
    "KernelSpec",
    "LinearKernel",
    "NetworkKernel",
    "RandomFeatures",
    "WideKernel",
]


@dataclass(frozen=True)
class Fc:
    """Dense layers, then one more without activation."""

    name: Literal["fc"] = field(default="fc", kw_only=True)
    depth: int = 1
    """Hidden layers."""


@dataclass(frozen=True)
class Conv:
    """3x3 convolutional layers, then a dense one."""

    name: Literal["conv"] = field(default="conv", kw_only=True)
    depth: int = 1
    """Hidden layers."""
    pooling: Literal["none", "average", "global"] = "none"
    """average: 2x2 behind every layer; global: over all pixels at the end."""


@dataclass(frozen=True)
class Architecture:
    """Layers that are fixed by the name."""

    name: Literal["convnet", "convnet3", "myrtle5", "myrtle7", "myrtle10"] = "convnet"
    """convnet3: three of conv, activation, 2x2 average; convnet: the same behind one
    more conv and activation; myrtle: 5, 7 or 10 layers, averages to a single pixel."""


@dataclass(frozen=True)
class WideKernel:
    """The kernel of an infinitely wide network."""

    name: Literal["ntk", "nngp"] = "ntk"
    architecture: Fc | Conv | Architecture = Fc()
    activation: Literal["relu", "erf"] = "relu"
    weight_std: float = 2**0.5
    """Of the weights, in NTK parameterisation."""
    bias_std: float = 0.1
    backend: Literal["own", "neural_tangents"] = "own"
    """neural_tangents needs the extra jaxdd[ntk]."""


@dataclass(frozen=True)
class LinearKernel:
    """x.x'."""

    name: Literal["linear"] = field(default="linear", kw_only=True)


@dataclass(frozen=True)
class NetworkKernel:
    """A kernel of one finite network, with variables.

    conjugate: the linear kernel of its features; empirical_ntk: its tangent kernel.
    """

    name: Literal["conjugate", "empirical_ntk"] = "conjugate"
    network: NetworkSpec = ConvNet()


@dataclass(frozen=True)
class RandomFeatures:
    """The mean of the conjugate kernels of independent networks, with variables."""

    name: Literal["random_features"] = field(default="random_features", kw_only=True)
    network: NetworkSpec = ConvNet()
    members: int = 1
    """How many networks."""


KernelSpec = WideKernel | LinearKernel | NetworkKernel | RandomFeatures
"""Any of them."""
