"""Whitening: an explicit, invertible map from [0,1] pixels to what networks see."""

import dataclasses

import jax


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Whitening:
    """Fitted whitening; unused arrays are ()."""

    channel_mean: jax.Array | tuple
    channel_std: jax.Array | tuple
    mean: jax.Array | tuple
    matrix: jax.Array | tuple
    inverse_matrix: jax.Array | tuple
    kind: str = dataclasses.field(metadata={"static": True})
