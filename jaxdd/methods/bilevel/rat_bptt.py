"""RaT-BPTT: back-propagation through a window at a random place of the training.

The gradient through a whole training is noisy and costly, and that of a fixed part is
biased to it. Here a fresh network is first trained without derivative for a random
number of steps, then for M differentiated ones with the optimiser's averages carried
over, and the real loss is read at the end of these. With Adam inside and outside it
beats trajectory matching at few images per class.

Objective:
  L(S) = E_{theta_0, s} CE(f_{theta_{s+M}}; A(real)),  s uniform in s_min .. N - M,
  theta_{t+1} = Adam(theta_t, grad CE(f_{theta_t}; A_t(S_t), y_t)),
with theta_s and Adam's averages there constants of the gradient, S_t some images of
some classes, and draws of the augmentation of each step's own.

Reference: Y. Feng, R. Vedantam, J. Kempe, "Embarrassingly Simple Dataset Distillation",
ICLR 2024, arXiv 2311.07025. Authors' code: fengyzpku/Simple_Dataset_Distillation (MIT).

Parts: pixels (and labels) x real loss of a trained network x fresh networks x a window
of back-propagation, uniform batches.

Differences from the paper: none known.

Differences from the authors' code: Adam divides by its corrected root plus epsilon in
all steps; theirs does so before the window, and within it adds epsilon before the
correction. A coordinate that never had a gradient passes none on here, and there by
masking. The window that moves when the test loss stalls is not offered: it chooses by
the test set. Augmentation draws come from the step's key. Networks of a meta-batch have
windows of their own, unless several steps share one.

Expected: on digits above the class means (protocol digits_mlp).
"""

import dataclasses
from dataclasses import dataclass
from typing import Literal

import optax

from jaxdd import unroll
from jaxdd.base import Decoder, Distiller, Method, Parts, Task, Uniform
from jaxdd.composition import compose
from jaxdd.decoders import flip, learned_probabilities, noisy_pixels
from jaxdd.errors import check_numbers
from jaxdd.methods.bilevel._unrolled import InnerConfig, inner_training, network_of
from jaxdd.objectives.outer import Window, trained_loss
from jaxdd.pools import fresh
from jaxdd.records import Adam, AugmentSpec, OptimiserSpec
from jaxdd.training import optimisers

__all__ = ["METHOD", "RatBpttConfig", "rat_bptt"]


@dataclass(frozen=True)
class RatBpttConfig(InnerConfig):
    """Settings of RaT-BPTT; the defaults are the paper's for CIFAR-10 at ipc 10."""

    inner_steps: int = 60
    """M: steps of the window."""
    total: int = 200
    """N: steps of the longest training."""
    policy: Literal["random", "end", "fixed"] = "random"
    """Where the window begins: anywhere, N - M, or `first`."""
    first: int = 0
    """s_min: the earliest beginning of a random window."""
    window_repeat: int = 10
    """Outer steps in a row with the same random window. The paper's is an epoch of the
    real data; 1 = each its own."""
    network_optimiser: Literal["adam", "sgd"] = "adam"
    """Optimiser of the inner training."""
    rate: float = 1e-3
    """Learning rate of the inner training."""
    weight_decay: float = 5e-4
    """Weight decay of the inner training, by SGD."""
    inner_classes: int = 0
    """Random classes in an inner step; 0 = all."""
    batch: int = 5000
    """Real images an outer step."""
    augment: AugmentSpec = AugmentSpec(policy="dsa", strategy="flip_rotate")
    """Augmentation of every inner step, and once more of the real batch; one operation
    each, with parameters of every image's own."""
    labels: Literal["hard", "learned"] = "hard"
    """learned: weights of the classes, from one-hot on, kept at or above 0."""
    optimiser: OptimiserSpec = Adam(1e-3)
    """Optimiser of the images, and of learned labels."""
    label_scale: float = 1.0
    """The labels' learning rate is the images' divided by this."""
    clip_factor: float = 2.0
    """The gradient of the images is clipped at this multiple of its norm's average."""
    clip_decay: float = 0.9
    """Decay of that average."""
    init: Literal["unit_noise", "noise", "xavier", "real", "class_mean", "kmeans"] = (
        "unit_noise"
    )
    """Where images start: normal noise of unit norm, the same as it is, Glorot's
    uniform noise, random real ones, class means, or those nearest to cluster
    centres."""


def rat_bptt(task: Task, config: RatBpttConfig = RatBpttConfig()) -> Distiller:
    """RaT-BPTT for a task; its feed is `config.batch` real images."""
    _check(config)
    network = network_of(task, config)
    inner = inner_training(
        task,
        config,
        task.ipc or 0,
        optimiser=unroll.Adam() if config.network_optimiser == "adam" else None,
        inner_classes=config.inner_classes,
    )
    window = Window(config.total, config.policy, config.first, config.window_repeat)
    return compose(
        decoder=_decoder(task, config),
        objective=trained_loss(
            network, inner, window=window, adjoint=unroll.named(config.adjoint)
        ),
        pool=fresh(network),
        outer=_outer(task, config),
        feed=Uniform(config.batch),
        meta_batch=config.meta_batch,
    )


def _decoder(task: Task, config: RatBpttConfig) -> Decoder:
    decoder = noisy_pixels(task, config.init)
    if config.labels == "learned":
        decoder = learned_probabilities(decoder, task.num_classes)
    return flip(decoder) if config.flip else decoder


def _outer(task: Task, config: RatBpttConfig) -> optax.GradientTransformation:
    """An optimiser of the images with their clipping, one of the labels without."""
    slower = dataclasses.replace(
        config.optimiser,
        learning_rate=config.optimiser.learning_rate / config.label_scale,
    )
    clip = optimisers.clip_by_average(config.clip_factor, config.clip_decay)
    image = optimisers.build(config.optimiser, task.num_steps)
    return optimisers.by_part(
        {
            "image": optax.chain(clip, image),
            "target": optimisers.build(slower, task.num_steps),
        }
    )


def _check(config: RatBpttConfig) -> None:
    check_numbers(
        config,
        counts=("inner_steps", "total", "window_repeat", "batch"),
        positive=("rate", "label_scale", "clip_factor"),
        not_negative=("weight_decay",),
        shares=("momentum", "clip_decay"),
    )


METHOD = Method(
    build=rat_bptt,
    config=RatBpttConfig,
    parts=Parts("pixels", "loss after training", "fresh", "random window", "uniform"),
)
