"""Bad sets are refused with a reason, good ones come out in order."""

import dataclasses
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from jaxdd import artefact, exchange
from jaxdd.base import Distilled
from jaxdd.errors import InputError
from jaxdd.records import DataSpec, Protocol
from tests.data.damage import damages
from tests.exchange.cases import EXPECTED, SAMPLES, corpus, distilled

PIXELS, LABEL = EXPECTED["pixels"], EXPECTED["label"]


def saved(tmp_path, **arrays):
    path = tmp_path / "set.npz"
    np.savez(path, **arrays)
    return path


def test_rows_come_in_order_of_their_classes(tmp_path):
    order = np.random.default_rng(0).permutation(20)
    weight = np.arange(20.0) + 1
    path = saved(tmp_path, x=PIXELS[order], y=LABEL[order], weight=weight)
    made = exchange.read(path)
    back = np.argsort(LABEL[order], kind="stable")
    np.testing.assert_array_equal(made.synthetic.target, LABEL)
    np.testing.assert_array_equal(made.synthetic.image, PIXELS[order][back])
    np.testing.assert_array_equal(made.synthetic.weight, weight[back])


def test_channels_first_and_last_and_grey(tmp_path):
    first = saved(tmp_path, image=PIXELS.transpose(0, 3, 1, 2), label=LABEL)
    np.testing.assert_array_equal(exchange.read(first).synthetic.image, PIXELS)
    grey = saved(tmp_path, image=PIXELS[..., 0], label=LABEL)
    made = exchange.read(grey)
    np.testing.assert_array_equal(made.synthetic.image, PIXELS[..., :1])
    five = np.concatenate([PIXELS, PIXELS[..., :2]], 3)
    wide = saved(tmp_path, image=five.transpose(0, 3, 1, 2), label=LABEL)
    with pytest.raises(InputError, match="neither 1 nor 3 channels; say where"):
        exchange.read(wide)
    made = exchange.read(wide, layout="nchw")
    np.testing.assert_array_equal(made.synthetic.image, five)


def test_three_by_three_images_are_turned_as_the_data_or_the_user_says(tmp_path):
    image = np.random.default_rng(0).random((20, 3, 3, 1), np.float32)
    turned = saved(tmp_path, image=image.transpose(0, 3, 1, 2), label=LABEL)
    real = corpus("none", side=3, channels=1)
    made = exchange.read(turned, corpus=real)
    np.testing.assert_array_equal(made.synthetic.image, image)
    with pytest.raises(InputError, match=r"3 channels, and cifar10 has 1"):
        exchange.read(turned, corpus=real, layout="nhwc")


def test_what_the_meta_says(tmp_path):
    path = saved(tmp_path, image=PIXELS[:18], label=LABEL[:18])
    spec = DataSpec("cifar10", whitening="zca_kip", train_limit=5)
    made = exchange.read(path, corpus=corpus(), data=spec, protocol=Protocol("vico"))
    assert made.meta.method == "imported"
    assert made.meta.data == dataclasses.replace(spec, whitening="standard")
    assert made.meta.config == {
        "file": "set.npz",
        "layout": "npz",
        "space": "none",
        "notes": ["1 of 10 classes have no image"],
    }
    stored = artefact.save(made, tmp_path / "kept")
    assert artefact.load(tmp_path / "kept").meta == stored.meta


def test_a_set_is_not_called_like_a_row_of_every_report(tmp_path):
    source = SAMPLES / "vico" / "res_DM_CIFAR10_ConvNet_2ipc.pt"
    path = shutil.copy(source, tmp_path / "res_random_CIFAR10_ConvNet_2ipc.pt")
    assert exchange.read(path).meta.method == "imported"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": PIXELS[..., :1]}, "1 channels, and cifar10 has 3; .*channels 1"),
        ({"image": PIXELS[:, :3]}, "images of 3x4, and cifar10 has 4x4; .*resize"),
        ({"image": np.where(PIXELS > 0.99, np.nan, PIXELS)}, r"image \d+ has NaN"),
        ({"image": PIXELS.astype(np.float64) * 1e300}, r"image 0 has NaN or infinity"),
        ({"image": PIXELS[0, 0]}, r"images are float32 \[4, 3\]"),
        ({"image": PIXELS[:, None]}, r"images are float32 \[20, 1, 4, 4, 3\]"),
        ({"image": PIXELS.astype(complex)}, "images are complex128"),
        ({"image": PIXELS[:0], "label": LABEL[:0]}, r"images are float32 \[0,"),
        ({"label": LABEL[:7]}, "7 labels for 20 images"),
        ({"weight": -np.ones(20)}, "wanted is one finite number"),
        ({"weight": np.ones(3)}, r"weights \[3\] for 20 images"),
        ({"lr": np.array(-1.0)}, "learning rate is -1; it must be"),
    ],
)
def test_wrong_arrays_of_a_set_are_refused(tmp_path, change, message):
    path = saved(tmp_path, **({"image": PIXELS, "label": LABEL} | change))
    with pytest.raises(InputError, match=message):
        exchange.read(path, corpus=corpus())


def test_wrong_arguments_are_refused(tmp_path):
    path = saved(tmp_path, image=PIXELS, label=LABEL)
    with pytest.raises(InputError, match=r"layout='chw' is unknown.*one of nhwc, nchw"):
        exchange.read(path, layout="chw")
    with pytest.raises(InputError, match=r"labels='sharp' is unknown"):
        exchange.read(path, labels="sharp")  # type: ignore[arg-type]


def test_our_own_set_says_everything_itself(tmp_path):
    mine = artefact.save(distilled("soft"), tmp_path / "run" / "set")
    for path in (tmp_path / "run", tmp_path / "run" / "set"):
        made = exchange.read(path)
        assert made.meta == mine.meta
        np.testing.assert_array_equal(made.synthetic.image, mine.synthetic.image)
    judged = exchange.read(path, protocol=Protocol("vico"), whitening="standard")
    assert (judged.meta.protocol.name, judged.meta.rows) == ("vico", ())
    with pytest.raises(InputError, match=r"says itself that it is in 'standard'"):
        exchange.read(path, whitening="zca_kip")
    with pytest.raises(InputError, match=r"images of 6x6, and cifar10 has 4x4"):
        exchange.read(path, corpus=corpus())


FILES = {
    "vico": SAMPLES / "vico" / "res_DM_CIFAR10_ConvNet_2ipc.pt",
    "frepo": SAMPLES / "frepo" / "step000500.npz",
    "datm": SAMPLES / "datm" / "images_best.pt",
    "own": None,
}


@pytest.mark.parametrize("name", FILES)
def test_damaged_sets_are_valid_or_refused(name, tmp_path_factory):
    real = corpus("standard")
    source = FILES[name]
    if source is None:
        folder = tmp_path_factory.mktemp("own")
        source = exchange.write(distilled("soft"), folder / "set.npz").path
        real = None
    originals = {f.name: f.read_bytes() for f in source.parent.iterdir()}
    folder, seen = tmp_path_factory.mktemp(name), set()

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(damages())
    def check(damage):
        names = sorted(originals)
        hit = names[damage.pick % len(names)]
        for file, content in originals.items():
            changed = damage(content) if file == hit else content
            (folder / file).write_bytes(changed)
        kind = None if source.suffix == ".npz" and name == "own" else "standard"
        message = ""
        try:
            made = exchange.read(folder / source.name, corpus=real, whitening=kind)
        except InputError as error:
            message = str(error)
        else:
            check_set(made)
        seen.add(bool(message))
        assert not message or str(folder) in message

    check()
    assert True in seen


def check_set(made: Distilled) -> None:
    """Whatever was read can be trained on."""
    image, target, weight, _ = made.synthetic
    assert image.shape[1:] == made.meta.image_shape
    assert len(image) == len(target) == len(weight) > 0
    for array in (image, target, weight):
        assert np.isfinite(np.asarray(array)).all()
    if made.meta.label_kind == "hard":
        assert 0 <= int(target.min()) <= int(target.max()) < made.meta.num_classes
    else:
        assert target.shape[1] == made.meta.num_classes
