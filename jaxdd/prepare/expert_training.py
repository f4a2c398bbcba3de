"""Trains experts by the one training loop and keeps a snapshot after every epoch.

Experts are trained together as students are (`training.together`), a few epochs to a
stage of the drive, at whose end the snapshots go to the disk.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxdd import tree
from jaxdd.base import Array, Corpus, Metrics, PyTree
from jaxdd.errors import InputError
from jaxdd.prepare.expert_course import Course, course_of
from jaxdd.prepare.expert_recorder import Begun, Recorder
from jaxdd.prepare.site import Site
from jaxdd.records import Experts
from jaxdd.training import Trainer, TrainState
from jaxdd.training.together import Group

__all__ = ["begin_recording", "record", "recording_step"]

Step = Callable[[Any, PyTree], tuple[Any, Metrics]]

_STAGE_BYTES = 16 << 20  # of an expert's snapshots that wait for the disk
_STAGE_STEPS = 200  # a kill loses no more steps than these, or one epoch
_GROUP_BYTES = 16 << 20  # of snapshots, up to which more experts share a program
_LAST = 10  # steps whose loss is averaged for the report


class _Recording(NamedTuple):
    """An expert in training, with the snapshots of this stage's epochs."""

    train: TrainState
    kept: Array  # float32 [epochs, p]


def record(
    experts: Experts,
    corpus: Corpus,
    recorder: Recorder,
    site: Site = Site(),
) -> None:
    """Trains the experts that are missing and records them.

    Args:
      experts: which; expert i depends on its number and the seed alone.
      corpus: the training split.
      recorder: gets the snapshots; what it holds already is kept.
      site: its `unsaved_drive` runs the steps, as stages `experts/FIRST-LAST/toEPOCH`;
        it is told how many are finished, where that takes several turns.

    Raises:
      InputError: a loss is not finite, or the snapshots cannot be written.
    """
    group = site.group(experts.count)
    course = course_of(experts, corpus, group.split)
    teach = _Teaching(experts, course, recorder, group, site)
    size = _at_once(group, recorder.shape)
    # The groups do not depend on what is missing, so that a rerun does the same.
    for part in np.array_split(range(experts.count), -(-experts.count // size)):
        numbers = [int(n) for n in part if int(n) in recorder.missing]
        if not site.together.everywhere(not numbers):
            teach.train(numbers or [int(n) for n in part])
            left = len(recorder.missing)
            if left:
                site.say(f"experts: {experts.count - left} of {experts.count} recorded")


def _at_once(group: Group, shape: tuple[int, int, int]) -> int:
    """As many as the group says, or a multiple of it where they are small."""
    if group.lift is None:
        return 1
    _, length, parameters = shape
    fit = _GROUP_BYTES // (4 * length * parameters * group.size)
    return group.size * max(1, fit)


@dataclasses.dataclass
class _Teaching:
    """Everything that the experts of a store have in common."""

    experts: Experts
    course: Course
    recorder: Recorder
    group: Group
    site: Site

    def begun(self, numbers: list[int]) -> Begun | None:
        """Where unfinished experts go on."""
        # Processes whose folders differ would wait for each other forever.
        return self.recorder.begun(numbers) if self.site.together.alone else None

    def train(self, numbers: list[int]) -> None:
        """Trains a few experts together, from where they stopped."""
        group, epochs = self.group, self.experts.epochs
        alone = group.lift is None or len(numbers) == 1
        begun = self.begun(numbers)
        done = begun.epoch if begun else 0
        length = _stage_epochs(self.recorder.shape, self.course.epoch_steps)
        state = self._start(numbers, length, begun)
        step = recording_step(self.course.run, self.course.epoch_steps, length)
        data = self.course.data
        if alone:
            state = _only(state)
        else:
            step = _lifted(step, group)
            state, data = group.place(state), group.place_shared(data)
        name = f"experts/{numbers[0]}-{numbers[-1]}"
        losses = np.zeros((0, len(numbers)))
        while done < epochs:
            # On the same grid whether or not the experts were interrupted.
            end = min(done - done % length + length, epochs)
            stage = f"{name}/to{end}"
            steps = (end - done) * self.course.epoch_steps
            state, metrics = self.site.unsaved_drive(
                step, state, steps, data, stage=stage
            )
            losses = np.asarray(metrics["loss"]).reshape(steps, len(numbers))
            self._check_finite(losses, numbers, done)
            self._keep(numbers, state, alone, (done, end, length))
            done = end
        final = np.mean(losses[-_LAST:], 0).tolist()
        finish = partial(self.recorder.finish, dict(zip(numbers, final, strict=True)))
        self.site.together.in_turn(finish)

    def _start(
        self, numbers: list[int], length: int, begun: Begun | None
    ) -> _Recording:
        """The state of each, stacked, its initial parameters recorded if it is new."""
        key = jax.random.key(self.experts.seed)
        keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.asarray(numbers))
        state = begin_recording(self.course.run, length, keys)
        if begun is None:
            first = jax.device_get(_flat_all(state.train.variables.params))
            for row, number in zip(first, numbers, strict=True):
                write = partial(self.recorder.write, number, 0, row[None])
                self.site.together.in_turn(write)
            return state
        stacked = iter(begun.leaves)
        train = jax.tree.map(
            lambda leaf: leaf if _is_key(leaf) else jnp.asarray(next(stacked)),
            state.train,
        )
        return _Recording(train, state.kept)

    def _keep(
        self,
        numbers: list[int],
        state: _Recording,
        alone: bool,
        epochs: tuple[int, int, int],
    ) -> None:
        """Writes a stage's snapshots, then what the next stage starts from."""
        begin, end, length = epochs
        plain = [x for x in jax.tree.leaves(state.train) if not _is_key(x)]
        kept, plain = self.group.gather((state.kept, plain))
        if alone:
            kept, plain = jax.tree.map(lambda leaf: leaf[None], (kept, plain))

        def write() -> None:
            for place, number in enumerate(numbers):
                rows = kept[place, begin % length :][: end - begin]
                self.recorder.write(number, begin + 1, rows)
            if end < self.experts.epochs:
                self.recorder.keep(numbers, end, plain)

        self.site.together.in_turn(write)

    def _check_finite(self, losses: np.ndarray, numbers: list[int], done: int) -> None:
        wrong = np.argwhere(~np.isfinite(losses))
        if wrong.size:
            step, place = wrong[0]
            first = done * self.course.epoch_steps
            raise InputError(
                f"experts: the loss of expert {numbers[place]} is "
                f"{losses[step, place]} at step {first + step}, in epoch "
                f"{(first + step) // self.course.epoch_steps}; what was recorded "
                "before is kept. Lower experts.recipe.optimiser.learning_rate"
            )


def _stage_epochs(shape: tuple[int, int, int], epoch_steps: int) -> int:
    """Epochs in a call of the drive, evenly shared out."""
    _, length, parameters = shape
    most = min(_STAGE_BYTES // (4 * parameters), _STAGE_STEPS // epoch_steps)
    stages = -(-(length - 1) // max(1, min(most, length - 1)))
    return -(-(length - 1) // stages)


@lru_cache(maxsize=64)
def recording_step(run: Trainer, epoch_steps: int, epochs: int) -> Step:
    """A step that writes the parameters where the epoch's snapshot belongs.

    Each step of an epoch overwrites the one before, which costs less than a condition.

    Args:
      run: the training.
      epoch_steps: steps of an epoch.
      epochs: snapshots that are kept; later ones take the place of earlier ones.
    """

    def step(state: _Recording, data: PyTree) -> tuple[_Recording, Metrics]:
        after, metrics = run.step(state.train, data)
        place = state.train.step // epoch_steps % epochs
        kept = tree.write(state.kept, place, _flat(after.variables.params))
        return _Recording(after, kept), {"loss": metrics["loss"]}

    return step


@lru_cache(maxsize=64)
def _lifted(step: Step, group: Group) -> Step:
    assert group.lift is not None
    return group.lift(step, shared=True)


@partial(jax.jit, static_argnums=(0, 1))
def begin_recording(run: Trainer, epochs: int, keys: Array) -> _Recording:
    """The states of fresh experts, stacked, one a key [n]."""

    def begin(key: Array) -> _Recording:
        train = run.init(key)
        flat = _flat(train.variables.params)
        return _Recording(train, jnp.zeros((epochs, flat.size), flat.dtype))

    return jax.vmap(begin)(keys)


_only = jax.jit(lambda stacked: jax.tree.map(lambda leaf: leaf[0], stacked))
_flat_all = jax.jit(jax.vmap(lambda params: _flat(params)))


def _flat(params: PyTree) -> Array:
    return ravel_pytree(params)[0].astype(jnp.float32)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
