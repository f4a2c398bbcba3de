"""Experts' trajectories, recorded, imported or found, as a method's asset."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import networks
from jaxdd.base import Array, Corpus, Dataset, Drive, ExpertsAsset, Network
from jaxdd.errors import InputError
from jaxdd.evaluation import accuracy
from jaxdd.prepare.cache import ALONE, Together, asset_key, cached_tree
from jaxdd.prepare.expert_course import check_experts, expert_network, unravelled
from jaxdd.prepare.expert_import import buffers_identity, import_buffers
from jaxdd.prepare.expert_recorder import Recorder
from jaxdd.prepare.expert_store import MANIFEST, ExpertStore, check_fits, described
from jaxdd.prepare.expert_training import record
from jaxdd.records import Experts
from jaxdd.training import scan_drive
from jaxdd.training.examples import apply_to_all, outputs
from jaxdd.training.together import Group

__all__ = ["check_epochs", "open_store", "prepare_experts"]

_TESTED = 3  # experts whose last snapshots are tested
_READ_BY = {  # settings that only some kinds read
    "flat": ("radius", "alpha"),
    "smooth": ("damping", "damped_epochs", "penalty", "penalty_norm"),
}


def prepare_experts(
    experts: Experts,
    dataset: Dataset,
    *,
    drive: Drive = scan_drive,
    cache: Path | None = None,
    budget: int = 4_000_000_000,
    group: Group = Group(),
    announce: Callable[[str], None] = lambda line: None,
    together: Together = ALONE,
) -> tuple[ExpertsAsset, dict[str, float]]:
    """Trains, imports, or finds in the cache, the experts that a method asks for.

    Args:
      experts: which, and how they are trained.
      dataset: trains on the training split; the test split is only classified.
      drive: who runs the steps, as stages `experts/FIRST-LAST/toEPOCH`.
      cache: folder of prepared assets; None keeps nothing, and the trajectories must
        fit the budget.
      budget: bytes of trajectories that are put on the device; beyond it `snapshots`
        is (), and `open_store` gives what to read from.
      group: how they are trained together.
      announce: told what is done and what it takes.
      together: how several processes keep together, which all call this alike.

    Returns:
      The asset, and `expert_loss`, the mean at the end of the training where it was
      done here, and `expert_accuracy`, the mean test accuracy of the first three.

    Raises:
      InputError: a setting without meaning, a loss that is not finite, trajectories
        of another network or of other data, or a folder that cannot be written.
    """
    trained = {"drive": drive, "group": group, "together": together}
    if cache is None:
        return _in_memory(experts, dataset, budget, announce=announce, **trained)
    store = _store(experts, dataset.train, cache, announce=announce, **trained)
    quality = _quality(store, experts, dataset, cache, together)
    named = ", ".join(f"{name} {value:.3f}" for name, value in quality.items())
    fits = store.nbytes <= budget
    announce(
        f"experts: {store.num_experts} of {store.num_epochs} epochs"
        + (f", {named}" if named else "")
        + f"; {store.nbytes:,} bytes "
        + (
            "on the device"
            if fits
            else f"over the budget of {budget:,}, read as needed"
        )
    )
    snapshots = jnp.asarray(store.everything()) if fits else ()
    return ExpertsAsset(jnp.asarray(store.last()), snapshots), quality


def _in_memory(
    experts: Experts, dataset: Dataset, budget: int, **trained: Any
) -> tuple[ExpertsAsset, dict[str, float]]:
    """`prepare_experts` with a cache that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        asset, quality = prepare_experts(
            experts, dataset, cache=Path(folder), budget=budget, **trained
        )
    if isinstance(asset.snapshots, tuple):
        raise InputError(
            f"the trajectories take more than the {budget:,} bytes of "
            "data.expert_budget: give a cache folder, from which they are read"
        )
    return asset, quality


def open_store(experts: Experts, corpus: Corpus, cache: Path) -> ExpertStore:
    """The trajectories that `prepare_experts` has left in the cache.

    Raises:
      InputError: there are none, or not of this network and these data.
    """
    folder = _folder(experts, corpus, cache)
    store = ExpertStore(folder, experts.count, experts.epochs)
    check_fits(store, experts, corpus)
    return store


def check_epochs(num_epochs: int, *, last: int, ahead: int) -> None:
    """Refuses pieces that reach beyond what is recorded.

    Args:
      num_epochs: of the trajectories.
      last: the latest start is the epoch before it.
      ahead: epochs from the start to the furthest target.

    Raises:
      InputError: a start or a target beyond the last snapshot.
    """
    if last > num_epochs:
        raise InputError(
            f"starts up to epoch {last - 1} are asked for, and the experts have "
            f"{num_epochs} epochs; lower the last start epoch to at most "
            f"{num_epochs - ahead + 1}, or raise experts.epochs"
        )
    if last - 1 + ahead > num_epochs:
        raise InputError(
            f"a piece of {ahead} epochs from epoch {last - 1} ends at epoch "
            f"{last - 1 + ahead}, and the experts have {num_epochs}; lower the last "
            f"start epoch to at most {num_epochs - ahead + 1}, match fewer epochs, or "
            "raise experts.epochs"
        )


def _store(
    experts: Experts,
    corpus: Corpus,
    cache: Path,
    *,
    drive: Drive,
    group: Group,
    announce: Callable[[str], None],
    together: Together,
) -> ExpertStore:
    """The trajectories in the cache, recorded where they are not whole yet."""
    check_experts(experts)
    network = expert_network(experts, corpus)
    folder = _folder(experts, corpus, cache)
    if _given(experts) is None:
        recorder = together.in_turn(
            lambda: Recorder(
                folder,
                (experts.count, experts.epochs + 1, _num_parameters(network)),
                described(experts, corpus),
            )
        )
        left = len(recorder.missing)
        if not together.everywhere(left == 0):
            size = f"{4 * np.prod(recorder.shape, dtype=int):,} bytes in {folder}"
            if experts.buffers is not None:
                announce(f"experts: importing {experts.count}, {size}")
                together.in_turn(lambda: import_buffers(experts, corpus, recorder))
            else:
                announce(f"experts: training {left} {network.name}, {size}")
                record(
                    experts,
                    corpus,
                    recorder,
                    drive=drive,
                    group=group,
                    together=together,
                    announce=announce,
                )
    return open_store(experts, corpus, cache)


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
    store: ExpertStore,
    experts: Experts,
    dataset: Dataset,
    cache: Path,
    together: Together,
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
    measured = together.in_turn(
        lambda: cached_tree(
            cache,
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
