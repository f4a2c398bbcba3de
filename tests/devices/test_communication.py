"""Bytes between devices, read from compiled programs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import networks, tree
from jaxdd.devices.mesh import make_mesh, replicate, shard_rows, split_lead, spread
from jaxdd.loop.collectives import COLLECTIVES, communicated
from jaxdd.objectives.moments import class_means
from jaxdd.records import (
    ConvNet,
    Recipe,
)
from jaxdd.training import trainer
from jaxdd.training.batches import array_source


def student(mesh, width: tuple[int, ...] = (8, 8), side: int = 8, batch: int = 16):
    """A trainer whose batches are split over the data axis."""
    network = networks.build(ConvNet(width=width), (side, side, 3), 4)
    recipe = Recipe(steps=10, batch=batch)
    split = partial(shard_rows, mesh)
    return trainer(array_source(recipe), network, recipe, split=split)


def images(side: int = 8, count: int = 96):
    rng = np.random.default_rng(0)
    image = rng.standard_normal((count, side, side, 3)).astype("f4")
    return jnp.asarray(image), jnp.asarray(rng.integers(0, 4, count, dtype="i4"))


TEXT = """
  %a = f32[3,4]{1,0} all-reduce(%x), replica_groups={}
  %b = (f32[], bf16[8]{0}) all-reduce(%y, %z), replica_groups={}
  %c = (f32[2]{0}, f32[16]{0}) all-gather-start(%y), dimensions={0}
  %d = f32[16]{0} all-gather-done(%c)
  %e = u8[5]{0} collective-permute(%p)
  %f = f32[9]{0} add(%all-reduce.1, %q)
"""


def test_bytes_are_read_from_text() -> None:
    none = dict.fromkeys(COLLECTIVES, 0)
    want = {"all-reduce": 48 + 4 + 16, "all-gather": 64, "collective-permute": 5}
    assert communicated(TEXT) == none | want
    assert communicated("%f = f32[9]{0} add(%a, %b)") == none


def test_what_is_sent_is_found() -> None:
    mesh = make_mesh()
    rows = jax.device_put(jnp.ones((16, 3)), jax.NamedSharding(mesh, jax.P("data")))
    total = jax.jit(lambda x: x.sum(0)).lower(rows).compile()
    assert communicated(total) == communicated("") | {"all-reduce": 12}
    whole = jax.jit(lambda x: x, out_shardings=jax.NamedSharding(mesh, jax.P()))
    assert communicated(whole.lower(rows).compile())["all-gather"] == 16 * 3 * 4


@pytest.mark.slow_cases("shape1")
@pytest.mark.parametrize("shape", [((8, 8), 8, 16), ((64, 128), 32, 64)])
def test_split_batches_cost_one_sum_of_the_gradient(shape) -> None:
    """The second network is wide enough for Winograd's convolutions in blocks."""
    mesh = make_mesh()
    run = student(mesh, *shape)
    state = replicate(mesh, jax.jit(run.init)(jax.random.key(0)))
    data = replicate(mesh, images(shape[1]))
    program = jax.jit(run.step).lower(state, data).compile()
    sent = communicated(program)
    parameters = tree.size_in_bytes(state.variables.params)
    assert parameters <= sent.pop("all-reduce") <= parameters + 16
    assert not any(sent.values()), sent


@pytest.mark.slow_cases("map-True")
@pytest.mark.parametrize(("how", "shared"), [("map", True), ("vmap", False)])
def test_students_of_their_own_devices_send_nothing(how, shared) -> None:
    mesh = make_mesh(seed=8)
    run = student(mesh)
    keys = jax.random.split(jax.random.key(0), 16)
    states = split_lead(mesh, jax.jit(jax.vmap(run.init))(keys))
    data = replicate(mesh, images())
    if not shared:
        data = split_lead(mesh, jax.tree.map(lambda x: jnp.stack([x] * 16), data))
    step = spread(mesh, how, run.step, shared=shared)
    program = jax.jit(step).lower(states, data).compile()
    assert not any(communicated(program).values())


@pytest.mark.slow
def test_students_that_share_devices_send_gradients_only() -> None:
    """Two groups of students, the batches of each split over four devices."""
    mesh = make_mesh(seed=2)
    run = student(mesh)
    keys = jax.random.split(jax.random.key(0), 2)
    states = split_lead(mesh, jax.jit(jax.vmap(run.init))(keys))
    step = spread(mesh, "map", run.step, shared=True)
    program = jax.jit(step).lower(states, replicate(mesh, images())).compile()
    sent = communicated(program)
    parameters = tree.size_in_bytes(states.variables.params) // 2
    assert parameters <= sent.pop("all-reduce") <= parameters + 16
    assert not any(sent.values()), sent


@pytest.mark.parametrize("chunk", [None, 24])
def test_class_means_of_split_images_send_means_only(chunk: int | None) -> None:
    mesh, classes, width = make_mesh(), 4, 3 * 8 * 8
    image = replicate(mesh, jnp.zeros((classes, 16, 8, 8, 3)))

    def means(image):
        image = shard_rows(mesh, image, axis=1)
        weight = jnp.ones(image.shape[:2])
        return class_means(
            lambda x: jnp.tanh(x).reshape(len(x), -1), image, weight, chunk
        )

    sent = communicated(jax.jit(means).lower(image).compile())
    assert sent.pop("all-reduce") == classes * width * 4
    assert not any(sent.values()), sent
