"""RTP: many images from few shared bases, learned through a long training.

The set is an addressable memory: low-resolution bases that all classes share, and for
every image the coefficients of a linear combination of them. A budget of numbers then
decodes to many more images than it would hold as pixels. Bases and coefficients follow
the gradient of a real loss through a long training with momentum, as in `bptt`.

Objective:
  L(M, A) = E_{theta_0} CE(f_{theta_T}; real),  S_i = up(sum_k A_ik M_k)
with theta_T after T steps of momentum SGD on some images of every class, drawn anew at
each step, `up` the bilinear enlargement, and one draw of the augmentation for all inner
steps of an outer step and its real batch.

Reference: Z. Deng, O. Russakovsky, "Remember the Past: Distilling Datasets into
Addressable Memories for Neural Networks", NeurIPS 2022, arXiv 2206.02916. Authors'
code: princetonvisualai/RememberThePast-DatasetDistillation (no licence).

Parts: bases and coefficients x real loss of a trained network x fresh networks x
back-propagation through all steps, batches of every class.

Differences from the paper: no penalty on the coefficients. Images per class are those
that the budget of `ipc` images leaves room for; compare by stored bytes, never by ipc.

Differences from the authors' code: their penalty never reaches the gradient, as it does
not depend on the weights and enters the inner losses only. Augmentation draws come from
the step's key, not from the clock.

Expected: on digits above as many random real images as the set decodes to, which take
several times its bytes (protocol digits_mlp).
"""

from dataclasses import dataclass

import jax
import optax

from jaxdd import networks, unroll
from jaxdd.augment import inner_augment
from jaxdd.base import Distiller, Method, Parts, PerClass, Task
from jaxdd.composition import compose
from jaxdd.decoders import basis, flip, rows_in_budget
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

__all__ = ["METHOD", "RtpConfig", "rtp"]


@dataclass(frozen=True)
class RtpConfig:
    """Settings of RTP; the defaults are the paper's for CIFAR-10, budget ipc 1."""

    network: NetworkSpec = ConvNet(width=(128, 128, 128))
    """Without batch norm."""
    bases: int = 16
    """K."""
    downscale: int = 2
    """What a side of the bases is smaller by; it divides both sides of the images."""
    images_per_class: int = 0
    """Decoded images of each class; 0 = as many as the numbers of `ipc` images per
    class leave room for."""
    inner_steps: int = 150
    """T, of the inner training."""
    rate: float = 0.01
    """eta, its learning rate."""
    momentum: float = 0.9
    """mu."""
    weight_decay: float = 0.0
    """Of the inner training."""
    inner_per_class: int = 32
    """Decoded images of each class in an inner step; 0 = all."""
    batch: int = 64
    """Real images of each class an outer step."""
    classes: int = 0
    """Random classes that an outer step is about, both synthetic and real; 0 = all."""
    augment: AugmentSpec = AugmentSpec()
    """One draw for all inner steps of an outer step and its real batch. The paper's is
    policy="dsa", strategy="flip_rotate"."""
    optimiser: OptimiserSpec = Sgd(0.1, 0.5)
    """Of bases and coefficients."""
    clip: float = 2.0
    """Most that the norm of their gradient may be; 0 = no limit."""
    adjoint: AdjointSpec = AdjointSpec()
    """How the training is differentiated. "fused" is faster off CPU."""
    meta_batch: int = 1
    """Networks whose gradients are averaged in an outer step."""
    flip: bool = False
    """Train on every image and its mirror image (FYI); what is stored stays."""


def rtp(task: Task, config: RtpConfig = RtpConfig()) -> Distiller:
    """RTP for a task.

    Args:
      task: image shape, classes, precision, and the budget in images per class.
      config: settings.

    Returns:
      The distiller; its sets hold more images than the budget, and `image_floats` says
      what they are made of.

    Raises:
      InputError: a number out of range, a budget too small, batch norm, an augmentation
        without meaning here, or an adjoint that the training does not allow.
    """
    _check(task, config)
    network = networks.build(
        config.network, task.image_shape, task.num_classes, dtype=task.dtype
    )
    count, scale = config.bases, config.downscale
    memory = basis(task, count=count, scale=scale, per_class=config.images_per_class)
    stored = memory.floats(jax.eval_shape(memory.init, jax.random.key(0), None, {}))
    decoder, group = (flip(memory), 2) if config.flip else (memory, 1)
    each = config.images_per_class or rows_in_budget(task, count, scale)
    inner = Inner(
        steps=config.inner_steps,
        optimiser=unroll.SGD(config.momentum, config.weight_decay),
        rate=config.rate,
        rows=drawn_rows(
            task.num_classes, group * each, config.inner_per_class, group=group
        ),
        augment=inner_augment(config.augment, task.image_shape),
        paired=True,
    )
    outer = optimisers.build(config.optimiser, task.num_steps)
    if config.clip:
        outer = optax.chain(optax.clip_by_global_norm(config.clip), outer)
    distiller = compose(
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
    return distiller._replace(image_floats=stored)


def _check(task: Task, config: RtpConfig) -> None:
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
    build=rtp,
    config=RtpConfig,
    parts=Parts(
        "bases", "loss after training", "fresh", "back-propagation", "per class"
    ),
)
