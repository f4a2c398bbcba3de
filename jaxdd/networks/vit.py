"""The vision transformer of the field's tables (Dosovitskiy et al., 2021).

As DC-BENCH (Cui et al., 2022) and GLaD (Cazenavette et al., 2023) set it up, after
lucidrains/vit-pytorch: normalisation before attention and MLP, queries, keys and values
without bias, learned embeddings drawn from N(0,1), the class token read out.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdd.base import Array, Output
from jaxdd.networks import initialisers
from jaxdd.networks.layers import dense, finish
from jaxdd.networks.norm import EPSILON

__all__ = ["ViT", "patches"]


def patches(image: Array, side: int) -> Array:
    """Square patches of [n,h,w,c] in reading order: [n,(h/side)*(w/side),side*side*c].

    A patch is flattened as row, column, channel.
    """
    batch, height, width, channels = image.shape
    rows, columns = height // side, width // side
    image = image.reshape(batch, rows, side, columns, side, channels)
    image = image.transpose(0, 1, 3, 2, 4, 5)
    return image.reshape(batch, rows * columns, side * side * channels)


class ViT(nn.Module):
    """Patches to tokens, `depth` blocks of attention and MLP, then one Dense layer.

    `width` is the length of a token, shared by the heads; `hidden` the width inside
    the MLPs. Without `normed` there is no LayerNorm anywhere (GLaD at 128 pixels).
    Dropout after embedding, attention and both MLP layers needs `train` and a key.
    Taps are the tokens after each block, the class token first.
    """

    width: int = 512
    depth: int = 6
    heads: int = 8
    hidden: int = 512
    patch: int = 4
    normed: bool = True
    dropout: float = 0.0
    outputs: int = 10
    initialiser: initialisers.Kind = "torch"
    dtype: Any = None

    @nn.compact
    def __call__(self, image: Array, train: bool = False) -> Output:
        train = train and self.has_rng("dropout")
        tokens = self._drop(self._embed(image), train)
        taps = []
        for index in range(self.depth):
            name = f"block_{index}"
            attended = self._attend(self._normalise(tokens, f"{name}_norm_0"), name)
            tokens = tokens + self._drop(attended, train)
            inside = self._normalise(tokens, f"{name}_norm_1")
            inside = jax.nn.gelu(
                self._dense(inside, self.hidden, f"{name}_mlp_0"), approximate=False
            )
            inside = self._dense(self._drop(inside, train), self.width, f"{name}_mlp_1")
            tokens = tokens + self._drop(inside, train)
            taps.append(tokens)
        first = self._normalise(tokens[:, 0], "norm")
        return finish(first, self.outputs, self.initialiser, tuple(taps))

    def _embed(self, image: Array) -> Array:
        """The class token and the patches, each with its place."""
        tokens = self._dense(patches(image, self.patch), self.width, "embed")
        normal, dtype = nn.initializers.normal(1.0), initialisers.weight_dtype()
        shape = (1, tokens.shape[1] + 1, self.width)
        place = self.param("place", normal, shape, dtype).astype(tokens.dtype)
        token = self.param("class_token", normal, (1, 1, self.width), dtype)
        token = jnp.broadcast_to(
            token.astype(tokens.dtype), (len(tokens), 1, self.width)
        )
        return jnp.concatenate([token, tokens], 1) + place

    def _attend(self, tokens: Array, name: str) -> Array:
        """Attention of all tokens [n,t,d] to all, by every head."""
        batch, count, _ = tokens.shape
        mixed = self._dense(tokens, 3 * self.width, f"{name}_qkv", bias=False)
        mixed = mixed.reshape(batch, count, 3, self.heads, -1)
        # One matrix for every image and head: also for XLA's CPU products.
        mixed = mixed.transpose(2, 0, 3, 1, 4)
        query, key, value = mixed.reshape(3, batch * self.heads, count, -1)
        scores = query @ key.swapaxes(1, 2) * query.shape[-1] ** -0.5
        wide = jnp.promote_types(scores.dtype, jnp.float32)
        shares = jax.nn.softmax(scores.astype(wide)).astype(scores.dtype)
        seen = (shares @ value).reshape(batch, self.heads, count, -1)
        seen = seen.swapaxes(1, 2).reshape(batch, count, self.width)
        return self._dense(seen, self.width, f"{name}_out")

    def _dense(
        self, tokens: Array, units: int, name: str, *, bias: bool = True
    ) -> Array:
        """A Dense layer in this network's precision."""
        options = {"kind": self.initialiser, "dtype": self.dtype, "bias": bias}
        # As a plain matrix: on CPU the derivative of a product over more axes is slow.
        flat = dense(tokens.reshape(-1, tokens.shape[-1]), units, name, **options)
        return flat.reshape(*tokens.shape[:-1], units)

    def _drop(self, tokens: Array, train: bool) -> Array:
        return nn.Dropout(self.dropout, deterministic=not train)(tokens)

    def _normalise(self, tokens: Array, name: str) -> Array:
        """LayerNorm over each token, in at least float32 inside."""
        if not self.normed:
            return tokens
        return nn.LayerNorm(
            epsilon=EPSILON,
            dtype=self.dtype,
            param_dtype=initialisers.weight_dtype(),
            use_fast_variance=False,
            name=name,
        )(tokens)
