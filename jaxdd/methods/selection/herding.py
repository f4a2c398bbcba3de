"""Herding: real images whose running mean follows the mean of their class.

Greedy, per class where there are labels, else over the whole set. In the feature space
of a kernel every next image is the one that points furthest to what the mean still
lacks; with the linear kernel of pixels the set's mean image follows the class mean.

Objective: next is argmax over x of mu(x) - sum over s in S of k(x,s) / (|S| + 1), mu(x)
the mean of k(x,x_j) over the class, each image at most once.

Reference: Welling, ICML 2009; Chen, Welling and Smola, UAI 2010 (arXiv 1203.3472); the
herding baseline of Zhao, Mopuri and Bilen, ICLR 2021 (arXiv 2006.05929).

Parts: subset; no network, or those of the kernel.

Differences from the paper: every image is chosen at most once; super-samples of Chen et
al. may repeat.

Differences from the authors' code: the baselines of the field herd features of a
trained network; here the kernel is a setting, pixels by default.

Expected: above the random row at few images per class on digits.
"""

from dataclasses import dataclass

from jaxdd.base import Distiller, Method, Parts, Task
from jaxdd.composition import from_selector
from jaxdd.records import (
    KernelSpec,
    LinearKernel,
)
from jaxdd.select import herding as choose

__all__ = ["METHOD", "HerdingConfig", "herding"]


@dataclass(frozen=True)
class HerdingConfig:
    """Settings of the herding selection."""

    kernel: KernelSpec = LinearKernel()
    """How images are compared: linear (whitened pixels), conjugate or random_features
    (of networks drawn anew), or any other kernel."""


def herding(task: Task, config: HerdingConfig = HerdingConfig()) -> Distiller:
    """A set of m real images that herding chooses."""
    return from_selector(choose, task, config.kernel)


METHOD = Method(
    build=herding,
    config=HerdingConfig,
    parts=Parts("subset", "herding", "none", "none", "none"),
    one_shot=True,
)
