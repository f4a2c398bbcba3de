"""The contract every method file must keep; a new file is picked up by its name."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxdd import artefact, evaluation, methods, presets
from jaxdd.base import Distilled, PerClass, TeacherAsset
from jaxdd.records import (
    LoopConfig,
    Meta,
    Mlp,
    Protocol,
    Recipe,
    Representation,
    Sgd,
)
from tests.contract.cases import (
    ITERATIVE,
    NAMES,
    STEPS,
    as_float64,
    case,
    dataset,
)

TYPICAL = ("dm", "kip", "krr_ssl", "mtt")
SHORT = Recipe(steps=5, optimiser=Sgd(0.05))
# One for all methods, so that their students share programs; students have own tests.
PROTOCOL = Protocol(
    *("contract", Mlp(width=(8,)), SHORT, SHORT, SHORT),
    representation=Representation(full=False),
)
SECTIONS = (
    "Objective:",
    "Reference:",
    "Parts:",
    "Differences from the paper:",
    "Differences from the authors' code:",
    "Expected:",
)


def _some_now(names: list[str], now: tuple[str, ...]) -> list:
    """All names; those that differ from the ones in `now` by details are slow tests."""
    slow = pytest.mark.slow
    return [n if n in now else pytest.param(n, marks=slow) for n in names]


def bits(tree) -> list[np.ndarray]:
    """All leaves as NumPy arrays, keys included."""
    return [
        np.asarray(
            jax.random.key_data(leaf)
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            else leaf
        )
        for leaf in jax.tree.leaves(tree)
    ]


def assert_equal(one, other) -> None:
    for a, b in zip(bits(one), bits(other), strict=True):
        np.testing.assert_array_equal(a, b)


def assert_close(one, other, rtol: float, atol: float) -> None:
    for a, b in zip(bits(one), bits(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", NAMES)
def test_step_is_traced_once_and_keeps_its_state(name: str) -> None:
    this = case(name)
    state, metrics = this.trajectory
    after, again = this.run(state, 1)
    assert len(this.traces) == 1
    assert (int(state.step), int(after.step)) == (STEPS, STEPS + 1)
    for new in (state, after):
        assert jax.tree.structure(new) == jax.tree.structure(this.state)
        pairs = zip(jax.tree.leaves(new), jax.tree.leaves(this.state), strict=True)
        for a, b in pairs:
            assert (a.shape, a.dtype, a.sharding) == (b.shape, b.dtype, b.sharding)
    assert set(metrics) == set(again)
    for values in metrics.values():
        assert values.shape == (STEPS,)
        assert np.isfinite(values).all()


@pytest.mark.parametrize("name", NAMES)
def test_same_key_same_set(name: str) -> None:
    this = case(name)
    again = this.distiller.init(jax.random.key(5), this.corpus, this.assets)
    other = this.distiller.init(jax.random.key(6), this.corpus, this.assets)
    assert_equal(this.state, again)
    same = all(
        (a == b).all() for a, b in zip(bits(this.state), bits(other), strict=True)
    )
    assert not same


@pytest.mark.parametrize("name", _some_now(ITERATIVE, TYPICAL))
def test_seeds_under_vmap_equal_a_loop(name: str) -> None:
    this = case(name)
    states = [
        this.distiller.init(jax.random.key(seed), this.corpus, this.assets)
        for seed in (1, 2)
    ]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    together, _ = jax.jit(jax.vmap(this.step))(stacked)
    step = jax.jit(this.step)
    for number, state in enumerate(states):
        alone, _ = step(state)
        row = jax.tree.map(lambda leaf, i=number: leaf[i], together)
        assert_close(row, alone, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", ITERATIVE)
def test_an_interrupted_run_equals_a_whole_one(name: str, tmp_path) -> None:
    this = case(name)

    class Stop:
        """Ends the process, as far as the loop can tell, before step 4 is saved."""

        def on_chunk(self, stage, step, state, metrics) -> None:
            if step == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        this.run(this.state, STEPS, tmp_path, Stop())
    parts = this.run(this.state, STEPS, tmp_path)
    assert_equal(parts, this.trajectory)


@pytest.mark.parametrize("name", _some_now(ITERATIVE, TYPICAL))
def test_run_equals_single_steps(name: str) -> None:
    """The loop's steps are in a loop of the device and consume what they are given."""
    this = case(name)
    step, state, rows = jax.jit(this.step), this.state, []
    for _ in range(STEPS):
        state, metrics = step(state)
        rows.append(metrics)
    assert_equal((state, jax.tree.map(lambda *v: np.stack(v), *rows)), this.trajectory)


@pytest.mark.parametrize("name", _some_now(ITERATIVE, TYPICAL))
def test_sharded_batch_gives_the_same_step(name: str, x64) -> None:
    this = case(name)
    if len(jax.devices()) < 8:
        pytest.skip("needs eight (fake) devices")
    batch = jax.jit(this.batch)(this.state)
    axis = 1 if isinstance(this.distiller.feed, PerClass) else 0
    rows = 8 if batch.image is None else batch.image.shape[axis]
    count = next(n for n in (8, 4, 2) if rows % n == 0)
    mesh = jax.make_mesh((count,), ("data",), axis_types=(AxisType.Auto,))
    everywhere, by_rows = (
        NamedSharding(mesh, P(*axes)) for axes in ((), (*(None,) * axis, "data"))
    )
    # A step of segments has no rows, and the step's number is no row either.
    spread = jax.tree.map(lambda leaf: everywhere, batch)
    if batch.image is not None:
        spread = jax.tree.map(lambda leaf: by_rows, batch)._replace(step=everywhere)
    # In float64: a float32 solve turns another order of summation into 1e-3.
    inputs = as_float64((this.state, batch, this.assets))
    places = everywhere, spread, everywhere
    inputs_sharded = tuple(map(jax.device_put, inputs, places))
    if this.distiller.gradient is None:
        step = jax.jit(this.distiller.step)
        (alone, metrics), (sharded, same) = step(*inputs), step(*inputs_sharded)
        np.testing.assert_allclose(same["loss"], metrics["loss"], rtol=1e-9)
        assert_close(sharded.params, alone.params, rtol=1e-4, atol=1e-5)
        return
    # The gradient, not the step: Adam's first step turns rounding of a vanishing
    # gradient into a move of the size of the learning rate.
    gradient = jax.jit(this.distiller.gradient)
    (alone, metrics), (sharded, same) = gradient(*inputs), gradient(*inputs_sharded)
    np.testing.assert_allclose(same["loss"], metrics["loss"], rtol=1e-9)
    for one, other in zip(bits(sharded), bits(alone), strict=True):
        scale = np.abs(other).max()
        np.testing.assert_allclose(one / scale, other / scale, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", ITERATIVE)
def test_gradient_equals_finite_differences(name: str, x64) -> None:
    this = case(name)
    if this.distiller.gradient is None:
        pytest.skip("per-class updates have no single gradient")
    batch = as_float64(jax.jit(this.batch)(this.state))
    state, assets = as_float64((this.state, this.assets))
    compiled = jax.jit(this.distiller.gradient)

    def gradient(params):
        return compiled(state._replace(params=params), batch, assets)

    grads, _ = gradient(state.params)
    rng = np.random.default_rng(0)
    for leaf in jax.tree.leaves(grads):
        assert bool(jnp.isfinite(leaf).all())
        assert float(jnp.abs(leaf).max()) > 0

    def loss_at(way, distance: float) -> float:
        moved = jax.tree.map(lambda a, w: a + distance * w, state.params, way)
        return float(gradient(moved)[1]["loss"])

    for _ in range(3):
        way = jax.tree.map(lambda a: rng.standard_normal(a.shape), state.params)
        slope = (loss_at(way, 1e-6) - loss_at(way, -1e-6)) / 2e-6
        inner = sum(
            float((g * w).sum())
            for g, w in zip(jax.tree.leaves(grads), jax.tree.leaves(way), strict=True)
        )
        np.testing.assert_allclose(inner, slope, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("name", ITERATIVE)
def test_steps_lower_the_objective(name: str) -> None:
    this = case(name)
    if this.distiller.gradient is None:
        pytest.skip("per-class updates have no single gradient")

    def objective(params) -> float:
        """Mean loss of a set over 16 steps' networks and batches, pool as it began."""
        losses = []
        for number in range(1000, 1016):
            at = this.state._replace(step=jnp.int32(number), params=params)
            losses.append(this.run(at, 1)[1]["loss"])
        return float(np.mean(losses))

    state, _ = this.trajectory
    assert objective(state.params) < objective(this.state.params)


@pytest.mark.parametrize("name", NAMES)
def test_set_is_saved_loaded_and_evaluated(name: str, tmp_path) -> None:
    this = case(name)
    labelled = this.method.targets == "label"
    synthetic = this.distiller.export(this.state, this.assets)
    soft = jnp.issubdtype(synthetic.target.dtype, jnp.floating)
    labels = "soft" if soft else "hard"
    meta = Meta(
        method=name,
        dataset="toy",
        dataset_hash="toy",
        image_shape=this.task.image_shape,
        num_classes=this.task.num_classes,
        class_names=this.corpus.class_names,
        label_kind=labels if labelled else "representation",
        protocol=PROTOCOL,
        teacher=getattr(presets.smoke(name), "teacher", None),
    )
    modules = {
        name: asset.variables
        for name, asset in this.assets.items()
        if isinstance(asset, TeacherAsset)
    }
    small = Distilled(
        synthetic,
        meta,
        this.corpus.whitening,
        modules,
    )
    artefact.save(small, tmp_path / "set")
    loaded = artefact.load(tmp_path / "set")
    assert_equal(small.synthetic, loaded.synthetic)
    report = evaluation.evaluate([loaded], dataset(), seeds=[0], baselines=False)
    metric = "accuracy" if labelled else "representation_mse"
    row = next(r for r in report.rows if (r.set, r.metric) == (name, metric))
    assert np.isfinite(row.mean)


@pytest.mark.parametrize("name", _some_now(ITERATIVE, TYPICAL))
def test_step_lowers_for_every_platform(name: str) -> None:
    this = case(name, conv="stock")
    lowered = export.export(jax.jit(this.step), platforms=("cpu", "cuda", "tpu"))
    assert set(lowered(this.state).platforms) == {"cpu", "cuda", "tpu"}


@pytest.mark.parametrize("name", _some_now(ITERATIVE, TYPICAL))
def test_bfloat16_bodies_keep_the_rest_in_float32(name: str) -> None:
    this = case(name, dtype="bfloat16")
    state, metrics = jax.jit(this.step)(this.state)
    for leaf in jax.tree.leaves((state, metrics)):
        assert leaf.dtype != jnp.bfloat16
    assert all(bool(jnp.isfinite(v)) for v in metrics.values())


@pytest.mark.parametrize("name", NAMES)
def test_methods_are_documented(name: str) -> None:
    text = methods.about(name)
    missing = [s for s in SECTIONS if s not in text]
    assert not missing
    assert all(methods.get(name).parts)
    assert presets.get(name)


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_not_named_as_those_of_the_run(name: str) -> None:
    """`jaxdd.distill(..., steps=100)` means outer steps for every method."""
    own = {field.name for field in dataclasses.fields(methods.get(name).config)}
    assert not own & {field.name for field in dataclasses.fields(LoopConfig)}
