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
from typing import Literal

from jaxdd.base import Distiller, Method, Parts, Task
from jaxdd.errors import InputError
from jaxdd.methods.trajectory._matching import Options, TrajectoryConfig, matching
from jaxdd.objectives.trajectory import Aids
from jaxdd.records import AdjointSpec, Experts, Recipe, Sgd, Steps

__all__ = ["EXPERT_OPTIMISER", "METHOD", "AstConfig", "ast"]

_DROP = 0.54  # of the run: after epoch number 26 of 50, counted from 0
EXPERT_OPTIMISER = Sgd(0.003, 0.9, 1e-3, Steps((_DROP,), 0.6, restart=True))


@dataclass(frozen=True)
class AstConfig(TrajectoryConfig):
    """Settings of AST; the defaults are the paper's for CIFAR-100, ten images."""

    experts: Experts = Experts(
        recipe=Recipe(batch=256, optimiser=EXPERT_OPTIMISER), kind="smooth"
    )
    """The networks whose trajectories are matched, and their training."""
    last: int = 30
    """The epoch before which a student starts (T+)."""
    init: Literal[
        "real", "noise", "class_mean", "kmeans", "k_center", "representative", "correct"
    ] = "representative"
    """Where images start; representative: real ones nearest to the centres of clusters
    of an expert's logits."""
    momentum: float = 0.9
    """Of the student; 0 = none. It makes the rate 1 / (1 - momentum) times as
    effective."""
    middle: Literal["off", "agg", "adaptive"] = "agg"
    """Match the snapshots in between too, after T // M steps each: with weight 1, or
    with k / M for the k-th."""
    balance: bool = False
    """Weigh the student's loss by the epoch of the start, around T+ / 2."""
    perturb: float = 1.0
    """Size of random changes to the start's convolutions, relative to the kernel; 0 =
    off."""


def ast(task: Task, config: AstConfig = AstConfig()) -> Distiller:
    """AST for a task.

    Args:
      task: image shape, classes, images per class and precision.
      config: settings.

    Returns:
      The distiller; its feed is pieces of experts' trajectories.

    Raises:
      InputError: a value is out of range, the experts end before the last target, or
        the separable adjoint with momentum.
    """
    if config.adjoint == AdjointSpec("separable") and config.momentum:
        raise InputError(
            f"distill.momentum={config.momentum} with adjoint 'separable': it is "
            "defined for plain gradient descent; set momentum to 0, or another adjoint"
        )
    aids = Aids(
        middle=config.middle,
        balance=config.last if config.balance else 0,
        perturb=config.perturb,
    )
    return matching(task, config, Options(momentum=config.momentum, aids=aids))


METHOD = Method(
    build=ast,
    config=AstConfig,
    parts=Parts(
        "pixels + rate", "distance to each snapshot", "none", "any", "segments"
    ),
)
