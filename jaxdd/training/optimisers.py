"""Optimisers with their schedules, from an `OptimiserSpec`.

Everything is optax; only what it lacks is written here: LARS whose trust ratio is
clipped at the learning rate, and clipping each leaf by its own norm.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import optax

from jaxdd.base import Array, PyTree
from jaxdd.errors import InputError, check_choices, check_numbers
from jaxdd.records import (
    AdaBelief,
    Adam,
    AdamW,
    Constant,
    Decay,
    Lamb,
    Lars,
    Listed,
    OptimiserSpec,
    Sgd,
    Steps,
)

__all__ = [
    "build",
    "by_part",
    "clip_by_average",
    "clip_leaves",
    "gated",
    "scale_by_clipped_trust",
    "schedule",
]

_NOT_NEGATIVE = ("learning_rate", "momentum", "weight_decay", "clip_norm", "trust")
_NORM_FLOOR = 1e-6  # PyTorch's clip_grad_norm_ adds it to the norm
_TRUST_FLOOR = 1e-8


def build(spec: OptimiserSpec, num_steps: int) -> optax.GradientTransformation:
    """The optimiser of `spec` for a run of `num_steps` steps.

    sgd follows PyTorch: weight decay is added to the gradient of every leaf, biases
    and norms included, before momentum, and the learning rate multiplies last.

    Args:
      spec: the settings.
      num_steps: length of the run, which the schedules are stretched over.

    Returns:
      A transformation whose `update` needs the parameters.

    Raises:
      InputError: a value out of range, or a restart of averages that cannot be.
    """
    _check(spec, num_steps)
    rate = schedule(spec, num_steps)
    chain = optax.chain(*_clip(spec), *_core(spec, rate))
    if isinstance(spec.schedule, Steps) and spec.schedule.restart:
        return _restarted(chain, _boundaries(spec.schedule, num_steps))
    return chain


def by_part(
    parts: dict[str, optax.GradientTransformation],
) -> optax.GradientTransformation:
    """An optimiser of its own for each entry of a dict of parameters.

    Args:
      parts: by the entry's name, such as image, target and hyper; entries that the
        parameters lack are not used.

    Raises:
      KeyError: on `init`, the parameters have an entry without an optimiser.
    """

    def labels(params: dict[str, PyTree]) -> dict[str, PyTree]:
        for name in params:
            parts[name]
        return {n: jax.tree.map(lambda _, n=n: n, part) for n, part in params.items()}

    return optax.partition(parts, labels)  # type: ignore[arg-type]


def gated(
    inner: optax.GradientTransformation, threshold: float
) -> optax.GradientTransformationExtraArgs:
    """Leaves parameters and optimiser as they are where the loss exceeds a threshold.

    Args:
      inner: the optimiser.
      threshold: steps with a loss above it change nothing (DATM, arXiv 2310.05773).

    Returns:
      A transformation whose `update` takes the loss as `value`.
    """
    return optax.conditionally_mask(
        inner,
        lambda step, value, **extra: jnp.logical_not(value > threshold),
        forward_extra_args=True,
    )


def clip_by_average(
    factor: float = 2.0, decay: float = 0.9
) -> optax.GradientTransformation:
    """Shrinks updates whose norm exceeds a multiple of the norm's running average.

    e <- decay e + (1 - decay) ||u|| from e = ||u|| at the first step, then u is scaled
    to a norm of at most factor e; the average holds the current norm already (Feng et
    al., ICLR 2024, arXiv 2311.07025, and their program).

    Args:
      factor: of the average.
      decay: of the average.
    """

    def init(params: PyTree) -> PyTree:
        del params
        return jnp.zeros(()), jnp.zeros((), jnp.int32)

    def update(
        updates: PyTree, state: PyTree, params: PyTree | None = None
    ) -> tuple[PyTree, PyTree]:
        del params
        average, count = state
        norm = optax.tree.norm(updates).astype(average.dtype)
        after = jnp.where(count == 0, norm, decay * average + (1 - decay) * norm)
        share = jnp.minimum(1.0, factor * after / (norm + _NORM_FLOOR))
        scaled = jax.tree.map(lambda u: u * share.astype(u.dtype), updates)
        return scaled, (after, count + 1)

    return optax.GradientTransformation(init, update)


def schedule(spec: OptimiserSpec, num_steps: int) -> optax.Schedule:
    """The learning rate as a function of the step.

    A linear warm-up, then the decay over the remaining steps: it reaches `final` times
    the rate at step `num_steps`, one after the last.
    """
    plan, rate = spec.schedule, spec.learning_rate
    if isinstance(plan, Listed):
        rates = jnp.asarray(plan.rates)
        return lambda count: rates[jnp.minimum(count, len(plan.rates) - 1)]
    warm = spec.warmup.steps or int(spec.warmup.share * num_steps)
    rest = max(num_steps - warm, 1)
    if isinstance(plan, Steps):
        steps = [max(at - warm, 1) for at in _boundaries(plan, num_steps)]
        decay = optax.piecewise_constant_schedule(
            rate, dict.fromkeys(steps, plan.factor)
        )
    elif isinstance(plan, Constant):
        decay = optax.constant_schedule(rate)
    elif plan.name == "linear":
        decay = optax.linear_schedule(rate, rate * plan.final, rest)
    else:
        decay = optax.cosine_decay_schedule(rate, rest, alpha=plan.final)
    if warm == 0:
        return decay
    warmup = optax.linear_schedule(spec.warmup.start, rate, warm)
    return optax.join_schedules([warmup, decay], [warm])


def _boundaries(plan: Steps, num_steps: int) -> list[int]:
    """The steps at which the rate drops; whole ones despite fractions like 2/3."""
    return [int(share * num_steps + 1e-6) for share in plan.boundaries]


def _restarted(
    inner: optax.GradientTransformation, boundaries: list[int]
) -> optax.GradientTransformation:
    """Averages start anew at each boundary; the schedule's counts go on."""

    def init(params: PyTree) -> PyTree:
        return jnp.zeros((), jnp.int32), inner.init(params)

    def update(
        updates: PyTree, state: PyTree, params: PyTree | None = None
    ) -> tuple[PyTree, PyTree]:
        count, before = state
        anew = jnp.any(count == jnp.asarray(boundaries, jnp.int32))

        def forget(leaf: Array, first: Array) -> Array:
            counts = jnp.issubdtype(leaf.dtype, jnp.integer)
            return leaf if counts else jnp.where(anew, first, leaf)

        assert params is not None, "sgd's weight decay needs the parameters"
        before = jax.tree.map(forget, before, inner.init(params))
        updates, after = inner.update(updates, before, params)
        return updates, (count + 1, after)

    return optax.GradientTransformation(init, update)


def clip_leaves(max_norm: float) -> optax.GradientTransformation:
    """Shrinks each leaf's update to a Euclidean norm of at most `max_norm`."""

    def clip(update: Array) -> Array:
        norm = jnp.sqrt(jnp.sum(update**2))
        return update * jnp.minimum(1.0, max_norm / (norm + _NORM_FLOOR)).astype(
            update.dtype
        )

    return optax.stateless(lambda updates, params: jax.tree.map(clip, updates))


def scale_by_clipped_trust(
    rate: optax.Schedule,
    weight_decay: float,
    trust: float = 0.02,
    clip: bool = True,
) -> optax.GradientTransformation:
    """Layer-wise adaptation of LARS with its clip at the learning rate.

    For a leaf p of two or more axes with gradient g:
    s = trust ||p|| / (||g|| + weight_decay ||p|| + 1e-8), and the update is
    min(s / rate, 1) (g + weight_decay p), or s (g + weight_decay p) without the clip.
    Leaves of fewer axes (biases, norms), and leaves with p = 0 or g = 0, pass
    unchanged.

    Args:
      rate: the learning rate schedule that multiplies the update afterwards.
      weight_decay: coupled L2.
      trust: eta.
      clip: never step further than plain SGD would; without it, s and the rate
        multiply.

    Returns:
      The transformation (You et al. 2017, arXiv 1708.03888; the clip is that of the
      recipes in vturrisi/solo-learn, MIT).
    """

    def init(params: PyTree) -> PyTree:
        del params
        return optax.ScaleByScheduleState(jnp.zeros((), jnp.int32))

    def update(
        updates: PyTree, state: PyTree, params: PyTree | None = None
    ) -> tuple[PyTree, PyTree]:
        if params is None:
            raise ValueError("scale_by_clipped_trust needs the parameters")
        now = jnp.asarray(rate(state.count))

        def adapt(g: Array, p: Array) -> Array:
            if p.ndim < 2:
                return g
            norm_p, norm_g = jnp.sqrt(jnp.sum(p**2)), jnp.sqrt(jnp.sum(g**2))
            ratio = trust * norm_p / (norm_g + weight_decay * norm_p + _TRUST_FLOOR)
            if clip:
                ratio = jnp.where(ratio < now, ratio / jnp.where(now > 0, now, 1), 1)
            scaled = ratio.astype(g.dtype) * (g + weight_decay * p)
            return jnp.where((norm_p > 0) & (norm_g > 0), scaled, g)

        next_state = optax.ScaleByScheduleState(state.count + 1)
        return jax.tree.map(adapt, updates, params), next_state

    return optax.GradientTransformation(init, update)


def _clip(spec: OptimiserSpec) -> list[optax.GradientTransformation]:
    return [clip_leaves(spec.clip_norm)] if spec.clip_norm else []


def _core(
    spec: OptimiserSpec, rate: optax.Schedule
) -> list[optax.GradientTransformation]:
    if isinstance(spec, Adam):
        return [optax.adam(rate, spec.b1, spec.b2)]
    if isinstance(spec, AdaBelief):
        return [optax.adabelief(rate, spec.b1, spec.b2)]
    decay = spec.weight_decay
    if isinstance(spec, AdamW):
        return [optax.adamw(rate, spec.b1, spec.b2, weight_decay=decay)]
    if isinstance(spec, Lamb):
        return [optax.lamb(rate, spec.b1, spec.b2, weight_decay=decay)]
    momentum = [optax.trace(spec.momentum)] if spec.momentum else []
    step = optax.scale_by_learning_rate(rate)
    if isinstance(spec, Lars):
        trust = scale_by_clipped_trust(rate, decay, spec.trust, spec.clip_trust)
        return [trust, *momentum, step]
    coupled = [optax.add_decayed_weights(decay)] if decay else []
    return [*coupled, *momentum, step]


def _check(spec: OptimiserSpec, num_steps: int) -> None:
    """Refuses values without meaning, naming the field."""
    check_choices(spec, "optimiser")
    fields = {field.name for field in dataclasses.fields(spec)}
    check_numbers(
        spec,
        not_negative=tuple(name for name in _NOT_NEGATIVE if name in fields),
        shares=("b1", "b2") if "b1" in fields else (),
        name="optimiser",
    )
    _check_schedule(spec)
    warmup = spec.warmup
    check_numbers(
        warmup, not_negative=("start",), shares=("share",), name="optimiser.warmup"
    )
    if warmup.steps and warmup.share:
        raise InputError(
            f"optimiser.warmup.steps={warmup.steps}, optimiser.warmup.share="
            f"{warmup.share}: give only one of them"
        )
    if warmup.steps < 0 or (warmup.steps and warmup.steps >= num_steps):
        raise InputError(
            f"optimiser.warmup.steps={warmup.steps}: must be in [0, {num_steps}), "
            f"less than the {num_steps} steps of the run"
        )


def _check_schedule(spec: OptimiserSpec) -> None:
    plan, name = spec.schedule, "optimiser.schedule"
    if isinstance(plan, Decay):
        check_numbers(plan, not_negative=("final",), name=name)
    if isinstance(plan, Listed):
        bad = [rate for rate in plan.rates if not (math.isfinite(rate) and rate >= 0)]
        if bad or not plan.rates:
            raise InputError(
                f"{name}.rates={plan.rates}: give one rate or more, each finite and "
                "at least 0"
            )
    if not isinstance(plan, Steps):
        return
    check_numbers(plan, not_negative=("factor",), name=name)
    if any(not 0 <= share < 1 for share in plan.boundaries):
        raise InputError(
            f"{name}.boundaries={plan.boundaries}: fractions of the run, each in [0, 1)"
        )
    if plan.restart and not isinstance(spec, Sgd | Lars):
        raise InputError(
            f"{name}.restart=True with {spec.name!r}: its averages are corrected by the"
            " number of steps, which a restart would have to forget too; use sgd"
        )
