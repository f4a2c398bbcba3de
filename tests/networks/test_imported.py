"""Checkpoints by torchvision's names fill the networks here, or are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import records
from jaxdd.errors import InputError
from jaxdd.networks import build
from jaxdd.networks.functional import from_linen
from jaxdd.networks.imported import fill, from_torch
from jaxdd.networks.resnet import ResNet
from jaxdd.records import NetworkSpec, kinds

COUNTS = {
    "resnet10": (1, 1, 1, 1),
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
}


def norm(name, channels):
    leaves = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{leaf}": (channels,) for leaf in leaves} | {
        f"{name}.num_batches_tracked": ()
    }


def shapes(name, stem=3, channels=64, outputs=10, counts=None):
    """What torchvision's network of this name holds."""
    deep, inputs = name == "resnet50", channels
    found = {"conv1.weight": (channels, 3, stem, stem)} | norm("bn1", channels)
    for stage, count in enumerate(counts or COUNTS[name]):
        width = channels << stage
        wide = width * 4 if deep else width
        for index in range(count):
            block, before = f"layer{stage + 1}.{index}", inputs
            sizes = (1, 3, 1) if deep else (3, 3)
            for number, size in enumerate(sizes, 1):
                after = wide if number == len(sizes) else width
                found[f"{block}.conv{number}.weight"] = (after, before, size, size)
                found |= norm(f"{block}.bn{number}", after)
                before = after
            if not index and (stage or inputs != wide):
                found[f"{block}.downsample.0.weight"] = (wide, inputs, 1, 1)
                found |= norm(f"{block}.downsample.1", wide)
            inputs = wide
    return found | {"fc.weight": (outputs, inputs), "fc.bias": (outputs,)}


def checkpoint(*arguments, prefix="", **options):
    """Arrays of those shapes that take no memory; every one holds its own number."""
    given = shapes(*arguments, **options)
    return {
        prefix + name: np.broadcast_to(np.float32(number), shape)
        for number, (name, shape) in enumerate(given.items())
    }


def spec(name, **options):
    return records.ResNet(name, **{"norm": "batch", **options})


def narrow(**options):
    """A small module and its abstract variables."""
    network = from_linen(ResNet((1, 2), channels=2, outputs=3, **options), (8, 8, 3))
    return network, jax.eval_shape(network.init, jax.random.key(0))


def small(prefix=""):
    return checkpoint("", channels=2, outputs=3, counts=(1, 2), prefix=prefix)


@pytest.mark.parametrize("name", ["resnet10", "resnet18"])
def test_every_array_is_used_in_its_place(name):
    given = checkpoint(name)
    found = from_torch(given, spec(name), (32, 32, 3), 10)
    like = jax.eval_shape(build(spec(name), (32, 32, 3), 10).init, jax.random.key(0))
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, like)
    numbers = sorted(float(leaf.reshape(-1)[0]) for leaf in jax.tree.leaves(found))
    wanted = [float(a.flat[0]) for n, a in given.items() if "batches" not in n]
    assert numbers == sorted(wanted)
    block = found.params["stage_2_0_norm_1"]
    assert block["scale"][0] == given["layer3.0.bn2.weight"][0]
    assert found.stats["stem_norm"]["var"][0] == given["bn1.running_var"][0]


@pytest.mark.parametrize("name", ["resnet34", "resnet50"])
def test_deeper_networks_have_the_same_layers(name):
    module = build(spec(name, stem="imagenet"), (32, 32, 3), 10)
    like = jax.eval_shape(module.init, jax.random.key(0))
    count = len(jax.tree.leaves(like))
    given = checkpoint(name, 7)
    assert count == sum("batches" not in each for each in given)
    last = given["layer4.2.bn2.weight"]
    given["layer4.2.bn2.weight"] = np.zeros(3, np.float32)
    with pytest.raises(InputError, match=rf"layer4\.2\.bn2.*\[3\].*\[{len(last)}\]"):
        from_torch(given, spec(name, stem="imagenet"), (32, 32, 3), 10)


def test_kernels_and_the_last_layer_are_turned():
    rng = np.random.default_rng(0)
    given = {n: rng.normal(size=a.shape) for n, a in small().items()}
    found = fill(given, narrow()[1])
    kernel = found.params["stage_1_0_shortcut"]["kernel"]
    want = given["layer2.0.downsample.0.weight"]
    np.testing.assert_allclose(kernel, want.transpose(2, 3, 1, 0), rtol=1e-6)
    head = found.params["head"]["kernel"]
    np.testing.assert_allclose(head, given["fc.weight"].T, rtol=1e-6)


@pytest.mark.parametrize(
    "prefix", ["module.", "backbone.", "model.encoder.", "module.encoder_q."]
)
def test_prefixes_and_what_stands_beside_the_body(prefix):
    plain = fill(small(), narrow()[1])
    given = {
        f"{prefix}projector.0.weight": np.zeros((4, 4)),
        "projector.0.weight": np.zeros((4, 4)),
        "classifier.weight": np.zeros((3, 4)),
        "queue": np.zeros(3),
        **{f"momentum_{n}": a + 1 for n, a in small("backbone.").items()},
        **{n: a + 1 for n, a in small("module.encoder_k.").items()},
        **small(prefix),
    }
    found = fill(given, narrow()[1])
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), plain, found))


def test_the_last_layer_may_be_left_out():
    module = from_linen(ResNet((1, 2), channels=2, outputs=0), (8, 8, 3))
    like = jax.eval_shape(module.init, jax.random.key(0))
    assert "head" not in fill(small(), like).params
    headless = {n: a for n, a in small().items() if not n.startswith("fc.")}
    assert "head" not in fill(headless, like).params
    with pytest.raises(
        InputError, match=r"at fc\.bias, .* has none and .* needs \[3\]"
    ):
        fill(headless, narrow()[1])


@pytest.mark.parametrize(
    ("given", "wanted", "match"),
    [
        (
            ("resnet34",),
            spec("resnet18"),
            r"at layer1\.2\.conv1\.weight.*has it as \[3, 3, 64, 64\].*has none"
            r".*network\.name resnet34",
        ),
        (
            ("resnet10",),
            spec("resnet18"),
            r"at layer1\.1\.conv1\.weight.*has none.*needs \[3, 3, 64, 64\]"
            r".*network\.name resnet10",
        ),
        (
            ("resnet50", 7),
            spec("resnet18"),
            r"at conv1\.weight.*\[7, 7, 3, 64\].*\[3, 3, 3, 64\]"
            r".*network\.name resnet50 and network\.stem imagenet",
        ),
        (
            ("resnet50",),
            spec("resnet34"),
            r"at layer1\.0\.conv1\.weight.*\[1, 1, 64, 64\].*network\.name resnet50",
        ),
        (
            ("resnet18",),
            spec("resnet18", stem="imagenet"),
            r"at conv1\.weight.*network\.stem pad2 or pad1",
        ),
        (
            ("resnet18",),
            spec("resnet18", norm="instance"),
            r"at bn1\.running_mean.*has it as \[64\].*network\.norm batch",
        ),
        (("resnet10", 3, 64, 12), spec("resnet10"), r"at fc\.bias.*\[12\].*\[10\]$"),
    ],
)
def test_another_architecture_is_named_at_its_first_layer(given, wanted, match):
    with pytest.raises(InputError, match=rf"^a\.pt is of another .*{match}"):
        from_torch(checkpoint(*given), wanted, (32, 32, 3), 10, where="a.pt")


def test_names_that_are_not_understood():
    with pytest.raises(InputError, match=r"no residual network.*It holds f\.0"):
        fill({"f.0.weight": np.zeros(3)}, narrow()[1])
    for name in ("convnet", "mlp", "resnet18_ap"):
        with pytest.raises(InputError, match=rf"'{name}' cannot be filled from a\.pt"):
            from_torch(
                small(),
                kinds(NetworkSpec)[name](name=name),
                (32, 32, 3),
                10,
                where="a.pt",
            )


def test_weights_must_be_finite_floats():
    with pytest.raises(InputError, match=r"layer1\.0\.bn1\.bias.*not finite"):
        fill({**small(), "layer1.0.bn1.bias": np.array([1, np.nan])}, narrow()[1])
    with pytest.raises(InputError, match=r"conv1\.weight is int64"):
        fill({**small(), "conv1.weight": np.zeros((2, 3, 3, 3), int)}, narrow()[1])
    extra = {**small(), "layer1.0.conv1.bias": np.zeros(2)}
    with pytest.raises(InputError, match=r"at layer1\.0\.conv1\.bias.*has none"):
        fill(extra, narrow()[1])


def test_shortcut_is_another_name_for_downsample():
    given = {n.replace("downsample", "shortcut"): a for n, a in small().items()}
    assert jax.tree.all(
        jax.tree.map(
            lambda a, b: bool((a == b).all()),
            fill(given, narrow()[1]),
            fill(small(), narrow()[1]),
        )
    )
