"""Students that are trained together: the seeds of one row, in one compiled step.

How many at a time, and where they lie, is for the caller to say (`Group`); alone, one
after another, is the default. Nothing here depends on how many there are.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdd.base import Drive, Key, Metrics, Network, PyTree, Variables
from jaxdd.training import Trainer, trainer
from jaxdd.training.examples import Examples

__all__ = ["ALONE", "Group", "Student", "fit_students"]

Step = Callable[[Any, PyTree], tuple[Any, Metrics]]
Check = Callable[[Variables], float]
"""The test accuracy of a student."""


class Student(NamedTuple):
    """A trained student, and its test accuracy at steps on the way."""

    variables: Variables
    checked: dict[int, float]


class Group(NamedTuple):
    """How students are trained together.

    `size` is the most at a time. `lift(step, shared=...)` makes of one student's step
    that of many, over a leading axis of the state and, unless it is shared, of the
    data. `place` puts arrays with that axis where `lift` wants them, `place_shared`
    others, and `gather` brings them to the host; `split` spreads the rows of a batch
    over devices.
    """

    size: int = 1
    lift: Callable[..., Step] | None = None
    place: Callable[[PyTree], PyTree] = lambda tree: tree
    place_shared: Callable[[PyTree], PyTree] = lambda tree: tree
    gather: Callable[[PyTree], PyTree] = jax.device_get
    split: Callable[[PyTree], PyTree] | None = None


ALONE = Group()


def fit_students(
    keys: Sequence[Key],
    network: Network,
    examples: Sequence[Examples],
    *,
    group: Group = ALONE,
    drive: Drive,
    stage: str,
    check: Check | None = None,
    every: int = 0,
) -> list[Student]:
    """Trains one fresh student a key, all of them by the same recipe.

    Args:
      keys: each decides the initial weights and the batches of its student.
      network: of all of them.
      examples: one a key; the recipe, and with it the source, is that of the first.
      group: how they are trained together; its size is not looked at.
      drive: who runs the steps.
      stage: names them.
      check: the test accuracy of a student, for those on the way.
      every: steps between checks; 0 = none.

    Returns:
      The students, in the order of the keys.
    """
    source, data, recipe = examples[0]
    run = trainer(source, network, recipe, split=group.split)
    alone = group.lift is None or len(keys) == 1
    if alone and len(keys) > 1:
        raise ValueError("a group without `lift` trains one student at a time")
    shared = alone or all(_same(data, other.data) for other in examples[1:])
    if not shared:
        data = group.place(_stacked([one.data for one in examples]))
    elif not alone:
        data = group.place_shared(data)
    step = run.step if alone else _lifted(run, group, shared)
    state = jax.jit(run.init)(keys[0]) if alone else group.place(_begin(run, keys))
    checked: list[dict[int, float]] = [{} for _ in keys]
    finished: list[Variables] = []
    for done, steps in _parts(recipe.steps, every if check else 0):
        part = stage if steps == recipe.steps else f"{stage}/to{done}"
        state, _ = drive(step, state, steps, data, stage=part)
        finished = [run.finish(state)] if alone else _each(run, group, state)
        if check is not None and every:
            for history, variables in zip(checked, finished, strict=True):
                history[done] = check(variables)
    return [Student(*pair) for pair in zip(finished, checked, strict=True)]


def _parts(steps: int, every: int) -> list[tuple[int, int]]:
    """(steps done at its end, steps in it) of each part between two checks."""
    ends = [*range(every, steps, every), steps] if every else [steps]
    return [(end, end - start) for start, end in zip([0, *ends], ends, strict=False)]


@lru_cache(maxsize=64)
def _lifted(run: Trainer, group: Group, shared: bool) -> Step:
    """The step of many students, whose metrics are means over them."""
    assert group.lift is not None
    many = group.lift(run.step, shared=shared)

    def step(states: PyTree, data: PyTree) -> tuple[PyTree, Metrics]:
        states, metrics = many(states, data)
        return states, {name: jnp.mean(value, 0) for name, value in metrics.items()}

    return step


def _begin(run: Trainer, keys: Sequence[Key]) -> PyTree:
    return jax.jit(jax.vmap(run.init))(jnp.stack(keys))


def _each(run: Trainer, group: Group, state: PyTree) -> list[Variables]:
    """The students of a stacked state, on the host: what follows is for one alone."""
    finished = group.gather(run.finish(state))
    count = jax.tree.leaves(finished)[0].shape[0]
    return [
        jax.tree.map(lambda leaf: jnp.asarray(leaf[i]), finished)  # noqa: B023
        for i in range(count)
    ]


def _same(one: PyTree, other: PyTree) -> bool:
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(a is b for a, b in leaves)


def _stacked(parts: Sequence[PyTree]) -> PyTree:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
