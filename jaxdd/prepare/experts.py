"""Experts' trajectories, recorded, imported or found, as a method's asset."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxdd import networks
from jaxdd.base import Array, Corpus, Dataset, ExpertsAsset, Network
from jaxdd.errors import InputError
from jaxdd.evaluation import accuracy
from jaxdd.prepare.expert_course import (
    check_experts,
    course_of,
    expert_network,
    unravelled,
)
from jaxdd.prepare.expert_import import buffers_identity, import_buffers
from jaxdd.prepare.expert_recorder import Recorder
from jaxdd.prepare.expert_store import MANIFEST, ExpertStore, check_fits, described
from jaxdd.prepare.expert_training import record
from jaxdd.prepare.prepared_cache import asset_key, cached_tree
from jaxdd.prepare.site import Prepared, Site
from jaxdd.records import Experts, ExpertsNeed
from jaxdd.training.examples import apply_to_all, outputs

__all__ = [
    "check_experts_need",
    "open_store",
    "prepare_experts",
    "pretend_experts",
    "runs_of_experts",
]

_TESTED = 3  # experts whose last snapshots are tested
_READ_BY = {  # settings that only some kinds read
    "flat": ("radius", "alpha"),
    "smooth": ("damping", "damped_epochs", "penalty", "penalty_norm"),
}


def prepare_experts(need: ExpertsNeed, dataset: Dataset, site: Site) -> Prepared:
    """Trains, imports, or finds in the cache, the experts that a method asks for.

    Args:
      need: which, and how they are trained.
      dataset: trains on the training split; the test split is only classified.
      site: its `unsaved_drive` runs the steps, as stages `experts/FIRST-LAST/toEPOCH`.
        Without a cache nothing is kept, and the trajectories must fit the budget.

    Returns:
      The asset, whose `snapshots` is None where they are over the budget and are to be
      read; and `expert_loss`, the mean at the end of the training where it was done
      here, and `expert_accuracy`, the mean test accuracy of the first three.

    Raises:
      InputError: a setting without meaning, a loss that is not finite, trajectories
        of another network or of other data, or a folder that cannot be written.
    """
    if site.cache is None:
        return _in_memory(need, dataset, site)
    store = _store(need.experts, dataset.train, site)
    quality = _quality(store, need.experts, dataset, site)
    named = ", ".join(f"{name} {value:.3f}" for name, value in quality.items())
    fits = store.nbytes <= site.expert_budget
    site.say(
        f"experts: {store.num_experts} of {store.num_epochs} epochs"
        + (f", {named}" if named else "")
        + f"; {store.nbytes:,} bytes "
        + (
            "on the device"
            if fits
            else f"over the budget of {site.expert_budget:,}, read as needed"
        )
    )
    snapshots = jnp.asarray(store.everything()) if fits else None
    asset = ExpertsAsset(jnp.asarray(store.last()), snapshots)
    return Prepared(asset, quality, None if fits else store.read)


def _in_memory(need: ExpertsNeed, dataset: Dataset, site: Site) -> Prepared:
    """`prepare_experts` with a cache that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        site = site._replace(cache=Path(folder), say=lambda line: None)
        prepared = prepare_experts(need, dataset, site)
    if prepared.read is not None:
        raise InputError(
            f"the trajectories take more than the {site.expert_budget:,} bytes of "
            "data.expert_budget: give a cache folder, from which they are read"
        )
    return prepared


def pretend_experts(need: ExpertsNeed, dataset: Dataset, site: Site) -> Prepared:
    """As many as fit the budget, but one at least; their training is only shown."""
    experts, course = need.experts, course_of(need.experts, dataset.train)
    state = jax.jit(course.run.init)(jax.random.key(0))
    steps = experts.epochs * course.epoch_steps
    site.unsaved_drive(course.run.step, state, steps, course.data, stage="experts")
    start = ravel_pytree(state.variables.params)[0].astype(jnp.float32)
    shape = experts.epochs + 1, start.size
    fit = site.expert_budget // (4 * math.prod(shape))
    count = max(1, min(experts.count, fit))
    # No two snapshots alike, for the distances that objectives divide by.
    pace = jnp.linspace(1, 2, shape[0])[:, None]
    snapshots = jnp.broadcast_to(pace * start[None], (count, *shape))
    return Prepared(ExpertsAsset(snapshots[:, -1], snapshots))


def check_experts_need(need: ExpertsNeed, corpus: Corpus) -> None:
    """Refuses experts that cannot be trained on these data (`check_experts`)."""
    del corpus
    check_experts(need.experts)


def runs_of_experts(need: ExpertsNeed) -> dict[str, int]:
    """One training for each expert that is not imported."""
    return {"experts": 0 if need.experts.buffers else need.experts.count}


def open_store(experts: Experts, corpus: Corpus, cache: Path) -> ExpertStore:
    """The trajectories that `prepare_experts` has left in the cache.

    Raises:
      InputError: there are none, or not of this network and these data.
    """
    folder = _folder(experts, corpus, cache)
    store = ExpertStore(folder, experts.count, experts.epochs)
    check_fits(store, experts, corpus)
    return store


def _store(experts: Experts, corpus: Corpus, site: Site) -> ExpertStore:
    """The trajectories in the cache, recorded where they are not whole yet."""
    check_experts(experts)
    network = expert_network(experts, corpus)
    assert site.cache is not None
    folder = _folder(experts, corpus, site.cache)
    if _given(experts) is None:
        recorder = site.together.in_turn(
            lambda: Recorder(
                folder,
                (experts.count, experts.epochs + 1, _num_parameters(network)),
                described(experts, corpus),
            )
        )
        missing = len(recorder.missing)
        if not site.together.everywhere(missing == 0):
            size = f"{4 * np.prod(recorder.shape, dtype=int):,} bytes in {folder}"
            if experts.buffers is not None:
                site.say(f"experts: importing {experts.count}, {size}")
                site.together.in_turn(lambda: import_buffers(experts, corpus, recorder))
            else:
                site.say(f"experts: training {missing} {network.name}, {size}")
                record(experts, corpus, recorder, site)
    return open_store(experts, corpus, site.cache)


def _folder(experts: Experts, corpus: Corpus, cache: Path) -> Path:
    """Where these trajectories lie."""
    given = _given(experts)
    if given is not None:
        return given
    identity = [_meant(experts), corpus.num_classes, buffers_identity(experts)]
    return cache / f"experts-{asset_key(corpus, identity)}"


def _given(experts: Experts) -> Path | None:
    """The folder of an earlier recording, where that is what was given."""
    folder = experts.buffers and experts.buffers.expanduser()
    return folder if folder and (folder / MANIFEST).exists() else None


def _meant(experts: Experts) -> Experts:
    """The record without what does not decide the trajectories."""
    plain = Experts()
    unread = {
        name: getattr(plain, name)
        for kind, names in _READ_BY.items()
        for name in names
        if kind != experts.kind
    }
    recipe = dataclasses.replace(experts.recipe, steps=0, epochs=0)
    meant = dataclasses.replace(experts, recipe=recipe, buffers=None, **unread)
    if experts.buffers is None:
        return meant
    return dataclasses.replace(
        plain, network=experts.network, epochs=experts.epochs, count=experts.count
    )


def _num_parameters(network: Network) -> int:
    return networks.count_parameters(network)


def _quality(
    store: ExpertStore, experts: Experts, dataset: Dataset, site: Site
) -> dict[str, float]:
    """Final loss, and test accuracy of the first few."""
    known = [store.manifest.finished[n].loss for n in range(store.num_experts)]
    losses = [loss for loss in known if loss is not None]
    quality = {"expert_loss": float(np.mean(losses))} if losses else {}
    if dataset.test is None:
        return quality
    tested = min(_TESTED, store.num_experts)
    checks = [
        store.manifest.finished[n].checks[store.num_epochs] for n in range(tested)
    ]
    key = asset_key(dataset.test, "expert accuracy", experts.network, checks)
    measured = site.together.in_turn(
        lambda: cached_tree(
            site.cache,
            key,
            jax.ShapeDtypeStruct((), jnp.float32),
            lambda: _accuracy(store.last()[:tested], experts, dataset),
        )
    )
    return quality | {"expert_accuracy": float(measured)}


def _accuracy(snapshots: np.ndarray, experts: Experts, dataset: Dataset) -> Array:
    """The mean test accuracy of networks with these parameters [n,p]."""
    corpus = dataset.test
    assert corpus is not None
    network = expert_network(experts, dataset.train)
    logits = apply_to_all(outputs(network, "logits"))
    unravel = unravelled(network)
    found = [
        accuracy(logits(unravel(jnp.asarray(row)), corpus), corpus.label)
        for row in snapshots
    ]
    return jnp.float32(np.mean(found))
