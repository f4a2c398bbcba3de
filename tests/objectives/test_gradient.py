"""Gradient matching: closed forms, invariances, derivatives, siamese use, memory."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import augment, networks
from jaxdd.base import Augment, Batch, Network, Output, Synthetic, Variables
from jaxdd.errors import InputError
from jaxdd.objectives.gradient import class_gradients, distance
from jaxdd.records import (
    Activation,
    AugmentSpec,
    ConvNet,
    Mlp,
    NetworkSpec,
)
from tests.helpers import finite_difference

CLASSES, IPC, COUNT, SHAPE = 3, 2, 5, (8, 8, 3)
SMOOTH = ConvNet(width=(4,), conv="stock", activation=Activation("swish"))
COLOUR = AugmentSpec(policy="dsa", strategy="color")
MLP = Mlp(width=(6,))


def _wide(tree):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), tree)


def _built(spec: NetworkSpec, key: jax.Array) -> tuple[Network, Variables]:
    network = networks.build(spec, SHAPE, CLASSES)
    return network, _wide(jax.jit(network.init)(key))


def _sets(key: jax.Array, ipc: int = IPC, classes: int = CLASSES):
    key_s, key_t = jax.random.split(key)
    image = jax.random.normal(key_s, (classes * ipc, *SHAPE))
    real = 0.5 + jax.random.normal(key_t, (classes, COUNT, *SHAPE))
    label = jnp.repeat(jnp.arange(classes), ipc)
    synthetic = Synthetic(image, label, jnp.ones(len(image)))
    batch = Batch(
        real, None, jnp.zeros((classes, COUNT), int), jnp.ones(real.shape[:2])
    )
    return synthetic, batch


def _loss(objective, synthetic, batch, variables, key):
    def loss(image):
        changed = synthetic._replace(image=image)
        return objective(changed, batch, variables, {}, key)[0]

    return loss


def _gradients(key: jax.Array, spec: NetworkSpec = SMOOTH):
    """Two gradient trees of a network, from two batches."""
    network, variables = _built(spec, key)

    def gradient(image):
        def loss(params):
            logits = network.apply(Variables(params, variables.stats), image)[0].logits
            return -jnp.mean(jax.nn.log_softmax(logits)[:, 1])

        return jax.grad(loss)(variables.params)

    images = jax.random.normal(key, (2, 4, *SHAPE))
    return jax.jit(lambda: (gradient(images[0]), gradient(images[1])))()


# Distances -------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["instance", "layer"])
def test_distance_is_the_authors_formula_in_their_layout(norm, key, x64):
    """Kernels as [out,in,h,w], layer norm's weights as [c,h,w], rows in turn."""
    one, other = _gradients(key, ConvNet(width=(4,), norm=norm))
    total = 0.0
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if a.ndim == 1:
            continue
        # [h,w,in,out] -> [out,in,h,w], [in,out] -> [out,in], [h,w,c] -> [c,h,w]
        order = {4: (3, 2, 0, 1), 3: (2, 0, 1), 2: (1, 0)}[a.ndim]
        rows = [np.asarray(x).transpose(order).reshape(x.shape[-1], -1) for x in (a, b)]
        for u, v in zip(*rows, strict=True):
            total += 1 - u @ v / (np.linalg.norm(u) * np.linalg.norm(v) + 1e-6)
    np.testing.assert_allclose(distance("ours")(one, other), total, rtol=1e-12)


def test_other_distances_take_all_gradients_as_one_row(key, x64):
    one, other = _gradients(key)
    u, v = (
        np.concatenate([x.ravel() for x in jax.tree.leaves(t)]) for t in (one, other)
    )
    np.testing.assert_allclose(distance("mse")(one, other), ((u - v) ** 2).sum())
    cosine = u @ v / (np.linalg.norm(u) * np.linalg.norm(v) + 1e-6)
    np.testing.assert_allclose(distance("cos")(one, other), 1 - cosine)


def test_distance_is_blind_to_the_scale_of_a_row_and_bounded(key, x64):
    one, other = (jax.tree.map(lambda g: 1e3 * g, t) for t in _gradients(key))
    rows = sum(leaf.shape[-1] for leaf in jax.tree.leaves(one) if leaf.ndim >= 2)
    ours = distance("ours")

    def scaled(tree):
        factor = lambda leaf: 1 + jnp.arange(leaf.shape[-1], dtype=leaf.dtype)
        return jax.tree.map(
            lambda leaf: leaf * factor(leaf).reshape((1,) * (leaf.ndim - 1) + (-1,)),
            tree,
        )

    before = ours(one, other)
    assert 0.1 * rows < before < 2 * rows
    np.testing.assert_allclose(ours(scaled(one), other), before, rtol=1e-6)
    np.testing.assert_allclose(ours(one, scaled(other)), before, rtol=1e-6)
    np.testing.assert_allclose(ours(one, one), 0, atol=1e-6)
    opposite = jax.tree.map(jnp.negative, one)
    np.testing.assert_allclose(ours(one, opposite), 2 * rows, rtol=1e-6)
    # Along the input axis of a kernel it would not be.
    along = jax.tree.map(lambda g: jnp.swapaxes(g, -1, -2) if g.ndim > 1 else g, one)
    turned = jax.tree.map(
        lambda g: jnp.swapaxes(g, -1, -2) if g.ndim > 1 else g, scaled(one)
    )
    assert abs(float(ours(along, turned))) > 1e-3


@pytest.mark.parametrize("kind", ["ours", "cos"])
def test_zero_rows_have_a_finite_derivative(kind):
    tree = {"kernel": jnp.zeros((3, 2))}
    other = {"kernel": jnp.ones((3, 2))}
    value, slope = jax.value_and_grad(distance(kind))(tree, other)
    assert float(value) == (2 if kind == "ours" else 1)
    assert bool(jnp.isfinite(slope["kernel"]).all())


def test_a_dead_unit_does_not_poison_the_images(key):
    network = networks.build(Mlp(width=(6,)), SHAPE, CLASSES)
    variables = jax.jit(network.init)(key)
    bias = variables.params["dense_0"]["bias"]
    variables.params["dense_0"]["bias"] = bias.at[2].set(-100.0)
    synthetic, batch = _sets(key)
    loss = _loss(class_gradients(network), synthetic, batch, variables, key)
    slope = jax.jit(jax.grad(loss))(synthetic.image)
    assert bool(jnp.isfinite(slope).all())
    assert float(jnp.abs(slope).max()) > 0


# The objective ---------------------------------------------------------------------


def _linear() -> Network:
    """logits = pixels @ weight + bias."""

    def apply(variables, image, *, train=False, key=None):
        flat = image.reshape(len(image), -1)
        params = variables.params
        return Output(flat @ params["w"] + params["b"][None], flat), variables

    size = int(np.prod(SHAPE))
    return Network(lambda key: Variables({}, {}), apply, size, CLASSES, "linear")


def test_linear_model_has_a_closed_form(key, x64):
    """mse, one image a class: value and image gradient written out in NumPy."""
    synthetic, batch = _sets(key, ipc=1)
    size, rng = int(np.prod(SHAPE)), np.random.default_rng(0)
    weight = rng.standard_normal((size, CLASSES)) / size**0.5
    bias = rng.standard_normal(CLASSES)
    variables = Variables({"w": jnp.asarray(weight), "b": jnp.asarray(bias)}, {})
    objective = class_gradients(_linear(), kind="mse")
    loss = _loss(objective, synthetic, batch, variables, key)
    value, slope = jax.jit(jax.value_and_grad(loss))(synthetic.image)

    total, slopes = 0.0, []
    for c in range(CLASSES):
        means = []
        for image in (synthetic.image[c : c + 1], batch.image[c]):
            x = np.asarray(image).reshape(len(image), -1)
            p = np.exp(x @ weight + bias)
            p /= p.sum(1, keepdims=True)
            residual = p - np.eye(CLASSES)[[c]]
            means.append((x.T @ residual / len(x), residual.mean(0), x, p, residual))
        (g_w, g_b, x, p, residual), (r_w, r_b, *_) = means
        total += ((g_w - r_w) ** 2).sum() + ((g_b - r_b) ** 2).sum()
        v_w, v_b = 2 * (g_w - r_w), 2 * (g_b - r_b)
        jacobian = np.diag(p[0]) - np.outer(p[0], p[0])
        slopes.append(v_w @ residual[0] + weight @ jacobian @ (v_w.T @ x[0] + v_b))
    np.testing.assert_allclose(value, total, rtol=1e-10)
    np.testing.assert_allclose(
        slope.reshape(CLASSES, -1), slopes, rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("kind", ["ours", "mse", "cos"])
def test_equal_sets_are_at_distance_zero(kind, key, x64):
    """Also under augmentation: both sides get the same draw."""
    _, batch = _sets(key)
    network, variables = _built(SMOOTH, key)  # every row has a gradient
    label = jnp.repeat(jnp.arange(CLASSES), COUNT)
    same = Synthetic(batch.image.reshape(-1, *SHAPE), label, jnp.ones(len(label)))
    op = augment.build(COLOUR, SHAPE)
    objective = class_gradients(network, kind=kind, augment=op)
    loss = jax.jit(_loss(objective, same, batch, variables, key))
    # The floor under the norms leaves 1e-6 / ||row||^2 of each row.
    np.testing.assert_allclose(loss(same.image), 0, atol=1e-3)
    assert float(loss(same.image + 0.3 * batch.image[0, :1])) > 1e-2


def test_derivative_equals_finite_differences(key, x64):
    synthetic, batch = _sets(key)
    network, variables = _built(SMOOTH, key)
    objective = class_gradients(network)
    loss = jax.jit(_loss(objective, synthetic, batch, variables, key))
    for slope, inner in finite_difference(loss, synthetic.image, probes=3, eps=1e-6):
        np.testing.assert_allclose(inner, slope, rtol=1e-6)


@pytest.mark.slow_cases("spec0-False", "spec1-True")
@pytest.mark.parametrize(("spec", "siamese"), [(SMOOTH, False), (MLP, True)])
def test_modes_and_chunks_agree(spec, siamese, key, x64):
    synthetic, batch = _sets(key)
    network, variables = _built(spec, key)
    op = augment.build(COLOUR, SHAPE) if siamese else None

    def run(**options):
        objective = class_gradients(network, augment=op, **options)
        loss = _loss(objective, synthetic, batch, variables, key)
        return jax.jit(jax.value_and_grad(loss))(synthetic.image)

    value, slope = run()
    for options in ({"derivative": "forward"}, {"chunk_classes": 2}):
        other, other_slope = run(**options)
        np.testing.assert_allclose(other, value, rtol=1e-12)
        np.testing.assert_allclose(other_slope, slope, rtol=0, atol=1e-12)


def test_classes_do_not_see_each_other_and_padding_counts_for_nothing(key, x64):
    synthetic, batch = _sets(key)
    network, variables = _built(MLP, key)
    objective = class_gradients(network)
    slope = jax.jit(
        lambda image, batch: jax.grad(
            _loss(objective, synthetic, batch, variables, key)
        )(image)
    )
    first = slope(synthetic.image, batch)
    moved = slope(synthetic.image.at[IPC:].add(1.0), batch)
    np.testing.assert_array_equal(moved[:IPC], first[:IPC])
    assert float(jnp.abs(moved - first)[IPC:].max()) > 1e-3
    last = batch._replace(weight=batch.weight.at[:, -1].set(0))
    garbage = last._replace(image=batch.image.at[:, -1].set(9.0))
    shorter = batch._replace(image=batch.image[:, :-1], weight=batch.weight[:, :-1])
    np.testing.assert_allclose(
        slope(synthetic.image, garbage), slope(synthetic.image, shorter), atol=1e-12
    )


def test_classes_never_share_a_draw(key):
    """One key a class, and new ones in the next step."""
    seen: list[tuple[int, ...]] = []

    def sample(key: jax.Array, n: int) -> jax.Array:
        assert n == 1
        note = lambda data: seen.append(tuple(data.tolist()))
        jax.debug.callback(note, jax.random.key_data(key))
        return jnp.zeros(1)

    op = Augment(sample, lambda params, image: image)
    synthetic, batch = _sets(key)
    objective = class_gradients(_linear(), kind="mse", augment=op)
    size = int(np.prod(SHAPE))
    weights = {"w": jnp.ones((size, CLASSES)), "b": jnp.zeros(CLASSES)}
    value = lambda key: objective(synthetic, batch, Variables(weights, {}), {}, key)[0]
    for own in jax.random.split(key):
        jax.jit(value)(own)
    jax.effects_barrier()
    assert len(seen) == len(set(seen)) == 2 * CLASSES


def test_symmetric_network_does_not_see_a_flip_of_both_sides(key, x64):
    """Kernels and head symmetric in the columns, everything mirrored."""
    synthetic, batch = _sets(key)
    network, variables = _built(SMOOTH, key)
    params = variables.params
    kernel = params["conv_0"]["kernel"]
    params["conv_0"]["kernel"] = (kernel + kernel[:, ::-1]) / 2
    head = params["head"]["kernel"].reshape(4, 4, -1, CLASSES)
    head = (head + head[:, ::-1]) / 2
    params["head"]["kernel"] = head.reshape(-1, CLASSES)
    mirror = Augment(lambda key, n: jnp.zeros(n), lambda p, image: image[:, :, ::-1])

    def value(op):
        objective = class_gradients(network, augment=op)
        return jax.jit(_loss(objective, synthetic, batch, variables, key))

    plain = value(None)(synthetic.image)
    np.testing.assert_allclose(value(mirror)(synthetic.image), plain, rtol=1e-12)
    one_side = value(None)(synthetic.image[:, :, ::-1])
    assert abs(float(one_side - plain)) > 1e-4


def test_batch_norm_uses_the_statistics_of_the_real_images(key, x64):
    """Running ones after the batch; the synthetic images do not move them."""
    spec = ConvNet(width=(4,), norm="batch", conv="stock")
    network, variables = _built(spec, key)
    synthetic, batch = _sets(key)
    flat = batch.image.reshape(-1, *SHAPE)
    _, after = jax.jit(partial(network.apply, train=True))(variables, flat)
    objective = class_gradients(network)
    frozen = network._replace(
        apply=lambda v, image, *, train=False, key=None: (
            network.apply(Variables(v.params, after.stats), image)[0],
            v,
        )
    )
    values = [
        jax.jit(_loss(o, synthetic, batch, variables, key))(synthetic.image)
        for o in (objective, class_gradients(frozen))
    ]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-12)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_classes(key):
    network = networks.build(Mlp(width=(512,)), SHAPE, 16)
    variables = jax.jit(network.init)(key)

    def temporary(classes: int) -> int:
        synthetic, batch = _sets(key, classes=classes)

        def value(image, batch):
            objective = class_gradients(network)
            return _loss(objective, synthetic, batch, variables, key)(image)

        compiled = jax.jit(jax.grad(value)).lower(synthetic.image, batch).compile()
        # The gradient of the images grows, and nothing else may.
        return compiled.memory_analysis().temp_size_in_bytes - synthetic.image.nbytes

    assert temporary(16) < 1.2 * temporary(4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "l1"}, "distance"),
        ({"derivative": "both"}, "derivative"),
        ({"chunk_classes": -1}, "chunk_classes"),
    ],
)
def test_senseless_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        class_gradients(_linear(), **options)
