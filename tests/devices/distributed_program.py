"""What each process of `test_distributed.py` runs; 8 devices in two processes.

Usage: python distributed_program.py PORT RANK WORKDIR
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import files, networks, tree
from jaxdd.devices import agreement, distributed
from jaxdd.devices.mesh import (
    make_mesh,
    replicate,
    shard_rows,
    split_lead,
    spread,
    to_local_device,
)
from jaxdd.errors import InputError
from jaxdd.loop.collectives import communicated
from jaxdd.loop.loop import Loop
from jaxdd.records import (
    ConvNet,
    DistributedConfig,
    Recipe,
)
from jaxdd.training import trainer
from jaxdd.training.batches import array_source

STEPS = 10
RECIPE = Recipe(steps=STEPS, batch=16)


def data(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Images that every process has, and their classes."""
    rng = np.random.default_rng(0)
    image = rng.standard_normal((64, 8, 8, 1)).astype(dtype)
    return image, rng.integers(0, 4, 64).astype(np.int32)


def student(mesh: Any):
    """A small ConvNet whose batches are split over the data axis."""
    network = networks.build(ConvNet(width=(4, 4)), (8, 8, 1), 4)
    split = partial(shard_rows, mesh)
    return trainer(array_source(RECIPE), network, RECIPE, split=split)


def trained(mesh: Any, dtype: str, workdir: Path | None) -> dict[str, np.ndarray]:
    """Parameters and losses of ten steps on a mesh, driven by the loop."""
    run = student(mesh)
    state = jax.jit(run.init)(jax.random.key(0))
    state = jax.tree.map(
        lambda leaf: leaf.astype(dtype) if leaf.dtype == np.float32 else leaf, state
    )
    drive = Loop(workdir, chunk=4, save_every=4, config_hash="toy", progress=False)
    after, metrics = drive(
        run.step, state, STEPS, replicate(mesh, data(dtype)), stage=dtype
    )
    return named(to_local_device(after).variables.params) | {"loss": metrics["loss"]}


def students(mesh: Any) -> dict[str, np.ndarray]:
    """Parameters of four students, one on each group of devices, after ten steps."""
    run = student(mesh)
    keys = jax.random.split(jax.random.key(0), 4)
    states = split_lead(mesh, jax.jit(jax.vmap(run.init))(keys))
    step = spread(mesh, "map", run.step, shared=True)
    drive = Loop(None, chunk=5, progress=False)
    shared = replicate(mesh, data("float32"))
    after, metrics = drive(step, states, STEPS, shared, stage="students")
    return named(to_local_device(after).variables.params) | {"loss": metrics["loss"]}


def named(params: Any) -> dict[str, np.ndarray]:
    leaves = jax.tree.leaves_with_path(params)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def sent() -> tuple[int, int]:
    """Bytes that a step communicates, and bytes of the parameters."""
    mesh = make_mesh()
    run = student(mesh)
    state = replicate(mesh, jax.jit(run.init)(jax.random.key(0)))
    program = jax.jit(run.step).lower(state, replicate(mesh, data("float32"))).compile()
    total = sum(communicated(program).values())
    return total, tree.size_in_bytes(state.variables.params)


def agree(workdir: Path) -> None:
    """Everything that processes do together, where they differ."""
    rank = jax.process_index()
    assert agreement.is_first() == (rank == 0)
    assert agreement.share({"rank": rank, "text": "é" * rank}) == {
        "rank": 0,
        "text": "",
    }
    assert agreement.agreed(rank == 1, rank == 1) == (True, False)
    assert agreement.agreed(False, rank == 0) == (False, True)
    assert [agreement.everywhere(f) for f in (True, rank == 1)] == [True, False]
    agreement.same("settings", "equal")
    fails("differs between process 0 and process 1", agreement.same, "x", f"{rank}")
    place = workdir / "turn"

    def take() -> str:
        if rank == 0:
            files.write_atomic(place, lambda handle: handle.write(b"first"))
        return place.read_text()

    assert agreement.in_turn(take) == "first"

    def refuse() -> None:
        raise InputError("no room" if rank == 0 else "never reached")

    fails("no room", agreement.in_turn, refuse)


def fails(message: str, function: Any, *arguments: Any) -> None:
    with pytest.raises(InputError, match=message):
        function(*arguments)


def main(port: str, rank: str, workdir: Path) -> None:
    """Trains, and lets process 0 keep what came out."""
    config = DistributedConfig(
        coordinator=f"127.0.0.1:{port}", processes=2, process=int(rank), timeout=600
    )
    how = distributed.launch(config)
    assert how is not None
    distributed.start(how)
    assert jax.process_count() == 2
    agree(workdir)
    results = {
        f"float32{n}": a for n, a in trained(make_mesh(), "float32", workdir).items()
    }
    results |= {f"students{n}": a for n, a in students(make_mesh(seed=4)).items()}
    with jax.enable_x64(True):
        double = trained(make_mesh(seed=2), "float64", None)
        results |= {f"float64{n}": a for n, a in double.items()}
    results["sent"] = jnp.asarray(sent())
    if agreement.is_first():
        files.write_npz(workdir / "results.npz", **results)
    distributed.leave(30)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
