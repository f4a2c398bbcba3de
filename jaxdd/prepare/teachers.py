"""A trained teacher with its outputs over the views of the training images."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.base import Array, Corpus, Dataset, TeacherAsset, Variables
from jaxdd.errors import InputError
from jaxdd.networks.teacher import represent
from jaxdd.prepare.imported import import_teacher, teacher_identity
from jaxdd.prepare.prepared_cache import asset_key, cached_tree, find_tree
from jaxdd.prepare.quality import measure, measured
from jaxdd.prepare.site import Prepared, Site
from jaxdd.prepare.ssl import check_rows, train_teacher
from jaxdd.prepare.standardise import standardise
from jaxdd.prepare.views import build_table, table_bytes, table_dtype
from jaxdd.records import Teacher, TeacherNeed

__all__ = ["check_teacher", "prepare_teacher", "pretend_teacher"]

_COLLAPSED = 0.05  # untrained networks are at 0.2 and above
_LAST = 10  # steps whose loss is averaged for the report


def prepare_teacher(need: TeacherNeed, dataset: Dataset, site: Site) -> Prepared:
    """Trains, imports, or finds in the cache, the teacher that a method asks for.

    Args:
      need: the teacher and the views over which its outputs are wanted.
      dataset: trains on the training split; the test split is only classified.
      site: its `drive` runs the steps, as the stage `target`; it is told, before a
        table is built, how many bytes that takes. Where not even bfloat16 fits its
        `view_budget`, the table is None and the teacher runs inside the step.

    Returns:
      The asset, and the quality of its training: `final_loss`, the mean of the last
      ten steps where it was trained, and what `jaxdd.prepare.quality.measure` finds.

    Raises:
      InputError: settings without meaning, a training that diverged, a checkpoint that
        does not fit, or a cache that cannot be written.
    """
    corpus, teacher = dataset.train, need.teacher
    _, read, _ = represent(teacher, corpus.image_shape)
    identity, report = teacher_identity(teacher), {}
    plain = dataclasses.replace(teacher, standardise=False)
    if teacher.checkpoint is not None:
        site.say(f"teacher: weights from {teacher.checkpoint}")
        variables = import_teacher(plain, corpus)
    else:
        variables, loss = _trained(plain, corpus, site)
        report["final_loss"] = float(loss)
    if teacher.standardise:
        variables = site.together.in_turn(
            partial(standardise, teacher, corpus, variables, site.cache)
        )
    tested = dataset.test.hash if dataset.test is not None else ""
    quality = site.together.in_turn(
        lambda: cached_tree(
            site.cache,
            asset_key(corpus, "quality", identity, tested),
            jax.eval_shape(lambda: dict.fromkeys(measured(dataset), jnp.float32(0))),
            lambda: measure(read, variables, dataset, seed=teacher.seed),
        )
    )
    report |= {k: float(v) for k, v in quality.items()}
    site.say("teacher: " + ", ".join(f"{k} {v:.3f}" for k, v in report.items()))
    if report["collapse"] < _COLLAPSED:
        site.say("teacher: warning, its representation has collapsed")
    table = site.together.in_turn(partial(_table, need, corpus, variables, site))
    return Prepared(TeacherAsset(variables, table), report)


def pretend_teacher(need: TeacherNeed, dataset: Dataset, site: Site) -> Prepared:
    """An untrained teacher with an empty table; its training is only shown."""
    teacher, corpus = need.teacher, dataset.train
    variables, _ = train_teacher(teacher, corpus, drive=site.drive, shard=site.shard)
    _, _, width = represent(teacher, corpus.image_shape)
    shape = (need.views.count, corpus.size, width)
    dtype = table_dtype(shape, site.view_budget)
    table = None if dtype is None else jnp.zeros(shape, dtype)
    return Prepared(TeacherAsset(variables, table))


def check_teacher(need: TeacherNeed, corpus: Corpus) -> None:
    """Refuses a teacher that cannot be trained on these data."""
    if need.teacher.checkpoint is None:
        check_rows(need.teacher, corpus)


def _trained(teacher: Teacher, corpus: Corpus, site: Site) -> tuple[Variables, Array]:
    """The teacher's variables and the loss at the end of its training."""
    body, _, _ = represent(teacher, corpus.image_shape)

    def build() -> tuple[Variables, Array]:
        site.say(f"teacher: training {body.name} for {teacher.recipe.steps} steps")
        variables, metrics = train_teacher(
            teacher, corpus, drive=site.drive, shard=site.shard
        )
        return variables, _final_loss(np.asarray(metrics["loss"]))

    like = jax.eval_shape(lambda: (body.init(jax.random.key(0)), jnp.float32(0)))
    key = asset_key(corpus, teacher)
    entry = find_tree(site.cache, key, like)
    if site.together.everywhere(entry is not None) and entry is not None:
        return entry
    trained = build()  # in all processes, for they train together
    return site.together.in_turn(
        lambda: cached_tree(site.cache, key, like, lambda: trained)
    )


def _final_loss(loss: np.ndarray) -> Array:
    """The mean of the last steps; a teacher that diverged must not reach the cache."""
    broken = np.flatnonzero(~np.isfinite(loss))
    if broken.size:
        raise InputError(
            f"teacher: its loss is not finite from step {broken[0]} on; lower "
            "teacher.recipe.optimiser.learning_rate, or clip with clip_norm"
        )
    return jnp.float32(loss[-_LAST:].mean() if loss.size else 0.0)


def _table(
    need: TeacherNeed, corpus: Corpus, variables: Variables, site: Site
) -> Array | None:
    """The outputs [views, n, d], or None where they do not fit the budget."""
    identity = teacher_identity(need.teacher)
    _, read, width = represent(need.teacher, corpus.image_shape)
    shape = (need.views.count, corpus.size, width)
    dtype = table_dtype(shape, site.view_budget)
    what = "teacher outputs: views {} x images {} x numbers {}".format(*shape)
    if dtype is None:
        least = table_bytes(shape, jnp.bfloat16)
        site.say(
            f"{what}: {least:,} bytes in bfloat16, over the budget of "
            f"{site.view_budget:,}: the teacher runs inside the step"
        )
        return None
    site.say(
        f"{what}: {table_bytes(shape, dtype):,} bytes in {jnp.dtype(dtype).name} "
        f"(budget {site.view_budget:,})"
    )
    like = jax.ShapeDtypeStruct(shape, dtype)
    return cached_tree(
        site.cache,
        asset_key(corpus, "table", identity, need.views, jnp.dtype(dtype).name),
        like,
        lambda: build_table(read, variables, corpus, need.views, like, say=site.say),
    )
