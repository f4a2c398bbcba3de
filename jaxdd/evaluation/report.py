"""The outcome of an evaluation: rows of figures, and notes on rows that are missing."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxdd.networks import network_name
from jaxdd.records import Protocol, Row

__all__ = ["KRR", "Report", "is_krr", "make_row"]

KRR = "krr "
"""How the networks of rows begin that no network has, but kernel ridge regression."""


class Report(NamedTuple):
    """What `evaluate` measured."""

    rows: list[Row]
    notes: list[str]

    def find(self, name: str, metric: str, network: str | None = None) -> Row | None:
        """The row of a set and metric, or None.

        Without a network, of the protocol's own, whose rows come first; where no
        network was trained, of its first kernel.
        """
        found = (
            row
            for row in self.rows
            if (row.set, row.metric) == (name, metric)
            and network in (None, row.network)
        )
        return next(found, None)

    def of_seed(self, position: int) -> tuple[Row, ...]:
        """The rows as one seed alone gives them, for the set that belongs to it."""
        return tuple(_alone(row, position) for row in self.rows if position < row.seeds)


def make_row(
    name: str,
    metric: str,
    values: Sequence[float],
    seeds: Sequence[int],
    protocol: Protocol,
    network: str = "",
) -> Row:
    """One row from the values of each seed; `network` is the protocol's by default."""
    return Row(
        name,
        metric,
        mean=float(np.mean(values)),
        std=float(np.std(values)),
        seeds=len(seeds),
        network=network or network_name(protocol.network),
        protocol=protocol.name,
        values=tuple(float(value) for value in values),
        seed_list=tuple(int(seed) for seed in seeds),
    )


def is_krr(row: Row) -> bool:
    """Whether a row is of kernel ridge regression and not of a trained network."""
    return row.network.startswith(KRR)


def _alone(row: Row, position: int) -> Row:
    value, seed = row.values[position], row.seed_list[position]
    return dataclasses.replace(
        row, mean=value, std=0.0, seeds=1, values=(value,), seed_list=(seed,)
    )
