"""Files of `torch.save` in the layouts of other projects, read without PyTorch."""

import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

from jaxdd import exchange
from jaxdd.errors import InputError
from jaxdd.exchange import torch_sets
from jaxdd.records import Protocol, Recipe
from tests.exchange.cases import EXPECTED, SAMPLES, corpus

VICO = SAMPLES / "vico" / "res_DM_CIFAR10_ConvNet_2ipc.pt"
IMAGE, LABEL = EXPECTED["image"], EXPECTED["label"]


def test_vico_layout_is_normalised_by_its_own_constants():
    real = corpus("none")
    made = exchange.read(VICO, corpus=real, protocol=Protocol("vico"))
    np.testing.assert_array_equal(made.synthetic.image, IMAGE)
    np.testing.assert_array_equal(made.synthetic.target, LABEL)
    np.testing.assert_array_equal(made.synthetic.weight, np.ones(20))
    assert made.synthetic.hyper == ()
    mean, deviation = made.whitening.channel_mean, made.whitening.channel_std
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465])
    np.testing.assert_allclose(deviation, [0.2023, 0.1994, 0.2010])
    meta = made.meta
    assert (meta.method, meta.dataset, meta.dataset_hash) == ("dm", "cifar10", "real")
    assert (meta.label_kind, meta.num_classes) == ("hard", 10)
    assert (meta.image_shape, meta.input_space) == ((4, 4, 3), "whitened")
    assert meta.protocol.name == "vico"
    assert meta.data.whitening == "standard"
    assert meta.config["space"] == "vico"
    assert meta.config["notes"] == ["the file holds 2 sets; the last is read"]
    assert meta.storage["images"] == IMAGE.nbytes


def test_another_experiment_of_a_file_is_chosen_by_its_number():
    made = exchange.read(VICO, corpus=corpus(), index=0)
    np.testing.assert_allclose(made.synthetic.image, IMAGE + 1, rtol=1e-6)
    with pytest.raises(InputError, match=r"holds 2 sets, and number 2 is asked for"):
        exchange.read(VICO, corpus=corpus(), index=2)


def test_vico_needs_no_data_where_its_name_says_which():
    made = exchange.read(VICO)
    assert made.meta.dataset == "cifar10"
    np.testing.assert_allclose(made.whitening.channel_std[0], 0.2023)


def test_the_user_stands_above_the_layout():
    real = corpus("standard")
    made = exchange.read(VICO, corpus=real, whitening="standard")
    assert made.whitening is real.whitening
    made = exchange.read(VICO, corpus=real, whitening="zca_kornia")
    assert made.whitening.kind == "zca_kornia"
    assert made.whitening.matrix.shape == (48, 48)
    made = exchange.read(VICO, corpus=real, whitening="raw")
    assert made.meta.input_space == "raw"
    assert made.whitening.kind == "none"


@pytest.mark.parametrize("folder", [True, False])
def test_images_of_mtt_take_labels_from_beside_them(folder):
    path = SAMPLES / "mtt" / ("" if folder else "images_best.pt")
    made = exchange.read(path, corpus=corpus(), whitening="zca_kornia")
    np.testing.assert_array_equal(made.synthetic.image, IMAGE)
    np.testing.assert_array_equal(made.synthetic.target, LABEL)
    assert made.meta.config["layout"] == "mtt"
    assert made.synthetic.hyper == ()


def test_images_that_mtt_has_brought_back_from_zca_are_pixels(tmp_path):
    pixels = shutil.copy(SAMPLES / "mtt" / "images_best.pt", tmp_path)
    shutil.move(pixels, tmp_path / "images_zca_500.pt")
    shutil.copy(SAMPLES / "mtt" / "labels_best.pt", tmp_path / "labels_500.pt")
    raw = torch_sets.read(tmp_path / "images_zca_500.pt")
    assert (raw.space, raw.layout) == ("none", "mtt")
    np.testing.assert_array_equal(raw.label, LABEL)


def test_a_whitening_that_nobody_names_is_asked_for():
    message = r"nothing says how\. Give whitening .*standard, zca_kornia.*vico.*raw"
    with pytest.raises(InputError, match=message):
        exchange.read(SAMPLES / "mtt", corpus=corpus())


def test_mtt_normalises_cifar100_like_cifar10():
    real = corpus(name="cifar100")
    mtt = exchange.read(SAMPLES / "mtt", corpus=real, whitening="vico")
    np.testing.assert_allclose(mtt.whitening.channel_std[0], 0.2023)
    vico = exchange.read(VICO, corpus=real)
    np.testing.assert_allclose(vico.whitening.channel_std[0], 0.2673)


def test_logits_of_datm_and_its_rate():
    loss = Recipe(loss="soft_cross_entropy")
    made = exchange.read(
        SAMPLES / "datm",
        corpus=corpus(),
        whitening="zca_kornia",
        protocol=Protocol("datm", train=loss),
    )
    np.testing.assert_array_equal(made.synthetic.target, EXPECTED["logits"])
    assert made.meta.label_kind == "soft"
    assert made.synthetic.hyper["learning_rate"] == np.float32(0.0271)


def test_pairs_of_idc_are_pixels_that_the_evaluation_whitens():
    real = corpus("standard")
    path = SAMPLES / "idc" / "data.pt"
    made = exchange.read(path, corpus=real)
    mean = np.asarray(real.whitening.channel_mean)
    white = (EXPECTED["pixels"] - mean) / np.asarray(real.whitening.channel_std)
    np.testing.assert_allclose(made.synthetic.image, white, rtol=1e-4, atol=1e-5)
    assert made.whitening is real.whitening
    plain = exchange.read(path)
    np.testing.assert_array_equal(plain.synthetic.image, EXPECTED["pixels"])


def test_the_last_step_of_dd_with_its_rate():
    made = exchange.read(
        SAMPLES / "dd" / "results.pth", corpus=corpus(), whitening="vico"
    )
    np.testing.assert_array_equal(made.synthetic.image, IMAGE)
    assert made.synthetic.hyper["learning_rate"] == np.float32(0.02)


def test_images_without_labels_beside_them_say_where_they_are_wanted(tmp_path):
    shutil.copy(SAMPLES / "mtt" / "images_best.pt", tmp_path)
    with pytest.raises(InputError, match=r"no labels beside it.* labels_best\.pt"):
        exchange.read(tmp_path / "images_best.pt", corpus=corpus(), whitening="vico")


class Evil:
    """What a hostile file would run."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize("ending", ["pt", "pth"])
def test_a_file_of_objects_is_refused_and_nothing_runs(tmp_path, ending):
    magic = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    content = b"".join(pickle.dumps(part, 2) for part in magic)
    content += pickle.dumps({"data": [[Evil(tmp_path / "ran"), 1]]}, 2)
    path = tmp_path / f"images.{ending}"
    path.write_bytes(content + pickle.dumps([], 2))
    with pytest.raises(InputError, match=r"contains code: it calls \w+\.mkdir"):
        exchange.read(path, corpus=corpus())
    assert not (tmp_path / "ran").exists()


def test_torch_is_not_imported():
    code = (
        "import sys\nfrom jaxdd import exchange\n"
        f"print(exchange.read({str(VICO)!r}).synthetic.image.shape, "
        "[m for m in ('torch', 'tensorflow', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "(20, 4, 4, 3) []"


def test_torch_itself_reads_the_samples():
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    image, label = torch.load(VICO, weights_only=False)["data"][-1]
    np.testing.assert_array_equal(image.numpy().transpose(0, 2, 3, 1), IMAGE)
    np.testing.assert_array_equal(label.numpy(), LABEL)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ("text", "holds str; known are"),
        (
            {"weights": np.ones(3)},
            "no array has a name that is known .* weights float64",
        ),
        ({"data": []}, "holds 0 sets"),
        ({"data": [[np.ones(3)]]}, "list of 1 in place of a pair"),
        ([np.ones(3)] * 4, "list of 4 in place of a pair"),
        ([np.ones(3), np.ones(3), np.zeros(1)], "learning rate is 0; it must be"),
        ([np.ones(3), np.ones(3), np.zeros(2)], r"float64 \[2\], not one number"),
    ],
)
def test_unknown_layouts_say_what_they_hold(tree, message, tmp_path, monkeypatch):
    path = tmp_path / "some.pt"
    path.touch()
    monkeypatch.setattr(torch_sets.torch_file, "read", lambda place: tree)
    with pytest.raises(InputError, match=message):
        exchange.read(path, corpus=corpus(), whitening="standard")
