"""FRePo: labelled images from which a ridge regression on features predicts real ones.

Images and their labels are learned together. The last layer is solved in closed form
by kernel ridge regression on the features of a network from a pool, and only that
solution and the features of the set are differentiated: the bodies are constants. The
drawn network then trains on the new set by one step, so that the pool holds bodies of
many ages.

Objective:
  F_s = [h(X_s); h(flip X_s)],  F_b = stop_gradient(h(X_b)),  k classes, m' rows of F_s
  P   = F_b F_s^T (F_s F_s^T + ridge tr(F_s F_s^T) / m' I)^-1 Y_s
  L(X_s, Y_s) = mean_b 1/2 sum_c (P - Y_b)^2
                - mean_i min(largest - second largest entry of Y_s[i], 1/k)
with body h (batch norm on running statistics) and Y_b = e_y - 1/k. Labels start at
(e_y - 1/k) / sqrt(k / 10). One LAMB step moves both leaves, each by a share of its own
norm. The drawn network takes one Adam step of mean 1/2 sum_c (f(X_s) - Y_s)^2, without
flips; after `max_age` + 1 of them its next visit replaces it.

Reference: Y. Zhou, E. Nezhadarya, J. Ba, "Dataset Distillation using Neural Feature
Regression", NeurIPS 2022, arXiv 2206.00719. Authors' code: yongchao97/FRePo (no licence
file).

Parts: pixels with learned labels x kernel ridge regression on classes x online pool x
closed form, uniform batches.

Differences from the paper: none known; where the paper is silent (the margin, the scale
of the labels, the ages of the pool, the weight of old batch statistics) it follows the
authors' code.

Differences from the authors' code: real batches are drawn without replacement within
an epoch and its last, smaller batch is dropped (theirs come from a shuffle buffer that
runs on across epochs). The solve is refined and retried in float32, or done with
features for rows where that is the smaller system. Grey images other than 28x28 are
padded by one pixel, not three.

Expected: on MNIST at one image per class and 28 pixels at least 80 %.
"""

from dataclasses import dataclass
from typing import Literal

from jaxdd import networks
from jaxdd.base import Distiller, Method, Network, Parts, Pool, Task, Uniform
from jaxdd.composition import compose
from jaxdd.decoders import centred, pixels
from jaxdd.errors import check_numbers
from jaxdd.kernels import Ridge
from jaxdd.objectives.labelled import krr_labels
from jaxdd.pools import Life, fresh, online
from jaxdd.records import (
    Adam,
    BatchNorm,
    ConvNet,
    Decay,
    Lamb,
    NetworkSpec,
    OptimiserSpec,
)
from jaxdd.training import optimisers

__all__ = ["METHOD", "FrepoConfig", "frepo"]


@dataclass(frozen=True)
class FrepoConfig:
    """Settings of FRePo; the defaults are the authors' for CIFAR-10."""

    network: NetworkSpec = ConvNet(
        width=(128, 256, 512),
        norm="batch",
        initialiser="flax",
        norm_place="before",
        batch_norm=BatchNorm(0.1, "biased"),
    )
    """Networks of the pool."""
    pool: int = 10
    """Networks in the pool. Their ages start at j max_age // pool, though all of them
    are untrained."""
    max_age: int = 100
    """A network whose age exceeds this is replaced; 0 = a fresh one at each step."""
    network_optimiser: OptimiserSpec = Adam(3e-4)
    """Optimiser of the pool's networks."""
    network_batch: int = 1000
    """Rows of the set in one of their steps, all where there are fewer."""
    optimiser: OptimiserSpec = Lamb(3e-4, schedule=Decay("cosine", 0.1))
    """Optimiser of images and labels."""
    ridge: float = 1e-6
    """Times the mean eigenvalue of the synthetic kernel, differentiated."""
    refine: int = 1
    """Refinement steps of the solve."""
    batch: int = 1024
    """Real images a step."""
    mirror: bool = True
    """Solve with every synthetic image's mirror image beside it. Off for digits, and
    where twice the images outnumber the features."""
    margin: float = 1.0
    """Weight of the labels' margin."""
    labels: Literal["learned", "fixed"] = "learned"
    init: Literal["real", "noise"] = "real"
    chunk_synthetic: int = 0
    """Synthetic images whose activations are held at a time; 0 = all."""
    chunk_real: int = 0
    """Real images forwarded at a time; 0 = all."""


def frepo(task: Task, config: FrepoConfig = FrepoConfig()) -> Distiller:
    """FRePo for a task with images per class."""
    _check(config)
    body = networks.build(
        config.network, task.image_shape, task.num_classes, dtype=task.dtype
    )
    return compose(
        decoder=pixels(
            task,
            init=config.init,
            targets=centred(
                task,
                scale=(10 / max(task.num_classes, 1)) ** 0.5,
                learned=config.labels == "learned",
            ),
        ),
        objective=krr_labels(
            body,
            Ridge(config.ridge, "mean_trace"),
            task.num_classes,
            mirror=config.mirror,
            margin=config.margin,
            refine=config.refine,
            chunk_synthetic=config.chunk_synthetic or None,
            chunk_real=config.chunk_real or None,
        ),
        pool=_pool(body, config),
        outer=optimisers.build(config.optimiser, task.num_steps),
        feed=Uniform(config.batch),
    )


def _pool(body: Network, config: FrepoConfig) -> Pool:
    if not config.max_age:
        return fresh(body)
    ages = tuple(config.max_age // config.pool * j for j in range(config.pool))
    return online(
        body,
        # The pool replaces at an age, FRePo beyond it.
        Life(config.max_age + 1, ages=ages),
        size=config.pool,
        optimiser=optimisers.build(config.network_optimiser, config.max_age + 1),
        loss="half_squared_error",
        batch=config.network_batch,
    )


def _check(config: FrepoConfig) -> None:
    check_numbers(
        config,
        counts=("pool", "batch", "network_batch"),
        positive=("ridge",),
        not_negative=("margin", "max_age", "refine", "chunk_synthetic", "chunk_real"),
    )


METHOD = Method(
    build=frepo,
    config=FrepoConfig,
    parts=Parts("pixels + labels", "KRR labels", "online", "closed form", "uniform"),
)
