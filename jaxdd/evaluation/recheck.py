"""`verify`: measures a saved set again and compares with what it says of itself."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jaxdd.base import Array, Dataset, Distilled, Drive
from jaxdd.errors import InputError
from jaxdd.evaluation.evaluator import evaluate
from jaxdd.evaluation.measure import Store
from jaxdd.records import Row
from jaxdd.training import scan_drive
from jaxdd.training.together import ALONE, Group

__all__ = ["Check", "verify"]

_RELATIVE = 0.02  # other hardware, versions or core counts change the last bits
_DEVIATIONS = 3.0


class Check(NamedTuple):
    """One figure measured again."""

    row: Row
    recorded: float
    measured: float
    ok: bool


def verify(
    distilled: Distilled,
    dataset: Dataset,
    *,
    drive: Drive = scan_drive,
    store: Store | None = None,
    teacher_outputs: Mapping[str, Array] | None = None,
    targets: Sequence[Dataset] = (),
    group: Group = ALONE,
) -> list[Check]:
    """Measures the set's own recorded rows again; distils nothing, trains no teacher.

    The same seeds on the same hardware and versions give the same figures; elsewhere
    a figure agrees if it is within three recorded standard deviations or 2 %.

    Args:
      distilled: a set with `meta.rows`.
      dataset: the data it was distilled from.
      drive: who runs the students' training steps.
      store: finished pieces, as in `evaluate`.
      teacher_outputs: as in `evaluate`.
      targets: those of the set's protocol.
      group: as in `evaluate`.

    Returns:
      One check per recorded row of the set itself.

    Raises:
      InputError: the set records no figures, or the data is not the set's.
    """
    meta = distilled.meta
    recorded = [row for row in meta.rows if row.set == meta.method]
    if not recorded:
        raise InputError(
            f"the set of {meta.method} records no figures to verify; evaluate it, and "
            "save it with the rows in its meta"
        )
    if dataset.train is None or dataset.train.hash != meta.dataset_hash:
        name = dataset.train.name if dataset.train else "no training split"
        raise InputError(
            f"dataset: the set was distilled from {meta.dataset} (hash "
            f"{meta.dataset_hash[:12]}), and this is {name} with another content; give "
            "the same data, limits, pad and pool"
        )
    report = evaluate(
        [distilled],
        dataset,
        seeds=recorded[0].seed_list,
        drive=drive,
        store=store,
        teacher_outputs=teacher_outputs,
        baselines=False,
        targets=targets,
        group=group,
    )
    return [
        _check(row, report.find(row.set, row.metric, row.network)) for row in recorded
    ]


def _check(row: Row, again: Row | None) -> Check:
    recorded, measured = row.mean, again.mean if again else float("nan")
    tolerance = max(_DEVIATIONS * row.std, _RELATIVE * abs(recorded))
    return Check(row, recorded, measured, abs(measured - recorded) <= tolerance)
