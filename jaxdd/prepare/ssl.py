"""Self-supervised training of a teacher: Barlow Twins on two views of each image.

Views are drawn inside jit on [0,1] pixels and whitened afterwards.
"""

from functools import lru_cache

import jax

from jaxdd import augment, losses, whiten
from jaxdd.base import (
    Array,
    Corpus,
    Drive,
    InputError,
    Key,
    Metrics,
    Network,
    PyTree,
    Variables,
)
from jaxdd.networks.teacher import body_variables, training_network
from jaxdd.records import Recipe, Teacher
from jaxdd.rng import epoch_rows
from jaxdd.training import Loss, Source, scan_drive, train

__all__ = ["barlow_loss", "train_teacher", "two_views"]


def train_teacher(
    teacher: Teacher, corpus: Corpus, *, drive: Drive = scan_drive
) -> tuple[Variables, Metrics]:
    """Trains a teacher from scratch; its seed decides everything.

    Args:
      teacher: network, loss and recipe.
      corpus: the training split; labels are not read.
      drive: who runs the steps, as the stage `target`.

    Returns:
      The body's variables and the metrics of every step.

    Raises:
      InputError: a batch of fewer than two images, or settings without meaning.
    """
    rows = min(teacher.recipe.batch or corpus.size, corpus.size)
    if rows < 2:
        raise InputError(
            f"teacher.recipe.batch={teacher.recipe.batch} with {corpus.size} images: "
            "Barlow Twins correlates over a batch and needs at least two rows"
        )
    variables, metrics = train(
        jax.random.key(teacher.seed),
        two_views(teacher.recipe, corpus.image_shape),
        training_network(teacher, corpus.image_shape),
        teacher.recipe,
        corpus,
        loss=barlow_loss(teacher.redundancy, teacher.loss_scale),
        drive=drive,
        stage="target",
    )
    return body_variables(variables), metrics


@lru_cache(maxsize=32)
def two_views(recipe: Recipe, image_shape: tuple[int, int, int]) -> Source:
    """Two independently augmented, whitened views of each image of a batch.

    Args:
      recipe: batch size and augmentation; solarize acts on the second view only.
      image_shape: (h, w, c).

    Returns:
      A source over a corpus: ((first [n,h,w,c], second [n,h,w,c]), ()).
    """
    first = augment.build(recipe.augment, image_shape)
    second = augment.build(recipe.augment, image_shape, second_view=True)

    def source(key: Key, step: Array, corpus: Corpus) -> tuple[PyTree, PyTree]:
        key_rows, key_first, key_second = jax.random.split(key, 3)
        rows = epoch_rows(key_rows, step, recipe.batch, corpus.size)
        image = whiten.to_unit(corpus.image[rows], corpus.whitening.dtype)

        def view(operations: augment.Augment, key_view: Key) -> Array:
            drawn = operations.sample(jax.random.fold_in(key_view, step), len(rows))
            return whiten.apply(corpus.whitening, operations.apply(drawn, image))

        return (view(first, key_first), view(second, key_second)), ()

    return source


@lru_cache(maxsize=32)
def barlow_loss(redundancy: float, scale: float) -> Loss:
    """Barlow Twins between two views, each forwarded on its own in training mode.

    Batch norm thus standardises each view by itself, and its running statistics see
    the first view, then the second.
    """

    def loss(
        network: Network,
        variables: Variables,
        ema: PyTree,
        images: PyTree,
        targets: PyTree,
        key: Key,
    ) -> tuple[Array, tuple[Variables, Metrics]]:
        del ema, targets
        key_first, key_second = jax.random.split(key)
        one, after = network.apply(variables, images[0], train=True, key=key_first)
        two, after = network.apply(after, images[1], train=True, key=key_second)
        value = losses.barlow_twins(
            one.logits, two.logits, redundancy=redundancy, scale=scale
        )
        return value, (after, {})

    return loss
