"""Gradient matching, which `dc` and `dsa` share: they differ in their augmentation."""

from dataclasses import dataclass

from jaxdd import networks
from jaxdd.augment import inner_augment
from jaxdd.base import Distiller, PerClass, Task
from jaxdd.composition import compose
from jaxdd.decoders import flip, pixels
from jaxdd.decoders.initial import Start
from jaxdd.errors import check_numbers
from jaxdd.objectives.gradient import Distance, class_gradients
from jaxdd.pools.matched import loops, matched
from jaxdd.records import AugmentSpec, ConvNet, NetworkSpec, OptimiserSpec, Sgd
from jaxdd.training import optimisers

__all__ = ["MatchingConfig", "matching"]


@dataclass(frozen=True)
class MatchingConfig:
    """Settings of gradient matching; the defaults are the authors' for a ConvNet."""

    network: NetworkSpec = ConvNet(width=(128, 128, 128))
    optimiser: OptimiserSpec = Sgd(0.1, 0.5)
    """Optimiser of the images; the authors take a rate of 0.01 for an MLP. The loss is
    a sum over classes and channels: with other widths or other numbers of classes the
    best rate moves."""
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
    init: Start = "real"
    chunk_classes: int = 1
    """Classes worked on at a time; 0 = all. One is best on CPU and needs least
    memory."""
    flip: bool = False
    """Match the set with its mirror images beside it (FYI); stored is the set alone."""
    meta_batch: int = 1
    """Networks a step, over which the gradient is averaged."""


def matching(task: Task, config: MatchingConfig, augment: AugmentSpec) -> Distiller:
    """Gradient matching for a task with images per class.

    Args:
      task: as `base.Method.build` gets it.
      config: settings.
      augment: one draw per class and step, shared by its real and synthetic images, and
        one for each batch that the network trains on.

    Returns:
      The distiller; its feed is `config.batch` real images of every class.

    Raises:
      InputError: a number out of range, loops that are not published, or an
        augmentation that mixes targets.
    """
    check_numbers(config, counts=("batch",))
    network = networks.build(
        config.network, task.image_shape, task.num_classes, dtype=task.dtype
    )
    decoder = pixels(task, init=config.init)
    siamese = inner_augment(augment, task.image_shape)
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
