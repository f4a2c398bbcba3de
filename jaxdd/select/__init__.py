"""Choices of real images: rows of a corpus in, rows or images out."""

from jaxdd.select.centres import k_centre_rows
from jaxdd.select.clusters import (
    class_means,
    class_means_of_shares,
    kmeans_centroids,
    kmeans_rows,
)
from jaxdd.select.random import random_rows, subset

__all__ = [
    "class_means",
    "class_means_of_shares",
    "k_centre_rows",
    "kmeans_centroids",
    "kmeans_rows",
    "random_rows",
    "subset",
]
