"""Whether a classifier's confidence is its accuracy, and accuracy among the best k.

NumPy on outputs that are computed already; ties count as `argmax` counts them.
"""

import numpy as np

from jaxdd.errors import InputError

__all__ = [
    "BINS",
    "calibration_error",
    "calibration_error_of_logits",
    "top_five",
    "top_k_accuracy",
]

BINS = 15  # Guo et al. 2017
_SUM_TOLERANCE = 1e-3  # of the probabilities of an image
_MANY_CLASSES = 20  # from here, accuracy among the best five says something


def calibration_error(
    probability: np.ndarray, label: np.ndarray, bins: int = BINS
) -> float:
    """Expected calibration error: |accuracy - confidence|, averaged over the images.

    Images fall into `bins` equal intervals (a, b] of the largest probability; each bin
    counts the gap between its accuracy and its mean confidence by its share of the
    images.

    Args:
      probability: [n,k], rows that sum to one.
      label: int [n].
      bins: intervals of [0, 1].

    Returns:
      A fraction; NaN where a probability is (Guo et al. 2017, arXiv 1706.04599,
      equation 3).

    Raises:
      InputError: shapes or labels that do not fit, or rows that are no probabilities.
    """
    probability, label = _checked("probability", probability, label)
    if bins < 1:
        raise InputError(f"bins={bins}: must be at least 1")
    if np.isnan(probability).any():
        return float("nan")
    off = np.abs(probability.sum(1) - 1).max()
    if probability.min() < 0 or off > _SUM_TOLERANCE:
        raise InputError(
            f"probability: rows must be >= 0 and sum to 1, the smallest entry is "
            f"{probability.min():g} and a sum is off by {off:g}; for logits use "
            "calibration_error_of_logits"
        )
    confidence, chosen = probability.max(1), probability.argmax(1)
    inner_edges = np.linspace(0, 1, bins + 1)[1:-1]
    which = np.searchsorted(inner_edges, confidence, side="left")
    gap = np.bincount(which, (chosen == label) - confidence, bins)
    return float(np.abs(gap).sum() / len(label))


def calibration_error_of_logits(
    logits: np.ndarray, label: np.ndarray, bins: int = BINS
) -> float:
    """The expected calibration error of softmax(logits [n,k])."""
    logits, label = _checked("logits", logits, label)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return calibration_error(weights / weights.sum(1, keepdims=True), label, bins)


def top_k_accuracy(scores: np.ndarray, label: np.ndarray, k: int = 1) -> float:
    """Share of images whose class is among the k of highest score.

    Equal scores are ranked by class, the smaller first, so that k = 1 is the accuracy
    of `argmax`. An image with a NaN counts as wrong.

    Args:
      scores: [n,classes], logits or probabilities.
      label: int [n].
      k: from 1 to the number of classes.

    Raises:
      InputError: shapes, labels or k that do not fit.
    """
    scores, label = _checked("scores", scores, label)
    classes = scores.shape[1]
    if not 1 <= k <= classes:
        raise InputError(f"k={k}: must be in [1, {classes}], the number of classes")
    own = np.take_along_axis(scores, label[:, None], 1)
    earlier = np.arange(classes) < label[:, None]
    before = ((scores > own) | ((scores == own) & earlier)).sum(1)
    return float(((before < k) & ~np.isnan(scores).any(1)).mean())


def top_five(scores: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """`top5`, the accuracy among the best five, where so many classes make it tell.

    Args:
      scores: [n,classes], logits or probabilities.
      label: int [n].
    """
    if scores.shape[1] < _MANY_CLASSES:
        return {}
    return {"top5": top_k_accuracy(scores, label, 5)}


def _checked(
    name: str, outputs: np.ndarray, label: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Outputs in float64 and labels, once they fit each other."""
    outputs, label = np.asarray(outputs, np.float64), np.asarray(label)
    if outputs.ndim != 2 or not outputs.size or label.shape != outputs.shape[:1]:
        raise InputError(
            f"{name}: shape {outputs.shape} with labels of shape {label.shape}; give "
            "[n, classes] and [n]"
        )
    if not np.issubdtype(label.dtype, np.integer):
        raise InputError(f"label: {label.dtype}; give whole numbers")
    if label.min() < 0 or label.max() >= outputs.shape[1]:
        raise InputError(
            f"label: from {label.min()} to {label.max()}, and {name} has "
            f"{outputs.shape[1]} classes"
        )
    return outputs, label
