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
# # Kernels
#
# A kernel says how alike two images are. Regression with it has a closed form, and that
# is why several distillation methods ask a kernel rather than a trained network. All
# kernels here have one signature, `kernel(x1, x2, variables)`, with values `[n, m]`:
# those of networks of infinite width, and those of networks that exist.

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
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxdd import kernels
from jaxdd.data.load import load
from jaxdd.kernels.ridge import Ridge, fit, predict
from jaxdd.records import (
    Conv,
    ConvNet,
    DataSpec,
    Fc,
    LinearKernel,
    NetworkKernel,
    RandomFeatures,
    WideKernel,
)

SHORT = bool(os.environ.get("JAXDD_SHORT"))  # continuous integration runs it quickly
SHAPE = (8, 8, 1)

# %% [markdown]
# ## Two images, many opinions
#
# Thirty handwritten digits of 8 by 8 pixels, three of each class and in the order of
# classes, so that a good kernel shows bright blocks along the diagonal. Each matrix is
# scaled to a diagonal of ones. Averages make a kernel tolerant of small shifts: more
# pairs become alike, and not only of the same class.

# %%
digits = load(DataSpec("digits"))
real, test = digits.train, digits.test


def standard(image):
    """Pixels [n,8,8,1] around zero."""
    return (jnp.asarray(image, jnp.float32) / 255 - 0.3) / 0.35


def of_each_class(corpus, count):
    """The first images of each class, and their classes."""
    label = np.asarray(corpus.label)
    rows = np.concatenate([np.flatnonzero(label == c)[:count] for c in range(10)])
    return standard(np.asarray(corpus.image)[rows]), jnp.asarray(label[rows])


body = ConvNet(width=(32 if SHORT else 64,) * 2, norm="none")
SPECS = {
    "linear": LinearKernel(),
    "NNGP, dense": WideKernel("nngp", Fc(2)),
    "NTK, dense": WideKernel("ntk", Fc(2)),
    "NTK, conv": WideKernel("ntk", Conv(2)),
    "NTK, conv, averages": WideKernel("ntk", Conv(2, "average")),
    "NTK, conv, global": WideKernel("ntk", Conv(2, "global")),
    "features": NetworkKernel("conjugate", body),
    "8 networks' features": RandomFeatures(body, 8),
}
functions = {n: jax.jit(kernels.named(s, SHAPE)) for n, s in SPECS.items()}
variables = {
    n: kernels.variables(s, jax.random.key(0), SHAPE) for n, s in SPECS.items()
}

image, label = of_each_class(real, 3)
figure, axes = plt.subplots(2, 4, figsize=(9, 4.8), layout="constrained")
for axis, (name, kernel) in zip(axes.ravel(), functions.items(), strict=True):
    value = kernel(image, image, variables[name])
    root = jnp.sqrt(jnp.diagonal(value))
    axis.imshow(value / root[:, None] / root[None], cmap="magma", vmin=0, vmax=1)
    axis.set_title(name, fontsize=9)
    axis.set_xticks([])
    axis.set_yticks([])
plt.show()

# %% [markdown]
# ## Infinite is a limit
#
# The NTK is what `J J^T` of a random network tends to as it becomes wider, `J` being
# the derivative of its output by its weights. The error falls with the root of the
# width. Networks of `jaxdd.networks` are built for training; here a few lines in the
# kernel's own parameterisation make the comparison exact.

# %%
WIDTHS = (16, 64) if SHORT else (16, 64, 256)
NETWORKS = 2 if SHORT else 8
few = image[::3]


def empirical(key, width):
    """J J^T of one network with two hidden layers."""
    pairs = [(64, width), (width, width), (width, 1)]
    keys = jax.random.split(key, 6)
    weights = [jax.random.normal(k, p) for k, p in zip(keys[:3], pairs, strict=True)]
    biases = [
        jax.random.normal(k, (p[1],)) for k, p in zip(keys[3:], pairs, strict=True)
    ]

    def apply(params):
        value = few.reshape(len(few), -1)
        for place, (weight, bias) in enumerate(zip(*params, strict=True)):
            value = jax.nn.relu(value) if place else value
            value = (2 / len(weight)) ** 0.5 * value @ weight + 0.1 * bias
        return value[:, 0]

    leaves = jax.tree.leaves(jax.jacrev(apply)((weights, biases)))
    rows = jnp.concatenate([leaf.reshape(len(few), -1) for leaf in leaves], 1)
    return rows @ rows.T


exact = functions["NTK, dense"](few, few)
keys = jax.random.split(jax.random.key(1), NETWORKS)
found = {
    width: jax.jit(lambda k, w=width: jax.lax.map(lambda one: empirical(one, w), k))(
        keys
    )
    for width in WIDTHS
}

figure, axes = plt.subplots(1, 4, figsize=(9.5, 2.4), layout="constrained")
for axis, width in zip(axes, (WIDTHS[0], WIDTHS[-1], None), strict=False):
    axis.imshow(exact if width is None else found[width][0], cmap="magma")
    axis.set_title("infinite" if width is None else f"one network, width {width}")
    axis.set_xticks([])
    axis.set_yticks([])
errors = [
    jnp.sqrt(jnp.mean((found[w] - exact) ** 2) / jnp.mean(exact**2)) for w in WIDTHS
]
axes[-1].loglog(WIDTHS, errors, "o-")
axes[-1].loglog(WIDTHS, errors[0] * (np.array(WIDTHS) / WIDTHS[0]) ** -0.5, "k:")
axes[-1].set_xticks(WIDTHS, WIDTHS)
axes[-1].minorticks_off()
axes[-1].set(xlabel="width", title="relative error")
plt.show()

# %% [markdown]
# ## Regression
#
# Ten images of each class, or one, and all test images: kernel ridge regression with
# each kernel. The ridge is a millionth of the mean eigenvalue, as KIP has it. These are
# real images; distillation would learn better ones for the same kernel.

# %%
COUNTS = (1, 10)
asked = standard(np.asarray(test.image)[: 100 if SHORT else None])
answer = np.asarray(test.label)[: len(asked)]
ridge = Ridge(1e-6, "mean_trace")


def accuracy(name, count):
    """Share of right answers of a kernel with some images of each class."""
    kernel, given = functions[name], variables[name]
    support, classes = of_each_class(real, count)
    target = jax.nn.one_hot(classes, 10) - 0.1
    alpha, _ = fit(kernel(support, support, given), target, ridge)
    out = predict(kernel(asked, support, given), alpha)
    return float(np.mean(np.argmax(out, 1) == answer))


scores = {n: [accuracy(n, count) for count in COUNTS] for n in SPECS}
figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
place = np.arange(len(scores))
for shift, (count, values) in enumerate(
    zip(COUNTS, np.transpose(list(scores.values())), strict=True)
):
    bars = axis.barh(place + 0.4 * shift, 100 * values, 0.38, label=f"{count} a class")
    axis.bar_label(bars, fmt="%.0f", fontsize=8, padding=2)
axis.set_yticks(place + 0.2, list(scores))
axis.invert_yaxis()
axis.set(xlabel="test accuracy, %", title="kernel ridge regression on digits")
axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# ## Through the kernel
#
# Kernels are ordinary differentiable functions of images. Here is what the pooled NTK
# would change about one image of each class to make the test images right; at images
# that two arguments share, the derivative is finite too.

# %%
support, classes = of_each_class(real, 1)
batch = asked[:60]
wanted = jax.nn.one_hot(answer[:60], 10) - 0.1
pooled = functions["NTK, conv, averages"]


@jax.jit
@jax.value_and_grad
def loss(support):
    """KIP's loss of images [10,8,8,1] with fixed labels."""
    target = jax.nn.one_hot(classes, 10) - 0.1
    alpha, _ = fit(pooled(support, support), target, ridge)
    return jnp.mean((predict(pooled(batch, support), alpha) - wanted) ** 2) / 2


value, slope = loss(support)
print(f"loss {value:.4f}")
figure, axes = plt.subplots(2, 10, figsize=(9, 2), layout="constrained")
limit = float(jnp.abs(slope).max())
for top, bottom, one, arrow in zip(*axes, support, -slope, strict=True):
    top.imshow(one[..., 0], cmap="gray")
    bottom.imshow(arrow[..., 0], cmap="RdBu", vmin=-limit, vmax=limit)
    top.axis("off")
    bottom.axis("off")
figure.suptitle("an image of each class, and where its pixels should go", fontsize=10)
plt.show()

# %% [markdown]
# What these cost differs by orders of magnitude: a dense or unpooled kernel needs one
# covariance for each pixel, a pooled one needs pairs of pixels. `jaxdd` keeps only the
# pairs that a later average mixes, and computes a block of images at a time. Any other
# architecture of `neural_tangents.stax` becomes a kernel by `kernels.from_stax`.
