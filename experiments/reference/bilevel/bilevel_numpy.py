"""One outer step of DD, BPTT and RTP in NumPy, in float64, by their adjoint recursions.

Independent of the package: no automatic differentiation. The network is an MLP with one
hidden layer; its gradient is written out, and products with second derivatives are
derivatives of that gradient along a direction, by complex steps, which are exact to
rounding.

  python experiments/reference/bilevel/bilevel_numpy.py \
      tests/methods/bilevel/golden/bilevel.npz
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

CLASSES, SIDE, IPC, HIDDEN, REAL = 3, 4, 2, 5, 7
BATCHES, EPOCHS, RATE = 2, 2, 0.3  # dd
STEPS, ETA, MOMENTUM, DECAY = 4, 0.2, 0.9, 0.01  # bptt, rtp
BASES, SCALE, EACH = 3, 2, 4  # rtp
OUTER_RATE, CLIP = 0.1, 0.05

Weights = tuple[np.ndarray, ...]


class Derivatives(NamedTuple):
    loss: float
    weights: Weights
    image: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    rng = np.random.default_rng(0)
    weights = (
        rng.standard_normal((SIDE * SIDE, HIDDEN)) * 0.4,
        rng.standard_normal(HIDDEN) * 0.1,
        rng.standard_normal((HIDDEN, CLASSES)) * 0.6,
        rng.standard_normal(CLASSES) * 0.1,
    )
    real = rng.standard_normal((CLASSES, REAL, SIDE, SIDE, 1))
    real += np.arange(CLASSES)[:, None, None, None, None]
    arrays = {f"weights/{i}": w for i, w in enumerate(weights)} | {"real": real}
    for method in (dd, bptt, rtp):
        given = method(weights, real, rng)
        arrays |= {f"{method.__name__}/{name}": v for name, v in given.items()}
    np.savez_compressed(parser.parse_args().out, **arrays, origin=np.array(__doc__))


# The three methods -----------------------------------------------------------------


def dd(weights: Weights, real: np.ndarray, rng: np.random.Generator) -> dict:
    """Plain steps, each at a rate of its own, over batches in turn."""
    image = rng.standard_normal((CLASSES * IPC, SIDE, SIDE, 1))
    raw = np.log(np.expm1(RATE)) + 0.3 * rng.standard_normal((EPOCHS, BATCHES))
    rates = np.log1p(np.exp(raw)).reshape(-1)
    label, each = np.repeat(np.arange(CLASSES), IPC), IPC // BATCHES
    path, rows = [weights], []
    for t, rate in enumerate(rates):
        first = t % BATCHES * each
        rows.append([c * IPC + first + j for c in range(CLASSES) for j in range(each)])
        g = derivatives(path[-1], image[rows[-1]], label[rows[-1]]).weights
        path.append(tuple(w - rate * d for w, d in zip(path[-1], g, strict=True)))
    outer = real_loss(path[-1], real)
    adjoint, by_image = outer.weights, np.zeros_like(image)
    by_rate = np.zeros_like(rates)
    for t in reversed(range(len(rates))):
        at, some, of = path[t], image[rows[t]], label[rows[t]]
        g = derivatives(at, some, of).weights
        by_rate[t] = -dot(g, adjoint)
        hessian, mixed = products(at, some, of, adjoint)
        np.add.at(by_image, rows[t], -rates[t] * mixed)
        adjoint = tuple(a - rates[t] * h for a, h in zip(adjoint, hessian, strict=True))
    by_raw = by_rate.reshape(raw.shape) / (1 + np.exp(-raw))
    return {
        "image": image,
        "raw": raw,
        "loss": outer.loss,
        "by_image": by_image,
        "by_raw": by_raw,
    }


def bptt(weights: Weights, real: np.ndarray, rng: np.random.Generator) -> dict:
    """Momentum steps on drawn rows; the images after one clipped step."""
    image = rng.standard_normal((CLASSES * IPC, SIDE, SIDE, 1))
    rows = drawn(rng, IPC, 1)
    loss, by_image = through_momentum(weights, real, image, rows, IPC)
    norm = np.sqrt((by_image**2).sum())
    moved = image - OUTER_RATE * by_image * min(1, CLIP / norm)
    return {
        "image": image,
        "rows": rows,
        "loss": loss,
        "by_image": by_image,
        "moved": moved,
    }


def rtp(weights: Weights, real: np.ndarray, rng: np.random.Generator) -> dict:
    """The same on images made of bases and coefficients."""
    bases = rng.standard_normal((BASES, SIDE // SCALE, SIDE // SCALE, 1))
    coefficient = rng.standard_normal((CLASSES * EACH, BASES))
    up = np.zeros((SIDE, SIDE // SCALE))
    for row in range(SIDE):
        place = min(max((row + 0.5) / SCALE - 0.5, 0), SIDE // SCALE - 1)
        low = int(place)
        up[row, low] += 1 - (place - low)
        if place > low:
            up[row, low + 1] += place - low
    image = np.einsum("nk,ip,jq,kpqc->nijc", coefficient, up, up, bases)
    rows = drawn(rng, EACH, 2)
    loss, by_image = through_momentum(weights, real, image, rows, EACH)
    small = np.einsum("ip,jq,nijc->npqc", up, up, by_image)
    return {
        "basis": bases,
        "coefficient": coefficient,
        "image": image,
        "rows": rows,
        "loss": loss,
        "by_basis": np.einsum("nk,npqc->kpqc", coefficient, small),
        "by_coefficient": np.einsum("npqc,kpqc->nk", small, bases),
    }


def drawn(rng: np.random.Generator, ipc: int, few: int) -> np.ndarray:
    """Rows of every step: `few` distinct ones of each class, increasing."""
    return np.stack(
        [
            np.concatenate(
                [c * ipc + np.sort(rng.permutation(ipc)[:few]) for c in range(CLASSES)]
            )
            for _ in range(STEPS)
        ]
    )


def through_momentum(
    weights: Weights, real: np.ndarray, image: np.ndarray, rows: np.ndarray, ipc: int
) -> tuple[float, np.ndarray]:
    """The real loss after momentum steps, and its derivative by the images.

    Backwards, with the adjoints l of the weights and m of the velocity: m -= eta l;
    images and weights receive the derivative of <gradient, m>; then m is scaled by mu.
    The weight decay is part of the gradient.
    """
    label = np.repeat(np.arange(CLASSES), ipc)
    path, velocity = [weights], tuple(np.zeros_like(w) for w in weights)
    for chosen in rows:
        g = derivatives(path[-1], image[chosen], label[chosen]).weights
        velocity = tuple(
            MOMENTUM * v + d + DECAY * w
            for v, d, w in zip(velocity, g, path[-1], strict=True)
        )
        path.append(tuple(w - ETA * v for w, v in zip(path[-1], velocity, strict=True)))
    outer = real_loss(path[-1], real)
    by_weights, by_image = outer.weights, np.zeros_like(image)
    by_velocity = tuple(np.zeros_like(w) for w in weights)
    for at, chosen in zip(reversed(path[:-1]), reversed(rows), strict=True):
        by_velocity = tuple(
            m - ETA * a for m, a in zip(by_velocity, by_weights, strict=True)
        )
        hessian, mixed = products(at, image[chosen], label[chosen], by_velocity)
        np.add.at(by_image, chosen, mixed)
        by_weights = tuple(
            a + h + DECAY * m
            for a, h, m in zip(by_weights, hessian, by_velocity, strict=True)
        )
        by_velocity = tuple(MOMENTUM * m for m in by_velocity)
    return outer.loss, by_image


# The network -----------------------------------------------------------------------


def real_loss(weights: Weights, real: np.ndarray) -> Derivatives:
    """Of all real images [k,n,h,w,c]."""
    label = np.repeat(np.arange(CLASSES), REAL)
    return derivatives(weights, real.reshape(-1, SIDE, SIDE, 1), label)


def derivatives(weights: Weights, image: np.ndarray, label: np.ndarray) -> Derivatives:
    """Mean cross-entropy with its derivatives; complex weights give complex ones."""
    first, first_bias, last, last_bias = weights
    flat = image.reshape(len(image), -1)
    before = flat @ first + first_bias
    active = before.real > 0
    hidden = before * active
    logits = hidden @ last + last_bias
    power = np.exp(logits - logits.real.max(1, keepdims=True))
    share = power / power.sum(1, keepdims=True)
    known = np.eye(CLASSES)[label]
    by_logits = (share - known) / len(label)
    by_hidden = (by_logits @ last.T) * active
    parts = (
        flat.T @ by_hidden,
        by_hidden.sum(0),
        hidden.T @ by_logits,
        by_logits.sum(0),
    )
    loss = -np.log(share[np.arange(len(label)), label].real).mean()
    return Derivatives(loss, parts, (by_hidden @ first.T).reshape(image.shape))


def products(
    weights: Weights, image: np.ndarray, label: np.ndarray, way: Weights
) -> tuple[Weights, np.ndarray]:
    """Derivatives of <gradient by the weights, way> by weights and images."""
    size = 1e-30
    there = tuple(w + 1j * size * v for w, v in zip(weights, way, strict=True))
    result = derivatives(there, image, label)
    return tuple(g.imag / size for g in result.weights), result.image.imag / size


def dot(one: Weights, other: Weights) -> float:
    return float(sum((a * b).sum() for a, b in zip(one, other, strict=True)))


if __name__ == "__main__":
    main()
