"""TESLA: trajectory matching with a gradient that is a sum over the student's steps.

As `mtt`, but the derivative of each step is taken at fixed parameters: what a step
changes in the gradients of later ones is left out. The sum needs no chain through the
steps and its parts may be computed in any order. It is not the gradient of the
objective for more than one step; at equal memory `mtt` computes that one. Labels can be
assigned by the expert's network at the end of the piece, anew in each step.

Objective: as `mtt`'s. Gradient by the image batch of step t:
-beta d/dx <grad CE(theta_t; A_t(x_t)), lambda> with lambda = 2 (theta_T - phi_(s+M)) /
||phi_s - phi_(s+M)||^2 for every t.

Reference: J. Cui, R. Wang, S. Si, C.-J. Hsieh, "Scaling Up Dataset Distillation to
ImageNet-1K with Constant Memory", ICML 2023, arXiv 2211.10586. Code: justincui03/tesla
(MIT), read for constants and run for the reference arrays of the tests.

Parts: pixels with a learned rate; end distance; no pool; the separable adjoint;
segments of trajectories.

Differences from the paper: the logarithm of the learning rate is learned. The paper
calls its gradient that of the objective. A set with assigned labels carries those of
the last step's expert, which students are then trained with.

Differences from the authors' code: its gradient of the images is half of the paper's,
because a doubling acts on a tuple and not on the gradient; the `_code` presets halve
the learning rate of the images instead. Its label assignment works for ImageNet with
more than 50 images only; this one for any set. Its `--texture` is not offered.

Expected: on digits within noise of `mtt`.
"""

from dataclasses import dataclass

from jaxdd.base import Distiller, Method, Parts, Task
from jaxdd.methods.trajectory._config import TrajectoryConfig
from jaxdd.methods.trajectory._matching import matching
from jaxdd.records import AdjointSpec

__all__ = ["METHOD", "TeslaConfig", "tesla"]


@dataclass(frozen=True)
class TeslaConfig(TrajectoryConfig):
    """Settings of TESLA, and of its soft label assignment with labels="expert"."""

    adjoint: AdjointSpec = AdjointSpec("separable")
    """separable is the method; the others compare it with the exact gradient."""


def tesla(task: Task, config: TeslaConfig = TeslaConfig()) -> Distiller:
    """TESLA for a task; its feed is pieces of experts' trajectories."""
    return matching(task, config)


METHOD = Method(
    build=tesla,
    config=TeslaConfig,
    parts=Parts("pixels + rate", "end distance", "none", "separable", "segments"),
)
