"""What is measured of a student of representations: imitation, and use for labels."""

import numpy as np

from jaxdd.base import Array, Variables
from jaxdd.evaluation.bench import Bench
from jaxdd.evaluation.measure import Figures, Task
from jaxdd.evaluation.probes import fine_tune, knn, linear_probe
from jaxdd.evaluation.students import apply_to_all, outputs, seed_key

__all__ = ["imitation", "label_tasks", "representation_mse"]


def representation_mse(prediction: Array, target: Array) -> float:
    """Squared error relative to the variance of the target over the rows.

    sum ||f(x) - g(x)||^2 / sum ||g(x) - mean g||^2 over the rows [n,d]: 0 for a
    perfect copy, 1 for the best constant.
    """
    f, g = np.asarray(prediction, np.float64), np.asarray(target, np.float64)
    return float(((f - g) ** 2).sum() / ((g - g.mean(0)) ** 2).sum())


def imitation(bench: Bench) -> Task:
    """How well the student imitates the teacher on un-augmented test images."""
    predict = apply_to_all(outputs(bench.network, "logits"))

    def task(variables: Variables, seed: int, stage: str) -> Figures:
        del seed, stage
        prediction = predict(variables, bench.setting.test)
        error = representation_mse(prediction, bench.teacher("test"))
        return {"representation_mse": error}

    return task


def label_tasks(bench: Bench) -> dict[str, Task]:
    """What needs labels of real images: frozen features, and fine-tuning.

    Nothing where the labels are missing.
    """
    setting, train, test = bench.setting, bench.setting.train, bench.setting.test
    if train is None or not setting.labelled:
        return {}
    protocol = setting.meta.protocol
    features = apply_to_all(outputs(bench.network, "features"))
    initialiser = protocol.network.initialiser

    def frozen(variables: Variables, seed: int, stage: str) -> Figures:
        known = (features(variables, train), train.label)
        data = (*known, features(variables, test), test.label)
        probe = linear_probe(
            seed_key(seed, "probe"),
            *data,
            protocol.probe,
            num_classes=train.num_classes,
            initialiser=initialiser,
            drive=setting.drive,
            stage=f"{stage}/linear_probe",
        )
        vote = knn(*data, neighbours=protocol.neighbours)
        return {"linear_probe": probe, "knn": vote}

    def tuned(variables: Variables, seed: int, stage: str) -> Figures:
        score = fine_tune(
            seed_key(seed, "fine_tune"),
            bench.network,
            variables,
            train,
            test,
            protocol.fine_tune,
            initialiser=initialiser,
            drive=setting.drive,
            stage=f"{stage}/fine_tune",
        )
        return {"fine_tune": score}

    return {"features": frozen, "fine_tune": tuned}
