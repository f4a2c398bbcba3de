"""MMD coreset: real images whose distribution is nearest to that of their class.

Greedy decrease of the squared maximum mean discrepancy between the chosen images and
all images of the class, in the space of a kernel.

Objective: next is argmax over x of 2 mu(x) - (2 sum over s in S of k(x,s) + k(x,x)) /
(|S| + 1), mu(x) the mean of k(x,x_j) over the class.

Reference: Gretton et al., JMLR 2012; as an initialisation in Loo et al., NeurIPS 2022
(arXiv 2210.12067), yolky/RFAD @ c9ef03e, coresets.py.

Parts: subset; no network, or those of the kernel.

Differences from the paper: none; RFAD does not describe it.

Differences from the authors' code: there the kernel is that of 16 random ConvNets
(`kernel.name` random_features, `kernel.members` 16) and n x n numbers are stored; here
only columns of it.

Expected: as herding, and equal to it where k(x,x) is constant.
"""

from dataclasses import dataclass

from jaxdd.base import Distiller, Method, Parts, Task
from jaxdd.composition import from_selector
from jaxdd.records import (
    KernelSpec,
    LinearKernel,
)
from jaxdd.select import mmd as choose

__all__ = ["METHOD", "MmdConfig", "mmd"]


@dataclass(frozen=True)
class MmdConfig:
    """Settings of the MMD coreset."""

    kernel: KernelSpec = LinearKernel()
    """How images are compared: linear (whitened pixels), conjugate or random_features
    (of networks drawn anew), or any other kernel."""


def mmd(task: Task, config: MmdConfig = MmdConfig()) -> Distiller:
    """A set of m real images of least discrepancy."""
    return from_selector(choose, task, config.kernel)


METHOD = Method(
    build=mmd,
    config=MmdConfig,
    parts=Parts("subset", "MMD", "none", "none", "none"),
    one_shot=True,
)
