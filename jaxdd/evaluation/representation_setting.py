"""What all rows of a representation set share: student, teacher's outputs, recipe."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

import jax.numpy as jnp

from jaxdd.base import Array, Network
from jaxdd.errors import InputError
from jaxdd.evaluation.setting import Setting
from jaxdd.networks.teacher import represent
from jaxdd.records import Recipe
from jaxdd.training.examples import apply_to_all, student_network

__all__ = ["RepresentationSetting", "make_representation_setting"]

TeacherOutputs = Callable[[str], Array]
"""The teacher's outputs [n,d] on a split, "train" or "test", un-augmented."""


class RepresentationSetting(NamedTuple):
    """The setting of an evaluation, the students' network, and the true targets."""

    setting: Setting
    network: Network
    teacher: TeacherOutputs

    @property
    def recipe(self) -> Recipe:
        """The students' recipe: representations are regressed, whatever its loss."""
        return dataclasses.replace(self.setting.meta.protocol.train, loss="mse")


def make_representation_setting(
    setting: Setting, given: Mapping[str, Array]
) -> RepresentationSetting:
    """The setting of a representation set.

    Args:
      setting: what is evaluated.
      given: the teacher's un-augmented outputs by split, where they are known.

    Raises:
      InputError: outputs are missing and the set has no teacher to compute them.
    """
    meta = setting.meta
    width = setting.sets[0].synthetic.target.shape[-1]
    network = student_network(meta.protocol.network, tuple(meta.image_shape), width)
    return RepresentationSetting(setting, network, _teacher(setting, given))


def _teacher(setting: Setting, given: Mapping[str, Array]) -> TeacherOutputs:
    """The teacher's outputs by split, each computed once, when first asked for."""
    meta, modules = setting.meta, setting.sets[0].modules
    known = meta.teacher is not None and "teacher" in modules
    if not known and not {"train", "test"} <= set(given):
        raise InputError(
            "sets: a set of representations needs its teacher to be judged, and this "
            "one has none in its modules; save it with its teacher, or give "
            "teacher_outputs"
        )

    @cache
    def outputs_on(split: str) -> Array:
        if split in given:
            return jnp.asarray(given[split])
        assert meta.teacher is not None
        _, apply, _ = represent(meta.teacher, tuple(meta.image_shape))
        corpus = setting.test if split == "test" else setting.train
        assert corpus is not None
        result = apply_to_all(apply)(modules["teacher"], corpus)
        return result.astype(jnp.promote_types(result.dtype, jnp.float32))

    return outputs_on
