"""DATM: trajectory matching whose difficulty suits the size of the set.

Early epochs of the experts teach easy patterns, late ones hard patterns, and only a
large set can hold the latter. Starts are drawn from a range of epochs that grows during
distillation; labels are learned as well; images start as real ones that the experts
classify correctly, labels as those experts' mean logits.

Objective: as `mtt`'s, with the cross-entropy against softmax(y), y learned. Starts are
uniform in [T-, U), U = min(T+, floor(T0 + (T+ - T0) step / E)). A step whose loss
exceeds a threshold changes nothing.

Reference: Z. Guo, K. Wang, G. Cazenavette, H. Li, K. Zhang, Y. You, "Towards Lossless
Dataset Distillation via Difficulty-Aligned Trajectory Matching", ICLR 2024, arXiv
2310.05773. Code: NUS-HPC-AI-Lab/DATM (no licence), run for the reference arrays of the
tests.

Parts: pixels with learned labels and a learned rate; end distance; no pool; any adjoint
of `jaxdd.unroll`; segments of trajectories of flat experts.

Differences from the paper: the logarithm of the learning rate is learned.

Differences from the authors' code: an image that no expert classifies correctly starts
with the mean logits of all experts, where the code divides by zero. The configurations
name an average of the images that the code does not use; `ema` switches it on. The
gradient is exact at every size; the code has a second program with TESLA's.

Expected: on digits at one image per class, with fixed labels, as `mtt`; learned ones
lose to them there.
"""

import math
from dataclasses import dataclass
from typing import Literal

from jaxdd.base import Distiller, Method, Parts, Task
from jaxdd.errors import InputError
from jaxdd.methods.trajectory._matching import Options, TrajectoryConfig, matching
from jaxdd.records import (
    Experts,
    OptimiserSpec,
    Sgd,
)

__all__ = ["METHOD", "DatmConfig", "datm"]


@dataclass(frozen=True)
class DatmConfig(TrajectoryConfig):
    """Settings of DATM; the defaults are the paper's for CIFAR-10, ten images."""

    experts: Experts = Experts(epochs=100, kind="flat", radius=0.01, alpha=0.3)
    """The networks whose trajectories are matched, and their training."""
    inner_steps: int = 80
    """Of the student on the set, from an expert's snapshot on (T)."""
    optimiser: OptimiserSpec = Sgd(100.0, 0.5)
    """Of the images."""
    init: Literal[
        "real", "noise", "class_mean", "kmeans", "k_center", "representative", "correct"
    ] = "correct"
    """Where images start; correct: real ones that the experts classify correctly."""
    labels: Literal["average", "first", "hard"] = "average"
    """Learned logits, started at the mean of the experts that classify the image
    correctly, or at the first expert's; or the classes as they are."""
    label_optimiser: OptimiserSpec = Sgd(2.0, 0.9)
    """Of the logits."""
    ramp_from: int = 10
    """The epoch before which students start at first (T0)."""
    ramp_steps: int = 1000
    """Steps until that has grown to `last` (E); 0 = it is `last` throughout."""
    threshold: float = 1.0
    """Steps with a loss above it change nothing, momenta included."""


def datm(task: Task, config: DatmConfig = DatmConfig()) -> Distiller:
    """DATM for a task.

    Args:
      task: image shape, classes, images per class and precision.
      config: settings.

    Returns:
      The distiller; its feed is pieces of experts' trajectories.

    Raises:
      InputError: a value is out of range, or the experts end before the last target.
    """
    if config.ramp_steps < 0:
        raise InputError(
            f"distill.ramp_steps={config.ramp_steps}: must be 0 (no ramp) or positive"
        )
    if not config.threshold > 0 or math.isinf(config.threshold):
        raise InputError(
            f"distill.threshold={config.threshold}: must be positive and finite; the "
            "loss is 1 where the student stays at the start"
        )
    soft = config.labels != "hard"
    options = Options(
        labels="logits" if soft else "class",
        first_labels=config.labels,
        label_optimiser=config.label_optimiser if soft else None,
        ramp_from=config.ramp_from,
        ramp_steps=config.ramp_steps,
        threshold=config.threshold,
    )
    return matching(task, config, options)


METHOD = Method(
    build=datm,
    config=DatmConfig,
    parts=Parts("pixels + labels + rate", "end distance", "none", "any", "segments"),
)
