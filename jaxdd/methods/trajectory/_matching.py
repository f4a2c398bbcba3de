"""What the methods that match experts' trajectories share: settings, and the joining.

`mtt`, `tesla`, `ftd`, `datm` and `ast` are this with different experts, schedules,
labels and terms; none of them imports another.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import optax

from jaxdd import augment, decoders, networks, pools, unroll
from jaxdd.base import Assets, Distiller, Segments, State, Synthetic, Task
from jaxdd.composition import compose
from jaxdd.decoders.initial import Logits
from jaxdd.errors import InputError
from jaxdd.objectives.trajectory import Aids, Labels, Student, applied, end_distance
from jaxdd.records import (
    AdjointSpec,
    AugmentSpec,
    Experts,
    ExpertsNeed,
    OptimiserSpec,
    Sgd,
)
from jaxdd.training import optimisers

__all__ = ["Options", "TrajectoryConfig", "judge", "matching"]


@dataclass(frozen=True)
class TrajectoryConfig:
    """Settings that all of them have; the paper's letters are in brackets."""

    experts: Experts = Experts()
    """The networks whose trajectories are matched, and their training. The student is
    the same network."""
    inner_steps: int = 20
    """Of the student on the set, from an expert's snapshot on (T)."""
    epochs: int = 2
    """Of the expert's in the same time (M)."""
    first: int = 0
    """The earliest epoch at which a student starts (T-)."""
    last: int = 20
    """The epoch before which it starts (T+). last - 1 + epochs is within the experts'
    training."""
    batch: int = 0
    """Synthetic images of each of the student's steps (b), 0 = as many as there are;
    with `flip` both an image and its mirror image count."""
    optimiser: OptimiserSpec = Sgd(1000.0, 0.5)
    """Of the images."""
    rate: float = 0.01
    """The student's learning rate at the first step (beta). Its logarithm is learned,
    so that it stays positive."""
    rate_optimiser: OptimiserSpec = Sgd(1e-5, 0.5)
    """Of that rate: its own learning rate is the paper's, of beta itself, and is
    divided by beta^2 for the logarithm. 0 = the rate stays as it is."""
    augment: AugmentSpec = AugmentSpec()
    """Of the set in the student's steps, drawn for each step and image. The papers' is
    policy="dsa"."""
    init: Literal[
        "real", "noise", "class_mean", "kmeans", "k_center", "representative", "correct"
    ] = "real"
    """Where images start: random real ones, normal noise, class means, those nearest to
    cluster centres of pixels (kmeans) or of an expert's logits (representative),
    real ones far from each other, real ones that the experts classify correctly."""
    adjoint: AdjointSpec = AdjointSpec()
    """How the student's training is differentiated. separable is biased (TESLA); the
    others that reach it are exact and differ in memory and time."""
    meta_batch: int = 1
    """Pieces of trajectories whose gradients are averaged in a step."""
    ema: float = 0.0
    """Decay of an average of the images and soft labels that is exported; 0 = off."""
    flip: bool = False
    """Train on every image and its mirror image; stored is only the image (FYI)."""


@dataclass(frozen=True)
class Options:
    """What a method sets beyond its configuration."""

    labels: Labels = "class"
    first_labels: Literal["hard", "average", "first"] = "hard"
    """Learned logits where it is not hard."""
    label_optimiser: OptimiserSpec | None = None
    ramp_from: int = 0
    ramp_steps: int = 0
    threshold: float = math.inf
    """Steps with a loss above it change nothing."""
    momentum: float = 0.0
    aids: Aids = Aids()


def matching(
    task: Task, config: TrajectoryConfig, options: Options = Options()
) -> Distiller:
    """The method for a task.

    Args:
      task: image shape, classes, images per class.
      config: settings.
      options: what the method adds.

    Returns:
      The distiller; its feed is `config.meta_batch` pieces of trajectories.

    Raises:
      InputError: a value is out of range, or the experts end before the last target.
    """
    _check(task, config, options)
    network = networks.build(
        config.experts.network, task.image_shape, task.num_classes, dtype=task.dtype
    )
    operations = None
    if not augment.is_identity(config.augment):
        operations = augment.build(config.augment, task.image_shape)
    logits, targets = judge(task, config), None
    if options.first_labels != "hard":
        targets = decoders.expert_logits(task, logits, options.first_labels)
    decoder = decoders.pixels(task, init=config.init, judge=logits, targets=targets)
    decoder = decoders.flip(decoder) if config.flip else decoder
    student = Student(
        steps=config.inner_steps,
        batch=_rows(task, config),
        group=2 if config.flip else 1,
        momentum=options.momentum,
    )
    distiller = compose(
        decoder=decoders.learned_rate(decoder, config.rate),
        objective=end_distance(
            network,
            student,
            augment=operations,
            adjoint=unroll.named(config.adjoint),
            labels=options.labels,
            aids=options.aids,
        ),
        pool=pools.none(),
        outer=_outer(task, config, options),
        feed=_feed(config, options),
        needs=(ExpertsNeed(config.experts),),
        meta_batch=config.meta_batch,
        ema=config.ema,
    )
    return _with_last_rate(distiller) if config.ema else distiller


def judge(task: Task, config: TrajectoryConfig) -> Logits:
    """An expert's logits in full precision, `(vector [p], image) -> [n,k]`."""
    spec, shape = config.experts.network, task.image_shape
    return applied(networks.build(spec, shape, task.num_classes))


def _rows(task: Task, config: TrajectoryConfig) -> int:
    return config.batch or task.size


def _feed(config: TrajectoryConfig, options: Options) -> Segments:
    return Segments(
        epochs=config.epochs,
        last=config.last,
        first=config.first,
        ramp_from=options.ramp_from,
        ramp_steps=options.ramp_steps,
        every=options.aids.middle != "off",
        meta_batch=config.meta_batch,
    )


def _outer(
    task: Task, config: TrajectoryConfig, options: Options
) -> optax.GradientTransformation:
    """An optimiser for the images, the labels and the logarithm of the rate."""
    spec = config.rate_optimiser
    scaled = spec.learning_rate / config.rate**2
    specs = {
        "image": config.optimiser,
        "hyper": dataclasses.replace(spec, learning_rate=scaled),
    }
    if options.label_optimiser is not None:
        specs["target"] = options.label_optimiser
    outer = optimisers.by_part(
        {name: optimisers.build(s, task.num_steps) for name, s in specs.items()}
    )
    if math.isinf(options.threshold):
        return outer
    return optimisers.gated(outer, options.threshold)


def _with_last_rate(distiller: Distiller) -> Distiller:
    """Exports averaged images with the rate as it is: averages are of what is seen."""

    def export(state: State, assets: Assets) -> Synthetic:
        average = {**state.memory, "hyper": state.params["hyper"]}
        return distiller.export(state._replace(memory=average), assets)

    return distiller._replace(export=export)


def _check(task: Task, config: TrajectoryConfig, options: Options) -> None:
    """Refuses values without meaning, naming the field."""
    least = {"inner_steps": 1, "epochs": 1, "first": 0, "batch": 0, "meta_batch": 1}
    for name, low in least.items():
        if getattr(config, name) < low:
            raise InputError(
                f"distill.{name}={getattr(config, name)}: must be at least {low}"
            )
    if not (math.isfinite(config.rate) and config.rate > 0):
        raise InputError(f"distill.rate={config.rate}: must be positive")
    if not 0 <= config.ema < 1:
        raise InputError(f"distill.ema={config.ema}: must be in [0, 1); 0 = off")
    if config.experts.network.norm == "batch":
        raise InputError(
            "distill.experts.network.norm='batch': experts are kept without running "
            "statistics; choose 'instance', 'group', 'layer' or 'none'"
        )
    if config.flip and _rows(task, config) < 2:
        raise InputError(
            f"distill.batch={config.batch} with flip: an image and its mirror image "
            "are two; choose at least 2"
        )
    _check_epochs(config, options)
    _check_aids(config, options)


def _check_epochs(config: TrajectoryConfig, options: Options) -> None:
    """Starts and targets lie within the experts' training."""
    first = options.ramp_from if options.ramp_steps else config.last
    if not config.first < first <= config.last:
        raise InputError(
            f"distill.first={config.first}, distill.last={config.last}"
            + (f", distill.ramp_from={first}" if options.ramp_steps else "")
            + ": starts are drawn from first to last - 1, so first < ramp_from <= last"
        )
    end = config.last - 1 + config.epochs
    if end > config.experts.epochs:
        raise InputError(
            f"distill.last={config.last}, distill.epochs={config.epochs}: the last "
            f"target is the snapshot of epoch {end}, and the experts train for "
            f"distill.experts.epochs={config.experts.epochs}; lower last or epochs, or "
            "train the experts longer"
        )


def _check_aids(config: TrajectoryConfig, options: Options) -> None:
    aids = options.aids
    if not 0 <= options.momentum < 1:
        raise InputError(f"distill.momentum={options.momentum}: must be in [0, 1)")
    if not (math.isfinite(aids.perturb) and aids.perturb >= 0):
        raise InputError(f"distill.perturb={aids.perturb}: must be finite and >= 0")
    if math.isnan(options.threshold) or options.threshold <= 0:
        raise InputError(f"distill.threshold={options.threshold}: must be positive")
    if aids.middle != "off" and config.inner_steps < config.epochs:
        raise InputError(
            f"distill.inner_steps={config.inner_steps}: targets after each of "
            f"distill.epochs={config.epochs} epochs need at least as many steps; raise "
            "it, or set distill.middle to 'off'"
        )
