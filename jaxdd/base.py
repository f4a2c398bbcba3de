"""The types every part of jaxdd shares: data that flows, and the function contracts.

A method is a `Distiller`: pure functions over one `State`. Nothing here computes,
and this module imports nothing above it, so any part may import it. Plain settings
(network, optimiser, recipe, preset ...) live beside it in `jaxdd.records`.

Shape letters: m synthetic rows, n real rows, k classes, d features, h w c image.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import jax

from jaxdd.records import Meta, Need
from jaxdd.records.feeds import Feed, Nothing, PerClass, Segments, Uniform
from jaxdd.whiten import Whitening

Array = jax.Array
Key = jax.Array
PyTree = Any
Metrics = dict[str, Array]
Assets = dict[str, Any]
Stream = Callable[[int, int], PyTree]
"""(first, end) -> what those steps consume, every leaf [end-first,...]; pure, and run
on the host."""

__all__ = [
    "Array",
    "Assets",
    "Augment",
    "Batch",
    "Corpus",
    "Dataset",
    "Decoder",
    "Distilled",
    "Distiller",
    "Drive",
    "ExpertsAsset",
    "Feed",
    "Key",
    "Method",
    "Metrics",
    "Mix",
    "Network",
    "Nothing",
    "Objective",
    "Output",
    "Parts",
    "PerClass",
    "Pool",
    "PyTree",
    "Segment",
    "Segments",
    "State",
    "Stream",
    "Streamed",
    "Synthetic",
    "Task",
    "TeacherAsset",
    "Uniform",
    "Variables",
]


# Data that flows -----------------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Corpus:
    """One split of a real data set, resident on the device.

    Attributes:
      image: uint8 [n,h,w,c], never whitened; samplers whiten what they draw.
      label: int32 [n]; all zero where the data has no labels.
      class_index: int32 [max(k,1), n_max], the rows of each class, padded with 0.
      class_count: int32 [max(k,1)], how many entries of each row are valid.
      whitening: fitted on the training split, shared by all splits.
      num_classes: k, 0 where the data has no labels.
      name: the data set's name. hash: SHA-256 over pixels, labels and class names.
      class_names: k names, or empty.
    """

    image: Array
    label: Array
    class_index: Array
    class_count: Array
    whitening: Whitening
    num_classes: int = dataclasses.field(metadata={"static": True})
    name: str = dataclasses.field(metadata={"static": True})
    hash: str = dataclasses.field(metadata={"static": True})
    class_names: tuple[str, ...] = dataclasses.field(metadata={"static": True})

    @property
    def size(self) -> int:
        """Number of images n."""
        return self.image.shape[0]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(h, w, c)."""
        _, height, width, channels = self.image.shape
        return height, width, channels


class Dataset(NamedTuple):
    """The splits of one data set; `test` is None where there is none."""

    train: Corpus
    test: Corpus | None


class Batch(NamedTuple):
    """What one step consumes; all fields share the image's leading axes."""

    image: Array  # [n,h,w,c], or [k,n,h,w,c] class-balanced; whitened
    target: Array | None  # int [n] or float [n,d]; None where the objective makes it
    index: Array  # int [n]: the rows of the corpus
    weight: Array  # [n]: 0 for padding; statistics divide by its sum
    view: Array | None = None  # int [n]: which enumerated view, when the feed has views
    extra: PyTree = None
    step: Array | None = None  # int32 []: the number of the step, for schedules


class Segment(NamedTuple):
    """Pieces of experts' trajectories, `Batch.extra` of a `Segments` feed.

    Parameters are flat vectors [p], `jax.flatten_util.ravel_pytree` of a network's. The
    leading axis of `meta_batch` pieces is gone where an objective gets one of them.
    """

    start: Array  # float32 [n,p], where the student starts
    target: Array  # float32 [n,t,p], the snapshots it is to reach
    epoch: Array  # int32 [n], the expert's epoch at the start
    expert: Array  # int32 [n]


class Synthetic(NamedTuple):
    """A decoded synthetic set, differentiable."""

    image: Array  # [m,h,w,c], in the space networks consume
    target: Array  # int [m] class, or float [m,d]
    weight: Array  # [m]
    hyper: PyTree = ()  # learned scalars that belong to the set


class State(NamedTuple):
    """Everything that changes during distillation, and nothing that does not."""

    step: Array  # int32 []
    key: Key  # constant; the key of a step is fold_in(key, step)
    params: PyTree  # decoder parameters
    opt: PyTree  # optax state
    pool: PyTree = ()  # networks in training
    memory: PyTree = ()  # whatever else the next step needs


class Variables(NamedTuple):
    """A network's parameters (differentiable) and its statistics (not)."""

    params: PyTree
    stats: PyTree


class TeacherAsset(NamedTuple):
    """A prepared teacher, `assets["teacher"]`.

    `table` holds the teacher's outputs [views, n, d] over the enumerated views of the
    training images, or None when it would not fit its budget: then the objective
    applies the teacher to the batch.
    """

    variables: Variables
    table: Array | None = None


class ExpertsAsset(NamedTuple):
    """Trajectories of experts, `assets["experts"]`; parameters are flat vectors [p].

    `snapshots` is None where all of them would not fit their budget on the device: then
    the runner reads the pieces that a step needs from the store.
    """

    last: Array  # float32 [e,p], at the end of the training
    snapshots: Array | None = None  # float32 [e,epochs+1,p], from the first weights on


class Distilled(NamedTuple):
    """A finished set with all that is needed to use and re-measure it."""

    synthetic: Synthetic
    meta: Meta
    whitening: Whitening
    modules: dict[str, Variables]  # e.g. {"teacher": ...}; counted in the ledger


# Contracts -------------------------------------------------------------------------


class Output(NamedTuple):
    """What a network returns."""

    logits: Array  # [n,k]
    features: Array  # [n,d], the flattened input of the last layer
    taps: tuple[Array, ...] = ()  # post-activation maps of each block


class Network(NamedTuple):
    """A network as two pure functions with static widths.

    `init(key)` is cheap to trace but slow un-jitted: jit it, or call it inside jit.
    `apply(variables, image, *, train=False, key=None)` returns the output and the
    variables with updated statistics (unchanged unless `train`).
    """

    init: Callable[[Key], Variables]
    apply: Callable[..., tuple[Output, Variables]]
    feature_dim: int
    output_dim: int
    name: str
    per_image: bool = False  # known that no image's output depends on another image


@dataclasses.dataclass(frozen=True)
class Task:
    """The static facts of a run that a method may ask for.

    `size` is m, the number of synthetic images; `ipc` images per class, None when the
    set is counted as a whole. `dtype` is the precision of network bodies, `memory` the
    bytes of a device that kernels may take (0 = as many as they like).
    """

    image_shape: tuple[int, int, int]
    num_classes: int
    size: int
    ipc: int | None
    num_steps: int
    train_size: int
    whitening: str = "standard"
    dtype: str = "float32"
    memory: int = 0


class Distiller(NamedTuple):
    """A distillation method bound to a task: pure functions and static needs.

    `init` runs once, un-jitted, and may use a library on the host. `step` is pure,
    un-jitted, shape-stable and structure-preserving. `gradient`, where it exists, is
    the outer gradient before the optimiser. `warm` is applied `warm_steps` times
    before step 0 (ageing a pool); calls beyond what is needed change nothing.
    `image_floats` counts the stored numbers of images that are decoded from fewer than
    their pixels. `notes` are lines that a run prints, such as the blocks of a kernel.
    `input_space` says what images the set's students take: whitened ones, or raw.
    """

    init: Callable[[Key, Corpus, Assets], State]
    step: Callable[[State, Batch, Assets], tuple[State, Metrics]]
    export: Callable[[State, Assets], Synthetic]
    feed: Feed
    needs: tuple[Need, ...] = ()
    gradient: Callable[[State, Batch, Assets], tuple[PyTree, Metrics]] | None = None
    warm: Callable[[State, Assets], State] | None = None
    warm_steps: int = 0
    image_floats: int = 0
    notes: tuple[str, ...] = ()
    input_space: Literal["whitened", "raw"] = "whitened"


class Parts(NamedTuple):
    """One row of the composition table."""

    decoder: str
    objective: str
    pool: str
    adjoint: str
    feed: str


@dataclasses.dataclass(frozen=True)
class Method:
    """What a method file exports as `METHOD`.

    `build(task, config)` makes the distiller. It raises `InputError` for a number out
    of range, a network or kernel that does not fit the images, and a task that it
    cannot serve, such as a set counted as a whole where it goes class by class; what a
    method refuses besides stands at its function. `targets` says what the set's targets
    are: class labels, or a teacher's representations; a one-shot method's set is
    finished before the first step.
    """

    build: Callable[[Task, Any], Distiller]
    config: type
    parts: Parts
    targets: Literal["label", "representation"] = "label"
    one_shot: bool = False


class Decoder(NamedTuple):
    """Parameterisation of the synthetic set.

    `decode(params, assets, key, rows=None)` returns the whole set, or the given rows.
    `project` maps parameters back to what is allowed; `floats` counts stored numbers.
    `export`, where it differs from `decode`, makes the finished set.
    """

    init: Callable[[Key, Corpus, Assets], PyTree]
    decode: Callable[..., Synthetic]
    project: Callable[[PyTree], PyTree]
    floats: Callable[[PyTree], int]
    export: Callable[[PyTree, Assets, Key], Synthetic] | None = None


class Pool(NamedTuple):
    """Where the networks of a step come from.

    `init(key, assets, synthetic)` makes fresh networks; `draw(key, pool, assets)`
    returns a traced index and that network's variables; `update(key, pool, index,
    synthetic, batch)` trains or replaces it. `warm(pool, synthetic)` ages the pool by
    one step towards its drawn ages, at most `warm_steps` times.
    """

    init: Callable[[Key, Assets, Synthetic], PyTree]
    draw: Callable[[Key, PyTree, Assets], tuple[Array, Variables]]
    update: Callable[[Key, PyTree, Array, Synthetic, Batch], PyTree]
    warm: Callable[[PyTree, Synthetic], PyTree] | None = None
    warm_steps: int = 0


Objective = Callable[[Synthetic, Batch, Variables, Assets, Key], tuple[Array, Metrics]]


class Augment(NamedTuple):
    """Random image operations as data: draw parameters, then apply them.

    `sample(key, n)` returns a pytree whose leaves have leading axis n, or 1 for a draw
    that all images share (siamese use is `sample(key, 1)` applied to both sides).
    `apply(params, image)` is pure and differentiable in the images [n,h,w,c].
    """

    sample: Callable[[Key, int], PyTree]
    apply: Callable[[PyTree, Array], Array]


class Mix(NamedTuple):
    """Random mixing of the rows of a batch, images and targets alike.

    `sample(key, n)` draws the parameters for n rows; `apply(params, image, target)`
    takes images [n,h,w,c] and float targets [n,k] and returns both mixed. Targets are
    mixed by the images' shares, so that a loss linear in the target (cross-entropy)
    equals the shares' sum of its values on the plain targets.
    """

    sample: Callable[[Key, int], PyTree]
    apply: Callable[[PyTree, Array, Array], tuple[Array, Array]]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Streamed:
    """Data of a stage whose steps consume a row of a stream besides.

    A step gets `(*data, row)` in place of the data.
    """

    data: tuple[PyTree, ...]
    stream: Stream = dataclasses.field(metadata={"static": True})


class Drive(Protocol):
    """Who runs the steps of a long stage.

    `step(state, data) -> (state, metrics)` is pure; `data` is constant and passed as
    an argument so that it never becomes part of the compiled program, or is `Streamed`.
    Returns the last state and the metrics stacked over all steps (NumPy or JAX arrays
    [steps]).
    `stage` names the stage for progress, logs and checkpoints.
    """

    def __call__(
        self,
        step: Callable[[Any, PyTree], tuple[Any, Metrics]],
        state: Any,
        num_steps: int,
        data: PyTree,
        *,
        stage: str,
    ) -> tuple[Any, dict[str, Any]]: ...
