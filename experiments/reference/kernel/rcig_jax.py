"""Brings the authors' RCIG up on the installed jax and watches one step.

The program is yolky/RCIG (no licence file), given as a checkout; nothing of it is
copied here. It was written for Flax 0.6 and jax 0.3. What it needs today is done around
it: packages that it imports and does not use here (PyTorch, ml_collections, its
augmentations) are empty stand-ins, variables come as frozen dicts again,
`jax.tree_map` has its old name, and `jax.jit` passes over static names that a function
does not take. The functions of its loop are called in its order.

  golden: one step in float64 on a tiny problem, to an .npz that tests compare with
  python experiments/reference/kernel/rcig_jax.py --checkout DIR golden \
      tests/methods/kernel/golden/rcig.npz
"""

import argparse
import importlib
import inspect
import sys
import types
from pathlib import Path
from typing import Any, NamedTuple

import flax
import flax.training.checkpoints  # before the stand-ins: it looks for TensorFlow
import jax
import jax.numpy as jnp
import numpy as np
import optax

CLASSES, SHAPE, WIDTH, DEPTH, REAL = 6, (8, 8, 3), 3, 2, 7
RIDGE, INNER_RATE, SYSTEM_RATE, VISIT = 5e-2 * CLASSES, 2e-3, 0.5, 2


class Settings(NamedTuple):
    """What their functions read of a configuration."""

    pool_learning_rate: float = 5e-5
    model_depth: int = DEPTH
    naive_loss: bool = False
    max_forward_batch_size: int | None = None
    use_x64: bool = True


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("mode", choices=["golden"])
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    program, models = load_program(args.checkout)
    np.savez_compressed(args.out, **golden_arrays(program, models))


def load_program(checkout: Path) -> tuple[Any, Any]:
    """The authors' modules algorithms and models."""
    for name in ("torch", "ml_collections", "augmax"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["augmax"].get_aug_by_name = None  # type: ignore[attr-defined]
    jax.tree_map = jax.tree_util.tree_map  # type: ignore[attr-defined]
    flax.config.update("flax_return_frozendict", True)
    sys.path.insert(0, str(checkout))
    strict, jax.jit = jax.jit, _tolerant(jax.jit)
    try:
        return importlib.import_module("algorithms"), importlib.import_module("models")
    finally:
        jax.jit = strict


def _tolerant(strict: Any) -> Any:
    def jit(function: Any, static_argnames: tuple[str, ...] = ()) -> Any:
        given = (
            (static_argnames,) if isinstance(static_argnames, str) else static_argnames
        )
        taken = inspect.signature(function).parameters
        names = tuple(name for name in given if name in taken)
        return strict(function, static_argnames=names)

    return jit


def coreset(program: Any, images: Any, labels: Any) -> Any:
    """Their state of the set, with mirror images and the optimiser of its loop."""
    holder = program.ProtoHolder(images, labels, 0.0, len(images), use_flip=True)
    pair = {"x_proto": True, "y_proto": True, "log_temp": False}
    rest = {name: not chosen for name, chosen in pair.items()}
    optimiser = optax.chain(
        optax.masked(optax.adabelief(learning_rate=3e-3), pair),
        optax.masked(optax.adabelief(learning_rate=0.03), rest),
    )
    params = holder.init({"params": jax.random.PRNGKey(0)}).unfreeze()["params"]
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), params)
    return program.CoresetTrainState.create(
        apply_fn=holder.apply,
        tx=optimiser,
        params=params,
        train_it=0,
        ema_average=params,
        ema_hidden=jax.tree.map(jnp.zeros_like, params),
    )


def network(program: Any, models: Any) -> Any:
    """Their state of a fresh network, in float64."""
    module = models.Conv(
        depth=DEPTH,
        width=WIDTH,
        num_classes=CLASSES,
        use_softplus=True,
        beta=60.0,
        dtype="float64",
    )
    state, _ = program.get_new_train_state(
        *(jax.random.PRNGKey(1), Settings().pool_learning_rate, DEPTH, False, True),
        *(module.apply, module.init, (1, *SHAPE)),
    )
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), state.params)
    # Biases of zero would hide where they matter.
    biased = jax.tree.map(lambda a: a + 0.05 * (a == 0), params["base_params"])
    params = {**params, "base_params": biased}
    return state.replace(params=params, opt_state=state.tx.init(params))


def golden_arrays(program: Any, models: Any) -> dict[str, np.ndarray]:
    """Inputs, the pieces of the gradient, and what follows the step."""
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.standard_normal((CLASSES, *SHAPE)))
    labels = jnp.asarray(0.3 * rng.standard_normal((CLASSES, CLASSES)))
    real = jnp.asarray(rng.standard_normal((REAL, *SHAPE)))
    classes = rng.integers(0, CLASSES, REAL)
    target = jax.nn.one_hot(classes, CLASSES, dtype=float) - 1 / CLASSES
    small, net = coreset(program, images, labels), network(program, models)
    found = {"start/x_s": images, "start/y_s": labels, "start/x_b": real}
    found |= {"start/label": classes}
    found |= _tree("start/net", net.params["base_params"])
    key, config = jax.random.PRNGKey(2), Settings()
    set_images, set_labels, _ = small.apply_fn({"params": small.params})
    batch = {"images": set_images, "labels": set_labels}
    common = {"has_bn": False, "aug": program.identity, "batch_size": None}
    trained, losses = program.do_training_steps(
        *(net, batch, key),
        **common,
        n_steps=20,
        l2=RIDGE,
        train=False,
        do_krr=True,
        inject_lr=INNER_RATE,
        alg_config=config,
    )
    found |= {"inner/losses": losses[:20]}
    found |= _tree("inner/change", trained.params["tangent_params"])
    found |= _pieces(program, trained, small, real, target, key, config)
    after, outcome = program.do_meta_train_step(
        *(trained, small, real, target),
        l2=RIDGE,
        n_hinv_steps=20,
        do_krr=True,
        aug=program.identity,
        aug_key=key,
        lr=SYSTEM_RATE,
        direct_batch_sizes=(None, None),
        alg_config=config,
    )
    found |= {"loss": outcome[0]} | _tree("after", after.params)
    set_images, set_labels, _ = after.apply_fn({"params": after.params})
    batch = {"images": set_images, "labels": set_labels}
    grown, _ = program.do_training_steps(
        net, batch, key, **common, n_steps=VISIT, train=True, use_base_params=True
    )
    found |= _tree("after/net", grown.params["base_params"])
    return {name: np.asarray(value) for name, value in found.items()}


def _pieces(
    program: Any,
    trained: Any,
    small: Any,
    real: Any,
    target: Any,
    key: Any,
    config: Settings,
) -> dict[str, Any]:
    """The gradient by dw, the direct term, H^-1 of the former, the implicit term."""
    alike = {"l2": RIDGE, "do_krr": True, "has_bn": False}
    slope, direct, *_ = program.get_gt_and_direct(
        *(trained, small, real, target),
        **alike,
        aug=program.identity,
        aug_key=key,
        batch_sizes=(None, None),
    )
    vector, residuals = program.get_h_inv_vp(
        small, trained, slope, n_steps=20, **alike, lr=SYSTEM_RATE, alg_config=config
    )
    through = program.get_implicit_grad(
        *(vector, trained, small, real, target),
        **alike,
        aug=program.identity,
        aug_key=key,
        use_x64=True,
    )
    found = {"system/residuals": residuals[:20]}
    found |= _tree("slope", slope["tangent_params"])
    found |= _tree("system/vector", vector["tangent_params"])
    return found | _tree("direct", direct) | _tree("through", through)


def _tree(prefix: str, tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(dict(tree))
    names = ["/".join(str(getattr(k, "key", k)) for k in path) for path, _ in leaves]
    return {f"{prefix}/{n}": leaf for n, (_, leaf) in zip(names, leaves, strict=True)}


if __name__ == "__main__":
    main()
