"""DD: images and the learning rates of the few steps that a network takes on them.

A network takes E passes over K batches of synthetic images, one plain gradient step a
batch, each step at a learning rate of its own; the images and the rates follow the
gradient of its loss on real images through all steps. The first of the bilevel methods:
its set is meant to be used with its own steps, which the students of a protocol with
`replay` take.

Objective:
  L(S, r) = E_{theta_0} CE(f_{theta_T}; real),
  theta_{t+1} = theta_t - softplus(r_t) grad CE(f_{theta_t}; S_{t mod K}),  T = E K
with theta_0 a fresh initialisation (or always the same one, or trained networks), and
S_k the k-th batch, as many images of every class as of any other.

Reference: T. Wang, J.-Y. Zhu, A. Torralba, A. Efros, "Dataset Distillation", arXiv
1811.10959 (2018). Authors' code: SsnL/dataset-distillation (MIT).

Parts: pixels and rates x real loss of a trained network x fresh networks x
back-propagation through all steps, uniform batches.

Differences from the paper: the rates are positive through a softplus, as in the code.
For CIFAR-10 the network is the field's AlexNet, without local response normalisation.

Differences from the authors' code: the learning rate of the images halves at fractions
of the run that fall on its epochs' boundaries, rounded to steps.

Expected: on MNIST, replayed, at least 10 points above random real images replayed at
the best of several rates.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

from jaxdd import networks, unroll
from jaxdd.base import (
    Array,
    Decoder,
    Distiller,
    Method,
    Network,
    Parts,
    Pool,
    Synthetic,
    Task,
    Uniform,
)
from jaxdd.composition import compose
from jaxdd.decoders import flip, noisy_pixels, with_hyper
from jaxdd.errors import InputError, check_numbers
from jaxdd.objectives.outer import Inner, trained_loss
from jaxdd.objectives.rows import ordered_rows
from jaxdd.pools import fresh, one_start, trained
from jaxdd.records import (
    Adam,
    AdjointSpec,
    Experts,
    ExpertsNeed,
    LeNet,
    NetworkSpec,
    OptimiserSpec,
    Steps,
)
from jaxdd.training import optimisers

__all__ = ["METHOD", "DdConfig", "dd"]


@dataclass(frozen=True)
class DdConfig:
    """Settings of DD; the defaults are the code's for MNIST and random networks."""

    network: NetworkSpec = LeNet(initialiser="xavier")
    """Network that is trained; without batch norm."""
    start: Literal["random", "fixed", "trained"] = "random"
    """Where networks begin: anew at every step, always with the same weights, or as
    one of `experts` ends."""
    start_seed: int = 0
    """Seed of the weights of a fixed start."""
    experts: Experts = Experts(epochs=5, count=20)
    """How trained starts are trained; their network is `network`."""
    batches: int = 10
    """K: batches of the set; it divides the images per class."""
    passes: int = 3
    """E: passes over the batches; the training has E K steps."""
    rate: float = 0.02
    """Learning rate of every step at first."""
    batch: int = 1024
    """Real images an outer step."""
    attack: tuple[int, ...] = ()
    """(a, b): real images of class a count as class b, to teach the mistake."""
    optimiser: OptimiserSpec = Adam(
        0.01, b1=0.5, schedule=Steps(tuple(i / 10 for i in range(1, 10)), 0.5)
    )
    """Optimiser of the images and the rates, before their softplus. The default halves
    the learning rate every 40 of 400 epochs."""
    init: Literal["noise", "unit_noise", "xavier", "real", "class_mean", "kmeans"] = (
        "noise"
    )
    """Where images start: normal noise, the same of unit norm, Glorot's uniform noise,
    random real ones, class means, or those nearest to cluster centres."""
    adjoint: AdjointSpec = AdjointSpec()
    """How the training is differentiated. "fused" is faster off CPU."""
    meta_batch: int = 1
    """Networks whose gradients are averaged in an outer step."""
    flip: bool = False
    """Train on every image and its mirror image (FYI); what is stored stays."""


def dd(task: Task, config: DdConfig = DdConfig()) -> Distiller:
    """DD for a task, with images per class that K divides.

    Returns:
      The distiller; its sets bring `hyper["rates"]`, [E,K].
    """
    _check(task, config)
    network = networks.build(
        config.network, task.image_shape, task.num_classes, dtype=task.dtype
    )
    decoder = _with_rates(noisy_pixels(task, config.init), config)
    rows = (2 if config.flip else 1) * (task.ipc or 0)
    inner = Inner(
        steps=config.passes * config.batches,
        optimiser=unroll.SGD(),
        rate=_rate_of_step,
        rows=ordered_rows(task.num_classes, rows, config.batches),
    )
    pool, needs = _pool(config, network)
    return compose(
        decoder=flip(decoder) if config.flip else decoder,
        objective=trained_loss(
            network,
            inner,
            relabel=(config.attack[0], config.attack[1]) if config.attack else None,
            adjoint=unroll.named(config.adjoint),
        ),
        pool=pool,
        outer=optimisers.build(config.optimiser, task.num_steps),
        feed=Uniform(config.batch),
        needs=needs,
        meta_batch=config.meta_batch,
    )


def _with_rates(decoder: Decoder, config: DdConfig) -> Decoder:
    """Sets that bring the rates [E,K]; learned is what their softplus is taken of."""
    # The inverse of softplus.
    start = config.rate + math.log(-math.expm1(-config.rate))
    raw = jnp.full((config.passes, config.batches), start)
    return with_hyper(
        decoder,
        {"raw_rates": raw},
        lambda h: {"rates": jax.nn.softplus(h["raw_rates"])},
    )


def _rate_of_step(synthetic: Synthetic, number: Array) -> Array:
    return synthetic.hyper["rates"].reshape(-1)[number]


def _pool(config: DdConfig, network: Network) -> tuple[Pool, tuple[ExpertsNeed, ...]]:
    if config.start == "random":
        return fresh(network), ()
    if config.start == "fixed":
        return one_start(network, config.start_seed), ()
    experts = dataclasses.replace(config.experts, network=config.network)
    return trained(network), (ExpertsNeed(experts),)


def _check(task: Task, config: DdConfig) -> None:
    check_numbers(config, counts=("batches", "passes", "batch"), positive=("rate",))
    classes = range(task.num_classes)
    if config.attack and (
        len(config.attack) != 2 or any(c not in classes for c in config.attack)
    ):
        raise InputError(
            f"distill.attack={config.attack}: give two classes in"
            f" [0, {task.num_classes}), or nothing"
        )


METHOD = Method(
    build=dd,
    config=DdConfig,
    parts=Parts(
        "pixels + rates", "loss after training", "fresh", "back-propagation", "uniform"
    ),
)
