"""What the finished set takes from elsewhere than the learned parameters."""

import jax
import jax.numpy as jnp

from jaxdd.base import (
    Assets,
    Batch,
    Corpus,
    Distiller,
    Key,
    Metrics,
    State,
    Synthetic,
)
from jaxdd.decoders.initial import Logits
from jaxdd.objectives.trajectory import expert_labels

__all__ = ["with_expert_labels", "with_last_rate"]


def with_last_rate(distiller: Distiller) -> Distiller:
    """Exports averaged images with the rate as it is: averages are of what is seen."""

    def export(state: State, assets: Assets) -> Synthetic:
        average = {**state.memory, "hyper": state.params["hyper"]}
        return distiller.export(state._replace(memory=average), assets)

    return distiller._replace(export=export)


def with_expert_labels(distiller: Distiller, logits: Logits) -> Distiller:
    """Keeps the labels of the last step's expert, and exports them with the images."""

    def init(key: Key, corpus: Corpus, assets: Assets) -> State:
        state = distiller.init(key, corpus, assets)
        image = distiller.export(state, assets).image
        shape = jax.eval_shape(logits, assets["experts"].last[0], image).shape
        return state._replace(memory=jnp.zeros(shape, jnp.float32))

    def step(state: State, batch: Batch, assets: Assets) -> tuple[State, Metrics]:
        after, metrics = distiller.step(state, batch, assets)
        image = distiller.export(state, assets).image
        labels = expert_labels(logits, batch.extra.target[-1, -1], image)
        return after._replace(memory=labels.astype(state.memory.dtype)), metrics

    def export(state: State, assets: Assets) -> Synthetic:
        synthetic = distiller.export(state, assets)
        # Before the first step no expert has been drawn.
        classes = jax.nn.one_hot(
            synthetic.target, state.memory.shape[1], dtype=state.memory.dtype
        )
        target = jnp.where(state.step > 0, state.memory, classes)
        return synthetic._replace(target=target)

    return distiller._replace(init=init, step=step, export=export)
