"""What is known about metrics: their titles, their direction, how they are read."""

from __future__ import annotations

__all__ = ["LOWER_IS_BETTER", "WITHOUT_ORDER", "number", "title_of"]


LOWER_IS_BETTER = frozenset({"representation_mse", "calibration_error", "HLR"})


WITHOUT_ORDER = frozenset({"ridge", "ridge_retries"})
"""Metrics that say how a figure came about, and are neither good nor bad."""


_NO_SHARES = frozenset({"representation_mse"})


_TITLES = {
    "representation_mse": "Representation error",
    "linear_probe": "Linear probe",
    "knn": "Nearest neighbours",
    "fine_tune": "Fine-tuning",
    "accuracy": "Test accuracy",
    "accuracy_best": "Best test accuracy",
    "ridge": "Ridge used",
    "ridge_retries": "Ridge raised tenfold",
    "top5": "Top-5 accuracy",
    "HLR": "Hard-label recovery (HLR)",
    "IOR": "Improvement over random (IOR)",
    "LRS": "Label-robust score (LRS)",
    "ARS": "Augmentation-robust score (ARS)",
}


def title_of(metric: str) -> str:
    """A metric's name in words."""
    name, on, target = metric.partition(" on ")
    return _TITLES.get(name, name.replace("_", " ").capitalize()) + on + target


def number(metric: str, value: float) -> str:
    """A metric's value as it is usually read: shares in percent, errors as they are."""
    if metric in WITHOUT_ORDER:
        return f"{value:.3g}"
    return f"{value:.3f}" if metric in _NO_SHARES else f"{100 * value:.1f} %"
