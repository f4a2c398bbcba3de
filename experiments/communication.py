"""Bytes that each training step sends between devices, read from compiled programs.

python experiments/communication.py

Compiles for eight devices (fake ones on a CPU) and runs no step; the images are noise
of CIFAR-10's shape, since only shapes matter. Writes results/communication.jsonl and
the table in docs/scaling.md.
"""

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

DEVICES = 8
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES}"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# ruff: noqa: E402, devices are counted when jax starts
import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import networks, tree
from jaxdd.base import Dataset
from jaxdd.data.corpus import dataset_from_arrays
from jaxdd.devices.mesh import (
    make_mesh,
    mesh_of,
    on_mesh,
    placed_copy,
    replicate,
    shard_rows,
    split_lead,
    spread,
)
from jaxdd.loop.collectives import communicated
from jaxdd.prepare import Site, pretend_all
from jaxdd.records import ConvNet, DataSpec, Recipe
from jaxdd.report import environment
from jaxdd.run import choose
from jaxdd.run.config import from_preset, override
from jaxdd.run.plan import distil, make_plan
from jaxdd.training import trainer
from jaxdd.training.batches import array_source

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "communication.jsonl"
DOCUMENT = HERE.parent / "docs" / "scaling.md"
BEGIN, END = "<!-- communication: begin -->", "<!-- communication: end -->"
IMAGE = 32 * 32 * 3 * 4  # bytes of a whitened image


class Reader:
    """A `Drive` that compiles each stage, reads what it sends, and runs nothing."""

    def __init__(self) -> None:
        self.sent: dict[str, dict[str, int]] = {}

    def __call__(
        self, step: Any, state: Any, num_steps: int, data: Any, *, stage: str
    ) -> tuple[Any, dict[str, Any]]:
        mesh = mesh_of((state, data))
        placed = placed_copy(state, mesh), replicate(mesh, data)
        places = jax.tree.map(lambda leaf: leaf.sharding, placed[0])
        jitted = jax.jit(step, out_shardings=(places, None))
        self.sent[stage] = communicated(jitted.lower(*placed).compile())
        shapes = jax.eval_shape(step, state, data)[1]
        return state, {
            n: np.zeros((num_steps, *s.shape), s.dtype) for n, s in shapes.items()
        }


def noise() -> Dataset:
    """Images of CIFAR-10's shape."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (5000, 32, 32, 3), np.uint8)
    split = image, np.repeat(np.arange(10), 500).astype(np.int32)
    return dataset_from_arrays(split, None, DataSpec(), "noise")


def distillation(method: str, preset: str, title: str, batch: int) -> list[dict]:
    """The rows of a preset's stages."""
    name, chosen = choose.preset(method, preset)
    config = override(from_preset(method, name, chosen), {"run.devices": 0})
    plan, reader = make_plan(config, noise()), Reader()
    split = partial(shard_rows, plan.mesh)
    site = Site(drive=on_mesh(plan.mesh, reader), unsaved_drive=reader, shard=split)
    prepared = pretend_all(plan.distiller.needs, plan.dataset, site)
    distil(plan, prepared, 0, reader)
    rows = []
    if "target" in reader.sent:
        need = plan.distiller.needs[0]
        both = 2 * need.teacher.recipe.batch  # of every image two views
        weights = tree.size_in_bytes(prepared.assets[need.name].variables.params)
        rows.append(row(f"{title}, teacher", both, weights, reader.sent["target"]))
    network = networks.build(plan.config.distill.network, (32, 32, 3), 10)
    one = jax.eval_shape(network.init, jax.random.key(0)).params
    weights = tree.size_in_bytes(one)
    return [
        *rows,
        row(f"{title}, distillation", batch, weights, reader.sent["distill"]),
    ]


def student(seeds: int) -> dict:
    """One student whose batch is split, or eight on a device each."""
    mesh = make_mesh(seeds)
    network = networks.build(ConvNet(), (32, 32, 3), 10)
    recipe = Recipe(steps=1000, batch=256)
    split = partial(shard_rows, mesh) if seeds == 1 else None
    run = trainer(array_source(recipe), network, recipe, split=split)
    data = jnp.zeros((500, 32, 32, 3)), jnp.zeros(500, jnp.int32)
    step, init = run.step, jax.jit(run.init)
    state = init(jax.random.key(0))
    weights = tree.size_in_bytes(state.variables.params)
    if seeds > 1:
        state = jax.vmap(init)(jax.random.split(jax.random.key(0), seeds))
        state = split_lead(mesh, state)
        step = spread(mesh, "map", step, shared=True)
    reader = Reader()
    reader(step, state, 1, replicate(mesh, data), stage="student")
    axis = "data" if seeds == 1 else "seed"
    title = f"student ConvNet-3-128, `{axis}` axis"
    return row(title, recipe.batch * seeds, weights, reader.sent["student"])


def row(title: str, images: int, weights: int, sent: dict[str, int]) -> dict:
    """A row of the table."""
    print(title, sent, flush=True)
    return {
        "program": title,
        "devices": DEVICES,
        "images": images,
        "image_bytes": images * IMAGE,
        "parameter_bytes": weights,
        "sent": sent,
        "environment": environment.versions(),
    }


def table(rows: list[dict]) -> str:
    """The rows as Markdown."""
    lines = [
        "| step of | images of a batch | parameters | all-reduce | everything else |",
        "| --- | --- | --- | --- | --- |",
    ]
    for entry in rows:
        sums = entry["sent"]["all-reduce"]
        rest = sum(entry["sent"].values()) - sums
        images = f"{entry['images']:,} ({entry['image_bytes']:,} B)"
        lines.append(
            f"| {entry['program']} | {images} | {entry['parameter_bytes']:,} B"
            f" | {sums:,} B | {rest:,} B |"
        )
    return "\n".join(lines)


def main() -> None:
    """Compiles everything and writes both files."""
    rows = [
        student(1),
        student(DEVICES),
        *distillation("dm", "cifar10_paper", "dm `cifar10_paper`", 10 * 256),
        *distillation("krr_ssl", "cifar10_cpu", "krr_ssl `cifar10_cpu`", 256),
    ]
    RESULTS.write_text("".join(f"{json.dumps(entry)}\n" for entry in rows))
    head, rest = DOCUMENT.read_text().split(BEGIN)
    _, tail = rest.split(END)
    DOCUMENT.write_text(f"{head}{BEGIN}\n{table(rows)}\n{END}{tail}")


if __name__ == "__main__":
    main()
