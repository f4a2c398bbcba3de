"""The one signature of every kernel between images."""

from collections.abc import Callable

from jaxdd.base import Array

__all__ = ["Kernel"]

Kernel = Callable[..., Array]
"""`kernel(x1, x2, variables=())`: x1 [n,h,w,c] and x2 [m,h,w,c] to [n,m].

Pure; may be compiled, differentiated and mapped. Kernels of finite networks take their
`Variables` (random features: of all members, stacked); the others take none. `x1` and
`x2` may share images: there the derivative is finite (`jaxdd.kernels.activations`).
"""
