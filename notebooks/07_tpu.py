# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Eight devices
#
# A TPU slice has 4, 8 or thousands of devices; a step is the same program on all of
# them. Here a set is distilled on eight devices, students are spread over them, and
# what the devices tell one another is read from the compiled program. Without a TPU
# (on Colab: Runtime, Change runtime type) the processor plays eight devices, which
# shows everything but the speed.

# %%
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("jaxdd") is None:  # on Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "jaxdd"], check=True)
fake = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
if not fake:
    os.environ["JAX_NUM_CPU_DEVICES"] = "8"  # read when jax starts, and only by CPUs

# %%
# %matplotlib inline
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

import jaxdd
from jaxdd import networks, tree
from jaxdd.data.load import load
from jaxdd.devices import mesh
from jaxdd.loop.collectives import communicated
from jaxdd.records import (
    ConvNet,
    DataSpec,
    Recipe,
)
from jaxdd.report import figures
from jaxdd.run import summary
from jaxdd.training import trainer
from jaxdd.training.batches import array_source

SHORT = bool(os.environ.get("JAXDD_SHORT"))  # continuous integration runs it quickly
print(jax.device_count(), "devices:", jax.devices()[0].device_kind)

# %% [markdown]
# ## A mesh has two axes
#
# Rows of a batch are split over `data`, independent networks are spread over `seed`;
# everything else lies whole on every device. Each colour below is a device, each row of
# pixels a row of a batch of 16.

# %%
half = mesh.make_mesh(seed=2 if jax.device_count() % 2 == 0 else 1)
whole = mesh.make_mesh()


def owners(mesh, *spec):
    """Which device holds each row: [16]; of several that hold the same, the first."""
    where = NamedSharding(mesh, PartitionSpec(*spec)).devices_indices_map((16,))
    rows = np.full(16, -1)
    for number, (index,) in enumerate(where.values()):
        part = rows[index]
        rows[index] = np.where(part < 0, number, part)
    return rows


titles = ["batch, all on data", "batch, 2 x 4", "students, 2 x 4", "whole"]
layouts = [
    owners(whole, "data"),
    owners(half, "data"),
    owners(half, "seed"),
    owners(whole),
]
figure, axes = plt.subplots(1, 4, figsize=(9, 3))
for axis, title, layout in zip(axes, titles, layouts, strict=True):
    axis.imshow(layout[:, None], cmap="tab10", vmin=0, vmax=9, aspect="auto")
    axis.set_title(title, fontsize=9)
    axis.set_xticks([])
plt.show()

# %% [markdown]
# ## One set on all devices
#
# `devices=0` means all of them. Each device takes its rows of the real batch from its
# own copy of the data, embeds them, and sends the class means. The result is that of
# one device, up to rounding.

# %%
digits = load(DataSpec("digits"))
train = np.asarray(digits.train.image), np.asarray(digits.train.label)
options = {"method": "dm", "ipc": 1, "steps": 10 if SHORT else 200, "progress": False}
options["network.width"] = (16, 32)

one = jaxdd.distill(*train, devices=1, **options)
many = jaxdd.distill(*train, devices=0, **options)
difference = np.abs(one.synthetic.image - many.synthetic.image).max()
print(f"largest difference of a pixel: {difference:.1e}")
figures.grid(summary.images(many), np.asarray(many.synthetic.target))

# %% [markdown]
# ## Many students, each on its device
#
# `spread` turns the step of one student into that of many.

# %%
network = networks.build(ConvNet(width=(16, 32)), (8, 8, 1), 10)
recipe = Recipe(steps=5 if SHORT else 100, batch=64)
run = trainer(array_source(recipe), network, recipe)
students = mesh.make_mesh(seed=jax.device_count())
keys = jax.random.split(jax.random.key(0), jax.device_count())

images = jnp.asarray(train[0][:512], jnp.float32) / 255 - 0.5
data = mesh.replicate(students, (images, jnp.asarray(train[1][:512])))
states = mesh.split_lead(students, jax.jit(jax.vmap(run.init))(keys))
step = jax.jit(mesh.spread(students, "map", run.step, shared=True))

losses = []
for _ in range(recipe.steps):
    states, metrics = step(states, data)
    losses.append(np.asarray(metrics["loss"]))
figures.curves([{"loss": row} for row in np.stack(losses, 1)], title="Eight students")

# %% [markdown]
# ## What is sent
#
# The compiled program names every exchange between devices. A student whose batch is
# split sends its gradient, as large as its parameters, once a step; students on devices
# of their own send nothing at all. Images are never sent.

# %%
split = trainer(
    array_source(recipe), network, recipe, split=partial(mesh.shard_rows, whole)
)
state = mesh.replicate(whole, jax.jit(run.init)(jax.random.key(0)))
program = jax.jit(split.step).lower(state, mesh.replicate(whole, data)).compile()
alone = step.lower(states, data).compile()

sizes = {
    "a batch": recipe.batch * images[0].nbytes,
    "parameters": tree.size_in_bytes(state.variables.params),
    "sent, data axis": sum(communicated(program).values()),
    "sent, seed axis": sum(communicated(alone).values()),
}
figure, axis = plt.subplots(figsize=(6, 2.2))
axis.barh(list(sizes), list(sizes.values()))
axis.set_xlabel("bytes a step")
axis.invert_yaxis()
plt.show()
print(sizes)

# %% [markdown]
# ## Several hosts
#
# The devices of a TPU pod belong to several machines, and the same command runs on each
# of them with `--distributed.auto --run.devices 0`. `docs/scaling.md` says how it is
# started on TPU pods, SLURM, GKE and plain hosts, and what happens when one dies.
