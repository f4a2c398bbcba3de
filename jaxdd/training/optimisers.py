"""Optimisers with their schedules, from an `OptimiserSpec`.

Everything is optax; only what it lacks is written here: LARS whose trust ratio is
clipped at the learning rate, and clipping each leaf by its own norm.
"""

import math

import jax
import jax.numpy as jnp
import optax

from jaxdd.base import Array, PyTree
from jaxdd.errors import InputError, check_choices, check_numbers
from jaxdd.records import OptimiserSpec

__all__ = [
    "build",
    "by_part",
    "clip_by_average",
    "clip_leaves",
    "gated",
    "scale_by_clipped_trust",
    "schedule",
]

_NOT_NEGATIVE = (
    "learning_rate",
    "momentum",
    "weight_decay",
    "final",
    "factor",
    "warmup_start",
    "clip_norm",
    "trust",
)
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
      InputError: an unknown name, a value out of range, or weight decay with adam.
    """
    _check(spec, num_steps)
    rate = schedule(spec, num_steps)
    chain = optax.chain(*_clip(spec), *_core(spec, rate))
    if spec.schedule == "step" and spec.restart:
        return _restarted(chain, _boundaries(spec, num_steps))
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
    inner = optax.with_extra_args_support(inner)

    def update(
        updates: PyTree,
        state: PyTree,
        params: PyTree | None = None,
        *,
        value: Array,
        **extra: PyTree,
    ) -> tuple[PyTree, PyTree]:
        moved, after = inner.update(updates, state, params, value=value, **extra)
        keep = value > threshold
        still = jax.tree.map(lambda u: jnp.where(keep, jnp.zeros_like(u), u), moved)
        held = jax.tree.map(lambda a, b: jnp.where(keep, b, a), after, state)
        return still, held

    return optax.GradientTransformationExtraArgs(inner.init, update)  # type: ignore


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

    A linear warm-up from `warmup_start`, then the decay over the remaining steps: it
    reaches `final` times the rate at step `num_steps`, one after the last.
    """
    if spec.rates:
        rates = jnp.asarray(spec.rates)
        return lambda count: rates[jnp.minimum(count, len(spec.rates) - 1)]
    warm = _warmup(spec, num_steps)
    rate, rest = spec.learning_rate, max(num_steps - warm, 1)
    if spec.schedule == "linear":
        decay = optax.linear_schedule(rate, rate * spec.final, rest)
    elif spec.schedule == "cosine":
        decay = optax.cosine_decay_schedule(rate, rest, alpha=spec.final)
    elif spec.schedule == "step":
        steps = [max(at - warm, 1) for at in _boundaries(spec, num_steps)]
        decay = optax.piecewise_constant_schedule(
            rate, dict.fromkeys(steps, spec.factor)
        )
    else:
        decay = optax.constant_schedule(rate)
    if warm == 0:
        return decay
    warmup = optax.linear_schedule(spec.warmup_start, rate, warm)
    return optax.join_schedules([warmup, decay], [warm])


def _warmup(spec: OptimiserSpec, num_steps: int) -> int:
    return spec.warmup or int(spec.warmup_share * num_steps)


def _boundaries(spec: OptimiserSpec, num_steps: int) -> list[int]:
    """The steps at which the rate drops; whole ones despite fractions like 2/3."""
    return [int(share * num_steps + 1e-6) for share in spec.boundaries]


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
    decay = spec.weight_decay
    momentum = [optax.trace(spec.momentum)] if spec.momentum else []
    step = optax.scale_by_learning_rate(rate)
    if spec.name == "sgd":
        coupled = [optax.add_decayed_weights(decay)] if decay else []
        return [*coupled, *momentum, step]
    if spec.name == "lars":
        trust = scale_by_clipped_trust(rate, decay, spec.trust, spec.clip_trust)
        return [trust, *momentum, step]
    if spec.name == "adam":
        return [optax.adam(rate, spec.b1, spec.b2)]
    if spec.name == "adamw":
        return [optax.adamw(rate, spec.b1, spec.b2, weight_decay=decay)]
    if spec.name == "adabelief":
        return [optax.adabelief(rate, spec.b1, spec.b2)]
    return [optax.lamb(rate, spec.b1, spec.b2, weight_decay=decay)]


def _check(spec: OptimiserSpec, num_steps: int) -> None:
    """Refuses values without meaning, naming the field."""
    check_choices(spec, "optimiser")
    check_numbers(
        spec, not_negative=_NOT_NEGATIVE, shares=("b1", "b2"), name="optimiser"
    )
    if any(not (math.isfinite(rate) and rate >= 0) for rate in spec.rates):
        raise InputError(f"optimiser.rates={spec.rates}: each must be finite and >= 0")
    if spec.name in ("adam", "adabelief") and spec.weight_decay:
        raise InputError(
            f"optimiser.weight_decay={spec.weight_decay}: {spec.name} has none; "
            "use adamw, or set it to 0"
        )
    shares = (spec.warmup_share, *spec.boundaries)
    if any(not 0 <= share < 1 for share in shares):
        raise InputError(
            f"optimiser.warmup_share={spec.warmup_share}, optimiser.boundaries="
            f"{spec.boundaries}: fractions of the run, each in [0, 1)"
        )
    if spec.warmup and spec.warmup_share:
        raise InputError(
            f"optimiser.warmup={spec.warmup}, optimiser.warmup_share="
            f"{spec.warmup_share}: give only one of them"
        )
    if spec.restart and spec.name not in ("sgd", "lars"):
        raise InputError(
            f"optimiser.restart=True with {spec.name!r}: its averages are corrected by"
            " the number of steps, which a restart would have to forget too; use sgd"
        )
    if spec.warmup < 0 or (spec.warmup and spec.warmup >= num_steps):
        raise InputError(
            f"optimiser.warmup={spec.warmup}: must be in [0, {num_steps}), "
            f"less than the {num_steps} steps of the run"
        )
