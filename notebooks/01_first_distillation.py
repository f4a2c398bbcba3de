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
# # A first distillation
#
# 1,347 real images of handwritten digits become ten, and a network trained on the ten
# reads most of the others. Nothing is downloaded: the images ship with scikit-learn.

# %%
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("jaxdd") is None:  # on Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "jaxdd"], check=True)

# %%
# %matplotlib inline
import jax
import numpy as np

import jaxdd
from jaxdd.data.load import load
from jaxdd.records import (
    ConvNet,
    DataSpec,
)
from jaxdd.report import figures
from jaxdd.run import summary

SHORT = bool(os.environ.get("JAXDD_SHORT"))  # continuous integration runs it quickly

# %% [markdown]
# ## The picture first
#
# One call takes arrays and returns a small set. The method is `dm`, distribution
# matching: the mean embedding of the synthetic images follows that of the real ones
# under networks that were never trained.

# %%
digits = load(DataSpec("digits"))
train = np.asarray(digits.train.image), np.asarray(digits.train.label)
test = np.asarray(digits.test.image), np.asarray(digits.test.label)

small = jaxdd.distill(
    *train, method="dm", ipc=1, test=test, steps=20 if SHORT else 300, progress=False
)
figures.grid(summary.images(small), np.asarray(small.synthetic.target))

# %% [markdown]
# ## What is it worth?
#
# Fresh networks are trained on the ten images and tested on images that nothing here
# has seen. The rows beside it are what ten images can do without any distillation:
# random real ones, and the mean of each class, which at one image per class is a
# strong rival.

# %%
report = jaxdd.evaluate(
    small, train=train, test=test, seeds=1 if SHORT else 3, progress=False
)
for row in report.rows:
    print(f"{row.set:<12}{row.metric:<10}{row.mean:.3f} ± {row.std:.3f}")

# %% [markdown]
# ## What happens inside
#
# A method is a few pure functions. `init` makes a state, `step` maps a state and a
# batch to the next state, and everything else (compilation, devices, files, progress)
# is the caller's affair. This is the whole of it:

# %%
from jaxdd.base import Task
from jaxdd.data.feeds import sample
from jaxdd.methods.matching.dm import DmConfig, dm

task = Task((8, 8, 1), 10, size=10, ipc=1, num_steps=100, train_size=len(train[0]))
distiller = dm(task, DmConfig(network=ConvNet(width=(16, 32)), batch=64))
state = distiller.init(jax.random.key(0), digits.train, {})


@jax.jit
def step(state):
    batch = sample(distiller.feed, digits.train, {}, state.key, state.step)
    return distiller.step(state, batch, {})


losses = []
for _ in range(5 if SHORT else 100):
    state, metrics = step(state)
    losses.append(float(metrics["loss"]))

figures.curves([{"loss": np.array(losses)}])

# %% [markdown]
# `distiller.gradient` gives the gradient before the optimiser, for those who study it.
# Because a step is pure, two seeds can run side by side with `vmap`, and give what
# they give alone:

# %%
states = jax.tree.map(
    lambda *leaves: jax.numpy.stack(leaves),
    *(distiller.init(jax.random.key(seed), digits.train, {}) for seed in (1, 2)),
)
both, metrics = jax.vmap(step)(states)
print("losses of two seeds:", np.asarray(metrics["loss"]))

# %% [markdown]
# ## Without labels
#
# `krr_ssl` uses no label at all. A teacher learns from the images alone (Barlow Twins);
# 50 images and 50 target vectors are then optimised so that a network trained on them
# represents new images as the teacher does. The command line runs it as
# `python experiments/run.py --method krr_ssl`; here it is one call:

# %%
tiny = {"steps": 10, "teacher.recipe.steps": 10, "evaluate.train.steps": 20}
tiny |= {"evaluate.probe.steps": 5, "evaluate.fine_tune.steps": 5}
imitation = jaxdd.distill(
    train[0],
    train[1],
    method="krr_ssl",
    size=50,
    test=test,
    progress=False,
    **(tiny if SHORT else {}),
)
figures.grid(summary.images(imitation))

# %%
for row in imitation.meta.rows:
    if row.metric == "representation_mse":
        print(f"{row.set:<10} error against the teacher {row.mean:.3f}")

# %% [markdown]
# The error is relative: 0 copies the teacher on every test image, 1 is no better than
# its mean. `random` is the same student trained on 50 real images with the teacher's
# true outputs; `full` had all of them.
