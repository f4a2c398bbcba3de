"""K-means representatives and class means, of whitened pixels or other features."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import whiten
from jaxdd.base import Array, Corpus, Key, Synthetic
from jaxdd.errors import InputError
from jaxdd.select.random import class_called

__all__ = [
    "class_means",
    "class_means_of_shares",
    "flat_images",
    "groups_of",
    "kmeans_centroids",
    "kmeans_rows",
]

_BLOCK = 4096  # rows whitened at a time, and of a minibatch
_LARGE = 20_000_000  # numbers beyond which k-means takes minibatches, not minutes


def kmeans_rows(
    key: Key,
    corpus: Corpus,
    size: int,
    ipc: int | None,
    features: np.ndarray | None = None,
) -> Array:
    """The real rows [m] nearest to the k-means centroids, distinct.

    Clusters each class on its own (k = ipc) where `ipc` is given, else the whole set.

    Args:
      key: of the starts.
      corpus: the images.
      size: m.
      ipc: rows of each class, or None.
      features: what is clustered, [n,d]; default the whitened pixels.

    Raises:
      InputError: more rows are asked for than there are.
    """
    from sklearn.metrics import euclidean_distances

    flat, chosen = flat_images(corpus) if features is None else features, []
    for rows, centres in _clusters(key, corpus, flat, size, ipc):
        for distance in euclidean_distances(centres, flat[rows]):
            distance[np.isin(rows, chosen)] = np.inf
            chosen.append(rows[np.argmin(distance)])
    return jnp.asarray(np.array(chosen, np.int32))


def kmeans_centroids(key: Key, corpus: Corpus, size: int, ipc: int | None) -> Synthetic:
    """The k-means centroids as images, with their class as label.

    Raises:
      InputError: more centroids are asked for than there are images.
    """
    parts = list(_clusters(key, corpus, flat_images(corpus), size, ipc))
    image = np.concatenate([centres for _, centres in parts])
    label = np.repeat(np.arange(len(parts)), [len(centres) for _, centres in parts])
    return _as_set(corpus, image, label if ipc is not None else 0 * label)


def class_means(corpus: Corpus) -> Synthetic:
    """The mean whitened image of every class, [k,h,w,c].

    Raises:
      InputError: the data has no labels.
    """
    if not corpus.num_classes:
        raise InputError(
            "class_mean: the data set has no labels; give labels, or use random or "
            "kmeans with a size"
        )
    flat = flat_images(corpus)
    mean = [flat[rows].mean(0) for rows in _class_rows(corpus)]
    return _as_set(corpus, np.stack(mean), np.arange(corpus.num_classes))


def class_means_of_shares(key: Key, corpus: Corpus, ipc: int | None) -> Synthetic:
    """The mean images of `ipc` random, nearly equal shares of every class [k*ipc,...].

    With one share they are the class means.

    Raises:
      InputError: the data has no labels, or a class has fewer images than shares.
    """
    if ipc is None or ipc == 1:
        return class_means(corpus)
    flat, keys = flat_images(corpus), jax.random.split(key, corpus.num_classes)
    mean = [
        flat[rows[np.asarray(share)]].mean(0)
        for own, rows in zip(keys, groups_of(corpus, 0, ipc), strict=True)
        for share in np.array_split(jax.random.permutation(own, len(rows)), ipc)
    ]
    return _as_set(corpus, np.stack(mean), np.repeat(np.arange(len(keys)), ipc))


def _clusters(key: Key, corpus: Corpus, flat: np.ndarray, size: int, ipc: int | None):
    """Yields (rows, centres [k,d]) of each group that is clustered on its own."""
    from sklearn.cluster import KMeans, MiniBatchKMeans

    count = size if ipc is None else ipc
    seed = int(jax.random.randint(key, (), 0, 2**31 - 1))
    for number, rows in enumerate(groups_of(corpus, size, ipc)):
        large = len(rows) * flat.shape[1] > _LARGE
        kind = partial(MiniBatchKMeans, batch_size=_BLOCK) if large else KMeans
        model = kind(count, n_init=3, random_state=(seed + number) % 2**31)  # pyright: ignore
        yield rows, model.fit(flat[rows]).cluster_centers_


def groups_of(corpus: Corpus, size: int, ipc: int | None) -> list[np.ndarray]:
    """The rows that are chosen from together: those of each class, or all.

    Raises:
      InputError: one of them has fewer rows than are to be chosen from it.
    """
    groups = [np.arange(corpus.size)] if ipc is None else _class_rows(corpus)
    count, asked = (size, "size") if ipc is None else (ipc, "ipc")
    for number, rows in enumerate(groups):
        if count > len(rows):
            whole = ipc is None
            where = "the training set" if whole else class_called(corpus, number)
            raise InputError(
                f"{asked}={count}: {where} has only {len(rows)} images; choose at most"
                f" {len(rows)}"
            )
    return groups


def _class_rows(corpus: Corpus) -> list[np.ndarray]:
    index, count = np.asarray(corpus.class_index), np.asarray(corpus.class_count)
    return [row[:n] for row, n in zip(index, count, strict=True)]


def flat_images(corpus: Corpus) -> np.ndarray:
    """All images whitened and flattened, [n, h*w*c] float32 on the host."""
    white = jax.jit(
        lambda w, image: whiten.apply(w, whiten.to_unit(image)).reshape(len(image), -1)
    )
    blocks = [
        np.asarray(white(corpus.whitening, corpus.image[i : i + _BLOCK]), np.float32)
        for i in range(0, corpus.size, _BLOCK)
    ]
    return np.concatenate(blocks)


def _as_set(corpus: Corpus, flat: np.ndarray, label: np.ndarray) -> Synthetic:
    image = jnp.asarray(flat.reshape(-1, *corpus.image_shape), jnp.float32)
    return Synthetic(image, jnp.asarray(label, jnp.int32), jnp.ones(len(image)))
