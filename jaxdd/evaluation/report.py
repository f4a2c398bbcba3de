"""The outcome of an evaluation: rows of figures, and notes on rows that are missing."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxdd.records import NetworkSpec, Protocol

__all__ = ["Report", "make_row", "network_name"]

Row = dict[str, Any]


class Report(NamedTuple):
    """What `evaluate` measured; plain values, ready for JSON.

    Each row holds `set` (a method's name, random, kmeans, class_mean, full or scratch),
    `metric`, `mean` and population `std` over seeds, `seeds` (how many), `network`,
    `protocol`, `values` (one a seed) and `seed_list` (the seeds, in that order).
    """

    rows: list[Row]
    notes: list[str]

    def find(self, name: str, metric: str) -> Row | None:
        """The row of a set and metric, or None."""
        found = (r for r in self.rows if (r["set"], r["metric"]) == (name, metric))
        return next(found, None)

    def of_seed(self, position: int) -> tuple[Row, ...]:
        """The rows as one seed alone gives them, for the set that belongs to it."""
        return tuple(_alone(row, position) for row in self.rows)


def make_row(
    name: str,
    metric: str,
    values: Sequence[float],
    seeds: Sequence[int],
    protocol: Protocol,
) -> Row:
    """One row from the values of each seed."""
    return {
        "set": name,
        "metric": metric,
        "mean": float(np.mean(values)),
        "std": float(np.std(values)),
        "seeds": len(seeds),
        "network": network_name(protocol.network),
        "protocol": protocol.name,
        "values": [float(value) for value in values],
        "seed_list": [int(seed) for seed in seeds],
    }


def network_name(spec: NetworkSpec) -> str:
    """A short name for tables, such as convnet-16-32-batch."""
    if spec.name.startswith("resnet"):
        return f"{spec.name}-{spec.norm}"
    widths = spec.width * spec.depth if spec.depth else spec.width
    return "-".join([spec.name, *map(str, widths), spec.norm])


def _alone(row: Row, position: int) -> Row:
    value = row["values"][position]
    seed = row["seed_list"][position]
    one = {"mean": value, "std": 0.0, "seeds": 1, "values": [value]}
    return {**row, **one, "seed_list": [seed]}
