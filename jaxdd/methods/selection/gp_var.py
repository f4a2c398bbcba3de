"""Inducing points by Gaussian-process variance: pivoted Cholesky of the kernel.

The next image is the one about which a Gaussian process that has seen the chosen ones
knows least, or the one that lowers this ignorance the most over all images.

Objective: variance: argmax over x of k(x,x) - k_xS K_SS^-1 k_Sx. trace: argmax of sum
over j of K_jx^2 / K_xx, K what is left after the chosen ones are explained.

Reference: Fine and Scheinberg, JMLR 2001; Foster et al., JMLR 2009; the `var` coreset
of yolky/RFAD @ c9ef03e, coresets.py (arXiv 2210.12067).

Parts: subset; no network, or those of the kernel.

Differences from the paper: no noise is added to K_SS; pivots below rounding change
nothing.

Differences from the authors' code: RFAD takes rule trace_less_variance, which subtracts
the diagonal too, and stores n x n numbers.

Expected: variance near the random row, since it takes outliers; trace above it.
"""

from dataclasses import dataclass
from typing import Literal

from jaxdd.base import Distiller, Method, Parts, Task
from jaxdd.composition import from_selector
from jaxdd.records import (
    KernelSpec,
    LinearKernel,
)
from jaxdd.select import gp_var as choose

__all__ = ["METHOD", "GpVarConfig", "gp_var"]


@dataclass(frozen=True)
class GpVarConfig:
    """Settings of the variance selection."""

    kernel: KernelSpec = LinearKernel()
    """How images are compared: linear (whitened pixels), conjugate or random_features
    (of networks drawn anew), or any other kernel."""
    rule: Literal["variance", "trace", "trace_less_variance"] = "variance"
    """variance: the largest; trace: what lowers all of them the most."""


def gp_var(task: Task, config: GpVarConfig = GpVarConfig()) -> Distiller:
    """A set of m real images of largest variance or trace reduction."""
    return from_selector(choose[config.rule], task, config.kernel)


METHOD = Method(
    build=gp_var,
    config=GpVarConfig,
    parts=Parts("subset", "variance", "none", "none", "none"),
    one_shot=True,
)
