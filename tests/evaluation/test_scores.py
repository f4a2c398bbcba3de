"""DD-Ranking's scores against values worked out by hand."""

import math

import numpy as np
import pytest

from jaxdd.errors import InputError
from jaxdd.evaluation import scores

ZERO = (1 - math.exp(-1)) / (math.e - math.exp(-1))


@pytest.mark.parametrize(("alpha", "score"), [(0.0, 0.2689), (-1.0, 0.0), (1.0, 1.0)])
def test_label_robust_score_at_its_known_points(alpha, score):
    got = scores.label_robust_score(recovery=-alpha, improvement=alpha)
    np.testing.assert_allclose(got, [score], atol=5e-5)


@pytest.mark.parametrize(("beta", "score"), [(0.0, 0.2689), (-1.0, 0.0), (1.0, 1.0)])
def test_augmentation_robust_score_at_its_known_points(beta, score):
    set_, random = (max(beta, 0), max(-beta, 0))
    got = scores.augmentation_robust_score(
        synthetic_augmented=set_,
        random_augmented=random,
        synthetic_plain=set_,
        random_plain=random,
    )
    assert got.mean == pytest.approx(score, abs=5e-5)


def test_label_scores_by_hand():
    got = scores.label_scores(
        real=0.8, synthetic_hard=[0.5, 0.4], synthetic=[0.6, 0.7], random=[0.3, 0.2]
    )
    # alpha = (0.3 - 0.3) / 2 = 0 and (0.5 - 0.4) / 2 = 0.05
    second = (math.exp(0.05) - math.exp(-1)) / (math.e - math.exp(-1))
    np.testing.assert_allclose(got["HLR"].values, [0.3, 0.4])
    np.testing.assert_allclose(got["IOR"].values, [0.3, 0.5])
    np.testing.assert_allclose(got["LRS"].values, [ZERO, second])
    assert got["LRS"].mean == pytest.approx((ZERO + second) / 2)
    assert got["LRS"].std == pytest.approx((second - ZERO) / 2)  # population


def test_label_weight():
    only_improvement = scores.label_robust_score(0.7, 0.0, weight=1)
    only_recovery = scores.label_robust_score(0.0, 0.7, weight=0)
    np.testing.assert_allclose([only_improvement, only_recovery], ZERO)


def test_augmentation_robust_score_by_hand():
    got = scores.augmentation_robust_score(
        synthetic_augmented=[0.5, 0.5],
        random_augmented=[0.3, 0.5],
        synthetic_plain=0.45,
        random_plain=[0.35, 0.45],
        weight=0.25,
    )
    beta = 0.25 * 0.2 + 0.75 * 0.1
    first = (math.exp(beta) - math.exp(-1)) / (math.e - math.exp(-1))
    np.testing.assert_allclose(got.values, [first, ZERO])
    assert got.std == pytest.approx((first - ZERO) / 2)


def test_score_of_each_run_not_of_the_mean():
    got = scores.label_scores(
        real=1.0, synthetic_hard=[0.0, 1.0], synthetic=[0.0, 1.0], random=0.0
    )
    of_mean = scores.label_robust_score(0.5, 0.5)[0]
    assert abs(got["LRS"].mean - of_mean) > 0.01


def test_percentages_are_refused():
    with pytest.raises(InputError, match=r"random=46\.4.*divide percentages by 100"):
        scores.improvement_over_random(0.5, 46.4)
    with pytest.raises(InputError, match=r"recovery=-5: must be in \[-1, 1\]"):
        scores.label_robust_score(-5, 0)


@pytest.mark.parametrize("value", [-0.01, float("nan"), [], [[0.5]]])
def test_accuracies_without_meaning_are_refused(value):
    with pytest.raises(InputError, match="real"):
        scores.hard_label_recovery(value, 0.5)


def test_numbers_of_runs_must_agree():
    with pytest.raises(InputError, match="real 3, synthetic 2"):
        scores.hard_label_recovery([0.5] * 3, [0.5] * 2)


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_score_weight_is_a_fraction(weight):
    with pytest.raises(InputError, match="weight"):
        scores.label_robust_score(0.0, 0.0, weight)
