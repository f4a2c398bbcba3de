"""Rows for sets with class labels, hard or soft: test accuracy of fresh students."""

from collections.abc import Callable

from jaxdd.base import Network, Synthetic, Variables
from jaxdd.evaluation.measure import Entry, Figures
from jaxdd.evaluation.probes import accuracy
from jaxdd.evaluation.setting import Setting
from jaxdd.evaluation.students import (
    apply_to_all,
    examples_of_set,
    fit,
    fresh,
    outputs,
    seed_key,
    student_network,
)
from jaxdd.evaluation.tasks import transfer_tasks
from jaxdd.select import class_means, random_rows, subset

__all__ = ["labelled_entries"]


def labelled_entries(
    setting: Setting, *, baselines: bool
) -> tuple[list[Entry], list[str]]:
    """The set itself, random real images, and class means where there is one a class.

    Where students are measured on other data too, also no training on any set.

    Returns:
      The entries and notes on the ones that cannot be made.
    """
    makers: dict[str, Callable[[int], Synthetic]] = {
        setting.meta.method: lambda position: setting.set_at(position).synthetic
    }
    notes: list[str] = []
    if baselines and setting.train is not None:
        shortage = _shortage(setting)
        if shortage:
            notes.append(f"no random row: {shortage}")
        else:
            makers.setdefault("random", lambda position: _random(setting, position))
        if setting.ipc == 1:
            makers.setdefault("class_mean", lambda _: class_means(setting.train))  # pyright: ignore
    entries = [_entry(setting, name, make) for name, make in makers.items()]
    if baselines and setting.targets:
        entries.append(_scratch(setting))
    return entries, notes


def _entry(setting: Setting, name: str, make: Callable[[int], Synthetic]) -> Entry:
    meta, test, network = setting.meta, setting.test, _network(setting)
    logits = apply_to_all(outputs(network, "logits"))

    def student(position: int, stage: str) -> Variables:
        key = seed_key(setting.seeds[position], "student")
        examples = examples_of_set(make(position), meta.protocol.train)
        return fit(key, network, examples, drive=setting.drive, stage=stage)

    def score(variables: Variables, seed: int, stage: str) -> Figures:
        del seed, stage
        return {"accuracy": accuracy(logits(variables, test), test.label)}

    return Entry(name, student, {"student": score} | transfer_tasks(setting, network))


def _network(setting: Setting) -> Network:
    meta = setting.meta
    return student_network(
        meta.protocol.network, tuple(meta.image_shape), meta.num_classes
    )


def _scratch(setting: Setting) -> Entry:
    """The untrained student, the same that every other row starts from."""
    network, recipe = _network(setting), setting.meta.protocol.train

    def student(position: int, stage: str) -> Variables:
        del stage
        examples = examples_of_set(setting.set_at(position).synthetic, recipe)
        return fresh(seed_key(setting.seeds[position], "student"), network, examples)

    return Entry("scratch", student, transfer_tasks(setting, network))


def _random(setting: Setting, position: int) -> Synthetic:
    """Random real images, as many of each class, drawn anew for each seed."""
    assert setting.train is not None
    key = seed_key(setting.seeds[position], "random")
    rows = random_rows(key, setting.train, setting.size, setting.ipc)
    return subset(setting.train, rows)


def _shortage(setting: Setting) -> str:
    """Why as many real images as the set has cannot be drawn, or nothing."""
    assert setting.train is not None
    if setting.ipc is None:
        have, need, where = setting.train.size, setting.size, "in all"
    else:
        have = int(setting.train.class_count.min())
        need, where = setting.ipc, "in the smallest class"
    if need <= have:
        return ""
    return f"the set needs {need} images and the training split has {have} {where}"
