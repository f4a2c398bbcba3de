"""Kernels of networks, and regression with them."""

from jaxdd.kernels.catalogue import linear, named, variables
from jaxdd.kernels.feature import features
from jaxdd.kernels.kernel import Kernel
from jaxdd.kernels.ridge import Ridge, SolveInfo, fit, fit_features, predict

__all__ = [
    "Kernel",
    "Ridge",
    "SolveInfo",
    "features",
    "fit",
    "fit_features",
    "linear",
    "named",
    "predict",
    "variables",
]
