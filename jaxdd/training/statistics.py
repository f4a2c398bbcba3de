"""Statistics of normalisation, taken from real images."""

import jax

from jaxdd.base import (
    Batch,
    Network,
    Variables,
)

__all__ = ["with_batch_statistics"]


_SETTLING = 16  # real images of each class for the statistics of batch norm


def with_batch_statistics(
    network: Network, variables: Variables, batch: Batch
) -> Variables:
    """The variables after their running statistics have taken in real images.

    Up to 16 images of every class pass in training mode; they are fixed afterwards.
    Networks without statistics stay as they are.

    Args:
      network: what the variables belong to.
      variables: of it.
      batch: class-balanced, [k,n,h,w,c].
    """
    if not jax.tree.leaves(variables.stats):
        return variables
    some = batch.image[:, :_SETTLING]
    _, after = network.apply(variables, some.reshape(-1, *some.shape[2:]), train=True)
    return after
