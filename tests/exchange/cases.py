"""Real data and sets that the tests of the exchange share."""

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxdd import whiten
from jaxdd.base import Corpus, Distilled, Synthetic, Variables
from jaxdd.data.readers.decode import Decoded
from jaxdd.data.readers.decode_worker import decode_one
from jaxdd.records import Meta, Protocol, Row
from tests.helpers import toy_corpus

SAMPLES = Path(__file__).parent / "samples"
EXPECTED = dict(np.load(SAMPLES / "expected.npz"))
NAMES = ("T-shirt/top", "cat", "dog, small")


def corpus(kind: str = "standard", name: str = "cifar10", **options) -> Corpus:
    """Ten classes of 4x4 colour images, as the samples are for."""
    options = {"classes": 10, "side": 4, "channels": 3} | options
    made = toy_corpus(**options)
    fitted = whiten.fit(kind, np.asarray(made.image))
    return dataclasses.replace(made, name=name, whitening=fitted, hash="real")


def distilled(label_kind: str = "hard", kind: str = "standard", channels: int = 3):
    """A whitened set of 1, 2 and 3 images of three classes with odd names."""
    rng = np.random.default_rng(5)
    real = rng.integers(0, 256, (40, 6, 6, channels)).astype(np.uint8)
    fitted = whiten.fit(kind, real)
    image = whiten.apply(fitted, whiten.to_unit(jnp.asarray(real[:6]))) * 1.1
    label = np.array([0, 1, 1, 2, 2, 2], np.int32)
    soft = rng.dirichlet(np.ones(3), 6).astype(np.float32)
    soft[np.arange(6), label] += 1
    wide = rng.standard_normal((6, 5)).astype(np.float32)
    target = {"hard": label, "soft": soft / 2, "representation": wide}[label_kind]
    classes = 0 if label_kind == "representation" else 3
    meta = Meta(
        method="dm",
        dataset="toy",
        dataset_hash="abc",
        image_shape=(6, 6, channels),
        num_classes=classes,
        class_names=NAMES[:classes],
        label_kind=label_kind,  # type: ignore[arg-type]
        protocol=Protocol("mine"),
        rows=(Row("dm", "accuracy", 0.625, seeds=2, values=(0.5, 0.75)),),
    )
    hyper = {"learning_rate": jnp.float32(0.05)} if label_kind == "soft" else ()
    modules = {}
    if label_kind == "representation":
        modules = {"teacher": Variables({"dense": {"kernel": jnp.ones((3, 5))}}, {})}
    weight = jnp.arange(1.0, 7.0)
    synthetic = Synthetic(image, jnp.asarray(target), weight, hyper)
    return Distilled(synthetic, meta, fitted, modules)


def decode_here(images, *, side, mode, limit, advance):
    """`decode_all` without processes, which take most of a test's time."""
    assert limit > 0
    names, pixels, bad = [], [], []
    for name, data in images:
        try:
            image = np.asarray(decode_one(data, side, mode))
        except Exception as error:
            bad.append((name, str(error)))
        else:
            names.append(name)
            pixels.append(image.reshape(*image.shape[:2], -1))
        advance(1)
    return Decoded(names, pixels, bad)
