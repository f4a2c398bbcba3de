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
# # Gradients through training
#
# Many distillation methods ask the same question: if these ten images change a little,
# how does a network trained on them change? The answer is a gradient through all steps
# of a training run. `jaxdd.unroll` computes it, exactly or by one of the approximations
# of the literature. Here they stand side by side on one small problem.

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
import optax
from jax.flatten_util import ravel_pytree

from jaxdd import networks, unroll
from jaxdd.data.load import load
from jaxdd.records import (
    DataSpec,
    Mlp,
)
from jaxdd.report import figures, figures_adjoints
from jaxdd.unroll import SGD, Backprop, Implicit, Separable, inner, solve
from jaxdd.unroll.compare import compare_adjoints
from jaxdd.unroll.evolution import PES, Episode, TruncatedES, begin, evolution

SHORT = bool(os.environ.get("JAXDD_SHORT"))  # continuous integration runs it quickly
jax.config.update("jax_enable_x64", True)  # so that "exact" shows as 1e-15

# %% [markdown]
# ## The problem
#
# A small network, ten images of handwritten digits, and an *expert*: the same network
# after one and after three epochs on real images. A student starts at the first of
# these and takes `T` steps of gradient descent on the ten images; the outer loss says
# how far it ends from the second (this is MTT's). Learned are the images and the
# learning rate.

# %%
digits = load(DataSpec("digits"))
image = jnp.asarray(digits.train.image, float) / 16 / 16 - 0.5
label = jnp.asarray(digits.train.label)
network = networks.build(Mlp(width=(32,)), (8, 8, 1), 10)
variables = jax.jit(network.init)(jax.random.key(0))
flat, unravel = ravel_pytree(jax.tree.map(lambda a: a.astype(float), variables.params))


def cross_entropy(params, image, label):
    output, _ = network.apply(variables._replace(params=unravel(params)), image)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(output.logits), label[:, None], 1)
    return -chosen.mean()


EPOCH = len(label) // 64
real = inner.problem(
    lambda theta, params, x: cross_entropy(params, image[x], label[x]), SGD(), 0.1
)
rows = jax.random.randint(jax.random.key(1), (3 * EPOCH, 64), 0, len(label))
begun = inner.initial_carry(SGD(), flat)
start = solve(real, (), begun, rows[:EPOCH]).params
target = solve(real, (), begun, rows).params

first = jnp.asarray([np.flatnonzero(label == c)[0] for c in range(10)])
theta = {"image": image[first], "log_rate": jnp.log(0.1)}


def loss(theta, params, x):
    return cross_entropy(params, theta["image"], label[first])


rate = unroll.learned_rate(lambda theta, x: theta["log_rate"])
problem = inner.problem(loss, SGD(), rate)
carry = inner.initial_carry(SGD(), start)


def distance(theta, end):
    return jnp.sum((end.params - target) ** 2) / jnp.sum((start - target) ** 2)


def outer(theta, num_steps, adjoint):
    end = solve(problem, theta, carry, jnp.arange(num_steps), adjoint=adjoint)
    return distance(theta, end)


# %% [markdown]
# `solve` is an ordinary differentiable function: `jax.grad` works on the outside, and
# `adjoint` says how. This is the gradient of 30 steps, an image for each digit.

# %%
gradient = jax.jit(jax.grad(outer), static_argnums=(1, 2))
slope = gradient(theta, 30, Backprop())
print(f"by the logarithm of the rate: {slope['log_rate']:.4f}")
arrows = figures.contrast(np.asarray(-slope["image"]))
figures.grid(arrows, np.arange(10), title="Where each pixel should go")

# %% [markdown]
# ## TESLA's formula, and what it leaves out
#
# `Separable` is the formula of TESLA: each step's gradient is differentiated as if the
# steps behind it did not move. It is exact for one step. Then the error of a step grows
# with the rate, the curvature and the number of steps that follow.

# %%
STEPS = (1, 2, 5) if SHORT else (1, 2, 6, 20, 60)
RATES = (0.01, 0.05, 0.2, 0.5)


def cosine(a, b):
    a, b = np.ravel(a["image"]), np.ravel(b["image"])
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def length(a):
    return np.linalg.norm(a["image"])


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for beta in RATES:
    given = theta | {"log_rate": jnp.log(beta)}
    exact = [gradient(given, n, Backprop()) for n in STEPS]
    tesla = [gradient(given, n, Separable()) for n in STEPS]
    pairs = list(zip(exact, tesla, strict=True))
    left.plot(STEPS, [cosine(a, b) for a, b in pairs], "o-", label=f"rate {beta}")
    missed = [jax.tree.map(jnp.subtract, b, a) for a, b in pairs]
    wrong = [length(e) / length(a) for e, a in zip(missed, exact, strict=True)]
    right.plot(STEPS[1:], wrong[1:], "o-")  # at one step it is zero
left.set(xscale="log", xlabel="steps", title="cosine with the exact gradient")
right.set(xscale="log", yscale="log", xlabel="steps", title="relative error")
right.set_xlim(left.get_xlim())
left.legend(frameon=False)
plt.show()
print("one step, largest difference:", jnp.abs(missed[0]["image"]).max())

# %% [markdown]
# ## Windows
#
# With `start=s` the first steps are taken without derivative, and only a window is
# differentiated. What a short window leaves out is what the images did earlier: its
# gradient is shorter, which an outer optimiser like Adam would hide, and it turns.

# %%
TOTAL = 10 if SHORT else 60
WINDOWS = (1, 5, 10) if SHORT else (1, 5, 15, 30, 60)


def truncated(theta, window):
    steps = jnp.arange(TOTAL)
    end = solve(problem, theta, carry, steps, start=TOTAL - window, num_steps=window)
    return distance(theta, end)


given = theta | {"log_rate": jnp.log(0.3)}
full = gradient(given, TOTAL, Backprop())
short = jax.jit(jax.grad(truncated), static_argnums=1)
parts = [short(given, window) for window in WINDOWS]

figure, axis = plt.subplots(figsize=(5, 2.8), layout="constrained")
axis.plot(WINDOWS, [cosine(full, g) for g in parts], "o-", label="cosine")
axis.plot(WINDOWS, [length(g) / length(full) for g in parts], "o-", label="length")
axis.set(xlabel=f"steps in the window, of {TOTAL}", title="the last steps alone")
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# ## At a stationary point
#
# Where training has converged, it does not matter how: the implicit function theorem
# gives the gradient from the last parameters alone. It needs a convex inner problem,
# enough steps, and a linear system to be solved. Twenty terms of Neumann's series are
# the last twenty steps of the unrolled gradient; conjugate gradients use them better.

# %%
strongly = inner.problem(
    lambda theta, params, x: (
        -jax.nn.log_softmax(theta.reshape(10, -1) @ params.reshape(64, 10))[
            jnp.arange(10), label[first]
        ].mean()
        + 0.02 * jnp.sum(params**2)
    ),
    SGD(),
    0.5,
)
zero = inner.initial_carry(SGD(), jnp.zeros(640))


def real_loss(end):
    logits = image.reshape(-1, 64) @ end.params.reshape(64, 10)
    return -jax.nn.log_softmax(logits)[jnp.arange(len(label)), label].mean()


def convex(theta, num_steps, adjoint):
    return real_loss(
        solve(strongly, theta, zero, jnp.arange(num_steps), adjoint=adjoint)
    )


by_images = jax.jit(jax.grad(convex), static_argnums=(1, 2))
LONG = (5, 20) if SHORT else (5, 20, 100, 500)
figure, axis = plt.subplots(figsize=(5, 2.8), layout="constrained")
unrolled = [by_images(theta["image"], n, Backprop()) for n in LONG]
for name, spec in {
    "CG, 20 products": Implicit("cg", 20),
    "Neumann, 20 products": Implicit("neumann", 20),
}.items():
    found = [by_images(theta["image"], n, spec) for n in LONG]
    error = [
        jnp.linalg.norm(a - b) / jnp.linalg.norm(b)
        for a, b in zip(found, unrolled, strict=True)
    ]
    axis.plot(LONG, error, "o-", label=name)
axis.set(xscale="log", yscale="log", xlabel="steps", title="error against unrolling")
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# ## What it costs to remember
#
# Reverse mode needs every step's activations. They can be computed again: then only the
# parameters are kept, four bytes each in single precision (eight here), or with nested
# windows the square root of them. The compiler says what each program needs, without
# running it; dotted is what `estimate_memory` predicts from shapes alone.

# %%
LENGTHS = (4, 16) if SHORT else (8, 64, 512)
KINDS = {
    "keep everything": Backprop("none"),
    "keep parameters": Backprop("step"),
    "nested": Backprop("nested"),
    "TESLA": Separable(),
}
figure, axis = plt.subplots(figsize=(5.5, 3), layout="constrained")
for name, adjoint in KINDS.items():
    needed, expected = [], []
    for steps in LENGTHS:
        program = gradient.lower(theta, steps, adjoint).compile()
        needed.append(program.memory_analysis().temp_size_in_bytes / 1e6)
        given = problem, theta, carry, jnp.arange(steps), adjoint
        expected.append(unroll.estimate_memory(*given).total / 1e6)
    (line,) = axis.plot(LENGTHS, needed, "o-", label=name)
    axis.plot(LENGTHS, expected, ":", color=line.get_color())
axis.set(xscale="log", yscale="log", xlabel="steps", ylabel="MB", title="memory")
axis.legend(frameon=False, fontsize=8)
plt.show()

# %% [markdown]
# ## Without any derivative
#
# Evolution strategies look at loss values alone. Two numbers are learned here, the
# logarithms of the learning rate at the beginning and at the end of 200 steps on a
# quadratic, steep and noisy in one direction, flat in the other. Short windows are
# cheap and short-sighted: in each, a low rate calms the noise, and the flat direction
# seems not worth the trouble. So truncated ES ends where it is worse than at its start.
# Persistent ES remembers what its particles did before, and is unbiased.

# %%
CURVATURE = jnp.asarray([1.0, 0.01])
LENGTH, UPDATES = 200, 5 if SHORT else 400


def descend(schedule, carry, x):
    """A step; x holds the fraction of the run that is over, and noise."""
    place, noise = x
    step = jnp.exp((1 - place) * schedule[0] + place * schedule[1])
    return carry - step * (CURVATURE * carry + jnp.asarray([noise, 0.0]))


episode = Episode(
    init=lambda schedule, key: jnp.asarray([0.0, 5.0]),
    step=descend,
    loss=lambda schedule, carry, x: 0.5 * CURVATURE @ carry**2,
    length=LENGTH,
    draw=lambda key, t: (
        t / LENGTH,
        0.5 * jax.random.normal(jax.random.fold_in(key, t)),
    ),
)


def learned(spec, schedule, key):
    """The schedules that Adam visits with this estimator, [updates,2]."""
    adam = optax.adam(0.03)

    def update(held, key):
        schedule, opt, particles = held
        _, slope, particles = evolution(episode, schedule, key, particles, spec=spec)
        change, opt = adam.update(slope, opt)
        return (schedule + change, opt, particles), schedule

    held = schedule, adam.init(schedule), begin(episode, schedule, key, spec)
    return jax.lax.scan(update, held, jax.random.split(key, UPDATES))[1]


@jax.jit
def mean_loss(schedule):
    """Over an episode and 16 keys."""

    def one(key):
        def step(carry, t):
            x = episode.draw(key, t)
            carry = episode.step(schedule, carry, x)
            return carry, episode.loss(schedule, carry, x)

        begun = episode.init(schedule, key)
        return jax.lax.scan(step, begun, jnp.arange(LENGTH))[1].mean()

    return jax.vmap(one)(jax.random.split(jax.random.key(0), 16)).mean()


size = 8 if SHORT else 30
ends = jnp.linspace(-4.5, 0.6, size), jnp.linspace(-5.5, 0.6, size)
grid = jnp.stack(jnp.meshgrid(*ends), -1).reshape(-1, 2)
surface = jax.lax.map(mean_loss, grid, batch_size=100).reshape(size, size)

figure, axis = plt.subplots(figsize=(5.5, 4), layout="constrained")
levels = np.linspace(float(surface.min()) * 1.01, 0.13, 14)
axis.contour(*ends, surface, levels, colors="#c3cad6", linewidths=0.8)
opening = jnp.asarray([-2.0, -2.0])
for name, spec in {
    "truncated ES": TruncatedES(0.1, pairs=20, window=10),
    "PES": PES(0.1, pairs=20, window=10),
}.items():
    run = jax.jit(lambda key, spec=spec: learned(spec, opening, key))
    path = run(jax.random.key(2))
    axis.plot(*path.T, linewidth=1.2, label=f"{name}: {mean_loss(path[-1]):.4f}")
    axis.plot(*path[-1], "ko", markersize=4)
axis.plot(*opening, "ko", markersize=4, fillstyle="none")
axis.set(xlabel="log rate at the beginning", ylabel="log rate at the end")
axis.legend(frameon=False, title="mean loss at the end of each path")
plt.show()
print(f"at the start {mean_loss(opening):.4f}, least on the grid {surface.min():.4f}")

# %% [markdown]
# ## All of them on one page
#
# `compare_adjoints` measures a list of adjoints against the exact gradient. Anything
# else that gives a gradient can stand beside them: here the last ten steps, and a
# window drawn at random, whose variance over keys is shown too.

# %%
T = 8 if SHORT else 40


def window_at(begins):
    """An estimator with a window of T/4 steps that starts where `begins` says."""

    def estimate(theta, carry, xs, key):
        def loss(theta):
            place = begins(key)
            end = solve(problem, theta, carry, xs, start=place, num_steps=T // 4)
            return distance(theta, end)

        return jax.value_and_grad(loss)(theta)

    return estimate


ADJOINTS = {
    "plain scan": Backprop("none"),
    "step (default)": Backprop(),
    "nested": Backprop("nested"),
    "fused": Backprop(step="fused"),
    "mixed": Backprop(step="mixed"),
    "TESLA": Separable(),
    "last quarter": window_at(lambda key: T - T // 4),
    "random quarter": window_at(
        lambda key: jax.random.randint(key, (), 0, T - T // 4 + 1)
    ),
    "implicit, CG": Implicit("cg", 10, damping=0.1),
}
comparison = compare_adjoints(
    problem,
    distance,
    theta,
    carry,
    lambda key: jnp.arange(T),
    ADJOINTS,
    keys=jax.random.split(jax.random.key(3), 2 if SHORT else 8),
)
print(comparison)
figures_adjoints.adjoints(comparison, f"{T} steps, {flat.size} parameters")

# %% [markdown]
# The first five are one gradient by different programs; they differ in memory and time.
# The others are other algorithms with gradients of their own. Which bias does harm
# depends on the method; that it is there should be known.
