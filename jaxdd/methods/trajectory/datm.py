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

from dataclasses import dataclass

from jaxdd.base import Distiller, Method, Parts, Task
from jaxdd.methods.trajectory._config import Init, LabelMode, TrajectoryConfig
from jaxdd.methods.trajectory._matching import matching
from jaxdd.records import Experts, OptimiserSpec, Sgd

__all__ = ["METHOD", "DatmConfig", "datm"]


@dataclass(frozen=True)
class DatmConfig(TrajectoryConfig):
    """Settings of DATM; the defaults are the paper's for CIFAR-10, ten images."""

    experts: Experts = Experts(epochs=100, kind="flat", radius=0.01, alpha=0.3)
    """Networks whose trajectories are matched, and their training."""
    inner_steps: int = 80
    """T: steps of the student on the set, starting at the expert's snapshot."""
    optimiser: OptimiserSpec = Sgd(100.0, 0.5)
    """Optimiser of the images."""
    init: Init = "correct"
    """Where images start; correct: real ones that the experts classify correctly."""
    labels: LabelMode = "average"
    """average, first: learned logits, started at the mean of the experts that classify
    the image correctly, or at the first expert's; class: the classes as they are;
    expert: as TESLA assigns them."""
    ramp_from: int = 10
    """T0: the epoch before which students start at first."""
    ramp_steps: int = 1000
    """E: outer steps until that has grown to `last`; 0 = it is `last` throughout."""
    threshold: float = 1.0
    """Steps with a loss above it change nothing, momenta included; the loss is 1 where
    the student stays at the start. 0 = off."""


def datm(task: Task, config: DatmConfig = DatmConfig()) -> Distiller:
    """DATM for a task; its feed is pieces of experts' trajectories."""
    return matching(task, config)


METHOD = Method(
    build=datm,
    config=DatmConfig,
    parts=Parts("pixels + labels + rate", "end distance", "none", "any", "segments"),
)
