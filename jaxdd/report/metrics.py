"""What is known about metrics: their titles, their direction, how they are read."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["METRICS", "Metric", "metric_of", "number", "title_of"]


class Metric(NamedTuple):
    """A kind of figure.

    `better` is None for metrics that say how a figure came about, and are neither good
    nor bad. `shown` says whether it is read as a share.
    """

    name: str
    title: str
    better: Literal["higher", "lower"] | None = "higher"
    shown: Literal["percent", "number"] = "percent"

    @property
    def heading(self) -> str:
        """The title with an arrow towards what is better."""
        return f"{self.title} {'↓' if self.better == 'lower' else '↑'}"


METRICS = {
    metric.name: metric
    for metric in (
        Metric("representation_mse", "Representation error", "lower", "number"),
        Metric("linear_probe", "Linear probe"),
        Metric("knn", "Nearest neighbours"),
        Metric("fine_tune", "Fine-tuning"),
        Metric("accuracy", "Test accuracy"),
        Metric("accuracy_best", "Best test accuracy"),
        Metric("top5", "Top-5 accuracy"),
        Metric("calibration_error", "Calibration error", "lower"),
        Metric("ridge", "Ridge used", None, "number"),
        Metric("ridge_retries", "Ridge raised tenfold", None, "number"),
        Metric("HLR", "Hard-label recovery (HLR)", "lower"),
        Metric("IOR", "Improvement over random (IOR)"),
        Metric("LRS", "Label-robust score (LRS)"),
        Metric("ARS", "Augmentation-robust score (ARS)"),
    )
}
"""By name; those that are not listed are shares, the higher the better."""


def metric_of(name: str) -> Metric:
    """A metric by the name that rows have, such as "knn on digits"."""
    plain, on, target = name.partition(" on ")
    title = plain.replace("_", " ").capitalize()
    metric = METRICS.get(plain, Metric(plain, title))
    return metric._replace(name=name, title=metric.title + on + target)


def title_of(name: str) -> str:
    """A metric's name in words."""
    return metric_of(name).title


def number(name: str, value: float) -> str:
    """A metric's value as it is usually read: shares in percent, errors as they are."""
    metric = metric_of(name)
    if metric.shown == "percent":
        return f"{100 * value:.1f} %"
    return f"{value:.3f}" if metric.better else f"{value:.3g}"
