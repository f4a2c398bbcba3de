"""A trained teacher with its outputs over the views of the training images."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.base import Array, Corpus, Dataset, Drive, Metrics, TeacherAsset, Variables
from jaxdd.errors import InputError
from jaxdd.networks.teacher import represent
from jaxdd.prepare.cache import (
    ALONE,
    Together,
    asset_key,
    cached_tree,
    find_tree,
)
from jaxdd.prepare.imported import import_teacher, teacher_identity
from jaxdd.prepare.quality import measure, measured
from jaxdd.prepare.ssl import Shard, train_teacher, whole
from jaxdd.prepare.standardise import standardise
from jaxdd.prepare.views import build_table, table_bytes, table_dtype
from jaxdd.records import Teacher, TeacherNeed
from jaxdd.training import scan_drive

__all__ = ["prepare_teacher"]

Announce = Callable[[str], None]
_COLLAPSED = 0.05  # untrained networks are at 0.2 and above
_LAST = 10  # steps whose loss is averaged for the report


def prepare_teacher(
    need: TeacherNeed,
    dataset: Dataset,
    *,
    drive: Drive = scan_drive,
    cache: Path | None = None,
    shard: Shard = whole,
    view_budget: int = 12_000_000_000,
    announce: Announce = lambda line: None,
    together: Together = ALONE,
) -> tuple[TeacherAsset, dict[str, float]]:
    """Trains, imports, or finds in the cache, the teacher that a method asks for.

    Args:
      need: the teacher and the views over which its outputs are wanted.
      dataset: trains on the training split; the test split is only classified.
      drive: who runs the steps, as the stage `target`.
      cache: folder of prepared assets, or None.
      shard: splits the rows of a training step over devices.
      view_budget: bytes that the table of outputs may take; where not even bfloat16
        fits, the table is () and the teacher runs inside the step.
      announce: told, before a table is built, how many bytes it takes.
      together: how several processes keep together, which all call this alike.

    Returns:
      The asset, and the quality of its training: `final_loss`, the mean of the last
      ten steps where it was trained, and what `jaxdd.prepare.quality.measure` finds.

    Raises:
      InputError: settings without meaning, a training that diverged, a checkpoint that
        does not fit, or a cache that cannot be written.
    """
    corpus, teacher = dataset.train, need.teacher
    _, read, _ = represent(teacher, corpus.image_shape)
    train = partial(train_teacher, drive=drive, shard=shard)
    identity, report = teacher_identity(teacher), {}
    plain = dataclasses.replace(teacher, standardise=False)
    if teacher.checkpoint is not None:
        announce(f"teacher: weights from {teacher.checkpoint}")
        variables = import_teacher(plain, corpus)
    else:
        variables, loss = _trained(plain, corpus, train, cache, announce, together)
        report["final_loss"] = float(loss)
    if teacher.standardise:
        variables = together.in_turn(
            partial(standardise, teacher, corpus, variables, cache)
        )
    tested = dataset.test.hash if dataset.test is not None else ""
    quality = together.in_turn(
        lambda: cached_tree(
            cache,
            asset_key(corpus, "quality", identity, tested),
            jax.eval_shape(lambda: dict.fromkeys(measured(dataset), jnp.float32(0))),
            lambda: measure(read, variables, dataset, seed=teacher.seed),
        )
    )
    report |= {k: float(v) for k, v in quality.items()}
    announce("teacher: " + ", ".join(f"{k} {v:.3f}" for k, v in report.items()))
    if report["collapse"] < _COLLAPSED:
        announce("teacher: warning, its representation has collapsed")
    table = together.in_turn(
        partial(_table, need, corpus, variables, cache, view_budget, announce)
    )
    return TeacherAsset(variables, table), report


def _trained(
    teacher: Teacher,
    corpus: Corpus,
    train: Callable[[Teacher, Corpus], tuple[Variables, Metrics]],
    cache: Path | None,
    announce: Announce,
    together: Together,
) -> tuple[Variables, Array]:
    """The teacher's variables and the loss at the end of its training."""
    body, _, _ = represent(teacher, corpus.image_shape)

    def build() -> tuple[Variables, Array]:
        announce(f"teacher: training {body.name} for {teacher.recipe.steps} steps")
        variables, metrics = train(teacher, corpus)
        return variables, _final_loss(np.asarray(metrics["loss"]))

    like = jax.eval_shape(lambda: (body.init(jax.random.key(0)), jnp.float32(0)))
    key = asset_key(corpus, teacher)
    found = find_tree(cache, key, like)
    if together.everywhere(found is not None) and found is not None:
        return found
    made = build()  # in all processes, for they train together
    return together.in_turn(lambda: cached_tree(cache, key, like, lambda: made))


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
    need: TeacherNeed,
    corpus: Corpus,
    variables: Variables,
    cache: Path | None,
    budget: int,
    announce: Announce,
) -> Array | tuple:
    """The outputs [views, n, d], or () where they do not fit the budget."""
    identity = teacher_identity(need.teacher)
    _, read, width = represent(need.teacher, corpus.image_shape)
    shape = (need.views.count, corpus.size, width)
    dtype = table_dtype(shape, budget)
    what = "teacher outputs: views {} x images {} x numbers {}".format(*shape)
    if dtype is None:
        least = table_bytes(shape, jnp.bfloat16)
        announce(
            f"{what}: {least:,} bytes in bfloat16, over the budget of {budget:,}: "
            "the teacher runs inside the step"
        )
        return ()
    announce(
        f"{what}: {table_bytes(shape, dtype):,} bytes in {jnp.dtype(dtype).name} "
        f"(budget {budget:,})"
    )
    return cached_tree(
        cache,
        asset_key(corpus, "table", identity, need.views, jnp.dtype(dtype).name),
        jax.ShapeDtypeStruct(shape, dtype),
        lambda: build_table(
            read,
            variables,
            corpus,
            need.views,
            shape=shape,
            dtype=dtype,
            announce=announce,
        ),
    )
