"""Settings of the methods that match experts' trajectories, and what is refused."""

from dataclasses import dataclass
from typing import Literal

from jaxdd.base import Task
from jaxdd.errors import InputError, check_numbers
from jaxdd.records import AdjointSpec, AugmentSpec, Experts, OptimiserSpec, Sgd

__all__ = ["Init", "LabelMode", "Middle", "TrajectoryConfig", "check", "rows_of_step"]

Init = Literal[
    "real", "noise", "class_mean", "kmeans", "k_center", "representative", "correct"
]
LabelMode = Literal["class", "expert", "average", "first"]
Middle = Literal["off", "agg", "adaptive"]


@dataclass(frozen=True)
class TrajectoryConfig:
    """Settings that all of them have; the paper's letters are in brackets.

    A method is a set of defaults: what one of them adds is off here, and every other
    can be given it.
    """

    experts: Experts = Experts()
    """Networks whose trajectories are matched, and their training. The student is the
    same network."""
    inner_steps: int = 20
    """T: steps of the student on the set, starting at the expert's snapshot."""
    expert_epochs: int = 2
    """M: epochs that the expert trains in the same time."""
    first: int = 0
    """T-: the earliest epoch at which a student starts."""
    last: int = 20
    """T+: the epoch before which it starts. last - 1 + expert_epochs is within the
    experts' training."""
    ramp_from: int = 0
    """T0: the epoch before which students start at first (DATM)."""
    ramp_steps: int = 0
    """E: outer steps until that has grown to `last`; 0 = it is `last` throughout."""
    student_batch: int = 0
    """b: synthetic images of each of the student's steps; 0 = as many as there are.
    With `flip` both an image and its mirror image count."""
    momentum: float = 0.0
    """Momentum of the student's steps (AST); 0 = none. It makes the rate
    1 / (1 - momentum) times as effective."""
    optimiser: OptimiserSpec = Sgd(1000.0, 0.5)
    """Optimiser of the images."""
    rate: float = 0.01
    """beta: the student's learning rate at the first step. Its logarithm is learned,
    so that it stays positive."""
    rate_optimiser: OptimiserSpec = Sgd(1e-5, 0.5)
    """Optimiser of that rate. Its own learning rate is the paper's, of beta itself, and
    is divided by beta^2 for the logarithm; 0 = the rate stays as it is."""
    augment: AugmentSpec = AugmentSpec()
    """Augmentation of the set in the student's steps, drawn for each step and image.
    The papers' is policy="dsa"."""
    init: Init = "real"
    """Where images start: random real ones, normal noise, class means, those nearest to
    cluster centres of pixels (kmeans) or of an expert's logits (representative),
    real ones far from each other, real ones that the experts classify correctly."""
    labels: LabelMode = "class"
    """class: the classes; expert: probabilities that the network at the end of each
    piece gives the images (TESLA's soft label assignment); average, first: learned
    logits, started at the mean of the experts that classify the image correctly, or at
    the first expert's (DATM)."""
    label_optimiser: OptimiserSpec = Sgd(2.0, 0.9)
    """Optimiser of learned logits."""
    middle: Middle = "off"
    """Match the snapshots in between too, after T // M steps each (AST): agg with
    weight 1, adaptive with k / M for the k-th."""
    balance: bool = False
    """Weigh the student's loss by the epoch of the start, around T+ / 2 (AST)."""
    perturb: float = 0.0
    """Size of random changes to the start's convolutions, relative to the kernel (AST);
    0 = off."""
    threshold: float = 0.0
    """Steps with a loss above it change nothing, momenta included (DATM); the loss is 1
    where the student stays at the start. 0 = off."""
    adjoint: AdjointSpec = AdjointSpec()
    """How the student's training is differentiated. separable is biased (TESLA); the
    others that reach it are exact and differ in memory and time."""
    meta_batch: int = 1
    """Pieces of trajectories whose gradients are averaged in a step."""
    ema: float = 0.0
    """Decay of an average of the images and soft labels that is exported; 0 = off."""
    flip: bool = False
    """Train on every image and its mirror image; stored is only the image (FYI)."""


def rows_of_step(task: Task, config: TrajectoryConfig) -> int:
    """Synthetic images of one of the student's steps."""
    return config.student_batch or task.size


def check(task: Task, config: TrajectoryConfig) -> None:
    """Refuses values without meaning, naming the field."""
    check_numbers(
        config,
        counts=("inner_steps", "expert_epochs", "meta_batch"),
        positive=("rate",),
        not_negative=("first", "ramp_steps", "student_batch", "perturb", "threshold"),
        shares=("ema", "momentum"),
    )
    if config.experts.network.norm == "batch":
        raise InputError(
            "distill.experts.network.norm='batch': experts are kept without running "
            "statistics; choose 'instance', 'group', 'layer' or 'none'"
        )
    if config.flip and rows_of_step(task, config) < 2:
        raise InputError(
            f"distill.student_batch={config.student_batch} with flip: an image and its "
            "mirror image are two; choose at least 2"
        )
    _check_epochs(config)
    _check_together(config)


def _check_epochs(config: TrajectoryConfig) -> None:
    """Starts and targets lie within the experts' training."""
    bound = config.ramp_from if config.ramp_steps else config.last
    if not config.first < bound <= config.last:
        raise InputError(
            f"distill.first={config.first}, distill.last={config.last}"
            + (f", distill.ramp_from={bound}" if config.ramp_steps else "")
            + ": starts are drawn from first to last - 1, so first < ramp_from <= last"
        )
    end = config.last - 1 + config.expert_epochs
    if end > config.experts.epochs:
        raise InputError(
            f"distill.last={config.last}, distill.expert_epochs={config.expert_epochs}:"
            f" the last target is the snapshot of epoch {end}, and the experts train "
            f"for distill.experts.epochs={config.experts.epochs}; lower last or "
            "expert_epochs, or train the experts longer"
        )


def _check_together(config: TrajectoryConfig) -> None:
    """Settings that exclude each other."""
    if config.middle != "off" and config.inner_steps < config.expert_epochs:
        raise InputError(
            f"distill.inner_steps={config.inner_steps}: targets after each of distill."
            f"expert_epochs={config.expert_epochs} epochs need at least as many steps; "
            "raise it, or set distill.middle to 'off'"
        )
    if config.adjoint.name == "separable" and config.momentum:
        raise InputError(
            f"distill.momentum={config.momentum} with adjoint 'separable': it is "
            "defined for plain gradient descent; set momentum to 0, or another adjoint"
        )
    if config.labels == "expert" and config.ema:
        raise InputError(
            f"distill.ema={config.ema} with labels='expert': the labels are those of "
            "the images as they are, not of their average; set ema to 0"
        )
