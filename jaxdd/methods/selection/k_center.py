"""K-centre: real images that cover their class.

Farthest first from the image nearest to the mean, per class where there are labels.

Objective: next is argmax over x of the squared distance to the nearest chosen image,
k(x,x) + k(s,s) - 2 k(x,s); the largest such distance ends within twice the least
possible (squared: four times).

Reference: Gonzalez, Theoretical Computer Science 1985; as core-set Sener and Savarese,
ICLR 2018 (arXiv 1708.00489); a baseline of DC-BENCH (Cui et al., NeurIPS 2022).

Parts: subset; no network, or those of the kernel.

Differences from the paper: the first image is the one nearest to the mean, not a random
one; no mixed-integer refinement.

Differences from the authors' code: DC-BENCH covers features of a trained network; here
the kernel is a setting, pixels by default.

Expected: near the random row, since outliers are chosen early; at one image per class
its first choice, the image nearest to the mean, is above it.
"""

from dataclasses import dataclass

from jaxdd.base import Distiller, Method, Parts, Task
from jaxdd.composition import from_selector
from jaxdd.records import (
    KernelSpec,
    LinearKernel,
)
from jaxdd.select import k_center as choose

__all__ = ["METHOD", "KCenterConfig", "k_center"]


@dataclass(frozen=True)
class KCenterConfig:
    """Settings of the k-centre selection."""

    kernel: KernelSpec = LinearKernel()
    """How images are compared: linear (whitened pixels), conjugate or random_features
    (of networks drawn anew), or any other kernel."""


def k_center(task: Task, config: KCenterConfig = KCenterConfig()) -> Distiller:
    """A set of m real images, each far from those before it."""
    return from_selector(choose, task, config.kernel)


METHOD = Method(
    build=k_center,
    config=KCenterConfig,
    parts=Parts("subset", "covering radius", "none", "none", "none"),
    one_shot=True,
)
