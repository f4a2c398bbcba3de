"""Small distilled sets as other projects' programs write them, with PyTorch and NumPy.

  python experiments/reference/exchange/sets_torch.py tests/exchange/samples

The layouts, names and orders are those of the programs; the images are noise. What is
in them is in `expected.npz`. Taken from:
  VICO-UoE/DatasetCondensation, main.py and main_DM.py (DC, DSA, DM): res_*.pt
  GeorgeCazenavette/mtt-distillation @ 50dccea, distill.py: images_best.pt and labels
  NUS-HPC-AI-Lab/DATM @ 97ae510, distill/DATM.py: the same with lr_best.pt, label logits
  yongchaoz/FRePo @ 43e028a, lib/datadistillation: step*.npz, centred labels
  snu-mllab/Efficient-Dataset-Condensation @ ceac95a (IDC) and gszfwsb/NCFM @ de92fb8:
    data.pt
  SsnL/dataset-distillation, as justincui03/dc_benchmark @ 2a57711 reads it: results.pth
  KIP, as justincui03/dc_benchmark reads it: kip_*.npz
  yolky/RFAD @ c9ef03e, distillation.py: best.npz, in a folder for data and number; once
    of noise and once of digits that scikit-learn brings, standardised
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

CLASSES, IPC, SIDE = 10, 2, 4


def main() -> None:
    """Writes every sample and what they hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    torch.manual_seed(0)
    shape = (CLASSES * IPC, 3, SIDE, SIDE)
    image = torch.randn(shape).requires_grad_(True)
    label = torch.arange(CLASSES).repeat_interleave(IPC)
    pixels = torch.rand(shape)
    logits = 5 * torch.nn.functional.one_hot(label, CLASSES) + torch.randn(
        len(label), CLASSES
    )
    rate = torch.tensor(0.0271).requires_grad_(True)
    write_vico(folder, image, label)
    write_trajectories(folder, image, label, logits, rate)
    torch.save([pixels, label], make(folder / "idc" / "data.pt"))
    steps = [(image.detach() + i, label, torch.tensor(0.02 / (i + 1))) for i in (1, 0)]
    torch.save(steps, make(folder / "dd" / "results.pth"))
    write_numpy(folder, image.detach().numpy(), label.numpy())
    np.savez_compressed(
        folder / "expected.npz",
        image=image.detach().numpy().transpose(0, 2, 3, 1),
        pixels=pixels.numpy().transpose(0, 2, 3, 1),
        label=label.numpy(),
        logits=logits.numpy(),
    )


def make(path: Path) -> Path:
    """The path, in a folder that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_vico(folder: Path, image: torch.Tensor, label: torch.Tensor) -> None:
    """Two experiments in one file, and the accuracies of each network."""
    data = [
        [(image + shift).detach().cpu(), label.detach().cpu()] for shift in (1.0, 0.0)
    ]
    results = {"data": data, "accs_all_exps": {"ConvNet": [0.25, 0.26]}}
    torch.save(results, make(folder / "vico" / "res_DM_CIFAR10_ConvNet_2ipc.pt"))


def write_trajectories(
    folder: Path,
    image: torch.Tensor,
    label: torch.Tensor,
    logits: torch.Tensor,
    rate: torch.Tensor,
) -> None:
    """MTT's two files, and DATM's three: soft labels as logits, a learned rate."""
    torch.save(image.cpu(), make(folder / "mtt" / "images_best.pt"))
    torch.save(label.cpu(), folder / "mtt" / "labels_best.pt")
    torch.save(image.cpu(), make(folder / "datm" / "images_best.pt"))
    torch.save(logits.requires_grad_(True).cpu(), folder / "datm" / "labels_best.pt")
    torch.save(rate.detach().cpu(), folder / "datm" / "lr_best.pt")
    logits.requires_grad_(False)


def write_numpy(folder: Path, image: np.ndarray, label: np.ndarray) -> None:
    """FRePo's and KIP's arrays, channels last, labels centred."""
    last = image.transpose(0, 2, 3, 1)
    centred = (np.eye(CLASSES)[label] - 1 / CLASSES).astype(np.float32)
    np.savez(make(folder / "frepo" / "step000500.npz"), image=last, label=centred)
    name = f"kip_cifar10_ConvNet3_ssize{len(label)}_zca_nol_noaug_ckpt1000.npz"
    np.savez(make(folder / "kip" / name), images=last, labels=centred)
    write_rfad(folder / "rfad" / "cifar10" / "2", image, centred)
    digits = load_digits()
    pixels = (digits.images[:, None] / 16).astype(np.float32)
    white = (pixels - pixels.mean()) / pixels.std()
    first = [np.flatnonzero(digits.target == c)[:IPC] for c in range(CLASSES)]
    write_rfad(folder / "rfad" / "digits" / "2", white[np.concatenate(first)], centred)


def write_rfad(folder: Path, image: np.ndarray, centred: np.ndarray) -> None:
    """Images [m,c,h,w], rows, logarithm of the logits' scale, and ridge."""
    scalars = {"valid_loss": 1.15, "k": np.float32(3.7), "jit": 5e-3, "best_iter": 40}
    np.savez(make(folder / "best.npz"), images=image, labels=centred, **scalars)


if __name__ == "__main__":
    main()
