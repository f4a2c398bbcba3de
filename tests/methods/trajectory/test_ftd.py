"""FTD: MTT's step, an average of the images, and the rate as it is."""

import dataclasses

import numpy as np
import pytest

from jaxdd.errors import InputError
from jaxdd.methods.trajectory.ftd import FtdConfig, ftd
from jaxdd.methods.trajectory.mtt import MttConfig, mtt
from jaxdd.records import Experts
from tests.methods.trajectory.toy_experts import SETTINGS, advanced, assets, begun, task


def test_steps_are_those_of_mtt_and_an_average_is_exported():
    distiller = ftd(task(), FtdConfig(**SETTINGS, ema=0.75))
    plain = mtt(task(), MttConfig(**SETTINGS))
    state, other = begun(distiller), begun(plain)
    average = np.asarray(state.params["image"])
    for _ in range(3):
        state, _ = advanced(distiller, state)
        other, _ = advanced(plain, other)
        average = 0.75 * average + 0.25 * np.asarray(state.params["image"])
    np.testing.assert_array_equal(state.params["image"], other.params["image"])
    found = distiller.export(state, assets())
    np.testing.assert_allclose(found.image, average, rtol=1e-5, atol=1e-6)
    assert float(abs(found.image - state.params["image"]).max()) > 1e-3
    rate = np.exp(state.params["hyper"]["log_rate"])
    np.testing.assert_allclose(found.hyper["learning_rate"], rate, rtol=1e-6)


def test_ftd_refuses_negative_radii():
    experts = dataclasses.replace(SETTINGS["experts"], kind="flat", radius=-1.0)
    config = dataclasses.replace(FtdConfig(**SETTINGS), experts=experts)
    with pytest.raises(InputError, match=r"distill.experts.radius=-1.0"):
        ftd(task(), config)


def test_its_experts_are_flat():
    assert FtdConfig().experts == Experts(kind="flat", radius=0.01, alpha=1.0)
