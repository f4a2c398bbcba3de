"""What the settings of a method's presets have to do with each other.

The settings themselves stand in the presets; `tests/contract/test_presets.py` builds
each of them.
"""

import pytest

from jaxdd import methods, presets
from jaxdd.base import PerClass, Segments, Uniform
from jaxdd.pools.matched import loops
from tests.contract.test_presets import task_of

TRAJECTORY = ("mtt", "tesla", "ftd", "datm", "ast")
KERNEL = ("kip", "label_solve", "rfad")


def rows(*names: str, published: bool = False) -> list[tuple[str, str]]:
    """(method, preset) of these methods."""
    pairs = [(method, name) for method in names for name in presets.get(method)]
    return [p for p in pairs if not published or p[1].endswith(("_paper", "_code"))]


def built(method: str, name: str):
    preset = presets.pick(method, name)
    return preset, methods.get(method).build(task_of(preset), preset.distill)


@pytest.mark.parametrize("method", TRAJECTORY)
def test_experts_are_the_students_that_are_measured(method):
    for _, name in rows(method):
        preset, distiller = built(method, name)
        assert isinstance(distiller.feed, Segments), name
        assert preset.distill.experts.network == preset.evaluate.network, name
        # Learned logits are learned from as logits, also at test.
        loss = "soft_cross_entropy" if method == "datm" else "cross_entropy"
        assert preset.evaluate.train.loss == loss, name
        published = name.endswith(("_paper", "_code"))
        assert preset.evaluate.labelled.own_rate == published, name


def test_teslas_halved_gradient_is_in_its_rates():
    rates = {
        n: p.distill.optimiser.learning_rate for n, p in presets.get("tesla").items()
    }
    assert rates["cifar10_ipc1_code"] == 500
    assert rates["imagenet_code"] == 5000


@pytest.mark.parametrize("method", KERNEL)
def test_batches_of_kernel_methods_are_drawn_whole(method):
    for _, name in rows(method):
        preset, distiller = built(method, name)
        feed = distiller.feed
        if isinstance(feed, PerClass):
            classes = task_of(preset).num_classes
            assert feed.batch * classes == preset.distill.batch, name
        if isinstance(feed, Uniform):
            assert feed.batch == preset.distill.batch, name
        assert preset.evaluate.regression.kernels or method == "rfad"


def test_rfad_is_measured_as_it_is_distilled():
    row = presets.pick("rfad", "cifar10_ipc1_paper")
    assert row.evaluate.regression.ridge == row.distill.ridge
    assert (row.evaluate.labelled.label_scale, row.evaluate.labelled.centred) == (
        8,
        True,
    )
    assert presets.pick("rfad", "cifar100_code").evaluate.labelled.label_scale == 1


@pytest.mark.parametrize(("method", "name"), rows("dc", "dsa", published=True))
def test_gradient_matching_counts_its_loops(method, name):
    preset = presets.pick(method, name)
    assert preset.steps == 1001 * loops(preset.ipc)[0]
    student = preset.evaluate.train
    digits = name.startswith("mnist")
    assert student.epochs == (301 if method == "dc" and not digits else 1001)
    assert preset.distill.init == ("noise" if method == "dc" else "real")


@pytest.mark.parametrize(("method", "name"), rows("dsa", "dm", published=True))
def test_digits_are_not_mirrored(method, name):
    preset = presets.pick(method, name)
    mirrored = not name.startswith(("mnist", "svhn"))
    for spec in (preset.distill.augment, preset.evaluate.train.augment):
        assert spec.policy == ("fyi" if "fyi" in name else "dsa")
        assert ("flip" in (spec.strategy or "flip")) == mirrored


def test_every_row_of_dcs_and_dsas_tables_is_there():
    names = [n for _, n in rows("dc", "dsa") if n.endswith("_paper") and "fyi" not in n]
    assert len(names) == 14 + 15  # DC has no figure for CIFAR-100 at 50 images
    assert len([n for n in names if "_ipc" not in n]) == 10


@pytest.mark.parametrize(("_", "name"), rows("frepo", published=True))
def test_networks_of_frepo_are_as_deep_as_their_images_are_large(_, name):
    preset = presets.pick("frepo", name)
    side, _, channels = task_of(preset).image_shape
    depth = {28: 3, 32: 3, 64: 4, 128: 5}[side]
    assert preset.distill.network.width == tuple(128 * 2**i for i in range(depth))
    assert preset.evaluate.network.width == preset.distill.network.width
    assert preset.evaluate.network.norm == "none"
    flips = "flip" in (preset.evaluate.train.augment.strategy or "flip")
    assert flips == (channels == 3)


@pytest.mark.parametrize(("method", "name"), rows("dd", "bptt", "rtp", "rat_bptt"))
def test_only_memories_store_less_than_images_and_only_dd_replays(method, name):
    preset, distiller = built(method, name)
    assert bool(distiller.image_floats) == (method == "rtp")
    assert preset.evaluate.labelled.replay == (method == "dd")
