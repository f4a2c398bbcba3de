"""RFAD: kernel regression with the random features of several fresh networks.

KIP's kernel of an infinitely wide ConvNet costs as much per pair of images as a network
per image. RFAD estimates it by the features of a few finite networks at their random
start, drawn anew at every step, so that a step costs passes of networks only. The
regression's predictions are judged as a classifier's, with a learned scale, and the set
that is best on held images is kept.

Objective:
  phi(x) = [h_1(x), ..., h_n(x)] / sqrt(n M),  K = 2 phi.phi' + shift
  P = K(X_t, X_s) (K(X_s, X_s) + ridge tr(K_ss)/m I)^-1 Y_s,  X_s = Z T
  platt: L(Z, T, Y_s, s) = mean CE(exp(s) P, y_t);  mse: 1/2 mean (P - Y_t)^2
with h_i the M features of network i, Y centred one-hot rows (those of the set learned),
and T a learned matrix on flattened images, the identity at first, with its own rate.

Reference: N. Loo, R. Hasani, A. Amini, D. Rus, "Efficient Dataset Distillation using
Random Feature Approximation", NeurIPS 2022, arXiv 2210.12067. Authors' code: yolky/RFAD
(no licence).

Parts: pixels and labels under a learned matrix x kernel regression x fresh networks x
closed form, uniform batches, the best set on held images in memory.

Differences from the paper: none known.

Differences from the authors' code: a step's real images are one batch without
replacement within an epoch, theirs four independent draws. The solve is float32 with a
float64 residual, theirs float64. A stopped run repeats its metrics to its last step.
Their experiments on corrupted images are not offered.

Expected: on MNIST at one image per class and 16 pixels with one network, mse and Adam
the figure of a prototype by a trained network.
"""

import dataclasses
from dataclasses import dataclass
from typing import Literal

import optax

from jaxdd import networks
from jaxdd.base import (
    Array,
    Assets,
    Batch,
    Decoder,
    Distiller,
    Key,
    Method,
    Parts,
    PyTree,
    Task,
    Uniform,
)
from jaxdd.composition import compose
from jaxdd.composition.held_out import keep_best
from jaxdd.decoders import centred, pixels, transformed, with_hyper
from jaxdd.decoders.initial import Start
from jaxdd.errors import InputError, check_numbers
from jaxdd.kernels.random_features import draw
from jaxdd.kernels.ridge import Ridge
from jaxdd.objectives.kernel_regression import kernel_regression, random_feature_blocks
from jaxdd.pools import drawn
from jaxdd.records import AdaBelief, ConvNet, NetworkSpec, OptimiserSpec
from jaxdd.training import optimisers

__all__ = ["METHOD", "RfadConfig", "rfad"]


@dataclass(frozen=True)
class RfadConfig:
    """Settings of RFAD; the defaults are the paper's for CIFAR-10."""

    network: NetworkSpec = ConvNet(
        width=(256, 256, 256), norm="none", initialiser="he", pad_grey=False
    )
    """Network of every member, at its random start."""
    members: int = 8
    """Networks of a step."""
    loss: Literal["platt", "mse"] = "platt"
    """platt: cross-entropy at a learned scale."""
    learn_labels: bool = True
    ridge: float = 5e-3
    """Times the mean eigenvalue of the synthetic kernel, and differentiated."""
    shift: float = 0.01
    """Added to every entry of the kernel: the bias variance of a last layer."""
    refine: int = 1
    """Refinement steps of the solve."""
    optimiser: OptimiserSpec = AdaBelief(1e-3)
    """Optimiser of images, labels, matrix and scale."""
    matrix_rate: float = 5e-5
    """Learning rate of the matrix; 0 = none."""
    scale_rate: float = 1e-2
    """platt: learning rate of the scale's logarithm."""
    batch: int = 5120
    """Real images a step."""
    init: Start = "real"
    held_out: int = 500
    """Images of each class, drawn from the training split with replacement, on which
    the set is judged; 0 = never: the last set is the result."""
    held_members: int = 16
    """Networks that judge, always the same."""
    check_every: int = 40
    """Steps between checks."""
    patience: int = 1000
    """Steps without a better set before the run stops; 0 = never."""
    chunk_synthetic: int = 0
    """Synthetic images whose activations are held at a time; 0 = all."""
    chunk_real: int = 0
    """Real images forwarded at a time; 0 = all."""


def rfad(task: Task, config: RfadConfig = RfadConfig()) -> Distiller:
    """RFAD for a task with images per class."""
    _check(config)
    # The head takes no part: the features are all that a member gives.
    network = networks.build(config.network, task.image_shape, 0, dtype=task.dtype)
    decoder = _decoder(task, config)
    objective = kernel_regression(
        random_feature_blocks(
            network,
            shift=config.shift,
            chunk_synthetic=config.chunk_synthetic or None,
            chunk_real=config.chunk_real or None,
        ),
        Ridge(config.ridge, "mean_trace"),
        task.num_classes,
        loss=config.loss,
        refine=config.refine,
    )
    distiller = compose(
        decoder=decoder,
        objective=objective,
        pool=drawn(lambda key: draw(network, key, config.members)),
        outer=_outer(task, config),
        feed=Uniform(config.batch),
    )
    if not config.held_out:
        return distiller

    def judge(params: PyTree, held: Batch, assets: Assets, key: Key) -> Array:
        variables = draw(network, key, config.held_members)
        synthetic = decoder.decode(params, assets, key)
        return objective(synthetic, held, variables, assets, key)[0]

    return keep_best(
        distiller,
        judge,
        decoder.export or decoder.decode,
        per_class=config.held_out,
        every=config.check_every,
        patience=config.patience,
    )


def _decoder(task: Task, config: RfadConfig) -> Decoder:
    targets = centred(task) if config.learn_labels else None
    decoder = pixels(task, init=config.init, targets=targets)
    if config.matrix_rate:
        decoder = transformed(decoder)
    if config.loss == "platt":
        decoder = with_hyper(decoder, {"log_scale": 0.0})
    return decoder


def _outer(task: Task, config: RfadConfig) -> optax.GradientTransformation:
    def at(rate: float) -> optax.GradientTransformation:
        spec = dataclasses.replace(config.optimiser, learning_rate=rate)
        return optimisers.build(spec, task.num_steps)

    own = optimisers.build(config.optimiser, task.num_steps)
    return optimisers.by_part(
        {
            "image": own,
            "target": own,
            "transform": at(config.matrix_rate),
            "hyper": at(config.scale_rate),
        }
    )


def _check(config: RfadConfig) -> None:
    check_numbers(
        config,
        counts=("members", "held_members", "check_every", "batch"),
        not_negative=(
            *("shift", "refine", "matrix_rate", "scale_rate"),
            *("held_out", "patience", "chunk_synthetic", "chunk_real"),
        ),
    )
    if config.network.norm == "batch":
        raise InputError(
            "distill.network.norm='batch': untrained networks have no statistics of a"
            " batch; choose 'none'"
        )


METHOD = Method(
    build=rfad,
    config=RfadConfig,
    parts=Parts(
        "pixels + labels", "kernel regression", "fresh", "closed form", "uniform"
    ),
)
