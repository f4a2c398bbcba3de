"""Choices of real images: rows of a corpus in, rows or images out."""

from jaxdd.select.centres import k_center_rows
from jaxdd.select.clusters import (
    class_means,
    class_means_of_shares,
    groups_of,
    kmeans_centroids,
    kmeans_rows,
)
from jaxdd.select.greedy import gp_var, herding, k_center, mmd
from jaxdd.select.leverage import leverage
from jaxdd.select.random import random_rows, subset
from jaxdd.select.selection import Selection, Selector, Space
from jaxdd.select.space import space_of

__all__ = [
    "Selection",
    "Selector",
    "Space",
    "class_means",
    "class_means_of_shares",
    "gp_var",
    "groups_of",
    "herding",
    "k_center",
    "k_center_rows",
    "kmeans_centroids",
    "kmeans_rows",
    "leverage",
    "mmd",
    "random_rows",
    "space_of",
    "subset",
]
