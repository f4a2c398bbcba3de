"""DD-Ranking's scores as rows: what they need to train, and what comes out.

LRS compares a set with random real images under its own recipe, and with the whole data
under hard labels; ARS with and without augmentation (Li et al. 2025, arXiv 2505.13300).
"""

from collections.abc import Sequence

import numpy as np

from jaxdd import augment
from jaxdd.evaluation.contestants import (
    Contestant,
    own_contestant,
    random_contestant,
)
from jaxdd.evaluation.report import Report, make_row
from jaxdd.evaluation.scores import augmentation_robust_score, label_scores
from jaxdd.evaluation.setting import Setting
from jaxdd.records import Row

__all__ = ["ranking_contestants", "ranking_rows"]

_HARD, _PLAIN = " (hard labels)", " (no augmentation)"


def ranking_contestants(setting: Setting) -> list[Contestant]:
    """The rows that the scores need beside the set, the random row and the full one."""
    recipe, own = setting.meta.protocol.train, setting.meta.method
    found = []
    if setting.meta.label_kind == "soft":
        hard = own_contestant(setting, hard=True)
        rates = setting.meta.protocol.labelled.learning_rates
        found.append(hard._replace(name=own + _HARD, rates=rates))
    if not augment.is_identity(recipe.augment):
        plain = own_contestant(setting, augmented=False)
        random = random_contestant(setting, augmented=False)
        found += [c._replace(name=c.name + _PLAIN) for c in (plain, random)]
    return found


def ranking_rows(setting: Setting, report: Report) -> tuple[list[Row], list[str]]:
    """HLR, IOR, LRS and ARS of the set, from the rows of a report.

    Each is computed for every run and then averaged.

    Returns:
      The rows, and notes on scores that cannot be had.
    """
    protocol, own = setting.meta.protocol, setting.meta.method
    best = protocol.labelled.report == "best" and report.find(own, "accuracy_best")
    metric = "accuracy_best" if best else "accuracy"

    def values(name: str) -> Sequence[float] | None:
        row = report.find(name, metric)
        return None if row is None else row.values

    found: dict[str, np.ndarray | Sequence[float]] = {}
    synthetic, random, real = values(own), values("random"), values("full")
    hard = values(own + _HARD) or synthetic
    notes = []
    if synthetic and random and real and hard:
        scores = label_scores(
            real=real, synthetic_hard=hard, synthetic=synthetic, random=random
        )
        found |= {name: score.values for name, score in scores.items()}
    else:
        notes.append(
            "no HLR, IOR and LRS: they need the rows random and full, so training data"
            " and evaluate.labelled.full.steps or epochs"
        )
    if synthetic and random:
        plain, other = values(own + _PLAIN), values("random" + _PLAIN)
        score = augmentation_robust_score(
            synthetic_augmented=synthetic,
            random_augmented=random,
            synthetic_plain=plain or synthetic,
            random_plain=other or random,
        )
        found["ARS"] = score.values
    rows = [
        make_row(own, name, list(column), setting.seeds, protocol)
        for name, column in found.items()
    ]
    return rows, notes
