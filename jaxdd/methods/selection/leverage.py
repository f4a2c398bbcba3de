"""Images drawn by their ridge leverage: those a regression depends on.

Odds in proportion to the leverage tau_i = [K (K + lam I)^-1]_ii, without replacement,
per class where there are labels.

Objective: none; the selection is one draw.

Reference: El Alaoui and Mahoney, NeurIPS 2015 (arXiv 1411.0306); Musco and Musco,
NeurIPS 2017 (arXiv 1605.07583).

Parts: subset; no network, or those of the kernel.

Differences from the paper: drawn without replacement and without weights; tau is exact
where features are few, else of a Nystrom kernel whose landmarks pivoted Cholesky
chooses (select/leverage.py).

Differences from the authors' code: none was read.

Expected: near the random row.
"""

from dataclasses import dataclass

from jaxdd.base import Distiller, Method, Parts, Task
from jaxdd.composition import from_selector
from jaxdd.records import (
    KernelSpec,
    LinearKernel,
)
from jaxdd.select import leverage as choose

__all__ = ["METHOD", "LeverageConfig", "leverage"]


@dataclass(frozen=True)
class LeverageConfig:
    """Settings of the leverage selection."""

    kernel: KernelSpec = LinearKernel()
    """How images are compared: linear (whitened pixels), conjugate or random_features
    (of networks drawn anew), or any other kernel."""
    ridge: float = 1e-3
    """lam in units of the kernel's mean eigenvalue."""
    landmarks: int = 256
    """Landmarks of the Nystrom kernel; features of at most as many numbers are taken
    exactly."""


def leverage(task: Task, config: LeverageConfig = LeverageConfig()) -> Distiller:
    """A set of m real images drawn by their leverage."""
    return from_selector(choose(config.ridge, config.landmarks), task, config.kernel)


METHOD = Method(
    build=leverage,
    config=LeverageConfig,
    parts=Parts("subset", "ridge leverage", "none", "none", "none"),
    one_shot=True,
)
