"""FTD: trajectory matching with experts that end in flat regions of their loss.

At evaluation a student is never exactly on an expert's snapshot: the errors of matched
pieces add up. Where the loss is flat they are passed on less, so the experts are
trained by a sharpness-aware optimiser. Distillation is that of `mtt`, and what is kept
is an exponential average of the synthetic images.

Objective: as `mtt`'s, and S_ema <- d S_ema + (1-d) S after every step.

Reference: J. Du, Y. Jiang, V. Tan, J. T. Zhou, H. Li, "Minimizing the Accumulated
Trajectory Error to Improve Dataset Distillation", CVPR 2023, arXiv 2211.11004. Code:
AngusDujw/FTD-distillation (no licence), run for the reference arrays of the tests.

Parts: pixels with a learned rate; end distance; no pool; any adjoint of `jaxdd.unroll`;
segments of trajectories of flat experts.

Differences from the paper: the logarithm of the learning rate is learned.

Differences from the authors' code: its figures with the average come from networks that
had been trained on the set without it before; students here are fresh. The radius is
0.01, as its README says, and not the default 2.0 of its script. Its `--texture` is not
offered.

Expected: on digits within noise of `mtt`.
"""

from dataclasses import dataclass

from jaxdd.base import Distiller, Method, Parts, Task
from jaxdd.errors import InputError
from jaxdd.methods.trajectory._config import TrajectoryConfig
from jaxdd.methods.trajectory._matching import matching
from jaxdd.records import Experts

__all__ = ["METHOD", "FtdConfig", "ftd"]


@dataclass(frozen=True)
class FtdConfig(TrajectoryConfig):
    """Settings of FTD; the defaults are the paper's for CIFAR-100, ten images."""

    experts: Experts = Experts(kind="flat", radius=0.01, alpha=1.0)
    """Networks whose trajectories are matched, and their training: kind="flat" is the
    method."""
    last: int = 40
    """T+: the epoch before which a student starts."""
    ema: float = 0.9995
    """Decay of the average of the images that is exported; 0 = the images as they are
    in the end."""


def ftd(task: Task, config: FtdConfig = FtdConfig()) -> Distiller:
    """FTD for a task; its feed is pieces of experts' trajectories."""
    experts = config.experts
    if experts.radius < 0 or experts.alpha < 0:
        raise InputError(
            f"distill.experts.radius={experts.radius}, distill.experts.alpha="
            f"{experts.alpha}: must be at least 0"
        )
    return matching(task, config)


METHOD = Method(
    build=ftd,
    config=FtdConfig,
    parts=Parts("pixels + rate", "end distance", "none", "any", "segments"),
)
