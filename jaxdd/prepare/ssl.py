"""Self-supervised training of a teacher on two views of each image.

Views are drawn inside jit on [0,1] pixels and whitened afterwards.
"""

from collections.abc import Callable
from functools import lru_cache

import jax

from jaxdd import augment, whiten
from jaxdd.base import Array, Corpus, Drive, Key, Metrics, PyTree, Variables
from jaxdd.errors import InputError
from jaxdd.networks.teacher import body_variables, training_network
from jaxdd.prepare.ssl_losses import objective
from jaxdd.records import Recipe, Teacher
from jaxdd.rng import epoch_rows
from jaxdd.training import scan_drive, train
from jaxdd.training.batches import Source

__all__ = ["Shard", "check_rows", "train_teacher", "two_views", "whole"]

Shard = Callable[[PyTree], PyTree]
"""Says, inside jit, where the rows of a batch lie; values stay as they are."""


def whole(rows: PyTree) -> PyTree:
    """The `Shard` that leaves rows where they are."""
    return rows


def train_teacher(
    teacher: Teacher,
    corpus: Corpus,
    *,
    drive: Drive = scan_drive,
    shard: Shard = whole,
) -> tuple[Variables, Metrics]:
    """Trains a teacher from scratch; its seed decides everything.

    Args:
      teacher: network, loss and recipe.
      corpus: the training split; labels are not read.
      drive: who runs the steps, as the stage `target`.
      shard: splits the rows of a step over devices. The loss and the statistics of
        batch norm remain those of the whole batch.

    Returns:
      The body's variables and the metrics of every step.

    Raises:
      InputError: a batch of fewer than two images, or settings without meaning.
    """
    check_rows(teacher, corpus)
    loss, average = objective(teacher)
    variables, metrics = train(
        jax.random.key(teacher.seed),
        two_views(teacher.recipe, corpus.image_shape, shard),
        training_network(teacher, corpus.image_shape),
        teacher.recipe,
        corpus,
        loss=loss,
        average=average,
        drive=drive,
        stage="target",
    )
    return body_variables(variables), metrics


def check_rows(teacher: Teacher, corpus: Corpus) -> None:
    """Refuses batches of fewer than two images.

    Raises:
      InputError: names the setting.
    """
    if min(teacher.recipe.batch or corpus.size, corpus.size) < 2:
        raise InputError(
            f"teacher.recipe.batch={teacher.recipe.batch} with {corpus.size} images: "
            "the loss compares images of a batch and needs at least two rows"
        )


@lru_cache(maxsize=32)
def two_views(
    recipe: Recipe, image_shape: tuple[int, int, int], shard: Shard = whole
) -> Source:
    """Two independently augmented, whitened views of each image of a batch.

    Args:
      recipe: batch size and augmentation (see `AugmentSpec` for what differs between
        the views).
      image_shape: (h, w, c).
      shard: of the rows.

    Returns:
      A source over a corpus: ((first [n,h,w,c], second [n,h,w,c]), ()).
    """
    first = augment.build(recipe.augment, image_shape)
    second = augment.build(recipe.augment, image_shape, second_view=True)

    def source(key: Key, step: Array, corpus: Corpus) -> tuple[PyTree, PyTree]:
        key_rows, key_first, key_second = jax.random.split(key, 3)
        rows = epoch_rows(key_rows, step, recipe.batch, corpus.size)
        image = whiten.to_unit(shard(corpus.image[rows]), corpus.whitening.dtype)

        def view(operations: augment.Augment, key_view: Key) -> Array:
            drawn = operations.sample(jax.random.fold_in(key_view, step), len(rows))
            return shard(whiten.apply(corpus.whitening, operations.apply(drawn, image)))

        return (view(first, key_first), view(second, key_second)), ()

    return source
