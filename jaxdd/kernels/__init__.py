"""Kernels of networks, and regression with them."""

from jaxdd.kernels._neural_tangents import from_stax, stax
from jaxdd.kernels.blocked import blocked
from jaxdd.kernels.budget import Blocks, choose_blocks, within
from jaxdd.kernels.by_name import linear, named, variables
from jaxdd.kernels.checks import check_finite
from jaxdd.kernels.conjugate import conjugate
from jaxdd.kernels.empirical import empirical_ntk
from jaxdd.kernels.feature import features
from jaxdd.kernels.iterative import IterativeInfo, Operator, fit_iterative, operator
from jaxdd.kernels.kernel import Kernel
from jaxdd.kernels.random_features import feature_map, random_features
from jaxdd.kernels.ridge import Ridge, SolveInfo, fit, fit_features, predict
from jaxdd.kernels.sharded import sharded

__all__ = [
    "Blocks",
    "IterativeInfo",
    "Kernel",
    "Operator",
    "Ridge",
    "SolveInfo",
    "blocked",
    "check_finite",
    "choose_blocks",
    "conjugate",
    "empirical_ntk",
    "feature_map",
    "features",
    "fit",
    "fit_features",
    "fit_iterative",
    "from_stax",
    "linear",
    "named",
    "operator",
    "predict",
    "random_features",
    "sharded",
    "stax",
    "variables",
    "within",
]
