"""How good a distilled set is: fresh students on the set and on real images."""

from jaxdd.evaluation.evaluator import evaluate, rows_beside
from jaxdd.evaluation.kernel_rows import krr_name
from jaxdd.evaluation.labelled import other_network
from jaxdd.evaluation.measure import Store
from jaxdd.evaluation.probes import accuracy, fine_tune, knn, linear_probe
from jaxdd.evaluation.recheck import Check, verify
from jaxdd.evaluation.regression import check_kernels
from jaxdd.evaluation.report import Report, is_krr
from jaxdd.evaluation.tasks import representation_mse

__all__ = [
    "Check",
    "Report",
    "Store",
    "accuracy",
    "check_kernels",
    "evaluate",
    "fine_tune",
    "is_krr",
    "knn",
    "krr_name",
    "linear_probe",
    "other_network",
    "representation_mse",
    "rows_beside",
    "verify",
]
