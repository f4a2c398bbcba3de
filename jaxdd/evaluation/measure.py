"""Trains one student a row and seed, measures it, and keeps what is finished."""

from collections.abc import Callable, MutableMapping, Sequence
from functools import cache
from typing import NamedTuple

from jaxdd.base import Variables
from jaxdd.evaluation.report import Row, make_row
from jaxdd.records import Protocol

__all__ = ["Entry", "Figures", "Store", "Task", "measure"]

Figures = dict[str, float]
Store = MutableMapping[str, dict]
"""Finished pieces by name, each a dict that JSON can hold."""

Task = Callable[[Variables, int, str], Figures]
"""(student, seed, stage) -> figures by metric."""


class Entry(NamedTuple):
    """One row of the report before it is measured.

    `student(position, stage)` gives the trained student of the seed at `position`;
    `tasks` are the measurements of it, by name.
    """

    name: str
    student: Callable[[int, str], Variables]
    tasks: dict[str, Task]


def measure(
    entries: Sequence[Entry],
    seeds: Sequence[int],
    protocol: Protocol,
    *,
    store: Store,
    fingerprints: Sequence[str],
) -> list[Row]:
    """Measures every entry with every seed.

    Each task's figures are a piece, kept in `store` under its stage's name. A piece
    that is there, and whose fingerprint says that it belongs to the same set, data
    and protocol, is not measured again; a student none of whose tasks is left is not
    trained.

    Args:
      entries: the rows.
      seeds: one student of each entry per seed.
      protocol: named in the rows.
      store: finished pieces.
      fingerprints: one a seed.

    Returns:
      The rows, in the order of the entries.
    """
    figures = {
        (entry.name, position): _of_student(entry, position, seed, store, fingerprint)
        for position, (seed, fingerprint) in enumerate(
            zip(seeds, fingerprints, strict=True)
        )
        for entry in entries
    }
    rows = []
    for entry in entries:
        columns = [figures[entry.name, position] for position in range(len(seeds))]
        rows += [
            make_row(entry.name, metric, [c[metric] for c in columns], seeds, protocol)
            for metric in columns[0]
        ]
    return rows


def _of_student(
    entry: Entry, position: int, seed: int, store: Store, fingerprint: str
) -> Figures:
    """All figures of one student, which is trained when a task first asks for it."""
    stage = f"evaluate/{entry.name}/seed{seed}"
    student = cache(lambda: entry.student(position, f"{stage}/student"))
    figures: Figures = {}
    for name, task in entry.tasks.items():
        piece = store.get(f"{stage}/{name}")
        if piece is None or piece.get("fingerprint") != fingerprint:
            values = task(student(), seed, stage)
            piece = {"fingerprint": fingerprint, "values": values}
            store[f"{stage}/{name}"] = piece
        figures |= piece["values"]
    return figures
