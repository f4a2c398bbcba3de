"""DD-Ranking's scores: what a set owes to its images, not to labels or augmentation.

Everything is computed for each run of an evaluation (a seed, with its own random
subset) and then averaged; a score of averages is another number. Accuracies are
fractions: with percentages the exponentials below leave [0, 1] by orders of magnitude.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxdd.errors import InputError

__all__ = [
    "Score",
    "augmentation_robust_score",
    "hard_label_recovery",
    "improvement_over_random",
    "label_robust_score",
    "label_scores",
    "summarise",
]

Accuracies = float | Sequence[float] | np.ndarray
"""Fractions in [0, 1]: one a run [r], or one for all runs."""


class Score(NamedTuple):
    """A score over the runs of an evaluation."""

    mean: float
    std: float  # population
    values: tuple[float, ...]  # one a run


def hard_label_recovery(real: Accuracies, synthetic: Accuracies) -> np.ndarray:
    """HLR: what hard labels on the set lack against the whole real data.

    Args:
      real: accuracy of students of all real images, hard labels.
      synthetic: accuracy of students of the set with hard labels.

    Returns:
      real - synthetic, [r]; lower is better (Li et al. 2025, arXiv 2505.13300).

    Raises:
      InputError: an accuracy outside [0, 1], or different numbers of runs.
    """
    real, synthetic = _paired(real=real, synthetic=synthetic)
    return real - synthetic


def improvement_over_random(synthetic: Accuracies, random: Accuracies) -> np.ndarray:
    """IOR: what the set gains over as many random real images under its own recipe.

    Args:
      synthetic: accuracy of students of the set, its own labels and augmentation.
      random: the same recipe on a random subset of the same size.

    Returns:
      synthetic - random, [r]; higher is better (Li et al. 2025).

    Raises:
      InputError: an accuracy outside [0, 1], or different numbers of runs.
    """
    synthetic, random = _paired(synthetic=synthetic, random=random)
    return synthetic - random


def label_robust_score(
    recovery: Accuracies, improvement: Accuracies, weight: float = 0.5
) -> np.ndarray:
    """LRS: both of the above as one fraction.

    Args:
      recovery: HLR of each run, in [-1, 1].
      improvement: IOR of each run, in [-1, 1].
      weight: w, of the improvement.

    Returns:
      (e^a - e^-1) / (e - e^-1) with a = w IOR - (1 - w) HLR, [r], in [0, 1]; 0.2689
      at a = 0 (Li et al. 2025).

    Raises:
      InputError: a difference outside [-1, 1], or the weight outside [0, 1].
    """
    recovery, improvement = _paired(-1, recovery=recovery, improvement=improvement)
    return _as_fraction(_weight(weight) * improvement - (1 - weight) * recovery)


def label_scores(
    *,
    real: Accuracies,
    synthetic_hard: Accuracies,
    synthetic: Accuracies,
    random: Accuracies,
    weight: float = 0.5,
) -> dict[str, Score]:
    """HLR, IOR and LRS of an evaluation.

    Args:
      real: accuracies of students of all real images, hard labels.
      synthetic_hard: of the set with hard labels.
      synthetic: of the set under its own recipe.
      random: of a random subset under that recipe, a new one each run.
      weight: of the improvement in LRS.

    Returns:
      Scores by name: HLR, IOR, LRS.

    Raises:
      InputError: an accuracy outside [0, 1], or different numbers of runs.
    """
    recovery = hard_label_recovery(real, synthetic_hard)
    improvement = improvement_over_random(synthetic, random)
    robust = label_robust_score(recovery, improvement, weight)
    values = {"HLR": recovery, "IOR": improvement, "LRS": robust}
    return {name: summarise(value) for name, value in values.items()}


def augmentation_robust_score(
    *,
    synthetic_augmented: Accuracies,
    random_augmented: Accuracies,
    synthetic_plain: Accuracies,
    random_plain: Accuracies,
    weight: float = 0.5,
) -> Score:
    """ARS: the gain over random images with and without augmentation, as one fraction.

    Args:
      synthetic_augmented: accuracy of students of the set, with augmentation.
      random_augmented: of random subsets, with augmentation.
      synthetic_plain: of the set, without.
      random_plain: of random subsets, without.
      weight: gamma, of the augmented gain.

    Returns:
      (e^b - e^-1) / (e - e^-1) with b = gamma (gain with) + (1 - gamma) (gain without),
      for each run (Li et al. 2025).

    Raises:
      InputError: an accuracy outside [0, 1], different numbers of runs, or the weight
        outside [0, 1].
    """
    augmented = improvement_over_random(synthetic_augmented, random_augmented)
    plain = improvement_over_random(synthetic_plain, random_plain)
    augmented, plain = _paired(-1, augmented=augmented, plain=plain)
    gain = _weight(weight) * augmented + (1 - weight) * plain
    return summarise(_as_fraction(gain))


def summarise(values: Accuracies) -> Score:
    """Mean and population standard deviation over runs."""
    array = np.atleast_1d(np.asarray(values, np.float64))
    return Score(float(array.mean()), float(array.std()), tuple(array.tolist()))


def _as_fraction(value: np.ndarray) -> np.ndarray:
    """Maps [-1, 1] onto [0, 1], steeper where it is better."""
    return (np.exp(value) - math.exp(-1)) / (math.e - math.exp(-1))


def _paired(least: float = 0, **given: Accuracies) -> list[np.ndarray]:
    """Both as float64 [r]; a single value serves every run."""
    arrays = [_checked(name, value, least) for name, value in given.items()]
    runs = {len(array) for array in arrays} - {1}
    if len(runs) > 1:
        counts = ", ".join(
            f"{name} {len(array)}" for name, array in zip(given, arrays, strict=True)
        )
        raise InputError(
            f"different numbers of runs: {counts}; give one accuracy a run, or one for "
            "all runs"
        )
    return [np.broadcast_to(array, max(runs, default=1)) for array in arrays]


def _checked(name: str, value: Accuracies, least: float) -> np.ndarray:
    array = np.atleast_1d(np.asarray(value, np.float64))
    if array.ndim != 1 or not array.size:
        raise InputError(f"{name}: shape {array.shape}; give a number for each run")
    wrong = array[~((array >= least) & (array <= 1))]
    if wrong.size:
        raise InputError(
            f"{name}={wrong[0]:g}: must be in [{least:g}, 1]; accuracies are fractions,"
            " so divide percentages by 100"
        )
    return array


def _weight(weight: float) -> float:
    if not 0 <= weight <= 1:
        raise InputError(f"weight={weight}: must be in [0, 1]")
    return weight
