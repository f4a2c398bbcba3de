"""DC: dataset condensation by gradient matching.

A network gets a gradient from real images of a class and one from the synthetic images
of that class; the synthetic images move so that the two point the same way. Between
such matchings the network trains on the synthetic set, so that gradients are matched
along a training path, and after a while a fresh network takes its place. Training is
not unrolled: there is one second derivative, and no chain of them.

Objective:
  L(S) = E_theta sum_c D(grad CE(theta; S_c), grad CE(theta; T_c))
with T_c a batch of real images of class c, S_c all synthetic images of it, CE the mean
cross-entropy, D the sum over all output channels of one minus the cosine of their
gradients (`distance`), and theta on a path of training on S that does not depend on S.

Reference: B. Zhao, K. R. Mopuri, H. Bilen, "Dataset Condensation with Gradient
Matching", ICLR 2021, arXiv 2006.05929. Authors' code: VICO-UoE/DatasetCondensation
(MIT). Mirror images: B. Son et al., ECCV 2024, arXiv 2407.08113 (`flip`).

Parts: pixels x class-wise gradient distance x one network in training x no adjoint,
batches of every class.

Differences from the paper: a step is one matching, so that a run of n networks takes
n times `matchings` steps. `meta_batch` above 1 averages over networks.

Differences from the authors' code: classes smaller than the batch use the images they
have. With batch norm, statistics come from the first 16 of the step's real images of
each class, not from 16 of their own. Loops for images per class that their table lacks
must be given.

Expected: see `dc_presets.py`; on digits and MNIST test accuracy above random real
images by at least 15 points at one image per class.
"""

from dataclasses import dataclass

from jaxdd import networks
from jaxdd.base import Distiller, Method, Parts, PerClass, Task
from jaxdd.composition import compose
from jaxdd.decoders import flip, pixels
from jaxdd.decoders.initial import Start
from jaxdd.errors import InputError
from jaxdd.objectives.gradient import Distance, class_gradients
from jaxdd.pools.matched import loops, matched
from jaxdd.records import (
    ConvNet,
    NetworkSpec,
    OptimiserSpec,
)
from jaxdd.training import optimisers

__all__ = ["METHOD", "DcConfig", "dc"]


@dataclass(frozen=True)
class DcConfig:
    """Settings of DC; the defaults are the authors' for a ConvNet."""

    network: NetworkSpec = ConvNet(width=(128, 128, 128))
    optimiser: OptimiserSpec = OptimiserSpec("sgd", 0.1, 0.5)
    """Of the images; the authors take 0.01 for an MLP. The loss is a sum over classes
    and channels: with other widths or other numbers of classes the best rate moves."""
    batch: int = 256
    """Real images of each class a step."""
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
    init: Start = "noise"
    chunk_classes: int = 1
    """Classes worked on at a time; 0 = all. One is best on CPU and needs least
    memory."""
    flip: bool = False
    """Match the set with its mirror images beside it (FYI); stored is the set alone."""
    meta_batch: int = 1
    """Networks a step, over which the gradient is averaged."""


def dc(task: Task, config: DcConfig = DcConfig()) -> Distiller:
    """DC for a task.

    Args:
      task: image shape, classes, images per class and precision.
      config: settings.

    Returns:
      The distiller; its feed is `config.batch` real images of every class.

    Raises:
      InputError: a value out of range, or loops that are not published.
    """
    if config.batch < 1:
        raise InputError(f"distill.batch={config.batch}: must be at least 1")
    network = networks.build(
        config.network, task.image_shape, task.num_classes, dtype=task.dtype
    )
    decoder = pixels(task, init=config.init)
    matchings, epochs = loops(task.ipc or 0, config.matchings, config.network_epochs)
    return compose(
        decoder=flip(decoder) if config.flip else decoder,
        objective=class_gradients(
            network, kind=config.distance, chunk_classes=config.chunk_classes
        ),
        pool=matched(
            network,
            matchings=matchings,
            epochs=epochs,
            learning_rate=config.network_rate,
            batch=config.network_batch,
            group=2 if config.flip else 1,
        ),
        outer=optimisers.build(config.optimiser, task.num_steps),
        feed=PerClass(config.batch),
        meta_batch=config.meta_batch,
    )


METHOD = Method(
    build=dc,
    config=DcConfig,
    parts=Parts("pixels", "gradient distance", "matched", "none", "per class"),
)
