"""The empirical neural tangent kernel of a finite network, in three ways.

All are exact and equal; they differ in what they hold at a time.
"""

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Network, PyTree, Variables
from jaxdd.errors import InputError, one_of
from jaxdd.kernels.blocked import blocked
from jaxdd.kernels.kernel import Kernel
from jaxdd.kernels.precision import dot

__all__ = ["Method", "empirical_ntk"]

Method = Literal["contraction", "chunked", "jvp"]

Logits = Callable[[PyTree, Array], Array]


def empirical_ntk(
    network: Network,
    method: Method = "contraction",
    *,
    output: int | None = None,
    chunk: int = 16,
) -> Kernel:
    """`1/k sum_c J_c(x) J_c(x')^T`, J_c the derivative of logit c by all parameters.

    The trace over the outputs divided by their number (Jacot et al., NeurIPS 2018), or
    the kernel of a single output. For p parameters:

    * contraction: all Jacobians, then one product for each array of parameters. Memory
      (n + m) k p, the fastest where that fits.
    * chunked: contraction for blocks of `chunk` by `chunk` images. Memory 2 chunk k p;
      a block's Jacobians are computed again in every row (or column) of blocks.
    * jvp: a column at a time, the derivative along the gradient of one logit. Memory
      2 p and the activations of n images; m k derivatives of n images. For networks
      of which not even a few Jacobians fit.

    Args:
      network: in evaluation mode; images do not see each other.
      method: contraction, chunked or jvp.
      output: only this logit; None = the mean over all.
      chunk: images a side of a block (chunked).

    Returns:
      The kernel; its third argument are the network's variables.

    Raises:
      InputError: an unknown method, or an output that the network does not have.
    """
    one_of("method", method, get_args(Method))
    if output is not None and not 0 <= output < network.output_dim:
        raise InputError(
            f"output is {output}; {network.name} has outputs 0 to"
            f" {network.output_dim - 1}, or None for the mean over all"
        )
    function = _by_columns if method == "jvp" else _contracted

    def kernel(x1: Array, x2: Array, variables: Variables) -> Array:
        logits = _logits(network, output, variables.stats)
        return function(logits, variables.params, x1, x2)

    return blocked(kernel, chunk, chunk) if method == "chunked" else kernel


def _logits(network: Network, output: int | None, stats: PyTree) -> Logits:
    """(parameters, images [n,h,w,c]) to logits [n,k]."""

    def logits(params: PyTree, image: Array) -> Array:
        given = Variables(params, stats)
        value = network.apply(given, image, train=False)[0].logits
        return value if output is None else value[:, output][:, None]

    return logits


def _contracted(logits: Logits, params: PyTree, x1: Array, x2: Array) -> Array:
    """Jacobians of all images, contracted array by array."""
    left = _jacobian(logits, params, x1)
    right = left if x2 is x1 else _jacobian(logits, params, x2)
    outputs = jax.tree.leaves(left)[0].shape[1]
    flat = lambda leaf: leaf.reshape(leaf.shape[0], -1)
    products = jax.tree.map(lambda a, b: dot(flat(a), flat(b).T), left, right)
    return jax.tree.reduce(jnp.add, products) / outputs


def _jacobian(logits: Logits, params: PyTree, image: Array) -> PyTree:
    """Derivatives of the logits by the parameters: leaves [n,k,...]."""

    def of_one(row: Array) -> PyTree:
        return jax.jacrev(lambda values: logits(values, row[None])[0])(params)

    return jax.vmap(of_one)(image)


def _by_columns(logits: Logits, params: PyTree, x1: Array, x2: Array) -> Array:
    """For each image of x2 and each logit, J(x1) times that logit's gradient."""
    value, pull = jax.vjp(lambda values: logits(values, x1), params)
    rows, outputs = value.shape

    def along(way: PyTree) -> Array:
        # The transpose of the transpose: convolutions that have derivatives in reverse
        # mode only allow it too, and nothing of the forward pass is computed again.
        _, push = jax.vjp(lambda u: pull(u)[0], jnp.zeros_like(value))
        return push(way)[0]

    def column(row: Array) -> Array:
        def add(total: Array, output: Array) -> tuple[Array, None]:
            slope = jax.grad(lambda values: logits(values, row[None])[0, output])
            return total + along(slope(params))[:, output], None

        start = jnp.zeros(rows, value.dtype)
        return jax.lax.scan(add, start, jnp.arange(outputs))[0] / outputs

    return jax.lax.map(jax.checkpoint(column, prevent_cse=False), x2).T
