"""Trains the students of every row, measures them, and keeps what is finished."""

from collections.abc import Callable, MutableMapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from jaxdd.evaluation.report import make_row
from jaxdd.networks import network_name
from jaxdd.records import Protocol, Row

__all__ = ["Entry", "Figures", "Measurement", "Store", "measure", "one_by_one"]

Figures = dict[str, float]
Store = MutableMapping[str, dict]
"""Finished pieces by name, each a dict that JSON can hold."""

Measurement = Callable[[Any, int, str], Figures]
"""(student, seed, stage) -> figures by metric; a student is what `Students` gives, a
trained network or a regression."""

Students = Callable[[Sequence[int], str], list[Any]]
"""(positions of the seeds, stage) -> the trained students, one a position."""


class Entry(NamedTuple):
    """One row of the report before it is measured.

    `students(positions, stage)` gives the trained students of the seeds at these
    positions; `tasks` are the measurements of one, by name. `network` is what the
    student's is called where it is not the protocol's own, and `most` how many of the
    seeds the row has.
    """

    name: str
    students: Students
    tasks: dict[str, Measurement]
    network: str = ""
    most: int | None = None

    @property
    def stage(self) -> str:
        """Of the row; other networks than the protocol's own have stages of theirs."""
        return "/".join(filter(None, ("evaluate", self.name, self.network)))


def one_by_one(student: Callable[[int, str], Any]) -> Students:
    """Students that are not trained together, from a function of (position, stage)."""

    def students(positions: Sequence[int], stage: str) -> list[Any]:
        return [student(position, stage) for position in positions]

    return students


def measure(
    entries: Sequence[Entry],
    seeds: Sequence[int],
    protocol: Protocol,
    *,
    store: Store,
    fingerprints: Sequence[str],
    together: int = 1,
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
      together: the most students of an entry that are trained together.

    Returns:
      The rows, in the order of the entries.
    """
    rows: list[Row] = []
    for entry in entries:
        left = [
            position
            for position, seed in enumerate(seeds[: entry.most])
            if _left(entry, seed, store, fingerprints[position])
        ]
        for first in range(0, len(left), together):
            group = left[first : first + together]
            _measure_group(entry, group, seeds, store, fingerprints)
        rows += _rows(entry, seeds[: entry.most], protocol, store)
    return rows


def _left(entry: Entry, seed: int, store: Store, fingerprint: str) -> list[str]:
    """The tasks of a student that are not finished."""
    pieces = {name: store.get(f"{_stage(entry, seed)}/{name}") for name in entry.tasks}
    return [
        name
        for name, piece in pieces.items()
        if piece is None or piece.get("fingerprint") != fingerprint
    ]


def _stage(entry: Entry, *seeds: int) -> str:
    named = "seed" if len(seeds) == 1 else "seeds"
    return f"{entry.stage}/{named}{'+'.join(map(str, seeds))}"


def _measure_group(
    entry: Entry,
    positions: Sequence[int],
    seeds: Sequence[int],
    store: Store,
    fingerprints: Sequence[str],
) -> None:
    """What is left of some students, which are trained when a task first asks."""
    stage = _stage(entry, *(seeds[position] for position in positions))
    students = cache(lambda: entry.students(tuple(positions), f"{stage}/student"))
    for index, position in enumerate(positions):
        seed, own = seeds[position], _stage(entry, seeds[position])
        for name in _left(entry, seed, store, fingerprints[position]):
            values = entry.tasks[name](students()[index], seed, own)
            piece = {"fingerprint": fingerprints[position], "values": values}
            store[f"{own}/{name}"] = piece


def _rows(
    entry: Entry, seeds: Sequence[int], protocol: Protocol, store: Store
) -> list[Row]:
    columns: list[Figures] = [{} for _ in seeds]
    for column, seed in zip(columns, seeds, strict=True):
        for name in entry.tasks:
            column |= store[f"{_stage(entry, seed)}/{name}"]["values"]
    network = entry.network or network_name(protocol.network)
    return [
        make_row(
            entry.name, metric, [c[metric] for c in columns], seeds, protocol, network
        )
        for metric in columns[0]
    ]
