"""K-means on whitened pixels: a set that covers the data.

Lloyd's algorithm with k-means++ starts, per class where there are labels (k = ipc),
else over the whole set (k = m). The set holds the real image nearest to each centroid,
or the centroids themselves.

Objective: sum over images of the squared distance to the nearest of the m centres.

Reference: the k-means baseline of Lee et al., ICLR 2024 (arXiv 2310.06511), and of
DC-BENCH (Cui et al., NeurIPS 2022, arXiv 2207.09639); algorithm of scikit-learn
(BSD-3-Clause).

Parts: subset or pixels, no network.

Differences from the paper: pixels are clustered, not features of a trained network.

Differences from the authors' code: as above.

Expected: at or above the random row.
"""

from dataclasses import dataclass
from typing import Literal

from jaxdd.base import Assets, Corpus, Distiller, Key, Method, Parts, Synthetic, Task
from jaxdd.composition import one_shot
from jaxdd.select import kmeans_centroids, kmeans_rows, subset

__all__ = ["METHOD", "KmeansConfig", "kmeans"]


@dataclass(frozen=True)
class KmeansConfig:
    """Settings of the k-means selection."""

    keep: Literal["nearest", "centroid"] = "nearest"
    """The nearest real image of each cluster, or its centroid."""


def kmeans(task: Task, config: KmeansConfig = KmeansConfig()) -> Distiller:
    """A set of m cluster representatives."""

    def make(key: Key, corpus: Corpus, assets: Assets) -> Synthetic:
        del assets
        if config.keep == "centroid":
            return kmeans_centroids(key, corpus, task.size, task.ipc)
        return subset(corpus, kmeans_rows(key, corpus, task.size, task.ipc))

    return one_shot(make)


METHOD = Method(
    build=kmeans,
    config=KmeansConfig,
    parts=Parts("subset or pixels", "k-means", "none", "none", "none"),
    one_shot=True,
)
