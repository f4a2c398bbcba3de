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
# # Trajectories
#
# An expert is a network trained on the real data whose weights were kept after every
# epoch. Trajectory matching learns a handful of images on which a student, put where an
# expert once was, walks in a few steps to where the expert went in whole epochs. Here
# ten images of digits learn from twenty experts, and everything is looked at.

# %%
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("jaxdd") is None:  # on Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "jaxdd"], check=True)

# %%
# %matplotlib inline
import dataclasses

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import jaxdd
from jaxdd import presets
from jaxdd.base import Task
from jaxdd.data.feeds import sample
from jaxdd.data.load import load
from jaxdd.methods.trajectory.mtt import mtt
from jaxdd.prepare import prepare
from jaxdd.records import AdjointSpec, DataSpec
from jaxdd.report import figures
from jaxdd.run import summary

SHORT = bool(os.environ.get("JAXDD_SHORT"))  # continuous integration runs it quickly
STEPS = 20 if SHORT else 800

digits = load(DataSpec("digits"))
config = presets.pick("mtt", "digits").distill
if SHORT:
    few = dataclasses.replace(config.experts, count=2)
    config = dataclasses.replace(config, experts=few)

# %% [markdown]
# ## The experts
#
# A method says what it needs, and `prepare` trains it: many experts at once, one on
# each device. The result is an array [expert, epoch, parameter] of flat vectors; large
# ones stay on disk, and the pieces that the steps ask for are read ahead of them.

# %%
task = Task((8, 8, 1), 10, size=10, ipc=1, num_steps=STEPS, train_size=1347)
distiller = mtt(task, config)
experts, quality, _ = prepare(distiller.needs[0], digits)
snapshots = experts.snapshots
print("experts, snapshots, parameters:", snapshots.shape)
print(f"test accuracy of the first: {quality['expert_accuracy']:.1%}")

moved = jnp.linalg.norm(jnp.diff(snapshots, axis=1), axis=-1)
figure, axis = plt.subplots(figsize=(6, 2.5), layout="constrained")
axis.plot(np.arange(1, moved.shape[1] + 1), np.asarray(moved).T, "C0", alpha=0.4)
axis.set(xlabel="epoch", ylabel="way in one epoch", ylim=(0, None))
plt.show()

# %% [markdown]
# Early epochs go far, late ones hardly move. That is why the range of start epochs
# matters: few images can only tell the early, coarse part of the story.
#
# ## Distil
#
# `gradient` differentiates the whole training of the student, exactly; `step` follows
# it. The loss is the distance that is left, relative to the expert's own way: 1 means
# the student might as well have stayed where it was.

# %%
assets = {"experts": experts}


def run(config, steps=STEPS):
    """The state after so many steps, and every step's loss and learning rate."""
    distiller = mtt(task, config)

    def step(state, _):
        batch = sample(distiller.feed, digits.train, assets, state.key, state.step)
        return distiller.step(state, batch, assets)

    start = distiller.init(jax.random.key(0), digits.train, assets)
    end, metrics = jax.jit(lambda s: jax.lax.scan(step, s, length=steps))(start)
    return start, end, jax.tree.map(np.asarray, metrics)


start, end, metrics = run(config)
figures.curves([{"loss": metrics["loss"]}])

# %%
print(f"learned rate: {metrics['rate'][0]:.4f} at first, {metrics['rate'][-1]:.4f} now")
labels = np.arange(10)
before = np.asarray(distiller.export(start, assets).image)
after = np.asarray(distiller.export(end, assets).image)
figures.grid(figures.contrast(before), labels)

# %%
figures.grid(figures.contrast(after), labels)

# %% [markdown]
# ## Where the student walks
#
# One expert from its first epochs, and the student from the same start, on the plane
# that holds most of the expert's way: on the real images the set began as, and on what
# they have become.

# %%
from jax.flatten_util import ravel_pytree

from jaxdd import networks, unroll
from jaxdd.base import Variables
from jaxdd.training import losses

network = networks.build(config.experts.network, (8, 8, 1), 10)
unravel = ravel_pytree(network.init(jax.random.key(0)).params)[1]


def loss(theta, vector, x):
    del x
    output, _ = network.apply(Variables(unravel(vector), {}), theta.image)
    return losses.cross_entropy(output.logits, theta.target)


def way(state):
    """The student's parameters after each step, on the set of this state."""
    theta = distiller.export(state, assets)
    rate = float(theta.hyper["learning_rate"])
    problem = unroll.inner.problem(loss, unroll.SGD(), rate)
    carry = unroll.initial_carry(unroll.SGD(), snapshots[0, 0])

    def one(carry, x):
        carry = problem.step(theta, carry, x)
        return carry, carry.params

    return jax.lax.scan(one, carry, length=config.inner_steps)[1]


expert = np.asarray(snapshots[0, : config.epochs + 1])
paths = {"first images": way(start), "distilled": way(end)}
goal = expert[-1] - expert[0]
along = goal / np.linalg.norm(goal)
across = np.asarray(paths["first images"])[-1] - expert[0]
across = across - along * (across @ along)
across = across / np.linalg.norm(across)


def project(points):
    away = np.asarray(points) - expert[0]
    return away @ along, away @ across


figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
axis.plot(*project(expert), "k*-", label="expert, epoch by epoch", markersize=11)
for name, path in paths.items():
    axis.plot(*project(np.concatenate([expert[:1], path])), ".-", label=name)
axis.set(xlabel="towards the expert", ylabel="aside")
axis.legend()
plt.show()

# %% [markdown]
# ## Exact and approximate gradients
#
# How the student's training is differentiated is one setting. `separable` is the
# formula of TESLA, which leaves out how an early step changes the later ones. Both are
# computed here for the same state and the same piece of a trajectory.

# %%


def gradient(adjoint):
    method = mtt(task, dataclasses.replace(config, adjoint=AdjointSpec(adjoint)))
    batch = sample(method.feed, digits.train, assets, end.key, end.step)
    found, _ = jax.jit(method.gradient)(end, batch, assets)
    return found["image"].ravel(), float(found["hyper"]["log_rate"])


exact, exact_rate = gradient("step")
for name in ("nested", "fused", "separable"):
    other, rate = gradient(name)
    cosine = exact @ other / jnp.linalg.norm(exact) / jnp.linalg.norm(other)
    error = jnp.linalg.norm(other - exact) / jnp.linalg.norm(exact)
    print(
        f"{name:<10} cosine {cosine:.4f}  relative error {error:.1e}"
        f"  rate's gradient {rate / exact_rate:.2f} of the exact one"
    )

# %% [markdown]
# ## What is it worth?
#
# Fresh networks from new initial weights, trained on the ten images alone; the rows
# beside it are random real images and class means. The same settings from the command
# line: `python experiments/run.py --method mtt`.

# %%
train = np.asarray(digits.train.image), np.asarray(digits.train.label)
test = np.asarray(digits.test.image), np.asarray(digits.test.label)
overrides = {"experts.count": 2} if SHORT else {}
small = jaxdd.distill(
    *train, method="mtt", ipc=1, test=test, steps=STEPS, progress=False, **overrides
)
for row in small.meta.rows:
    print(f"{row['set']:<12}{row['metric']:<20}{row['mean']:.3f}")
figures.grid(summary.images(small), np.asarray(small.synthetic.target))
