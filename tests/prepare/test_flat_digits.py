"""What sharpness-aware experts are for: flatter ends, on the digits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import whiten
from jaxdd.data.load import load
from jaxdd.prepare.expert_course import expert_network, unravelled
from jaxdd.records import (
    DataSpec,
    Experts,
    ExpertsNeed,
    Mlp,
    Recipe,
    Sgd,
)
from jaxdd.training import losses
from tests.prepare.cases import prepare, replaced

EXPERTS = Experts(
    Mlp(width=(64, 64)),
    Recipe(batch=256, optimiser=Sgd(0.1, 0.0)),
    epochs=20,
    count=3,
    radius=0.2,
)


def curvature(corpus):
    """The trace of the loss's Hessian at a snapshot, by Hutchinson's estimate."""
    unravel = unravelled(network := expert_network(EXPERTS, corpus))
    image = whiten.apply(corpus.whitening, whiten.to_unit(corpus.image))

    def loss(flat):
        logits = network.apply(unravel(flat), image)[0].logits
        return losses.cross_entropy(logits, corpus.label)

    def estimate(flat, key):
        def one(key):
            way = jax.random.rademacher(key, flat.shape, flat.dtype)
            return way @ jax.jvp(jax.grad(loss), (flat,), (way,))[1]

        return jnp.mean(jax.lax.map(one, jax.random.split(key, 30)))

    return jax.jit(estimate)


@pytest.mark.slow
def test_flat_experts_end_where_the_loss_is_flatter():
    data = load(DataSpec("digits"), cache=None)
    trace, found = curvature(data.train), {}
    for kind in ("plain", "flat"):
        need = ExpertsNeed(replaced(EXPERTS, kind=kind))
        asset, quality = prepare(need, data)
        found[kind] = [trace(row, jax.random.key(0)) for row in asset.last]
        assert quality["expert_accuracy"] > 0.88
    assert (np.array(found["flat"]) < 0.99 * np.array(found["plain"])).all()
