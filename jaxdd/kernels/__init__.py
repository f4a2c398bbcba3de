"""Kernels of networks, and regression with them."""

from jaxdd.kernels.feature import features
from jaxdd.kernels.ridge import Ridge, SolveInfo, fit, fit_features, predict

__all__ = ["Ridge", "SolveInfo", "features", "fit", "fit_features", "predict"]
