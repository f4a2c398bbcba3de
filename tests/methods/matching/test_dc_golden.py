"""Gradient matching against the authors' program, in float64.

The arrays come from experiments/reference/matching/dc_torch.py, which runs one
iteration of VICO-UoE/DatasetCondensation (MIT, commit 53f63a6): two matchings of a
network, and its training on the set between them.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdd import networks
from jaxdd.augment import dsa
from jaxdd.base import Augment, Batch, Distiller, PerClass, State, Task, Variables
from jaxdd.composition import compose
from jaxdd.decoders import pixels
from jaxdd.objectives.gradient import class_gradients
from jaxdd.pools.matched import MatchedPool, matched
from jaxdd.records import (
    ConvNet,
)
from jaxdd.training.statistics import with_batch_statistics

CASES = ("instance", "batch", "mse", "cos", "siamese")
SHAPE, CLASSES, IPC, BATCH = (8, 8, 3), 3, 2, 6


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden" / "dc.npz") as file:
        return dict(file)


def variables(golden, case, number):
    """The authors' weights and statistics at a matching, in the tree of our ConvNet."""
    params: dict = {"head": {}}
    stats: dict = {}
    for path, value in golden.items():
        owner, _, leaf = path.removeprefix(f"{case}/").partition("/")
        if not path.startswith(f"{case}/") or not leaf:
            continue
        tree = stats if leaf in ("mean", "var") else params
        name = owner if owner == "head" else f"{owner[:4]}_{owner[4:]}"
        tree.setdefault(name, {})[leaf] = jnp.asarray(value[number])
    return Variables(params, stats)


def replayed(golden, classes_keys):
    """Colour as the program drew it: by class in matchings, by image in training."""
    colour = dsa.operations(SHAPE)["color"]
    known = jax.random.key_data(classes_keys)  # [matchings,k,...]
    drawn = jnp.asarray(golden["siamese/draws"])

    def sample(key, n):
        if n == 1:
            same = (known == jax.random.key_data(key)[None, None]).all(-1)
            values = jnp.sum(jnp.where(same[..., None], drawn, 0), (0, 1))[None]
        else:
            values = jnp.asarray(golden["siamese/training_draws"][0])
        brightness, saturation, contrast = values.T
        return {
            "brightness": brightness - 0.5,
            "saturation": 2 * saturation,
            "contrast": contrast + 0.5,
        }

    return Augment(sample, colour.apply)


def with_start(golden, case):
    """The network, which starts with the authors' weights."""
    start = variables(golden, case, 0)
    stats = {name: {"mean": jnp.zeros(4), "var": jnp.ones(4)} for name in start.stats}
    norm = "batch" if case == "batch" else "instance"
    network = networks.build(ConvNet(width=(4, 4), norm=norm), SHAPE, CLASSES)
    return network._replace(init=lambda key: Variables(start.params, stats))


def method_of(case, network, augment) -> Distiller:
    kind = case if case in ("mse", "cos") else "ours"
    return compose(
        pixels(Task(SHAPE, CLASSES, CLASSES * IPC, IPC, 2, 18)),
        class_gradients(network, kind=kind, augment=augment),
        matched(
            network,
            matchings=2,
            epochs=1 if case == "siamese" else 2,
            augment=augment,
        ),
        optax.sgd(0.1, momentum=0.5),
        PerClass(BATCH),
    )


def class_keys(key):
    """The keys that the objective gives the classes in steps 0 and 1."""
    keys = [
        jax.random.split(jax.random.split(jax.random.fold_in(key, step), 4)[2], CLASSES)
        for step in range(2)
    ]
    return jnp.stack(keys)


def start_of(golden, case, key, network):
    """The state before the first matching, in double precision."""
    params = {"image": jnp.asarray(golden[f"{case}/images"][0])}
    opt = optax.sgd(0.1, momentum=0.5).init(params)
    pool = MatchedPool(network.init(key), jnp.zeros((), jnp.int32))
    return State(jnp.zeros((), jnp.int32), key, params, opt, pool)


@pytest.mark.parametrize("case", CASES)
def test_two_matchings_equal_the_authors_program(x64, golden, case, key):
    """Losses, slopes, images, and the network after its training on the set."""
    augment = replayed(golden, class_keys(key)) if case == "siamese" else None
    network = with_start(golden, case)
    method = method_of(case, network, augment)
    state = start_of(golden, case, key, network)

    @jax.jit
    def step(state, batch):
        used = with_batch_statistics(network, state.pool.variables, batch)
        return used, *method.step(state, batch, {})

    for number in range(2):
        rows = golden[f"{case}/rows"][number]
        image = jnp.asarray(golden["image"][rows])
        batch = Batch(image, None, jnp.asarray(rows), jnp.ones(rows.shape))
        before = trace(state)
        used, state, metrics = step(state, batch)
        wanted = golden[f"{case}/loss"][number]
        np.testing.assert_allclose(metrics["loss"], wanted, rtol=1e-10)
        # The momentum is 0.5 of what it was, plus the gradient.
        assert_close(
            trace(state) - 0.5 * before, golden[f"{case}/gradients"][number], 1e-12
        )
        assert_close(state.params["image"], golden[f"{case}/images"][number + 1], 1e-12)
        jax.tree.map(
            lambda a, b: assert_close(a, b, 1e-12),
            used,
            variables(golden, case, number),
        )


def trace(state):
    return optax.tree.get(state.opt, "trace")["image"]


def assert_close(one, other, atol):
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=atol)
