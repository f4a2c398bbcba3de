"""KIP's steps and solved labels by the formulas of its notebook, in float64.

Formulas of kip/KIP.ipynb (google-research/google-research, Apache-2.0), which needs
TensorFlow and neural-tangents to run: loss, gradient and Adam by PyTorch, the kernel of
a fully connected network by a recursion of its own, pair by pair through the angles
between them (Cho and Saul, NeurIPS 2009); the labels by NumPy's pseudo-inverse.

  python experiments/reference/kernel/kip_torch.py tests/methods/kernel/golden/kip.npz
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch

CLASSES, SIDE, IPC, REAL, STEPS = 3, 4, 2, 9, 2
RATE, RIDGE = 4e-2, 1e-6
WEIGHT, BIAS = 2.0, 0.01  # variances
CASES = {"fc1": (1, False), "fc2_labels": (2, True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    torch.set_default_dtype(torch.float64)
    arrays: dict[str, np.ndarray] = {"origin": np.array(__doc__)}
    for name, (depth, learn) in CASES.items():
        arrays |= {f"{name}/{k}": v for k, v in run(depth, learn).items()}
    np.savez_compressed(parser.parse_args().out, **arrays)


def run(depth: int, learn: bool) -> dict[str, np.ndarray]:
    """Two steps, and the labels that are solved for the images at the start."""
    rng = np.random.default_rng(depth)
    shape = (SIDE, SIDE, 1)
    start = rng.standard_normal((CLASSES * IPC, *shape))
    real = rng.standard_normal((STEPS, CLASSES, REAL, *shape))
    classes = np.repeat(np.arange(CLASSES), IPC)
    image = torch.tensor(start, requires_grad=True)
    target = torch.tensor(centred(classes), requires_grad=learn)
    params = [image, target] if learn else [image]
    optimiser = torch.optim.Adam(params, RATE)
    arrays = {"start_image": start, "real_image": real}
    label = torch.tensor(centred(np.repeat(np.arange(CLASSES), REAL)))
    for step in range(STEPS):
        optimiser.zero_grad()
        rows = torch.tensor(real[step].reshape(-1, *shape))
        loss = loss_of(image, target, rows, label, depth)
        loss.backward()
        kept = {"loss": loss, "gradient_image": image.grad}
        kept |= {"gradient_target": target.grad} if learn else {}
        kept = {name: value.detach().numpy().copy() for name, value in kept.items()}
        optimiser.step()
        kept |= {"image": image.detach().numpy().copy()}
        kept |= {"target": target.detach().numpy().copy()} if learn else {}
        arrays |= {f"step{step + 1}/{name}": value for name, value in kept.items()}
    return arrays | {"solved": solved(start, real[0].reshape(-1, *shape), depth)}


def centred(classes: np.ndarray) -> np.ndarray:
    return np.eye(CLASSES)[classes] - 1 / CLASSES


def loss_of(
    image: torch.Tensor,
    target: torch.Tensor,
    real: torch.Tensor,
    label: torch.Tensor,
    depth: int,
) -> torch.Tensor:
    """1/2 the mean squared error of the regression's predictions."""
    gram = own_kernel(image, depth)
    size = len(gram)
    regular = gram + RIDGE * torch.trace(gram) / size * torch.eye(size)
    predicted = kernel(real, image, depth) @ torch.linalg.solve(regular, target)
    return 0.5 * torch.mean((predicted - label) ** 2)


def own_kernel(image: torch.Tensor, depth: int) -> torch.Tensor:
    """K(x, x): off the diagonal by pairs, on it by the norms alone.

    The angle of an image with itself has no derivative; the diagonal does.
    """
    rows = []
    for i in range(len(image)):
        others = [
            kernel(image[i : i + 1], image[j : j + 1], depth)[0, 0]
            if j != i
            else diagonal(image[i], depth)
            for j in range(len(image))
        ]
        rows.append(torch.stack(others))
    return torch.stack(rows)


def diagonal(image: torch.Tensor, depth: int) -> torch.Tensor:
    """The NTK of an image with itself: the angle is 0 at every layer."""
    variance = WEIGHT * torch.mean(image**2) + BIAS
    tangent = variance
    for _ in range(depth):
        tangent = WEIGHT * tangent / 2
        variance = WEIGHT * variance / 2 + BIAS
        tangent = tangent + variance
    return tangent


def kernel(a: torch.Tensor, b: torch.Tensor, depth: int) -> torch.Tensor:
    """The NTK between different images, by the angles between them."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    left = (WEIGHT * torch.mean(a**2, 1) + BIAS)[:, None]
    right = (WEIGHT * torch.mean(b**2, 1) + BIAS)[None]
    covariance = WEIGHT * (a @ b.T) / a.shape[1] + BIAS
    tangent = covariance
    for _ in range(depth):
        norms = torch.sqrt(left * right)
        angle = torch.arccos(covariance / norms)
        turned = math.pi - angle
        tangent = WEIGHT * tangent * turned / (2 * math.pi)
        bent = torch.sin(angle) + turned * torch.cos(angle)
        covariance = WEIGHT * norms * bent / (2 * math.pi) + BIAS
        tangent = tangent + covariance
        left, right = WEIGHT * left / 2 + BIAS, WEIGHT * right / 2 + BIAS
    return tangent


def solved(start: np.ndarray, real: np.ndarray, depth: int) -> np.ndarray:
    """(K_ss + lam I) K_ts^+ Y_t."""
    image, rows = torch.tensor(start), torch.tensor(real)
    gram = own_kernel(image, depth).numpy()
    cross = kernel(rows, image, depth).numpy()
    label = centred(np.repeat(np.arange(CLASSES), len(real) // CLASSES))
    size = len(gram)
    regular = gram + RIDGE * np.trace(gram) / size * np.eye(size)
    return regular @ np.linalg.pinv(cross, rcond=1e-14) @ label


if __name__ == "__main__":
    main()
