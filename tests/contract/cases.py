"""One tiny, fully prepared case per method file, shared by the contract tests."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import methods, presets
from jaxdd.base import (
    Assets,
    Batch,
    Corpus,
    Dataset,
    Distiller,
    Method,
    State,
    Task,
)
from jaxdd.data.feeds import sample
from jaxdd.loop.loop import Loop
from jaxdd.prepare import Site, prepare
from jaxdd.records import NetworkSpec
from tests.helpers import toy_corpus

NAMES = methods.names()
ITERATIVE = [n for n in NAMES if not methods.get(n).one_shot]
VIEW_BUDGET = 10_000_000
STEPS = 20


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A method with its state at step 0, and one run of it that all tests look at.

    All single-precision steps, alone or in a run, are calls of one compiled chunk: the
    loop keeps programs by the step function and the shapes.
    """

    method: Method
    task: Task
    distiller: Distiller
    corpus: Corpus
    assets: Assets
    state: State
    traces: list[None] = dataclasses.field(default_factory=list)

    def batch(self, state: State) -> Batch:
        return sample(
            self.distiller.feed, self.corpus, self.assets, state.key, state.step
        )

    def step(self, state: State) -> tuple[State, dict]:
        """One whole step, sampling included."""
        return self.distiller.step(state, self.batch(state), self.assets)

    def advance(self, state: State, data: tuple) -> tuple[State, dict]:
        """A step as the loop wants it; every trace is noted."""
        del data
        self.traces.append(None)
        return self.step(state)

    def run(
        self, state: State, steps: int, folder: Path | None = None, *hooks: Any
    ) -> tuple[State, dict[str, np.ndarray]]:
        """So many steps from a state on: the last state, and the metrics [steps]."""
        loop = Loop(folder, chunk=1, save_every=2, hooks=hooks, progress=False)
        return loop(self.advance, state, steps, (), stage="distill")

    @functools.cached_property
    def trajectory(self) -> tuple[State, dict[str, np.ndarray]]:
        """The first STEPS steps."""
        return self.run(self.state, STEPS)


def dataset() -> Dataset:
    return Dataset(toy_corpus(), toy_corpus(seed=1, per_class=6))


def task_for(method: Method, dtype: str = "float32") -> Task:
    """Six images for representation sets, one per class for labelled ones."""
    corpus, labelled = toy_corpus(), method.targets == "label"
    return Task(
        image_shape=corpus.image_shape,
        num_classes=corpus.num_classes,
        size=corpus.num_classes if labelled else 6,
        ipc=1 if labelled else None,
        num_steps=STEPS,
        train_size=corpus.size,
        whitening="none",
        dtype=dtype,
    )


@functools.cache
def assets_for(name: str) -> Assets:
    method = methods.get(name)
    distiller = method.build(task_for(method), presets.smoke(name))
    return {
        need.name: prepare(need, dataset(), Site(view_budget=VIEW_BUDGET)).asset
        for need in distiller.needs
    }


@functools.cache
def case(name: str, dtype: str = "float32", conv: str = "auto") -> Case:
    """The case of a method, built once per process, by whichever test comes first."""
    with jax.enable_x64(False):
        return _case(name, dtype, conv)


def _case(name: str, dtype: str, conv: str) -> Case:
    method = methods.get(name)
    task = task_for(method, dtype)
    distiller = method.build(task, with_convolution(presets.smoke(name), conv))
    corpus, assets = toy_corpus(), assets_for(name)
    state = distiller.init(jax.random.key(5), corpus, assets)
    return Case(method, task, distiller, corpus, assets, state)


def with_convolution(config: Any, conv: str) -> Any:
    """The config with every network's convolution set."""
    if isinstance(config, NetworkSpec):
        has = "conv" in {field.name for field in dataclasses.fields(config)}
        return dataclasses.replace(config, conv=conv) if has else config
    if not dataclasses.is_dataclass(config):
        return config
    changes = {
        f.name: with_convolution(getattr(config, f.name), conv)
        for f in dataclasses.fields(config)
    }
    return dataclasses.replace(config, **changes)  # type: ignore[type-var]


def as_float64(tree: Any) -> Any:
    """All floating leaves in double precision (under x64)."""

    def cast(leaf: jax.Array) -> jax.Array:
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        # On the host: one program less for every shape.
        return jnp.asarray(np.asarray(leaf, np.float64)) if floating else leaf

    return jax.tree.map(cast, tree)
