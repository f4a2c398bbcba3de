"""MTT: a student trained on the set ends where an expert on real data does.

Experts are trained on the real data beforehand and their parameters kept after every
epoch. Each step takes a piece of an expert's trajectory, starts a student where the
piece starts, trains it for T steps on the synthetic images and compares where both
arrive. The images and the student's learning rate follow the gradient through the
student's training. No real image is seen during distillation.

Objective: ||theta_T - phi_(s+M)||^2 / ||phi_s - phi_(s+M)||^2, with theta_0 = phi_s and
theta_(t+1) = theta_t - beta grad CE(theta_t; A_t(batch t)), s uniform in [T-, T+).

Reference: G. Cazenavette, T. Wang, A. Torralba, A. Efros, J.-Y. Zhu, "Dataset
Distillation by Matching Training Trajectories", CVPR 2022, arXiv 2203.11932. Code:
GeorgeCazenavette/mtt-distillation (MIT), read for constants and run for the reference
arrays of the tests.

Parts: pixels with a learned rate; end distance; no pool; any adjoint of `jaxdd.unroll`;
segments of trajectories.

Differences from the paper: the logarithm of the learning rate is learned, so that it
cannot become negative; to first order the steps are the same. Augmentation and the
ConvNet are switched on in the `_paper` presets. `meta_batch`, `ema`, `flip`, a range of
start epochs and images that start elsewhere are options beside it, and all that the
other methods of this family add.

Differences from the authors' code: images larger than the data, of which random pieces
are shown (its `--texture`), are not offered. A set that is used whole at every step
keeps its order. The gradient is the same, taken with every step computed again, in the
memory of one step.

Expected: on digits at one image per class at or above the class means.
"""

from dataclasses import dataclass

from jaxdd.base import Distiller, Method, Parts, Task
from jaxdd.methods.trajectory._config import TrajectoryConfig
from jaxdd.methods.trajectory._matching import matching

__all__ = ["METHOD", "MttConfig", "mtt"]


@dataclass(frozen=True)
class MttConfig(TrajectoryConfig):
    """Settings of MTT; T, M and T+ as for small sets of CIFAR-100."""


def mtt(task: Task, config: MttConfig = MttConfig()) -> Distiller:
    """MTT for a task; its feed is pieces of experts' trajectories."""
    return matching(task, config)


METHOD = Method(
    build=mtt,
    config=MttConfig,
    parts=Parts("pixels + rate", "end distance", "none", "any", "segments"),
)
