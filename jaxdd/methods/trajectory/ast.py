"""AST: trajectory matching with smooth, strong experts and a student that keeps up.

Well-trained experts change too fast for a student. AST trains experts whose
trajectories are smooth, with a damped loss in the first epochs and a gradient penalty,
and helps the student: momentum, images that start as representatives of clusters, a
loss weighted by the epoch of the start, targets in between, and small random changes to
the start. Each of the six is a switch.

Objective: sum over k of w_k ||theta_(k) - phi_(s+k)||^2 / ||theta_0 - phi_(s+k)||^2
with theta_(k) the student after k T/M steps, w_M = 1; theta_0 = phi_s with every
convolution W moved by perturb W d, ||d|| = 1; v' = mu v + g, theta' = theta - beta v'.

Reference: J. Shen, W. Yang, K.-Y. Lam, "Efficient Dataset Distillation through
Alignment with Smooth and High-Quality Expert Trajectories", arXiv 2310.10541 (2023).
Code: shenjiyuan123/AST-Alignment-with-Smooth-Expert (MIT), read for constants.

Parts: pixels with a learned rate; end distance with targets in between; no pool; any
adjoint of `jaxdd.unroll`; segments of trajectories of smooth experts.

Differences from the paper: the logarithm of the learning rate is learned.

Differences from the authors' code: representatives are the images nearest to as many
cluster centres as there are images per class; the code clusters into ten and takes
ipc // 10 of each, none for fewer than ten images. Its truncation to the last eight
steps (`ignore_graph`) is not offered: exact gradients need no more memory. Its figures
are the best test accuracy along the students' training; the protocols here report the
last.

Expected: on digits at least `mtt`'s accuracy less a point.
"""

from dataclasses import dataclass

from jaxdd.base import Distiller, Method, Parts, Task
from jaxdd.methods.trajectory._config import Init, Middle, TrajectoryConfig
from jaxdd.methods.trajectory._matching import matching
from jaxdd.records import Experts, Recipe, Sgd, Steps

__all__ = ["EXPERT_OPTIMISER", "METHOD", "AstConfig", "ast"]

_DROP = 0.54  # of the run: after epoch number 26 of 50, counted from 0
EXPERT_OPTIMISER = Sgd(0.003, 0.9, 1e-3, Steps((_DROP,), 0.6, restart=True))


@dataclass(frozen=True)
class AstConfig(TrajectoryConfig):
    """Settings of AST; the defaults are the paper's for CIFAR-100, ten images."""

    experts: Experts = Experts(
        recipe=Recipe(batch=256, optimiser=EXPERT_OPTIMISER), kind="smooth"
    )
    """Networks whose trajectories are matched, and their training."""
    last: int = 30
    """T+: the epoch before which a student starts."""
    init: Init = "representative"
    """Where images start; representative: real ones nearest to the centres of clusters
    of an expert's logits."""
    momentum: float = 0.9
    """Momentum of the student's steps; 0 = none. It makes the rate 1 / (1 - momentum)
    times as effective."""
    middle: Middle = "agg"
    """Match the snapshots in between too, after T // M steps each: agg with weight 1,
    adaptive with k / M for the k-th."""
    perturb: float = 1.0
    """Size of random changes to the start's convolutions, relative to the kernel; 0 =
    off."""


def ast(task: Task, config: AstConfig = AstConfig()) -> Distiller:
    """AST for a task; its feed is pieces of experts' trajectories."""
    return matching(task, config)


METHOD = Method(
    build=ast,
    config=AstConfig,
    parts=Parts(
        "pixels + rate", "distance to each snapshot", "none", "any", "segments"
    ),
)
