"""Inducing images of a sparse Gaussian process, moved by the gradient of its bound.

Inducing points stand for all data in a Gaussian-process regression of the class labels.
They start at real images and are free to leave them: images are learned as KIP's are,
but for the likelihood of the labels under a kernel, which also says how well the set's
own kernel explains that of the data, and not for predictions alone.

Objective: minimise -(1/(B k)) [log N(Y_t; 0, Q + s^2 I) - tr(K_tt - Q) / (2 s^2)] over
the images X_s and log s^2, Q = K_ts K_ss^-1 K_st, Y_t centred one-hot rows of B real
images, summed over the k classes.

Reference: M. Titsias, "Variational Learning of Inducing Variables in Sparse Gaussian
Processes", AISTATS 2009; images as inducing points of a convolutional kernel as in van
der Wilk et al., NeurIPS 2017 (arXiv 1709.01894).

Parts: pixels x variational bound x no network x closed form, uniform batches.

Differences from the paper: the bound is that of the step's batch, and not of all data
(the same where `batch` is the size of the data); the kernel has no parameters that are
learned.

Differences from the authors' code: none was read.

Expected: below `kip` by kernel regression at the same cost, above random images. The
targets of the finished set are the posterior means at its images, under the last batch.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdd import kernels
from jaxdd.base import (
    Array,
    Assets,
    Batch,
    Corpus,
    Distiller,
    Key,
    Method,
    Metrics,
    Parts,
    PyTree,
    State,
    Synthetic,
    Task,
    Uniform,
)
from jaxdd.decoders import pixels
from jaxdd.decoders.initial import Start
from jaxdd.errors import InputError, check_numbers
from jaxdd.kernels.finite import Finite
from jaxdd.objectives.inducing import collapsed_bound
from jaxdd.records import (
    Adam,
    Fc,
    KernelSpec,
    OptimiserSpec,
    WideKernel,
)
from jaxdd.training import optimisers

__all__ = ["METHOD", "SgprConfig", "sgpr"]


@dataclass(frozen=True)
class SgprConfig:
    """Settings of the inducing images."""

    kernel: KernelSpec = WideKernel("nngp", Fc(1))
    """Kernel of an infinitely wide network, or linear."""
    noise: float = 0.01
    """Variance s^2 of the labels at the start; learned."""
    jitter: float = 1e-4
    """Added to the set's kernel, in units of its mean eigenvalue."""
    optimiser: OptimiserSpec = Adam(4e-2)
    """Optimiser of images and log s^2."""
    batch: int = 500
    """Real images a step."""
    init: Start = "real"


def sgpr(task: Task, config: SgprConfig = SgprConfig()) -> Distiller:
    """Inducing images for a task with images per class; targets are rows of scores.

    Raises:
      InputError: besides `base.Method.build`, a kernel of finite networks.
    """
    check_numbers(config, counts=("batch",), positive=("noise", "jitter"))
    _check(config)
    kernel = kernels.named(config.kernel, task.image_shape)
    decoder = pixels(task, init=config.init)
    outer = optimisers.build(config.optimiser, task.num_steps)

    def init(key: Key, corpus: Corpus, assets: Assets) -> State:
        key_image, key_run = jax.random.split(key)
        image = decoder.init(key_image, corpus, assets)["image"]
        log_noise = jnp.asarray(math.log(config.noise), image.dtype)
        params = {"image": image, "log_noise": log_noise}
        start = decoder.decode({"image": image}, assets, key_image).target
        target = _centred(start, task.num_classes, image)
        zero = jnp.zeros((), jnp.int32)
        return State(zero, key_run, params, outer.init(params), memory=target)

    def loss(params: PyTree, batch: Batch) -> tuple[Array, Array]:
        image, real = params["image"], batch.image
        own = jax.vmap(lambda x: kernel(x[None], x[None])[0, 0])
        rows = _centred(batch.target, task.num_classes, image)
        bound, mean = collapsed_bound(
            kernel(image, image),
            kernel(image, real),
            own(real),
            rows,
            jnp.exp(params["log_noise"]),
            batch.weight,
            jitter=config.jitter,
        )
        return -bound / (jnp.sum(batch.weight) * task.num_classes), mean

    def slope(state: State, batch: Batch) -> tuple[PyTree, Array, Metrics]:
        both = jax.value_and_grad(loss, has_aux=True)
        (value, mean), grads = both(state.params, batch)
        metrics = {"loss": value, "noise": jnp.exp(state.params["log_noise"])}
        return grads, mean, metrics

    def gradient(state: State, batch: Batch, assets: Assets) -> tuple[PyTree, Metrics]:
        del assets
        grads, _, metrics = slope(state, batch)
        return grads, metrics

    def step(state: State, batch: Batch, assets: Assets) -> tuple[State, Metrics]:
        del assets
        grads, mean, metrics = slope(state, batch)
        updates, opt = outer.update(grads, state.opt, state.params)
        params = optax.apply_updates(state.params, updates)
        new = State(state.step + 1, state.key, params, opt, memory=mean)
        return new, metrics

    def export(state: State, assets: Assets) -> Synthetic:
        del assets
        image = state.params["image"]
        return Synthetic(image, state.memory, jnp.ones(len(image), image.dtype))

    return Distiller(init, step, export, Uniform(config.batch), gradient=gradient)


def _centred(label: Any, classes: int, like: Array) -> Array:
    return jax.nn.one_hot(label, classes, dtype=like.dtype) - 1 / classes


def _check(config: SgprConfig) -> None:
    if isinstance(config.kernel, Finite):
        raise InputError(
            f"kernel.name={config.kernel.name!r}: inducing images need a kernel without"
            " networks; choose ntk, nngp or linear"
        )


METHOD = Method(
    build=sgpr,
    config=SgprConfig,
    parts=Parts("pixels", "variational bound", "none", "closed form", "uniform"),
)
