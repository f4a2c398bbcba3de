"""A convolutional network with batch norm in plain JAX, for tests of objectives."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxdd.base import Network, Output, Variables


def toy_network(
    widths: tuple[int, ...], image_shape: tuple[int, int, int], outputs: int
) -> Network:
    """Blocks of conv 3x3, batch norm, ReLU, 2x2 average pool; then a dense layer."""
    height, width, _ = image_shape
    cells = (height >> len(widths)) * (width >> len(widths))

    def init(key):
        params, stats = [], []
        channels = (image_shape[2], *widths)
        for fan_in, out in itertools.pairwise(channels):
            key, now = jax.random.split(key)
            kernel = jax.random.normal(now, (3, 3, fan_in, out)) / (3 * fan_in**0.5)
            bias = 0.1 * jnp.cos(jnp.arange(out))
            params.append({"w": kernel, "b": bias, "scale": 1 + bias, "shift": bias})
            stats.append({"mean": -bias, "var": 1 + bias})
        head = jax.random.normal(key, (cells * widths[-1], outputs))
        params.append(
            {"w": head / (cells * widths[-1]) ** 0.5, "b": jnp.zeros(outputs)}
        )
        return Variables(params, stats)

    def apply(variables, image, *, train=False, key=None):
        del key
        after = []
        x = image
        for p, s in zip(variables.params, variables.stats, strict=False):
            x = conv(x, p["w"]) + p["b"][None, None, None]
            mean, var = s["mean"], s["var"]
            if train:
                mean, var = jnp.mean(x, (0, 1, 2)), jnp.var(x, (0, 1, 2))
            after.append({"mean": mean, "var": var})
            scale = p["scale"] * lax.rsqrt(var + 1e-5)
            x = (x - mean[None, None, None]) * scale[None, None, None]
            x = jax.nn.relu(x + p["shift"][None, None, None])
            n, h, w, c = x.shape
            x = x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))
        flat = x.reshape(x.shape[0], -1)
        head = variables.params[-1]
        logits = flat @ head["w"] + head["b"][None]
        return Output(logits, flat), Variables(variables.params, after)

    return Network(init, apply, cells * widths[-1], outputs, "toy")


def conv(image, kernel):
    """3x3 convolution with zero padding 1."""
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        image, kernel, (1, 1), "SAME", dimension_numbers=layout
    )


def in_float64(tree):
    """The tree's floating leaves as float64 arrays."""
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), tree)
