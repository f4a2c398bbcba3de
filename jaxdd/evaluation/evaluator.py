"""`evaluate`: how good a distilled set is, beside what it must be compared with."""

from collections.abc import Mapping, Sequence

from jaxdd.base import Array, Dataset, Distilled, Drive
from jaxdd.evaluation.kernel_rows import kernel_notes
from jaxdd.evaluation.labelled import labelled_entries, trains_students
from jaxdd.evaluation.measure import Entry, Store, measure
from jaxdd.evaluation.ranking import ranking_rows
from jaxdd.evaluation.report import Report
from jaxdd.evaluation.representation import representation_entries
from jaxdd.evaluation.setting import Setting, dataset_notes, make_setting
from jaxdd.training import scan_drive
from jaxdd.training.together import ALONE, Group

__all__ = ["evaluate", "rows_beside"]


def evaluate(
    sets: Sequence[Distilled],
    dataset: Dataset,
    *,
    seeds: Sequence[int],
    drive: Drive = scan_drive,
    store: Store | None = None,
    teacher_outputs: Mapping[str, Array] | None = None,
    baselines: bool = True,
    targets: Sequence[Dataset] = (),
    group: Group = ALONE,
) -> Report:
    """Trains fresh students on a set, and on real images, and measures them.

    With `kernels` in the protocol also, or only, kernel ridge regression on the same
    images; the network of its rows is called krr and the kernel.

    A seed decides the student's initial weights and its batches, the same in every
    row, and the random subset; so rows are paired. Figures are those of the last step.
    Real images are whitened as the sets say, whatever `dataset` was fitted to, and
    images of the sets are fed as they are stored.

    Args:
      sets: one set, or one a seed (several distillations of one configuration).
      dataset: real data; without `train` only the set's own row can be made, without
        `test` none.
      seeds: one student of each row per seed.
      drive: who runs the training steps (stages `evaluate/<row>/seed<seed>/...`).
      store: keeps finished pieces by name, so that an interrupted evaluation goes on
        with the same figures; plain dicts that JSON can hold.
      teacher_outputs: for representation sets, the teacher's un-augmented outputs
        [n,d] by split (`train`, `test`); computed from the set's teacher if not given.
      baselines: whether to make the rows beside the set's own.
      targets: other labelled data of the same image shape, on which every student is
        measured too (transfer): metrics `<metric> on <name>`.
      group: how the students of a labelled row are trained together.

    Returns:
      The rows, and notes on what is missing and why.

    Raises:
      InputError: sets, seeds and data do not fit together.
    """
    test = dataset.test
    if test is None:
        return Report([], ["no figures: no test split was given"])
    setting = make_setting(sets, dataset.train, test, seeds, drive, targets)
    meta = setting.meta
    if meta.label_kind != "representation" and not meta.num_classes:
        return Report([], ["no figures: the set has no labels to train a student on"])
    entries, notes = _entries(setting, teacher_outputs, baselines, group)
    rows = measure(
        entries,
        setting.seeds,
        meta.protocol,
        store={} if store is None else store,
        fingerprints=[setting.fingerprint(i) for i in range(len(seeds))],
        together=1 if meta.label_kind == "representation" else group.size,
    )
    notes = [*notes, *kernel_notes(rows, meta.protocol)]
    ranked = meta.protocol.labelled.ranking and trains_students(meta.protocol)
    if ranked and meta.label_kind != "representation" and baselines:
        scores, missing = ranking_rows(setting, Report(rows, []))
        rows, notes = rows + scores, notes + missing
    return Report(rows, dataset_notes(meta, dataset) + notes)


def rows_beside(
    sets: Sequence[Distilled], dataset: Dataset, targets: Sequence[Dataset] = ()
) -> int:
    """How many students `evaluate` trains for each of the set's own; at least 1.

    Args:
      sets: as in `evaluate`.
      dataset: real data.
      targets: other data on which students are measured too.
    """
    if dataset.test is None:
        return 1
    test = dataset.test
    setting = make_setting(sets, dataset.train, test, [0], scan_drive, targets)
    own, all_rows = (len(_entries(setting, None, b, ALONE)[0]) for b in (False, True))
    return -(-all_rows // max(1, own))


def _entries(
    setting: Setting,
    teacher_outputs: Mapping[str, Array] | None,
    baselines: bool,
    group: Group,
) -> tuple[list[Entry], list[str]]:
    """The rows to make, and notes on those that cannot be made."""
    if setting.meta.label_kind == "representation":
        return representation_entries(setting, teacher_outputs, baselines=baselines)
    return labelled_entries(setting, baselines=baselines, group=group)
