"""DM: distribution matching under networks that were never trained.

At every step a freshly initialised network embeds a batch of real images and the whole
synthetic set; the synthetic images move so that the mean embedding of each class comes
closer to the real one. There is no inner training and no second-order term: it is the
linear-kernel maximum mean discrepancy, averaged over the distribution of initial
weights, and the base of the distribution-matching family.

Objective:
  L(S) = E_{theta, omega} sum_c || mean_{x in T_c} f_theta(A(x, omega_c))
                                  - mean_{s in S_c} f_theta(A(s, omega_c)) ||^2
with f the flattened input of the last layer, theta drawn from the initialisation at
every step, T_c a batch of real images of class c, and one draw omega_c of the
augmentation per class, shared by its real and synthetic images (siamese).

Reference: B. Zhao, H. Bilen, "Dataset Condensation with Distribution Matching", WACV
2023, arXiv 2110.04181. Authors' code: VICO-UoE/DatasetCondensation (MIT). Mirror
images: B. Son et al., ECCV 2024, arXiv 2407.08113 (`flip`, with `augment="fyi"`).

Parts: pixels x squared distance of mean features x fresh networks x no adjoint, batches
of every class.

Differences from the paper: none. Its augmentation is `augment="dsa"`; the default is
none.

Differences from the authors' code: classes smaller than the batch are averaged over the
images they have, with batch norm too, where their code fails. Augmentation draws come
from the step's key, not from the clock. Real images are embedded in chunks and the
gradient of the synthetic side is taken in two passes, both exact.

Expected: on MNIST test accuracy above random real images by at least 10 points at one
image per class (protocol mnist_plain).
"""

from dataclasses import dataclass
from typing import Literal

from jaxdd import networks
from jaxdd.augment import inner_augment
from jaxdd.base import Distiller, Method, Parts, PerClass, Task
from jaxdd.composition import compose
from jaxdd.decoders import flip, pixels
from jaxdd.decoders.initial import Start
from jaxdd.errors import InputError, check_numbers
from jaxdd.objectives.moments import mean_features
from jaxdd.pools import fresh
from jaxdd.records import AugmentSpec, ConvNet, NetworkSpec, OptimiserSpec, Sgd
from jaxdd.training import optimisers

__all__ = ["METHOD", "DmConfig", "dm"]


@dataclass(frozen=True)
class DmConfig:
    """Settings of DM; the defaults are the paper's for CIFAR-10, augmentation aside."""

    network: NetworkSpec = ConvNet(width=(128, 128, 128))
    """With norm="batch" all classes go through the network together."""
    optimiser: OptimiserSpec = Sgd(1.0, 0.5)
    """Optimiser of the images. The gradient of an image falls as 1/ipc; the paper takes
    a learning rate of 10 from 100 images per class on."""
    batch: int = 256
    """Real images of each class a step."""
    augment: AugmentSpec = AugmentSpec()
    """One draw per class and step, shared by its real and synthetic images. The
    paper's is policy="dsa" (by name "dsa", for digits "dsa_digits")."""
    init: Start = "real"
    """Where images start: random real ones, normal noise, class means, real ones
    nearest to cluster centres or far from each other."""
    update: Literal["joint", "per_class"] = "joint"
    """per_class: one optimiser step per class in turn, in less memory."""
    chunk_real: int = 8
    """Real images forwarded at a time; 0 = all. Small chunks keep the maps in a CPU's
    cache; an accelerator wants a thousand or all."""
    chunk_synthetic: int = 100
    """Synthetic images whose activations are held at a time; 0 = all. A chunk costs a
    second forward pass and makes memory independent of ipc."""
    flip: bool = False
    """Match the set with its mirror images beside it (FYI); stored is the set alone."""
    meta_batch: int = 1
    """Networks a step, over which the gradient is averaged."""


def dm(task: Task, config: DmConfig = DmConfig()) -> Distiller:
    """DM for a task with images per class.

    Raises:
      InputError: besides `base.Method.build`, batch norm with per-class updates, or an
        augmentation that mixes targets.
    """
    _check(config)
    network = networks.build(config.network, task.image_shape, 0, dtype=task.dtype)
    updates = task.num_steps * (task.num_classes if config.update == "per_class" else 1)
    decoder = pixels(task, init=config.init)
    return compose(
        decoder=flip(decoder) if config.flip else decoder,
        objective=mean_features(
            network,
            augment=inner_augment(config.augment, task.image_shape),
            chunk_real=config.chunk_real or None,
            chunk_synthetic=config.chunk_synthetic or None,
            joint=_couples_images(config.network),
        ),
        pool=fresh(network),
        outer=optimisers.build(config.optimiser, updates),
        feed=PerClass(config.batch),
        update=config.update,
        meta_batch=config.meta_batch,
    )


def _couples_images(network: NetworkSpec) -> bool:
    """Whether an image's features depend on the rest of the batch."""
    return network.norm == "batch"


def _check(config: DmConfig) -> None:
    check_numbers(
        config, counts=("batch",), not_negative=("chunk_real", "chunk_synthetic")
    )
    if _couples_images(config.network) and config.update == "per_class":
        raise InputError(
            "distill.update='per_class' with norm='batch': batch statistics run over "
            "all classes; choose update='joint' or another norm"
        )


METHOD = Method(
    build=dm,
    config=DmConfig,
    parts=Parts("pixels", "mean-feature distance", "fresh", "none", "per class"),
)
