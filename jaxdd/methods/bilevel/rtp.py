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

from jaxdd.base import Distiller, Method, Parts, Task
from jaxdd.decoders import basis, rows_in_budget
from jaxdd.methods.bilevel._unrolled import UnrolledConfig, unrolled

__all__ = ["METHOD", "RtpConfig", "rtp"]


@dataclass(frozen=True)
class RtpConfig(UnrolledConfig):
    """Settings of RTP; the defaults are the paper's for CIFAR-10, budget ipc 1."""

    bases: int = 16
    """K: number of shared bases."""
    downscale: int = 2
    """What a side of the bases is smaller by; it divides both sides of the images."""
    images_per_class: int = 0
    """Decoded images of each class; 0 = as many as the numbers of `ipc` images per
    class leave room for."""
    inner_per_class: int = 32
    """Decoded images of each class in an inner step; 0 = all."""


def rtp(task: Task, config: RtpConfig = RtpConfig()) -> Distiller:
    """RTP for a task, whose images per class are a budget of stored numbers.

    Returns:
      The distiller; its sets hold more images than the budget, and `image_floats` says
      what they are made of.
    """
    count, scale, rows = config.bases, config.downscale, config.images_per_class
    memory = basis(task, count=count, scale=scale, per_class=rows)
    stored = memory.floats(jax.eval_shape(memory.init, jax.random.key(0), None, {}))
    rows = rows or rows_in_budget(task, count, scale)
    return unrolled(task, config, memory, rows)._replace(image_floats=stored)


METHOD = Method(
    build=rtp,
    config=RtpConfig,
    parts=Parts(
        "bases", "loss after training", "fresh", "back-propagation", "per class"
    ),
)
