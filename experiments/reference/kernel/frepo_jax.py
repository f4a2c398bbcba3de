"""Brings the authors' FRePo up on the installed jax and watches its steps.

The program is yongchao97/FRePo (no licence file), given as a checkout; nothing of it is
copied here. It was written for Flax 0.6 and jax 0.3. What it needs today is done around
it: data sets and metric writers are empty stand-ins, variables come as frozen dicts
again, and `scipy.linalg.solve(sym_pos=True)` is spelled `assume_a="pos"`. One device.

  golden: two steps in float64 on a tiny problem, to an .npz that tests compare with
  python experiments/reference/kernel/frepo_jax.py --checkout DIR golden \
      tests/methods/kernel/golden/frepo.npz

experiments/benches/frepo.py imports `Loop` and times it.
"""

import argparse
import functools
import importlib
import sys
import types
from pathlib import Path
from typing import Any

import flax
import flax.training.checkpoints  # before the stand-ins: it looks for TensorFlow
import jax
import jax.numpy as jnp
import numpy as np
import optax

CLASSES, SHAPE, WIDTH, DEPTH, REAL, STEPS = 6, (8, 8, 3), 3, 2, 7, 2
RATE, INNER_RATE, RUN = 1e-2, 3e-4, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("mode", choices=["golden"])
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    np.savez_compressed(args.out, **golden_arrays(load_program(args.checkout)))


def load_program(checkout: Path) -> types.SimpleNamespace:
    """The authors' modules: frepo, networks, train (training/utils), metrics."""
    for name in ("tensorflow", "clu", "pandas"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["clu"].metric_writers = None  # type: ignore[attr-defined]
    flax.config.update("flax_return_frozendict", True)
    sys.path.insert(0, str(checkout))
    frepo = importlib.import_module("lib.datadistillation.frepo")
    frepo.sp = types.SimpleNamespace(linalg=types.SimpleNamespace(solve=_solve))
    return types.SimpleNamespace(
        frepo=frepo,
        networks=importlib.import_module("lib.models.networks"),
        train=importlib.import_module("lib.training.utils"),
        metrics=importlib.import_module("lib.training.metrics"),
    )


def _solve(matrix: jax.Array, right: jax.Array, sym_pos: bool = False) -> jax.Array:
    kind = "pos" if sym_pos else "gen"
    return jax.scipy.linalg.solve(matrix, right, assume_a=kind)


def functions(
    program: types.SimpleNamespace, flip: bool, has_norm: bool = True
) -> types.SimpleNamespace:
    """What their loop calls in a step, jitted as there."""
    frepo = program.frepo
    feat = functools.partial(frepo.nn_feat_fn, has_bn=has_norm, use_ema=False)
    inner = functools.partial(
        program.train.train_step,
        has_feat=True,
        has_bn=has_norm,
        loss_type=program.metrics.mean_squared_loss,
    )
    outer = functools.partial(frepo.proto_train_step, feat_fn=feat, use_flip=flip)
    sample = functools.partial(frepo.get_sample_proto, bs=1000)
    return types.SimpleNamespace(
        feat=jax.jit(feat),
        outer=jax.jit(outer),
        sample=jax.jit(sample),
        inner=jax.jit(inner),
    )


def states(
    program: types.SimpleNamespace, images: Any, labels: Any, **settings: Any
) -> tuple[Any, Any]:
    """Their state of the set, and a function from a key to the state of a network."""
    width, depth, steps = (settings[name] for name in ("width", "depth", "steps"))
    module = program.networks.Conv(
        depth=depth,
        width=width,
        num_classes=labels.shape[1],
        normalization=settings.get("norm", "batch"),
        output="feat_fc",
        dtype=settings.get("dtype", "float32"),
    )
    holder = program.frepo.ProtoHolder(images, labels, len(images))
    rate = optax.cosine_decay_schedule(settings["rate"], steps, alpha=0.1)
    state = program.frepo.create_proto_state(jax.random.PRNGKey(0), holder, rate)
    config = types.SimpleNamespace(
        optimizer="adam", img_size=images.shape[1], img_channels=images.shape[3]
    )

    def network(key: jax.Array) -> Any:
        return program.train.create_train_state(
            key,
            config=config,
            model=module,
            learning_rate_fn=lambda count: settings["inner_rate"],
            has_bn=settings.get("norm", "batch") == "batch",
        )

    return state, network


class Loop:
    """Their steps, as their loop makes them, on the same real images.

    Args:
      checkout: of the program.
      arrays: x_s, y_s, x_b, y_b.
      settings: norm, flip, pool, max_age and what `states` takes.
    """

    def __init__(
        self, checkout: Path, arrays: dict[str, np.ndarray], **settings: Any
    ) -> None:
        program = load_program(checkout)
        self._real = arrays["x_b"], arrays["y_b"]
        few = (jnp.asarray(arrays[name]) for name in ("x_s", "y_s"))
        has_norm = settings["norm"] == "batch"
        self._step = functions(program, settings["flip"], has_norm)
        self._state, network = states(program, *few, **settings)
        self._fresh, self._max_age = jax.jit(network), settings["max_age"]
        self._random, self._key = np.random.default_rng(0), jax.random.PRNGKey(0)
        age = self._max_age // settings["pool"]
        self._nets = [
            self._fresh(self._split()).replace(step=age * number)
            for number in range(settings["pool"])
        ]

    def _split(self) -> jax.Array:
        self._key, key = jax.random.split(self._key)
        return key

    def run(self, steps: int) -> Any:
        """Makes so many steps; the set and a network, to wait for."""
        image, target = self._real
        for _ in range(steps):
            place = int(self._random.integers(len(self._nets)))
            net = self._nets[place]
            feature = self._step.feat(jnp.asarray(image), net)
            batch = {"image": feature, "label": jnp.asarray(target)}
            self._state, _ = self._step.outer(self._state, net, batch)
            if net.step > self._max_age:
                self._nets[place] = self._fresh(self._split())
                continue
            key = self._split()
            few, label = self._step.sample(self._state, key)
            given = {"image": few, "label": label}
            self._nets[place], _ = self._step.inner(net, given, key)
        return self._state.params, self._nets[place].params


def golden_arrays(program: types.SimpleNamespace) -> dict[str, np.ndarray]:
    """Inputs, and after each step: set, loss, gradients, network."""
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.standard_normal((CLASSES, *SHAPE)))
    labels = jnp.asarray(0.3 * rng.standard_normal((CLASSES, CLASSES)))
    # The first labels' margins: met, and not met.
    labels = labels.at[0, 0].set(2.0).at[1].set(jnp.linspace(-0.2, 0.1, CLASSES))
    real = jnp.asarray(rng.standard_normal((REAL, *SHAPE)))
    classes = rng.integers(0, CLASSES, REAL)
    target = jax.nn.one_hot(classes, CLASSES, dtype=float) - 1 / CLASSES
    settings = {"width": WIDTH, "depth": DEPTH, "steps": RUN, "dtype": "float64"}
    rates = {"rate": RATE, "inner_rate": INNER_RATE}
    state, network = states(program, images, labels, **settings, **rates)
    net = _started(network(jax.random.PRNGKey(1)), rng)
    step = functions(program, flip=True)
    found = {"start/x_s": images, "start/y_s": labels, "start/x_b": real}
    found |= {"start/label": classes} | _network(net, "start")
    mean = jax.tree.map(jnp.zeros_like, dict(state.params))
    for number in range(1, STEPS + 1):
        name = f"step{number}"
        feature = step.feat(real, net)
        state, metrics = step.outer(state, net, {"image": feature, "label": target})
        chosen = step.sample(state, jax.random.PRNGKey(2))
        given = dict(zip(("image", "label"), chosen, strict=True))
        net, _ = step.inner(net, given, jax.random.PRNGKey(3))
        before, mean = mean, dict(optax.tree.get(state.opt_state, "mu"))
        for theirs, ours in (("x_proto", "x_s"), ("y_proto", "y_s")):
            # The first moment of LAMB holds a tenth of the gradient.
            change = (mean[theirs] - 0.9 * before[theirs]) / (1 - 0.9)
            found[f"{name}/gradient_{ours}"] = change
            found[f"{name}/{ours}"] = state.params[theirs]
        found[f"{name}/loss"] = metrics["total_loss"]
        found |= _network(net, name)
    return {name: np.asarray(value) for name, value in found.items()}


def _started(net: Any, rng: np.random.Generator) -> Any:
    """The network in float64, with statistics that are not those of a fresh one."""
    as_double = lambda tree: jax.tree.map(lambda leaf: leaf.astype(jnp.float64), tree)
    stats = jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape)), net.batch_stats
    )
    params = as_double(net.params)
    return net.replace(params=params, batch_stats=stats, opt_state=net.tx.init(params))


def _network(net: Any, prefix: str) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(
        {"params": dict(net.params), "stats": dict(net.batch_stats)}
    )
    names = ["/".join(str(getattr(k, "key", k)) for k in path) for path, _ in leaves]
    return {f"{prefix}/{n}": leaf for n, (_, leaf) in zip(names, leaves, strict=True)}


if __name__ == "__main__":
    main()
