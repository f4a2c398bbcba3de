"""RCIG's outer objective, with its gradient by the implicit function theorem."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxdd.base import (
    Array,
    Assets,
    Batch,
    Key,
    Metrics,
    Network,
    Objective,
    PyTree,
    Synthetic,
    Variables,
)
from jaxdd.kernels.precision import dot
from jaxdd.kernels.ridge import Ridge, fit
from jaxdd.objectives.labelled import centred_targets, label_margin, with_mirrors
from jaxdd.objectives.linearised import (
    Body,
    LastLayer,
    Solver,
    body_of,
    inner_problem,
    minimise,
    solve,
    tangents,
    trend,
)
from jaxdd.training.losses import weighted_mean

__all__ = ["ImplicitSettings", "SolverRates", "implicit_krr"]


class SolverRates(NamedTuple):
    """Learning rates of the solvers' Adam, `Batch.extra` of a step."""

    inner: Array | float = 0.0  # of the inner problem
    system: Array | float = 0.0  # of the linear system


class ImplicitSettings(NamedTuple):
    """What the gradient is made of."""

    solver: Solver = Solver()
    last_layer: LastLayer = "exact"
    clip: bool = True
    """Shrink the implicit term of each leaf to the norm of the direct one."""
    mirror: bool = False
    margin: float = 1.0
    refine: int = 1
    chunk_synthetic: int | None = None
    chunk_real: int | None = None


def implicit_krr(
    network: Network,
    ridge: float,
    num_classes: int,
    settings: ImplicitSettings = ImplicitSettings(),
) -> Objective:
    """Cross-entropy of the set's regression after training, linearised.

    With dw the solution of `linearised.InnerProblem` on the set, J the Jacobian of the
    logits and F the features at the drawn weights:
    P = J_b dw + F_b F_s^T (F_s F_s^T + lam I)^-1 (Y_s - J_s dw), and the loss is
    CE(exp(t) P, classes) - margin mean_i min(top1 - top2 of Y_s[i], 1/(2k)). Its
    gradient by the set is the direct one plus that through dw, - (d/d set) <v, dL/d dw>
    with v = H^-1 (d loss / d dw) (Loo et al., ICML 2023, arXiv 2302.06755).

    Args:
      network: allows forward mode (the convolution "rows" or "stock").
      ridge: lam, absolute.
      num_classes: k.
      settings: of the solvers and the gradient.

    Returns:
      the objective, of sets with learned targets [m,k] and
      `hyper["log_temperature"]` (t). It reads `SolverRates` from `Batch.extra` where
      the solver is adam. Metrics: loss, error (the cross-entropy), margin, inner_trend,
      solve_trend (see `linearised.trend`), and implicit_share, the ratio of the norms
      of both terms for the images, before clipping.
    """
    lam = Ridge(ridge, "none")

    def objective(
        synthetic: Synthetic,
        batch: Batch,
        variables: Variables,
        assets: Assets,
        key: Key,
    ) -> tuple[Array, Metrics]:
        del assets, key  # nothing is prepared, nothing is random
        body = body_of(network, lax.stop_gradient(variables), settings.last_layer)
        given = batch._replace(target=centred_targets(batch, num_classes))
        rates = batch.extra if settings.solver.name == "adam" else SolverRates()
        learned = (synthetic.image, synthetic.target, synthetic.hyper)
        fixed = lax.stop_gradient(learned)
        found = _gradient(fixed, body, given, lam, settings, rates)
        loss, gradient, report = lax.stop_gradient(found)
        return _with_gradient(loss, gradient, learned), report | {"loss": loss}

    return objective


def _gradient(
    learned: PyTree,
    body: Body,
    batch: Batch,
    lam: Ridge,
    settings: ImplicitSettings,
    rates: SolverRates,
) -> tuple[Array, PyTree, Metrics]:
    """Loss, its gradient by (image, target, hyper), metrics."""
    support = _support(learned, settings)
    problem = inner_problem(body, support.image, support.target, lam, settings.refine)
    change, values = minimise(problem, settings.solver, rates.inner)
    outer = jax.value_and_grad(_outer, argnums=(0, 1), has_aux=True)
    (loss, report), (slope, direct) = outer(change, learned, body, batch, lam, settings)
    vector, system = solve(problem, slope, settings.solver, rates.system)
    through = jax.grad(_through)(learned, change, vector, body, lam, settings)
    share = jnp.linalg.norm(through[0]) / (jnp.linalg.norm(direct[0]) + _TINY)
    if settings.clip:
        through = jax.tree.map(_clipped, through, direct)
    report |= {"inner_trend": trend(values), "solve_trend": trend(system)}
    report |= {"implicit_share": share}
    return loss, jax.tree.map(jnp.add, direct, through), report


_TINY = 1e-30


def _support(learned: PyTree, settings: ImplicitSettings) -> Synthetic:
    image, target, hyper = learned
    plain = Synthetic(image, target, jnp.ones(len(image), image.dtype), hyper)
    return with_mirrors(plain) if settings.mirror else plain


def _outer(
    change: Array,
    learned: PyTree,
    body: Body,
    batch: Batch,
    lam: Ridge,
    settings: ImplicitSettings,
) -> tuple[Array, Metrics]:
    """The loss as a function of dw and of the set, each with the other fixed."""
    support = _support(learned, settings)
    f_s, (moved_s,) = tangents(body, support.image, (change,), settings.chunk_synthetic)
    f_b, (moved_b,) = tangents(body, batch.image, (change,), settings.chunk_real)
    rest = support.target - moved_s
    alpha, info = fit(dot(f_s, f_s.T), rest, lam, refine=settings.refine)
    prediction = moved_b + dot(f_b, dot(f_s.T, alpha))
    scale = jnp.exp(support.hyper["log_temperature"])
    assert batch.target is not None
    # From e_y - 1/k to e_y, whatever k.
    share = batch.target - jnp.min(batch.target, axis=1, keepdims=True)
    rows = optax.softmax_cross_entropy(prediction * scale, share)
    error = weighted_mean(rows, batch.weight)
    held = label_margin(support.target, 0.5 / support.target.shape[1])
    report = {"error": error, "margin": held, "retries": info.retries}
    return error - settings.margin * held, report


def _through(
    learned: PyTree,
    change: Array,
    vector: Array,
    body: Body,
    lam: Ridge,
    settings: ImplicitSettings,
) -> Array:
    """-<v, dL/d dw> but for what does not depend on the set: c (J v)^T M (Y - J dw)."""
    support = _support(learned, settings)
    changes = vector * body.moved, change
    features, (by_vector, by_change) = tangents(
        body, support.image, changes, settings.chunk_synthetic
    )
    rest = support.target - by_change
    gram = dot(features, features.T)
    alpha, info = fit(gram, rest, lam, refine=settings.refine)
    return info.ridge / support.target.size * jnp.sum(by_vector * alpha)


def _clipped(through: Array, direct: Array) -> Array:
    norm, most = jnp.linalg.norm(through), jnp.linalg.norm(direct)
    return through * jnp.where(norm > 0, jnp.minimum(1.0, most / (norm + _TINY)), 0.0)


def _with_gradient(loss: Array, gradient: PyTree, learned: PyTree) -> Array:
    """The loss, as a function whose derivative by `learned` is `gradient`."""

    def part(slope: Array, leaf: Array) -> Array:
        return jnp.sum(slope * (leaf - lax.stop_gradient(leaf)))

    parts = jax.tree.map(part, gradient, learned)
    return loss + sum(jax.tree.leaves(parts))
