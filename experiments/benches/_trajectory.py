"""The inner problem of trajectory matching: a ConvNet-D3 on a set, a learned rate."""

from typing import Any

import jax
import jax.numpy as jnp
from benchmark import CLASSES, SHAPE
from jax.flatten_util import ravel_pytree

from jaxdd import networks, unroll
from jaxdd.base import Array, Key, PyTree
from jaxdd.records import ConvNet
from jaxdd.training import losses
from jaxdd.unroll import InnerProblem

RATE = 0.01


class Setting:
    """The network and the shapes of one problem.

    Args:
      width: of the ConvNet's blocks.
      batch: images of the set.
      conv: convolution on CPUs; "stock" is XLA's own.

    Attributes:
      batch, network.
      params: abstract [P].
      theta: images [b,h,w,c] and the rate's logarithm, abstract.
      label: int32 [b].
    """

    def __init__(self, width: int, batch: int, conv: str) -> None:
        spec = ConvNet(width=(width,) * 3, conv=conv)
        self.batch, self.network = batch, networks.build(spec, SHAPE, CLASSES)
        self._variables = jax.eval_shape(self.network.init, jax.random.key(0))
        zeros = lambda leaf: jnp.zeros(leaf.shape, leaf.dtype)
        flat, self._unravel = ravel_pytree(jax.tree.map(zeros, self._variables.params))
        self.params = jax.ShapeDtypeStruct(flat.shape, flat.dtype)
        image = jax.ShapeDtypeStruct((batch, *SHAPE), jnp.float32)
        self.theta = {"image": image, "log_rate": jax.ShapeDtypeStruct((), jnp.float32)}
        self.label = jnp.arange(batch) % CLASSES

    def start(self, key: Key) -> Array:
        """Parameters of a fresh network [P]."""
        return ravel_pytree(jax.jit(self.network.init)(key).params)[0]

    def loss(self, theta: PyTree, params: Array, rows: Array) -> Array:
        """The inner loss of some rows of the set; params [P], rows int32 [b]."""
        variables = self._variables._replace(params=self._unravel(params))
        output, _ = self.network.apply(variables, theta["image"][rows])
        return losses.cross_entropy(output.logits, self.label[rows])

    def problem(self, optimiser: Any) -> InnerProblem:
        """The inner problem with a learned rate."""
        rate = unroll.learned_rate(lambda theta, x: theta["log_rate"])
        return unroll.inner.problem(self.loss, optimiser, rate)

    def arguments(self, num_steps: int) -> tuple:
        """Abstract arguments of a gradient: theta, start and target [P], rows [T,b]."""
        rows = jax.ShapeDtypeStruct((num_steps, self.batch), jnp.int32)
        return self.theta, self.params, self.params, rows


def distance(end: Array, start: Array, target: Array) -> Array:
    """The loss of MTT."""
    return jnp.sum((end - target) ** 2) / jnp.sum((start - target) ** 2)
