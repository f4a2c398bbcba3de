"""TESLA: trajectory matching with a gradient that is a sum over the student's steps.

As `mtt`, but the derivative of each step is taken at fixed parameters: what a step
changes in the gradients of later ones is left out. The sum needs no chain through the
steps and its parts may be computed in any order. It is not the gradient of the
objective for more than one step; at equal memory `mtt` computes that one. Labels can be
assigned by the expert's network at the end of the piece, anew in each step.

Objective: as `mtt`'s. Gradient by the image batch of step t:
-beta d/dx <grad CE(theta_t; A_t(x_t)), lambda> with lambda = 2 (theta_T - phi_(s+M)) /
||phi_s - phi_(s+M)||^2 for every t.

Reference: J. Cui, R. Wang, S. Si, C.-J. Hsieh, "Scaling Up Dataset Distillation to
ImageNet-1K with Constant Memory", ICML 2023, arXiv 2211.10586. Code: justincui03/tesla
(MIT), read for constants and run for the reference arrays of the tests.

Parts: pixels with a learned rate; end distance; no pool; the separable adjoint;
segments of trajectories.

Differences from the paper: the logarithm of the learning rate is learned. The paper
calls its gradient that of the objective. A set with assigned labels carries those of
the last step's expert, which students are then trained with.

Differences from the authors' code: its gradient of the images is half of the paper's,
because a doubling acts on a tuple and not on the gradient; the `_code` presets halve
the learning rate of the images instead. Its label assignment works for ImageNet with
more than 50 images only; this one for any set. Its `--texture` is not offered.

Expected: on digits within noise of `mtt`.
"""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

from jaxdd.base import (
    Array,
    Assets,
    Batch,
    Corpus,
    Distiller,
    Key,
    Method,
    Metrics,
    Parts,
    State,
    Synthetic,
    Task,
)
from jaxdd.decoders.initial import Logits
from jaxdd.errors import InputError
from jaxdd.methods.trajectory._matching import (
    Options,
    TrajectoryConfig,
    judge,
    matching,
)
from jaxdd.objectives.trajectory import expert_labels
from jaxdd.records import AdjointSpec

__all__ = ["METHOD", "TeslaConfig", "tesla"]


@dataclass(frozen=True)
class TeslaConfig(TrajectoryConfig):
    """Settings of TESLA."""

    adjoint: AdjointSpec = AdjointSpec("separable")
    """separable is the method; the others compare it with the exact gradient."""
    labels: Literal["class", "expert"] = "class"
    """expert: probabilities that the network at the end of each piece gives the images
    (soft label assignment)."""


def tesla(task: Task, config: TeslaConfig = TeslaConfig()) -> Distiller:
    """TESLA for a task.

    Args:
      task: image shape, classes, images per class and precision.
      config: settings.

    Returns:
      The distiller; its feed is pieces of experts' trajectories.

    Raises:
      InputError: a value is out of range, or the experts end before the last target.
    """
    if config.labels == "class":
        return matching(task, config)
    if config.ema:
        raise InputError(
            f"distill.ema={config.ema} with labels='expert': the labels are those of "
            "the images as they are, not of their average; set ema to 0"
        )
    return _labelled(
        matching(task, config, Options(labels="expert")), judge(task, config)
    )


def _labelled(distiller: Distiller, logits: Logits) -> Distiller:
    """Keeps the labels of the last step's expert, and exports them with the images."""

    def init(key: Key, corpus: Corpus, assets: Assets) -> State:
        state = distiller.init(key, corpus, assets)
        return state._replace(memory=jnp.zeros(_shape(state, assets), jnp.float32))

    def _shape(state: State, assets: Assets) -> tuple[int, ...]:
        image = distiller.export(state, assets).image
        return jax.eval_shape(logits, assets["experts"].last[0], image).shape

    def step(state: State, batch: Batch, assets: Assets) -> tuple[State, Metrics]:
        after, metrics = distiller.step(state, batch, assets)
        image = distiller.export(state, assets).image
        found: Array = expert_labels(logits, batch.extra.target[-1, -1], image)
        return after._replace(memory=found.astype(state.memory.dtype)), metrics

    def export(state: State, assets: Assets) -> Synthetic:
        synthetic = distiller.export(state, assets)
        # Before the first step no expert has been drawn.
        classes = jax.nn.one_hot(
            synthetic.target, state.memory.shape[1], dtype=state.memory.dtype
        )
        target = jnp.where(state.step > 0, state.memory, classes)
        return synthetic._replace(target=target)

    return distiller._replace(init=init, step=step, export=export)


METHOD = Method(
    build=tesla,
    config=TeslaConfig,
    parts=Parts("pixels + rate", "end distance", "none", "separable", "segments"),
)
