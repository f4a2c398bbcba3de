"""Calibration and top-k accuracy against plain loops and cases done by hand."""

import numpy as np
import pytest

from jaxdd.errors import InputError
from jaxdd.evaluation.calibration import (
    calibration_error,
    calibration_error_of_logits,
    top_k_accuracy,
)


def random_outputs(seed, n=400, classes=6):
    rng = np.random.default_rng(seed)
    logits = 3 * rng.standard_normal((n, classes))
    return logits, rng.integers(0, classes, n)


def softmax(logits):
    return np.stack([np.exp(row) / np.exp(row).sum() for row in logits])


def looped_error(probability, label, bins):
    total = 0.0
    for index in range(bins):
        rows = [
            row
            for row in range(len(label))
            if index / bins < max(probability[row]) <= (index + 1) / bins
        ]
        if rows:
            hits = [np.argmax(probability[row]) == label[row] for row in rows]
            confidence = [max(probability[row]) for row in rows]
            total += len(rows) / len(label) * abs(np.mean(hits) - np.mean(confidence))
    return total


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_calibration_error_equals_a_loop(bins):
    logits, label = random_outputs(0)
    probability = softmax(logits)
    wanted = looped_error(probability, label, bins)
    assert wanted > 0.05
    assert calibration_error(probability, label, bins) == pytest.approx(wanted)
    assert calibration_error_of_logits(logits, label, bins) == pytest.approx(wanted)


def test_calibration_error_by_hand():
    # Bin (0.8, 0.867]: one right of two at 0.85; bin (0.533, 0.6]: one wrong at 0.6.
    probability = np.array([[0.85, 0.15], [0.85, 0.15], [0.4, 0.6]])
    label = np.array([0, 1, 0])
    wanted = 2 / 3 * abs(0.5 - 0.85) + 1 / 3 * 0.6
    assert calibration_error(probability, label) == pytest.approx(wanted)


def test_bins_are_closed_above():
    # 0.5 belongs to (0, 0.5] of two bins: apart, the gaps of 0.5 do not cancel.
    probability = np.array([[0.5, 0.5], [0.0, 1.0]])
    label = np.array([0, 0])
    assert calibration_error(probability, label, 2) == pytest.approx(0.75)
    assert calibration_error(probability, label, 1) == pytest.approx(0.25)


def test_certain_and_right_is_calibrated():
    label = np.arange(5)
    assert calibration_error(np.eye(5), label) == 0
    assert calibration_error(np.eye(5), np.roll(label, 1)) == 1


def test_large_logits_do_not_overflow():
    assert calibration_error_of_logits(np.diag([1e4, 1e4]), np.array([0, 1])) == 0


def test_diverged_outputs_give_nan():
    logits = np.array([[np.nan, 0.0], [1.0, 0.0]])
    assert np.isnan(calibration_error_of_logits(logits, np.array([0, 0])))
    assert top_k_accuracy(logits, np.array([0, 0]), 2) == 0.5


def test_logits_are_not_probabilities():
    with pytest.raises(InputError, match="calibration_error_of_logits"):
        calibration_error(np.array([[2.0, 1.0]]), np.array([0]))
    with pytest.raises(InputError, match="bins=0"):
        calibration_error(np.eye(2), np.arange(2), 0)


@pytest.mark.parametrize("k", [1, 2, 5, 6])
def test_top_k_equals_a_sort(k):
    logits, label = random_outputs(1)
    logits = np.round(logits)  # many ties
    best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    wanted = np.mean([row in columns for row, columns in zip(label, best, strict=True)])
    assert top_k_accuracy(logits, label, k) == pytest.approx(wanted)


def test_top_one_ties_as_argmax():
    logits, label = random_outputs(2)
    logits = np.round(logits / 3)
    wanted = np.mean(logits.argmax(1) == label)
    assert top_k_accuracy(logits, label) == pytest.approx(wanted)


@pytest.mark.parametrize("k", [0, 4])
def test_k_beyond_the_classes(k):
    with pytest.raises(InputError, match=f"k={k}"):
        top_k_accuracy(np.eye(3), np.arange(3), k)


@pytest.mark.parametrize(
    ("outputs", "label", "message"),
    [
        (np.eye(3), np.arange(2), "shape"),
        (np.zeros((0, 3)), np.zeros(0, int), "shape"),
        (np.eye(3), np.array([0, 1, 3]), "3 classes"),
        (np.eye(3), np.array([0.0, 1.0, 2.0]), "whole numbers"),
    ],
)
def test_outputs_and_labels_must_fit(outputs, label, message):
    with pytest.raises(InputError, match=message):
        top_k_accuracy(outputs, label)
