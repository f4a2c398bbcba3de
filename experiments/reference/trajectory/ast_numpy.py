"""One outer step of AST in NumPy float64, from its formulas and nothing of jaxdd.

A network with one hidden layer of tanh units, hand-written derivatives and, for the
outer gradient, central differences of the outer loss.

  python experiments/reference/trajectory/ast_numpy.py \
      tests/methods/trajectory/golden/ast.npz
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROWS, PIXELS, HIDDEN, CLASSES = 6, 4, 3, 3
STEPS, EPOCHS, LAST, EPOCH = 5, 2, 9, 6
RATE, MOMENTUM = 0.3, 0.9
DISTANCE = 1e-6


def main() -> None:
    """Writes inputs, loss and gradients of both weightings."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("out", type=Path)
    rng = np.random.default_rng(0)
    size = PIXELS * HIDDEN + HIDDEN + HIDDEN * CLASSES + CLASSES
    start = 0.5 * rng.standard_normal(size)
    targets = start + 0.3 * rng.standard_normal((EPOCHS, size)).cumsum(0)
    image = rng.standard_normal((ROWS, PIXELS))
    label = np.repeat(np.arange(CLASSES), ROWS // CLASSES)
    arrays = {"start": start, "targets": targets, "image": image, "label": label}
    for middle in ("agg", "adaptive"):
        given = label, start, targets, middle
        arrays[f"{middle}/loss"] = np.array(outer(image, np.array([RATE]), *given))
        arrays |= {
            f"{middle}/image_gradient": slopes(
                outer, 0, image, np.array([RATE]), given
            ),
            f"{middle}/rate_gradient": slopes(outer, 1, image, np.array([RATE]), given),
        }
    np.savez_compressed(parser.parse_args().out, origin=np.array(__doc__), **arrays)


def outer(
    image: np.ndarray,
    rate: np.ndarray,
    label: np.ndarray,
    start: np.ndarray,
    targets: np.ndarray,
    middle: str,
) -> float:
    """The sum of the weighted distances."""
    weights = {"agg": [1.0, 1.0], "adaptive": [0.5, 1.0]}[middle]
    half = LAST // 2
    assert half <= EPOCH
    scale = np.log(EPOCH - half + 8) / np.log(5)
    theta, velocity, total = start, np.zeros_like(start), 0.0
    ends = {STEPS // EPOCHS: 0, STEPS: 1}
    for step in range(1, STEPS + 1):
        velocity = MOMENTUM * velocity + scale * gradient(theta, image, label)
        theta = theta - rate[0] * velocity
        if step in ends:
            target = targets[ends[step]]
            share = ((theta - target) ** 2).sum() / ((start - target) ** 2).sum()
            total += weights[ends[step]] * share
    return float(total)


def gradient(theta: np.ndarray, image: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Of the mean cross-entropy; theta is both layers' biases and matrices.

    Order: hidden bias, hidden matrix, output bias, output matrix.
    """
    cuts = np.cumsum([HIDDEN, PIXELS * HIDDEN, CLASSES])
    b1, w1, b2, w2 = np.split(theta, cuts)
    w1, w2 = w1.reshape(PIXELS, HIDDEN), w2.reshape(HIDDEN, CLASSES)
    hidden = np.tanh(image @ w1 + b1)
    logits = hidden @ w2 + b2
    share = np.exp(logits - logits.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    share[np.arange(len(label)), label] -= 1
    share /= len(label)
    back = (share @ w2.T) * (1 - hidden**2)
    parts = back.sum(0), image.T @ back, share.sum(0), hidden.T @ share
    return np.concatenate([part.ravel() for part in parts])


def slopes(
    loss: Callable[..., float],
    number: int,
    image: np.ndarray,
    rate: np.ndarray,
    given: tuple,
) -> np.ndarray:
    """Central differences along every axis of the image (0) or the rate (1)."""
    at = (image, rate)[number]
    found = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        ends = []
        for sign in (1, -1):
            both = [image.copy(), rate.copy()]
            both[number][place] += sign * DISTANCE
            ends.append(loss(*both, *given))
        found[place] = (ends[0] - ends[1]) / (2 * DISTANCE)
    return found


if __name__ == "__main__":
    main()
