"""A network seen from where it started: its outputs there are subtracted.

So are the finite networks of RFAD evaluated, closer to the kernel's predictor: the
output starts at zero and weight decay pulls to the start.
"""

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Key, Network, Output, PyTree, Variables

__all__ = ["centred"]


def centred(network: Network, *, centre: bool = True, scale: float = 1.0) -> Network:
    """The network f_(start + d) - f_start with parameters d, over a scale.

    Trained by mean squared error on targets y it is the network trained on `scale` y
    with the loss over scale^2 (Loo et al., NeurIPS 2022, arXiv 2210.12067, and their
    program); the classes with the largest outputs are the same.

    Args:
      network: of whose parameters the moves are learned, from zero on.
      centre: subtract the outputs at the start; without, parameters are the network's.
      scale: what the outputs are divided by.

    Returns:
      The network; where it is centred, its statistics hold the start.
    """

    def init(key: Key) -> Variables:
        fresh = network.init(key)
        if not centre:
            return fresh
        still = jax.tree.map(jnp.zeros_like, fresh.params)
        return Variables(still, {"start": fresh.params, "stats": fresh.stats})

    def apply(
        variables: Variables,
        image: Array,
        *,
        train: bool = False,
        key: Key | None = None,
    ) -> tuple[Output, Variables]:
        if not centre:
            output, after = network.apply(variables, image, train=train, key=key)
            return output._replace(logits=output.logits / scale), after
        start, stats = variables.stats["start"], variables.stats["stats"]
        now = Variables(_sum(start, variables.params), stats)
        output, after = network.apply(now, image, train=train, key=key)
        before, _ = network.apply(
            jax.lax.stop_gradient(Variables(start, stats)), image, train=train, key=key
        )
        logits = (output.logits - jax.lax.stop_gradient(before.logits)) / scale
        kept = {"start": start, "stats": after.stats}
        return output._replace(logits=logits), Variables(variables.params, kept)

    if not centre and scale == 1:
        return network
    words = [network.name, *["centred"] * centre]
    words += [] if scale == 1 else [f"over{scale:g}"]
    return network._replace(init=init, apply=apply, name="-".join(words))


def _sum(start: PyTree, moved: PyTree) -> PyTree:
    return jax.tree.map(lambda s, d: jax.lax.stop_gradient(s) + d, start, moved)
