"""BPTT: images learned through a long training with momentum, differentiated in full.

At every step a fresh network is trained on the synthetic images by momentum SGD for
many steps; the images follow the gradient of its loss on real images through all of
them. Plain back-propagation through time is competitive once the inner optimiser has
momentum and the training is long (150 to 200 steps).

Objective:
  L(S) = E_{theta_0} CE(f_{theta_T}; real),
  v_{t+1} = mu v_t + grad CE(f_{theta_t}; A(S_t)),  theta_{t+1} = theta_t - eta v_{t+1}
with S_t some images of every class, drawn anew at each inner step, and A one draw of
the augmentation for all inner steps of an outer step and its real batch.

Reference: Z. Deng, O. Russakovsky, "Remember the Past: Distilling Datasets into
Addressable Memories for Neural Networks", NeurIPS 2022, arXiv 2206.02916, section 3
(its baseline with label addressing). Authors' code:
princetonvisualai/RememberThePast-DatasetDistillation (no licence).

Parts: pixels x real loss of a trained network x fresh networks x back-propagation
through all steps, batches of every class.

Differences from the paper: none known; the adjoint is the same exact recursion,
computed by taking each step once more.

Differences from the authors' code: augmentation draws come from the step's key, not
from the clock. Where a class has fewer real images than the batch asks for, all are
taken.

Expected: on digits with 200 inner steps above RaT-BPTT and the class means (protocol
digits_mlp).
"""

from dataclasses import dataclass
from typing import Literal

import optax

from jaxdd import networks, unroll
from jaxdd.augment import inner_augment
from jaxdd.base import Distiller, Method, Parts, PerClass, Task
from jaxdd.composition import compose
from jaxdd.decoders import flip, noisy_pixels
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

__all__ = ["METHOD", "BpttConfig", "bptt"]


@dataclass(frozen=True)
class BpttConfig:
    """Settings of BPTT; the defaults are the paper's for CIFAR-10."""

    network: NetworkSpec = ConvNet(width=(128, 128, 128))
    """Without batch norm."""
    inner_steps: int = 150
    """T, of the inner training."""
    rate: float = 0.01
    """eta, its learning rate."""
    momentum: float = 0.9
    """mu."""
    weight_decay: float = 0.0
    """Of the inner training."""
    inner_per_class: int = 10
    """Synthetic images of each class in an inner step; 0 = all."""
    batch: int = 64
    """Real images of each class an outer step."""
    classes: int = 0
    """Random classes that an outer step is about, both synthetic and real; 0 = all."""
    augment: AugmentSpec = AugmentSpec()
    """One draw for all inner steps of an outer step and its real batch. The paper's is
    policy="dsa", strategy="flip_rotate"."""
    optimiser: OptimiserSpec = Sgd(0.1, 0.5)
    """Of the images."""
    clip: float = 2.0
    """Most that the gradient's norm may be; 0 = no limit."""
    init: Literal["xavier", "noise", "unit_noise", "real", "class_mean", "kmeans"] = (
        "xavier"
    )
    adjoint: AdjointSpec = AdjointSpec()
    """How the training is differentiated. "fused" is faster off CPU."""
    meta_batch: int = 1
    """Networks whose gradients are averaged in an outer step."""
    flip: bool = False
    """Train on every image and its mirror image (FYI); what is stored stays."""


def bptt(task: Task, config: BpttConfig = BpttConfig()) -> Distiller:
    """BPTT for a task.

    Args:
      task: image shape, classes, images per class and precision.
      config: settings.

    Returns:
      The distiller; its feed is `config.batch` real images of every class.

    Raises:
      InputError: a number out of range, batch norm, an augmentation without meaning
        here, or an adjoint that the training does not allow.
    """
    _check(task, config)
    network = networks.build(
        config.network, task.image_shape, task.num_classes, dtype=task.dtype
    )
    decoder, group = noisy_pixels(task, config.init), 1
    if config.flip:
        decoder, group = flip(decoder), 2
    inner = Inner(
        steps=config.inner_steps,
        optimiser=unroll.SGD(config.momentum, config.weight_decay),
        rate=config.rate,
        rows=drawn_rows(
            task.num_classes,
            group * (task.ipc or 0),
            config.inner_per_class,
            group=group,
        ),
        augment=inner_augment(config.augment, task.image_shape),
        paired=True,
    )
    outer = optimisers.build(config.optimiser, task.num_steps)
    if config.clip:
        outer = optax.chain(optax.clip_by_global_norm(config.clip), outer)
    return compose(
        decoder=decoder,
        objective=trained_loss(
            network,
            inner,
            classes=config.classes,
            adjoint=unroll.named(config.adjoint),
        ),
        pool=fresh(network),
        outer=outer,
        feed=PerClass(config.batch),
        meta_batch=config.meta_batch,
    )


def _check(task: Task, config: BpttConfig) -> None:
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


METHOD = Method(
    build=bptt,
    config=BpttConfig,
    parts=Parts(
        "pixels", "loss after training", "fresh", "back-propagation", "per class"
    ),
)
