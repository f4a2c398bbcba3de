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

from jaxdd.base import Distiller, Method, Parts, Task
from jaxdd.decoders import noisy_pixels
from jaxdd.methods.bilevel._unrolled import UnrolledConfig, unrolled

__all__ = ["METHOD", "BpttConfig", "bptt"]


@dataclass(frozen=True)
class BpttConfig(UnrolledConfig):
    """Settings of BPTT; the defaults are the paper's for CIFAR-10."""

    init: Literal["xavier", "noise", "unit_noise", "real", "class_mean", "kmeans"] = (
        "xavier"
    )
    """Where images start: Glorot's uniform noise, normal noise, the same of unit norm,
    random real ones, class means, or those nearest to cluster centres."""


def bptt(task: Task, config: BpttConfig = BpttConfig()) -> Distiller:
    """BPTT for a task; its feed is `config.batch` real images of every class."""
    return unrolled(task, config, noisy_pixels(task, config.init), task.ipc or 0)


METHOD = Method(
    build=bptt,
    config=BpttConfig,
    parts=Parts(
        "pixels", "loss after training", "fresh", "back-propagation", "per class"
    ),
)
