"""What `bptt`, `rtp` and `rat_bptt` share: a long training on rows of the set."""

from dataclasses import dataclass

import optax

from jaxdd import networks, unroll
from jaxdd.augment import inner_augment
from jaxdd.base import Decoder, Distiller, Network, PerClass, Task
from jaxdd.composition import compose
from jaxdd.decoders import flip
from jaxdd.errors import InputError, check_numbers
from jaxdd.objectives.outer import Inner, trained_loss
from jaxdd.objectives.rows import drawn_rows
from jaxdd.pools import fresh
from jaxdd.records import (
    AdjointSpec,
    AugmentSpec,
    ConvNet,
    NetworkSpec,
    OptimiserSpec,
    Sgd,
)
from jaxdd.training import optimisers

__all__ = ["InnerConfig", "UnrolledConfig", "inner_training", "network_of", "unrolled"]


@dataclass(frozen=True)
class InnerConfig:
    """Settings of the inner training."""

    network: NetworkSpec = ConvNet(width=(128, 128, 128))
    """Network that is trained; without batch norm."""
    inner_steps: int = 150
    """T: steps of the inner training."""
    rate: float = 0.01
    """eta: learning rate of the inner training."""
    momentum: float = 0.9
    """mu: momentum of the inner training, by SGD."""
    weight_decay: float = 0.0
    """Weight decay of the inner training, by SGD."""
    inner_per_class: int = 10
    """Synthetic images of each class in an inner step; 0 = all."""
    augment: AugmentSpec = AugmentSpec()
    """Augmentation: one draw for all inner steps of an outer step and its real batch.
    The paper's is policy="dsa", strategy="flip_rotate"."""
    adjoint: AdjointSpec = AdjointSpec()
    """How the training is differentiated. Off CPU "fused" is faster for SGD, "mixed"
    for any optimiser."""
    meta_batch: int = 1
    """Networks whose gradients are averaged in an outer step."""
    flip: bool = False
    """Train on every image and its mirror image (FYI); what is stored stays."""


@dataclass(frozen=True)
class UnrolledConfig(InnerConfig):
    """Settings of a training by momentum SGD that is differentiated in full."""

    batch: int = 64
    """Real images of each class an outer step."""
    classes: int = 0
    """Random classes that an outer step is about, both synthetic and real; 0 = all."""
    optimiser: OptimiserSpec = Sgd(0.1, 0.5)
    """Optimiser of what is learned."""
    clip: float = 2.0
    """Most that the gradient's norm may be; 0 = no limit."""


def network_of(task: Task, config: InnerConfig) -> Network:
    """The network that is trained."""
    return networks.build(
        config.network, task.image_shape, task.num_classes, dtype=task.dtype
    )


def inner_training(
    task: Task,
    config: InnerConfig,
    per_class: int,
    *,
    optimiser: unroll.InnerOptimiser | None = None,
    inner_classes: int = 0,
    paired: bool = False,
) -> Inner:
    """A training whose steps take random rows of each class.

    Args:
      task: image shape and classes.
      config: settings.
      per_class: images of each class in the set, mirror images not counted.
      optimiser: of the network; None = momentum SGD.
      inner_classes: random classes in a step; 0 = all.
      paired: one draw of the augmentation for all steps (`Inner`).
    """
    group = 2 if config.flip else 1
    return Inner(
        steps=config.inner_steps,
        optimiser=optimiser or unroll.SGD(config.momentum, config.weight_decay),
        rate=config.rate,
        rows=drawn_rows(
            task.num_classes,
            group * per_class,
            config.inner_per_class,
            inner_classes,
            group=group,
        ),
        augment=inner_augment(config.augment, task.image_shape),
        paired=paired,
    )


def unrolled(
    task: Task, config: UnrolledConfig, decoder: Decoder, per_class: int
) -> Distiller:
    """The method that learns a decoder's parameters through all steps.

    Args:
      task: image shape, classes and precision.
      config: settings.
      decoder: of the set.
      per_class: images of each class in it.

    Returns:
      The distiller; its feed is `config.batch` real images of every class.
    """
    _check(task, config)
    network = network_of(task, config)
    outer = optimisers.build(config.optimiser, task.num_steps)
    if config.clip:
        outer = optax.chain(optax.clip_by_global_norm(config.clip), outer)
    return compose(
        decoder=flip(decoder) if config.flip else decoder,
        objective=trained_loss(
            network,
            inner_training(task, config, per_class, paired=True),
            classes=config.classes,
            adjoint=unroll.named(config.adjoint),
        ),
        pool=fresh(network),
        outer=outer,
        feed=PerClass(config.batch),
        meta_batch=config.meta_batch,
    )


def _check(task: Task, config: UnrolledConfig) -> None:
    check_numbers(
        config,
        counts=("inner_steps", "batch"),
        positive=("rate",),
        not_negative=("weight_decay", "clip"),
        shares=("momentum",),
    )
    if not 0 <= config.classes <= task.num_classes:
        raise InputError(
            f"distill.classes={config.classes}: must be in [0, {task.num_classes}],"
            " 0 = all"
        )
