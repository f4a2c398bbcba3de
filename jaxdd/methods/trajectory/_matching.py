"""The joining of all methods that match experts' trajectories.

`mtt`, `tesla`, `ftd`, `datm` and `ast` are this with other defaults; none of them
imports another.
"""

import dataclasses
from typing import Literal

import optax

from jaxdd import decoders, networks, pools, unroll
from jaxdd.augment import inner_augment
from jaxdd.base import Distiller, Segments, Task
from jaxdd.composition import compose
from jaxdd.decoders.initial import Logits
from jaxdd.methods.trajectory import _wrappers
from jaxdd.methods.trajectory._config import TrajectoryConfig, check, rows_of_step
from jaxdd.objectives.trajectory import StudentTraining, applied, end_distance
from jaxdd.records import ExpertsNeed
from jaxdd.training import optimisers

__all__ = ["judge", "matching"]

_LEARNED: tuple[Literal["average"], Literal["first"]] = ("average", "first")


def matching(task: Task, config: TrajectoryConfig) -> Distiller:
    """The method for a task.

    Args:
      task: image shape, classes, images per class.
      config: settings.

    Returns:
      The distiller; its feed is `config.meta_batch` pieces of trajectories.

    Raises:
      InputError: a value is out of range, the experts end before the last target, or
        settings exclude each other.
    """
    check(task, config)
    logits, targets = judge(task, config), None
    if config.labels in _LEARNED:
        targets = decoders.expert_logits(task, logits, config.labels)
    decoder = decoders.pixels(task, init=config.init, judge=logits, targets=targets)
    decoder = decoders.flip(decoder) if config.flip else decoder
    objective = end_distance(
        networks.build(
            config.experts.network, task.image_shape, task.num_classes, dtype=task.dtype
        ),
        _training(task, config),
        augment=inner_augment(config.augment, task.image_shape),
        adjoint=unroll.named(config.adjoint),
        labels="logits" if config.labels in _LEARNED else config.labels,
        middle=config.middle,
    )
    distiller = compose(
        decoder=decoders.learned_rate(decoder, config.rate),
        objective=objective,
        pool=pools.none(),
        outer=_outer(task, config),
        feed=_feed(config),
        needs=(ExpertsNeed(config.experts),),
        meta_batch=config.meta_batch,
        ema=config.ema,
    )
    if config.labels == "expert":
        return _wrappers.with_expert_labels(distiller, logits)
    return _wrappers.with_last_rate(distiller) if config.ema else distiller


def judge(task: Task, config: TrajectoryConfig) -> Logits:
    """An expert's logits in full precision, `(vector [p], image) -> [n,k]`."""
    spec, shape = config.experts.network, task.image_shape
    return applied(networks.build(spec, shape, task.num_classes))


def _training(task: Task, config: TrajectoryConfig) -> StudentTraining:
    return StudentTraining(
        steps=config.inner_steps,
        batch=rows_of_step(task, config),
        group=2 if config.flip else 1,
        momentum=config.momentum,
        balance=config.last if config.balance else 0,
        perturb=config.perturb,
    )


def _feed(config: TrajectoryConfig) -> Segments:
    return Segments(
        epochs=config.expert_epochs,
        last=config.last,
        first=config.first,
        ramp_from=config.ramp_from,
        ramp_steps=config.ramp_steps,
        every=config.middle != "off",
        meta_batch=config.meta_batch,
    )


def _outer(task: Task, config: TrajectoryConfig) -> optax.GradientTransformation:
    """An optimiser for the images, the labels and the logarithm of the rate."""
    spec = config.rate_optimiser
    scaled = spec.learning_rate / config.rate**2
    specs = {
        "image": config.optimiser,
        "hyper": dataclasses.replace(spec, learning_rate=scaled),
    }
    if config.labels in _LEARNED:
        specs["target"] = config.label_optimiser
    outer = optimisers.by_part(
        {name: optimisers.build(s, task.num_steps) for name, s in specs.items()}
    )
    return optimisers.gated(outer, config.threshold) if config.threshold else outer
