"""What is measured of a student: imitation of a teacher, and use for labels."""

import numpy as np

from jaxdd.base import Array, Corpus, Network
from jaxdd.evaluation.measure import Figures, Measurement
from jaxdd.evaluation.probes import fine_tune, knn, linear_probe
from jaxdd.evaluation.representation_setting import RepresentationSetting
from jaxdd.evaluation.setting import Setting
from jaxdd.evaluation.students import seed_key
from jaxdd.training.examples import apply_to_all, outputs
from jaxdd.training.together import Student

__all__ = ["imitation", "label_tasks", "representation_mse", "transfer_tasks"]


def representation_mse(prediction: Array, target: Array) -> float:
    """Squared error relative to the variance of the target over the rows.

    sum ||f(x) - g(x)||^2 / sum ||g(x) - mean g||^2 over the rows [n,d]: 0 for a
    perfect copy, 1 for the best constant.
    """
    f, g = np.asarray(prediction, np.float64), np.asarray(target, np.float64)
    return float(((f - g) ** 2).sum() / ((g - g.mean(0)) ** 2).sum())


def imitation(shared: RepresentationSetting) -> Measurement:
    """How well the student imitates the teacher on un-augmented test images."""
    predict = apply_to_all(outputs(shared.network, "logits"))

    def task(student: Student, seed: int, stage: str) -> Figures:
        del seed, stage
        prediction = predict(student.variables, shared.setting.test)
        error = representation_mse(prediction, shared.teacher("test"))
        return {"representation_mse": error}

    return task


def label_tasks(shared: RepresentationSetting) -> dict[str, Measurement]:
    """What needs labels of real images: frozen features, and fine-tuning.

    On the set's own data where it has labels, if the protocol wants that, and on every
    target.
    """
    setting, train = shared.setting, shared.setting.train
    own: dict[str, Measurement] = {}
    asked = setting.meta.protocol.representation.own
    if train is not None and setting.labelled and asked:
        own = _tasks_on(setting, shared.network, train, setting.test, "")
    return own | transfer_tasks(setting, shared.network)


def transfer_tasks(setting: Setting, network: Network) -> dict[str, Measurement]:
    """The same on every target, metrics `<metric> on <name>`."""
    tasks: dict[str, Measurement] = {}
    for train, test in setting.targets:
        assert test is not None
        tasks |= _tasks_on(setting, network, train, test, f" on {train.name}")
    return tasks


def _tasks_on(
    setting: Setting, network: Network, train: Corpus, test: Corpus, where: str
) -> dict[str, Measurement]:
    """Frozen features, and fine-tuning, on one labelled data set."""
    protocol = setting.meta.protocol
    features = apply_to_all(outputs(network, "features"))
    initialiser = protocol.network.initialiser

    def frozen(student: Student, seed: int, stage: str) -> Figures:
        known = (features(student.variables, train), train.label)
        data = (*known, features(student.variables, test), test.label)
        vote = knn(*data, neighbours=protocol.neighbours)
        if not protocol.probe.steps:
            return {f"knn{where}": vote}
        probe = linear_probe(
            seed_key(seed, "probe"),
            *data,
            protocol.probe,
            num_classes=train.num_classes,
            initialiser=initialiser,
            drive=setting.drive,
            stage=f"{stage}/linear_probe{where}",
        )
        return {f"linear_probe{where}": probe, f"knn{where}": vote}

    def tuned(student: Student, seed: int, stage: str) -> Figures:
        score = fine_tune(
            seed_key(seed, "fine_tune"),
            network,
            student.variables,
            train,
            test,
            protocol.fine_tune,
            initialiser=initialiser,
            drive=setting.drive,
            stage=f"{stage}/fine_tune{where}",
        )
        return {f"fine_tune{where}": score}

    tasks: dict[str, Measurement] = {f"features{where}": frozen}
    return tasks | ({f"fine_tune{where}": tuned} if protocol.fine_tune.steps else {})
