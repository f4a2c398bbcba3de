"""The update of kip/KIP.ipynb with neural-tangents' kernel, for comparison of speed.

Adam and the regularised solve as in the notebook (google-research/google-research,
Apache-2.0); of jaxdd only the door to neural-tangents is used. Imported by
experiments/benches/kip.py.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdd import kernels
from jaxdd.records import KernelSpec

CLASSES, RATE, RIDGE = 10, 4e-2, 1e-6


def notebook_step(spec: KernelSpec, image: jax.Array) -> tuple[Callable, Any]:
    """The step ((set, Adam's state), (real images, labels)), and where it begins."""
    kernel_fn = kernels.stax().serial(*_layers(spec))[2]
    target = jnp.repeat(jnp.eye(CLASSES), len(image) // CLASSES, 0) - 1 / CLASSES
    adam = optax.adam(RATE)

    def loss(image: Any, real: Any, label: Any) -> Any:
        k_ss = kernel_fn(image, image, "ntk")
        k_ts = kernel_fn(real, image, "ntk")
        size = k_ss.shape[0]
        regular = k_ss + RIDGE * jnp.trace(k_ss) / size * jnp.eye(size)
        alpha = jax.scipy.linalg.solve(regular, target, assume_a="pos")
        return 0.5 * jnp.mean((k_ts @ alpha - label) ** 2)

    def step(carry: Any, data: Any) -> Any:
        image, opt = carry
        value, slope = jax.value_and_grad(loss)(image, *data)
        updates, opt = adam.update(slope, opt)
        return (optax.apply_updates(image, updates), opt), {"loss": value}

    return step, (image, adam.init(image))


def _layers(spec: KernelSpec) -> list[Any]:
    stax = kernels.stax()

    def dense() -> Any:
        return stax.Dense(
            1, W_std=spec.weight_std, b_std=spec.bias_std, parameterization="ntk"
        )

    hidden = [layer for _ in range(spec.depth) for layer in (dense(), stax.Relu())]
    return [stax.Flatten(), *hidden, dense()]
