"""What an evaluation is about: checked sets, real data in their whitening, seeds."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import files
from jaxdd.base import Corpus, Dataset, Distilled, Drive, PyTree
from jaxdd.errors import InputError
from jaxdd.records import Meta, Regression, digest

__all__ = ["Setting", "dataset_notes", "make_setting"]


class Setting(NamedTuple):
    """Everything the rows of one evaluation share.

    `train` and `test` whiten as the sets say, whatever the data set was fitted to;
    `train` is None where it was not given.
    """

    sets: tuple[Distilled, ...]  # one, or one a seed
    train: Corpus | None
    test: Corpus
    seeds: tuple[int, ...]
    drive: Drive
    targets: tuple[Dataset, ...] = ()  # other labelled data, in whitenings of their own

    @property
    def meta(self) -> Meta:
        """The description of the first set; what counts here is the same in all."""
        return self.sets[0].meta

    @property
    def size(self) -> int:
        """Number of synthetic images m."""
        return self.sets[0].synthetic.image.shape[0]

    @property
    def ipc(self) -> int | None:
        """Images per class, None where the set has no labels or is not balanced."""
        classes = self.meta.num_classes
        if self.meta.label_kind == "representation" or not classes:
            return None
        return None if self.size % classes else self.size // classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(h, w, c) of the set and of the real images."""
        height, width, channels = self.meta.image_shape
        return height, width, channels

    @property
    def labelled(self) -> bool:
        """Whether both real splits have labels."""
        return bool(self.train and self.train.num_classes and self.test.num_classes)

    def set_at(self, position: int) -> Distilled:
        """The set of the seed at `position`."""
        return self.sets[position if len(self.sets) > 1 else 0]

    def fingerprint(self, position: int) -> str:
        """Identifies set, teacher, data and protocol: what a finished piece is of."""
        distilled = self.set_at(position)
        arrays = jax.tree.leaves((distilled.synthetic, distilled.modules))
        others = [corpus for target in self.targets for corpus in target]
        real = (self.train, self.test, *others)
        data = [corpus.hash if corpus else "" for corpus in real]
        # Which other networks are asked for changes nothing about those that are done.
        # The same holds for kernels, whose pieces are named by their settings.
        protocol = dataclasses.replace(
            self.meta.protocol,
            labelled=dataclasses.replace(self.meta.protocol.labelled, networks=()),
            regression=Regression(),
        )
        settings = digest(protocol, self.meta.method, self.meta.label_kind)
        return files.sha256(settings, *data, *map(np.asarray, arrays))[:16]


def make_setting(
    sets: Sequence[Distilled],
    train: Corpus | None,
    test: Corpus,
    seeds: Sequence[int],
    drive: Drive,
    targets: Sequence[Dataset] = (),
) -> Setting:
    """Checks what was given and whitens the real data as the sets are.

    Raises:
      InputError: the number of sets does not fit the seeds, the sets differ in what
        they must share, or the data does not fit them.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise InputError(f"seeds={list(seeds)}: give at least one, each once")
    if len(sets) not in (1, len(seeds)):
        raise InputError(
            f"sets: {len(sets)} of them with {len(seeds)} seeds; give one set, or one "
            "a seed"
        )
    _check_alike(sets)
    for name, corpus in (("train", train), ("test", test)):
        _check_fits(sets[0].meta, name, corpus)
    _check_targets(sets[0].meta, targets)
    whitening = _plain(sets[0].whitening)
    train = train and dataclasses.replace(train, whitening=whitening)
    test = dataclasses.replace(test, whitening=whitening)
    plain = tuple(
        Distilled(_plain(s.synthetic), s.meta, whitening, _plain(s.modules))
        for s in sets
    )
    return Setting(plain, train, test, tuple(seeds), drive, tuple(targets))


def _plain(tree: PyTree) -> PyTree:
    """Arrays without placement or weak types, as if loaded from disk.

    So a set is measured by the same programs whether it was made in this process or
    read, and real images of its shape share them.
    """
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), tree)


def _check_alike(sets: Sequence[Distilled]) -> None:
    shared = ("method", "label_kind", "protocol", "image_shape", "num_classes")
    for name in shared:
        if len({getattr(distilled.meta, name) for distilled in sets}) > 1:
            raise InputError(
                f"sets: they differ in {name}; evaluate each on its own, or give the "
                "sets of one run"
            )
    if len({distilled.synthetic.image.shape for distilled in sets}) > 1:
        raise InputError("sets: they differ in size; evaluate each on its own")


def _check_fits(meta: Meta, name: str, corpus: Corpus | None) -> None:
    if corpus is None:
        return
    if corpus.image_shape != tuple(meta.image_shape):
        raise InputError(
            f"dataset.{name}: images of shape {corpus.image_shape}, and the set was "
            f"distilled for {tuple(meta.image_shape)}; give the data the same pad and "
            "pool settings"
        )
    if meta.label_kind != "representation" and corpus.num_classes != meta.num_classes:
        raise InputError(
            f"dataset.{name}: {corpus.num_classes} classes, and the set has "
            f"{meta.num_classes}; give labelled data with the same classes"
        )


def _check_targets(meta: Meta, targets: Sequence[Dataset]) -> None:
    for train, test in targets:
        if train.image_shape != tuple(meta.image_shape):
            raise InputError(
                f"targets: {train.name} has images of shape {train.image_shape}, the"
                f" set {tuple(meta.image_shape)}; resize it (data.resize)"
            )
        if not train.num_classes or test is None:
            raise InputError(
                f"targets: {train.name} needs labels and a test split to be a target"
            )


def dataset_notes(meta: Meta, dataset: Dataset) -> list[str]:
    """What a reader must know about the data that was given."""
    notes = []
    if dataset.train is None:
        notes.append(
            "no random row, nor any other row of real images: no training split was "
            "given"
        )
    elif dataset.train.hash != meta.dataset_hash:
        notes.append(
            f"the training split given ({dataset.train.name}) is not the one that the "
            f"set was distilled from ({meta.dataset}); rows of real images come from "
            "the one given"
        )
    return notes
