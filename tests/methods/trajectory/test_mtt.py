"""MTT: its settings, what it stores, and its gradient beside TESLA's."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.errors import InputError
from jaxdd.methods.trajectory.ast import AstConfig
from jaxdd.methods.trajectory.datm import DatmConfig
from jaxdd.methods.trajectory.ftd import FtdConfig
from jaxdd.methods.trajectory.mtt import MttConfig, mtt
from jaxdd.methods.trajectory.tesla import TeslaConfig
from jaxdd.records import (
    AdjointSpec,
    ConvNet,
    Experts,
    Sgd,
)
from tests.methods.trajectory.toy_experts import (
    EXPERTS,
    SETTINGS,
    advanced,
    assets,
    batch_of,
    begun,
    gradient_of,
    task,
)

BATCH_NORM = Experts(network=ConvNet(norm="batch"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inner_steps": 0}, "distill.inner_steps=0: must be at least 1"),
        ({"expert_epochs": 0}, "distill.expert_epochs=0"),
        ({"first": -1}, "distill.first=-1"),
        ({"student_batch": -1}, "distill.student_batch=-1"),
        ({"meta_batch": 0}, "distill.meta_batch=0"),
        ({"rate": 0.0}, "distill.rate=0.0: must be positive"),
        ({"ema": 1.0}, "distill.ema=1.0"),
        ({"first": 4}, "starts are drawn from first to last - 1"),
        ({"last": 6}, "the snapshot of epoch 7"),
        ({"expert_epochs": 4}, "train for distill.experts.epochs=6"),
        ({"flip": True, "student_batch": 1}, "choose at least 2"),
        ({"experts": BATCH_NORM}, "kept without running"),
        ({"adjoint": AdjointSpec("exact")}, "adjoint.name='exact'"),
    ],
)
def test_settings_without_meaning_are_refused(changes, message):
    config = dataclasses.replace(MttConfig(**SETTINGS), **changes)
    with pytest.raises(InputError, match=message):
        mtt(task(), config)


def test_the_rate_moves_as_one_that_is_learned_itself():
    config = MttConfig(**SETTINGS)
    config = dataclasses.replace(config, rate_optimiser=Sgd(1e-5, 0.0))
    distiller = mtt(task(), config)
    state = begun(distiller)
    by_rate = gradient_of(distiller, state)["hyper"]["log_rate"] / config.rate
    after, _ = advanced(distiller, state)
    rate = distiller.export(after, assets()).hyper["learning_rate"]
    assert abs(float(by_rate)) > 0.01
    np.testing.assert_allclose(rate - config.rate, -1e-5 * by_rate, rtol=0.02)


def test_exact_and_separable_agree_for_one_step_only():
    def gradients(steps):
        found = []
        for name in ("step", "separable"):
            changes = {"inner_steps": steps, "adjoint": AdjointSpec(name)}
            distiller = mtt(task(), MttConfig(**{**SETTINGS, **changes}))
            found.append(gradient_of(distiller, begun(distiller))["image"])
        return found

    np.testing.assert_allclose(*gradients(1), rtol=1e-4, atol=1e-7)
    exact, separable = gradients(3)
    difference = float(jnp.linalg.norm(exact - separable) / jnp.linalg.norm(exact))
    assert difference > 1e-3


def test_mirror_images_are_trained_on_and_not_stored():
    distiller = mtt(task(2), MttConfig(**SETTINGS, flip=True))
    state = begun(distiller)
    assert distiller.export(state, assets()).image.shape == (8, 8, 8, 1)
    gradient = gradient_of(distiller, state)["image"]
    assert gradient.shape == (8, 8, 8, 1)
    assert bool(jnp.isfinite(gradient).all())
    assert float(jnp.abs(gradient).max()) > 0


def test_several_pieces_average_the_gradients_of_each():
    distiller = mtt(task(), MttConfig(**SETTINGS, meta_batch=3))
    state = begun(distiller)
    together = gradient_of(distiller, state)
    assert distiller.feed.meta_batch == 3
    single = mtt(task(), MttConfig(**SETTINGS))
    batch = batch_of(distiller, state)
    pieces = [
        jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], batch.extra) for i in range(3)
    ]
    run = jax.jit(single.gradient)
    alone = [run(state, batch._replace(extra=p), assets())[0]["image"] for p in pieces]
    np.testing.assert_allclose(together["image"], sum(alone) / 3, rtol=1e-4, atol=1e-7)


def test_the_network_of_the_experts_is_the_students():
    assert mtt(task(), MttConfig(**SETTINGS)).needs[0].experts == EXPERTS


def test_methods_differ_in_their_defaults_alone():
    """Any combination can be asked of any of them."""
    names = [f.name for f in dataclasses.fields(MttConfig)]
    for config in (TeslaConfig, FtdConfig, DatmConfig, AstConfig):
        assert [f.name for f in dataclasses.fields(config)] == names


def test_what_the_others_add_can_be_asked_together():
    config = MttConfig(
        **SETTINGS,
        momentum=0.5,
        middle="adaptive",
        balance=True,
        labels="average",
        label_optimiser=Sgd(0.5, 0.9),
        ramp_from=2,
        ramp_steps=5,
        threshold=100.0,
        ema=0.5,
    )
    distiller = mtt(task(), config)
    state, metrics = advanced(distiller, begun(distiller))
    assert float(metrics["loss"]) > float(metrics["end_distance"])
    assert set(state.params) == {"image", "target", "hyper"}
    image = distiller.export(state, assets()).image
    assert float(jnp.abs(image - state.params["image"]).max()) > 0
