"""The only door to neural-tangents, which does not import on JAX of today by itself.

Version 0.6.5 asks for names that JAX has moved, and for TensorFlow in a subpackage that
nothing here needs. Both are supplied while it is imported, and taken away again.
"""

import contextlib
import functools
import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from jaxdd.base import Array
from jaxdd.errors import InputError, one_of
from jaxdd.kernels.architectures import layers
from jaxdd.kernels.kernel import Kernel
from jaxdd.records import Fc, WideKernel

__all__ = ["available", "from_stax", "kernel", "stax"]

_CORE = ("ClosedJaxpr", "Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")
_INNER_CORE = ("AbstractValue", "ShapedArray", "Value", "eval_context")
_TENSORFLOW_PART = "neural_tangents.experimental"


def available() -> bool:
    """Whether neural-tangents is installed; imports nothing."""
    return importlib.util.find_spec("neural_tangents") is not None


@functools.cache
def stax() -> types.ModuleType:
    """The module `neural_tangents.stax`, whose layers make up an architecture.

    Raises:
      InputError: it is not installed, naming the extra.
    """
    if not available():
        raise InputError(
            "backend 'neural_tangents' and kernels.from_stax need the package "
            "neural-tangents, which is not installed; install jaxdd[ntk], or without "
            "its TensorFlow: pip install --no-deps neural-tangents frozendict. The "
            "backend 'own' needs nothing and knows the same architectures"
        )
    with _compatible(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("neural_tangents").stax


def from_stax(kernel_fn: Callable[..., Any], get: str = "ntk") -> Kernel:
    """A kernel from the last of what `stax().serial(...)` returns.

    Args:
      kernel_fn: of any `stax` architecture, made with `kernels.stax()`.
      get: ntk or nngp.

    Returns:
      The kernel; compile it: uncompiled, neural-tangents is slow.

    Raises:
      InputError: an unknown `get`.
    """
    one_of("get", get, ("ntk", "nngp"))

    def evaluate(x1: Array, x2: Array, variables: tuple = ()) -> Array:
        del variables
        # It adds a dimension here and there without saying so.
        with jax.numpy_rank_promotion("allow"):
            return jnp.asarray(kernel_fn(x1, x2, get))

    return evaluate


def kernel(spec: WideKernel) -> Kernel:
    """The kernel that `spec` describes, by neural-tangents."""
    layer_of = stax()
    scale = {"W_std": spec.weight_std, "b_std": spec.bias_std}
    activation = {"relu": layer_of.Relu, "erf": layer_of.Erf}[spec.activation]
    make = {
        "dense": lambda: layer_of.Dense(1, **scale),
        "conv": lambda: layer_of.Conv(1, (3, 3), padding="SAME", **scale),
        "activation": activation,
        "pool": lambda: layer_of.AvgPool((2, 2), strides=(2, 2)),
        "global": layer_of.GlobalAvgPool,
    }
    parts = [make[layer]() for layer in layers(spec.architecture)]
    flatten = 0 if isinstance(spec.architecture, Fc) else len(parts) - 1
    if "global" not in layers(spec.architecture):
        parts.insert(flatten, layer_of.Flatten())
    return from_stax(layer_of.serial(*parts)[2], spec.name)


@contextlib.contextmanager
def _compatible() -> Iterator[None]:
    """JAX with the names of 2024, and an empty module in place of TensorFlow's part."""
    import jax.core
    import jax.extend.core
    from jax._src import ad_util, core, util
    from jax.interpreters import ad

    moved = types.ModuleType("jax.util")
    moved.__dict__.update(safe_map=util.safe_map, safe_zip=util.safe_zip)
    names = {(jax.core, n): getattr(jax.extend.core, n, None) for n in _CORE}
    names |= {(jax.core, n): getattr(core, n, object) for n in _INNER_CORE}
    names[ad, "zeros_like_p"] = getattr(ad_util, "zeros_like_p", object())
    names[jax, "util"] = moved
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        missing = {key: value for key, value in names.items() if not hasattr(*key)}
    stand_ins = {"jax.util": moved, _TENSORFLOW_PART: types.ModuleType("experimental")}
    stand_ins = {n: m for n, m in stand_ins.items() if n not in sys.modules}
    try:
        for (module, name), value in missing.items():
            setattr(module, name, value)
        sys.modules.update(stand_ins)
        yield
    finally:
        for module, name in missing:
            delattr(module, name)
        for name in stand_ins:
            sys.modules.pop(name, None)
