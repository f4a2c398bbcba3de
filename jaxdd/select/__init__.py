"""Choices of real images: rows of a corpus in, rows or images out."""

from jaxdd.select.clusters import class_means, kmeans_centroids, kmeans_rows
from jaxdd.select.random import random_rows, subset

__all__ = [
    "class_means",
    "kmeans_centroids",
    "kmeans_rows",
    "random_rows",
    "subset",
]
