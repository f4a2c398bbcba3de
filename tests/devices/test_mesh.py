"""Where arrays lie, and the cache of compiled programs."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import networks
from jaxdd.base import Batch
from jaxdd.devices.mesh import (
    compile_cache,
    make_mesh,
    mesh_of,
    on_mesh,
    placed_copy,
    replicate,
    shard_batch,
    shard_rows,
    split_lead,
    spread,
    to_local_device,
)
from jaxdd.records import (
    ConvNet,
    Recipe,
)
from jaxdd.training import trainer
from jaxdd.training.batches import array_source


def batch(*lead: int) -> Batch:
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.standard_normal((*lead, 4, 4, 1)), jnp.float32)
    return Batch(image, jnp.ones((*lead, 3)), jnp.zeros(lead, int), jnp.ones(lead))


@pytest.mark.parametrize(
    ("lead", "spec"), [((16,), ("data",)), ((3, 8), (None, "data"))]
)
def test_rows_are_split(lead: tuple, spec: tuple) -> None:
    mesh = make_mesh()
    split = jax.jit(lambda b: shard_batch(mesh, b))(replicate(mesh, batch(*lead)))
    for leaf in jax.tree.leaves(split):
        want = jax.sharding.NamedSharding(mesh, jax.P(*spec))
        assert leaf.sharding.is_equivalent_to(want, leaf.ndim)
    np.testing.assert_array_equal(split.image, batch(*lead).image)


def test_split_rows_give_the_same_gradient() -> None:
    mesh = make_mesh(seed=2)
    assert mesh.shape == {"seed": 2, "data": 4}
    weight = jnp.linspace(-1, 1, 48).reshape(16, 3)

    def gradient(weight, rows, mesh):
        def loss(weight):
            rows_now = shard_batch(mesh, rows)
            flat = rows_now.image.reshape(len(rows_now.image), -1)
            return jnp.mean((jnp.tanh(flat @ weight) - rows_now.target) ** 2)

        return jax.grad(loss)(weight)

    one = jax.jit(lambda w, b: gradient(w, b, None))(weight, batch(16))
    many = jax.jit(lambda w, b: gradient(w, b, mesh))(
        *replicate(mesh, (weight, batch(16)))
    )
    assert many.sharding.device_set == set(mesh.devices.flat)
    np.testing.assert_allclose(one, many, atol=1e-6)


def test_steps_run_where_their_data_lie() -> None:
    mesh, programs = make_mesh(), []

    def drive(step, state, num_steps, data, *, stage):
        assert (num_steps, stage) == (3, "s")
        program = jax.jit(step).lower(state, data).compile()
        programs.append(program.as_text())
        return program(state, data)

    def step(state, data):
        rows = shard_rows(mesh, data)
        return state + jnp.sum(jnp.tanh(rows["x"]) * rows["y"][:, None]), {}

    data = {"x": jnp.arange(32.0).reshape(16, 2), "y": jnp.linspace(-1, 2, 16)}
    state, _ = on_mesh(mesh, drive)(step, jnp.zeros(()), 3, data, stage="s")
    expected = np.sum(np.tanh(data["x"]) * np.asarray(data["y"])[:, None])
    np.testing.assert_allclose(state, expected, rtol=1e-5)
    assert len(state.sharding.device_set) == 1  # for callers that know of no mesh
    assert "all-reduce" in programs[0]
    odd = {"x": jnp.ones((16, 2)), "y": jnp.ones(7)}
    assert shard_rows(mesh, odd) is odd


def test_what_cannot_be_split_stays_whole() -> None:
    mesh = make_mesh()
    odd = batch(10)
    assert shard_batch(mesh, odd) is odd
    assert shard_batch(None, odd) is odd
    assert shard_batch(make_mesh(data=1), odd) is odd


def test_gathered_to_one_device() -> None:
    mesh = make_mesh(seed=4)
    numbers, keys = np.arange(8.0, dtype="f4"), jax.random.split(jax.random.key(0), 8)
    tree = {"n": split_lead(mesh, numbers), "k": split_lead(mesh, keys), "host": 3.0}
    tree["whole"] = replicate(mesh, numbers)
    assert not tree["k"].is_fully_replicated
    local = to_local_device(tree)
    assert local["host"] == 3.0
    for name, want in (("n", numbers), ("k", keys), ("whole", numbers)):
        assert len(local[name].sharding.device_set) == 1
        assert bool((local[name] == want).all())


def test_copies_share_nothing_and_keep_their_place() -> None:
    mesh = make_mesh()
    rows = jax.sharding.NamedSharding(mesh, jax.P("data"))
    tree = {"split": jax.device_put(np.arange(8.0, dtype="f4"), rows), "whole": 1.5}
    assert mesh_of(tree) == mesh
    assert mesh_of({"whole": jnp.ones(3)}) is None
    copy = placed_copy(tree, mesh)
    assert copy["split"].sharding == rows
    assert copy["whole"].sharding.is_fully_replicated
    assert mesh_of(copy["whole"]) == mesh
    jax.jit(lambda t: jax.tree.map(jnp.sin, t), donate_argnums=0)(copy)
    assert copy["split"].is_deleted()
    np.testing.assert_array_equal(tree["split"], np.arange(8.0))


RECIPE = Recipe(steps=5, batch=12)


def students(mesh, how: str, count: int, *, shared: bool, steps: int = 5):
    """Parameters and losses of students trained by `spread` on its mesh."""
    network = networks.build(ConvNet(width=(4,)), (8, 8, 1), 3)

    def source(key, step, data):
        return shard_rows(mesh, array_source(RECIPE)(key, step, data))

    run = trainer(source, network, RECIPE)
    rng = np.random.default_rng(1)
    lead = () if shared else (count,)
    image = rng.standard_normal((*lead, 24, 8, 8, 1)).astype("f4")
    data = jnp.asarray(image), jnp.asarray(rng.integers(0, 3, (*lead, 24)), jnp.int32)
    data = replicate(mesh, data) if shared else split_lead(mesh, data)
    keys = jax.random.split(jax.random.key(2), count)
    state = split_lead(mesh, jax.jit(jax.vmap(run.init))(keys))
    step = jax.jit(spread(mesh, how, run.step, shared=shared))
    losses = []
    for _ in range(steps):
        state, metrics = step(state, data)
        losses.append(metrics["loss"])
    return jax.device_get((state.variables.params, losses)), state


@pytest.mark.slow_cases("4-vmap-4-False", "8-map-5-False", "8-vmap-10-True")
@pytest.mark.parametrize(
    ("seed", "how", "count", "shared"),
    [
        (8, "map", 5, False),  # fewer students than devices
        (8, "vmap", 10, True),  # two on some, one on others
        (4, "vmap", 4, False),  # batches split over two devices as well
    ],
)
def test_spread_students_are_those_of_one_device(seed, how, count, shared) -> None:
    one, _ = students(None, how, count, shared=shared)
    many, state = students(make_mesh(seed=seed), how, count, shared=shared)
    assert one[1][0].shape == (count,)
    assert len({float(loss) for loss in one[1][-1]}) == count
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    leaf = jax.tree.leaves(state.variables.params)[0]
    assert leaf.sharding.is_fully_replicated == bool(count % seed or seed == 1)


@pytest.mark.slow
def test_spread_students_agree_to_the_last_digits(x64) -> None:
    one, _ = students(None, "map", 4, shared=True)
    many, _ = students(make_mesh(seed=2), "map", 4, shared=True)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


CODE = """
import sys, pathlib, jax
from jaxdd.devices.mesh import compile_cache
assert compile_cache(pathlib.Path(sys.argv[1]))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
print(jax.jit(lambda x: jax.lax.map(lambda y: jax.numpy.linalg.svd(y), x))(
    jax.numpy.ones((2, 9, 9)))[1].shape)
"""


def test_compiled_programs_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "programs"
    kept = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", CODE, folder], check=True)
        kept.append({p.name for p in folder.iterdir() if p.name.endswith("-cache")})
    assert kept[0]
    assert kept[1] == kept[0]  # the second process found them


def test_folder_that_cannot_be_used_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    before = jax.config.jax_compilation_cache_dir
    assert not compile_cache(tmp_path / "file" / "programs")
    assert jax.config.jax_compilation_cache_dir == before
