"""DSA: gradient matching under differentiable siamese augmentation.

Gradient matching as in DC, with one random operation (colour, crop, cutout, flip,
scale or rotation) drawn for each class and step and applied alike to its real and its
synthetic images. The gradient flows through the operation, so that the set carries what
augmentation teaches and may be augmented again when students train on it.

Objective:
  L(S) = E_{theta, omega} sum_c D(grad CE(theta; A(S_c, omega_c)),
                                  grad CE(theta; A(T_c, omega_c)))
with T_c a batch of real images of class c, S_c all synthetic images of it, A the
augmentation with one draw omega_c for both, D the sum over all output channels of one
minus the cosine of their gradients, and theta on a path of training on augmented S.

Reference: B. Zhao, H. Bilen, "Dataset Condensation with Differentiable Siamese
Augmentation", ICML 2021, arXiv 2102.08259. Authors' code: VICO-UoE/DatasetCondensation
(MIT). Mirror images: B. Son et al., ECCV 2024, arXiv 2407.08113 (`flip`; with their
augmentation, `augment="fyi"`).

Parts: pixels x class-wise gradient distance, siamese x one network in training x no
adjoint, batches of every class.

Differences from the paper: a step is one matching, so that a run of n networks takes
n times `matchings` steps. `meta_batch` above 1 averages over networks.

Differences from the authors' code: augmentation draws come from the step's key, not
from the clock, so that no two classes share one. Otherwise those of `dc`: classes
smaller than the batch, statistics of batch norm, loops that must be given.

Expected: see `dsa_presets.py`; on digits and MNIST test accuracy above random
real images by at least 15 points at one image per class.
"""

from dataclasses import dataclass

from jaxdd import augment, networks
from jaxdd.base import Distiller, Method, Parts, PerClass, Task
from jaxdd.composition import compose
from jaxdd.decoders import flip, pixels
from jaxdd.decoders.initial import Start
from jaxdd.errors import InputError
from jaxdd.objectives.gradient import Distance, class_gradients
from jaxdd.pools.matched import loops, matched
from jaxdd.records import (
    AugmentSpec,
    ConvNet,
    NetworkSpec,
    OptimiserSpec,
)
from jaxdd.training import optimisers

__all__ = ["METHOD", "DsaConfig", "dsa"]


@dataclass(frozen=True)
class DsaConfig:
    """Settings of DSA; the defaults are the authors' for natural images."""

    network: NetworkSpec = ConvNet(width=(128, 128, 128))
    optimiser: OptimiserSpec = OptimiserSpec("sgd", 0.1, 0.5)
    """Of the images; the authors take 0.01 for an MLP. The loss is a sum over classes
    and channels: with other widths or other numbers of classes the best rate moves."""
    batch: int = 256
    """Real images of each class a step."""
    augment: AugmentSpec = augment.named("dsa")
    """One draw per class and step, shared by its real and synthetic images, and one for
    each batch that the network trains on, its images apart. By name "dsa", for digits
    "dsa_digits"; "none" is DC."""
    distance: Distance = "ours"
    """ours: by output channels; mse: squared difference; cos: of whole gradients."""
    matchings: int | None = None
    """Steps that a network serves (the authors' outer loop); None: their number for
    1, 10, 20, 30, 40 or 50 images per class."""
    network_epochs: int | None = None
    """Passes of the network over the set between them (their inner loop)."""
    network_rate: float = 0.01
    """Learning rate of these passes, plain SGD."""
    network_batch: int = 256
    """Synthetic images in one of their batches."""
    init: Start = "real"
    chunk_classes: int = 1
    """Classes worked on at a time; 0 = all. One is best on CPU and needs least
    memory."""
    flip: bool = False
    """Match the set with its mirror images beside it (FYI); stored is the set alone."""
    meta_batch: int = 1
    """Networks a step, over which the gradient is averaged."""


def dsa(task: Task, config: DsaConfig = DsaConfig()) -> Distiller:
    """DSA for a task.

    Args:
      task: image shape, classes, images per class and precision.
      config: settings.

    Returns:
      The distiller; its feed is `config.batch` real images of every class.

    Raises:
      InputError: a value out of range, loops that are not published, or an augmentation
        without meaning here.
    """
    _check(config)
    network = networks.build(
        config.network, task.image_shape, task.num_classes, dtype=task.dtype
    )
    decoder = pixels(task, init=config.init)
    siamese = None
    if not augment.is_identity(config.augment):
        siamese = augment.build(config.augment, task.image_shape)
    matchings, epochs = loops(task.ipc or 0, config.matchings, config.network_epochs)
    return compose(
        decoder=flip(decoder) if config.flip else decoder,
        objective=class_gradients(
            network,
            kind=config.distance,
            augment=siamese,
            chunk_classes=config.chunk_classes,
        ),
        pool=matched(
            network,
            matchings=matchings,
            epochs=epochs,
            learning_rate=config.network_rate,
            batch=config.network_batch,
            augment=siamese,
            group=2 if config.flip else 1,
        ),
        outer=optimisers.build(config.optimiser, task.num_steps),
        feed=PerClass(config.batch),
        meta_batch=config.meta_batch,
    )


def _check(config: DsaConfig) -> None:
    if config.batch < 1:
        raise InputError(f"distill.batch={config.batch}: must be at least 1")
    for name in ("cutmix", "mixup"):
        if getattr(config.augment, name):
            raise InputError(
                f"distill.augment.{name}={getattr(config.augment, name)}: mixes the "
                "targets of students; set it to 0 here"
            )


METHOD = Method(
    build=dsa,
    config=DsaConfig,
    parts=Parts("pixels", "siamese gradient distance", "matched", "none", "per class"),
)
