"""Random walks that stand for experts' trajectories, and steps along them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxdd import networks
from jaxdd.base import Batch, Distiller, ExpertsAsset, State, Task
from jaxdd.data.feeds import sample
from jaxdd.records import (
    Experts,
    Mlp,
    NetworkSpec,
    Sgd,
)
from tests.helpers import toy_corpus

EXPERTS = Experts(network=Mlp(width=(6,)), epochs=6, count=3)
SETTINGS = {
    "experts": EXPERTS,
    "inner_steps": 3,
    "last": 4,
    "optimiser": Sgd(0.5, 0.5),
    "rate": 0.1,
    "rate_optimiser": Sgd(1e-3, 0.5),
}
CORPUS = toy_corpus()


def task(ipc: int = 1) -> Task:
    return Task(CORPUS.image_shape, 4, 4 * ipc, ipc, num_steps=20, train_size=48)


@functools.cache
def assets(spec: NetworkSpec = EXPERTS.network) -> dict[str, ExpertsAsset]:
    """Snapshots [3,7,p]; each epoch adds noise to the one before."""
    network = networks.build(spec, CORPUS.image_shape, 4)
    flat, _ = ravel_pytree(network.init(jax.random.key(0)).params)
    moves = np.random.default_rng(0).standard_normal((3, 7, flat.size)) * 0.05
    walk = jnp.asarray(moves.cumsum(1), jnp.float32) + flat[None, None]
    return {"experts": ExpertsAsset(walk[:, -1], walk)}


@functools.cache
def _jitted(function):
    return jax.jit(function)


def begun(distiller: Distiller) -> State:
    return distiller.init(jax.random.key(3), CORPUS, assets())


def batch_of(distiller: Distiller, state: State) -> Batch:
    return _drawn(distiller.feed, state.key, state.step)


@functools.partial(jax.jit, static_argnums=0)
def _drawn(feed, key: jax.Array, step: jax.Array) -> Batch:
    return sample(feed, CORPUS, assets(), key, step)


def advanced(distiller: Distiller, state: State) -> tuple[State, dict]:
    return _jitted(distiller.step)(state, batch_of(distiller, state), assets())


def gradient_of(distiller: Distiller, state: State) -> dict:
    batch = batch_of(distiller, state)
    return _jitted(distiller.gradient)(state, batch, assets())[0]
