"""How good a distilled set is: fresh students on the set and on real images."""

from jaxdd.evaluation.cohort import Group
from jaxdd.evaluation.evaluator import evaluate
from jaxdd.evaluation.labelled import other_network
from jaxdd.evaluation.measure import Store
from jaxdd.evaluation.probes import accuracy, fine_tune, knn, linear_probe
from jaxdd.evaluation.recheck import Check, verify
from jaxdd.evaluation.report import Report
from jaxdd.evaluation.tasks import representation_mse

__all__ = [
    "Check",
    "Group",
    "Report",
    "Store",
    "accuracy",
    "evaluate",
    "fine_tune",
    "knn",
    "linear_probe",
    "other_network",
    "representation_mse",
    "verify",
]
