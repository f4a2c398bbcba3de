"""What frozen or pre-trained features are worth: k-NN, linear probe, fine-tuning."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.base import Array, Corpus, Drive, Key, Network, Output, Variables
from jaxdd.records import (
    Mlp,
    Recipe,
)
from jaxdd.training import scan_drive
from jaxdd.training.batches import array_source
from jaxdd.training.examples import (
    Examples,
    apply_to_all,
    examples_of_corpus,
    fit,
    outputs,
    student_network,
)

__all__ = ["accuracy", "fine_tune", "knn", "linear_probe", "with_head"]

_BLOCK = 512  # test rows compared with all training rows at a time


def accuracy(logits: Array | np.ndarray, label: Array) -> float:
    """Share of rows [n,k] whose largest entry is at the label [n]."""
    return float(np.mean(np.argmax(np.asarray(logits), 1) == np.asarray(label)))


def knn(
    train_features: Array,
    train_label: Array,
    test_features: Array,
    test_label: Array,
    *,
    neighbours: int = 5,
) -> float:
    """Test accuracy of the k-nearest-neighbour vote, Euclidean, equal votes.

    A tied vote goes to the smallest class. Memory: a block of test rows times n.

    Args:
      train_features: [n,d].
      train_label: int [n].
      test_features: [t,d].
      test_label: int [t].
      neighbours: k; all of the training set where it is smaller.
    """
    k, classes = min(neighbours, len(train_label)), int(jnp.max(train_label)) + 1
    test, known = np.asarray(test_features), _centre(train_features)
    votes = [
        np.asarray(_votes(k, classes, known, train_label, test[i : i + _BLOCK]))
        for i in range(0, len(test), _BLOCK)
    ]
    return accuracy(np.concatenate(votes), test_label)


@jax.jit
def _centre(train: Array) -> tuple[Array, Array, Array]:
    """Centre [1,d], centred rows [n,d] and their squares [1,n].

    Squares of centred rows cancel less in the distances.
    """
    centre = jnp.mean(train, axis=0, keepdims=True)
    train = train - centre
    return centre, train, jnp.sum(train**2, 1)[None]


@jax.jit(static_argnums=(0, 1))
def _votes(
    k: int,
    classes: int,
    known: tuple[Array, Array, Array],
    label: Array,
    test: Array,
) -> Array:
    """Votes [t,classes] of the k nearest training rows."""
    centre, train, square = known
    inner = jnp.matmul(test - centre, train.T, precision="highest")
    distance = square - 2 * inner  # up to ||test||^2, one a row
    _, nearest = jax.lax.top_k(-distance, k)
    return jnp.sum(jax.nn.one_hot(label[nearest], classes), axis=1)


def linear_probe(
    key: Key,
    train_features: Array,
    train_label: Array,
    test_features: Array,
    test_label: Array,
    recipe: Recipe,
    *,
    num_classes: int,
    initialiser: str = "torch",
    drive: Drive = scan_drive,
    stage: str = "probe",
) -> float:
    """Test accuracy of a linear classifier trained on fixed features.

    Args:
      key: decides the initial weights and the batches.
      train_features: [n,d].
      train_label: int [n].
      test_features: [t,d].
      test_label: int [t].
      recipe: its training.
      num_classes: k.
      initialiser: of the classifier, as in `NetworkSpec`.
      drive: who runs the steps.
      stage: name of the training.
    """
    head = _linear(train_features.shape[1], num_classes, initialiser)
    as_image = train_features[:, None, None, :]
    examples = Examples(array_source(recipe), (as_image, train_label), recipe)
    variables = fit(key, head, examples, drive=drive, stage=stage)
    logits = jax.jit(outputs(head, "logits"))(
        variables, test_features[:, None, None, :]
    )
    return accuracy(logits, test_label)


def fine_tune(
    key: Key,
    network: Network,
    variables: Variables,
    train: Corpus,
    test: Corpus,
    recipe: Recipe,
    *,
    initialiser: str = "torch",
    drive: Drive = scan_drive,
    stage: str = "fine_tune",
) -> float:
    """Test accuracy after training all weights with a fresh head on labelled images.

    Args:
      key: decides the head and the batches.
      network: the pre-trained network; its own last layer goes unused.
      variables: its weights and statistics.
      train: labelled training images.
      test: labelled test images.
      recipe: the training.
      initialiser: of the head, as in `NetworkSpec`.
      drive: who runs the steps.
      stage: name of the training.
    """
    key_head, key_fit = jax.random.split(key)
    headed, head = with_head(network, train.num_classes, initialiser)
    fresh = jax.jit(head.init)(key_head)
    start = _join(variables, fresh)
    examples = examples_of_corpus(train, train.label, recipe)
    tuned = fit(key_fit, headed, examples, drive=drive, stage=stage, start=start)
    logits = apply_to_all(outputs(headed, "logits"))(tuned, test)
    return accuracy(logits, test.label)


@lru_cache(maxsize=64)
def with_head(
    body: Network, num_classes: int, initialiser: str = "torch"
) -> tuple[Network, Network]:
    """A network's features under a new linear layer, and that layer alone.

    The joint variables are those of both parts, under `body` and `head`.
    """
    head = _linear(body.feature_dim, num_classes, initialiser)

    def init(key: Key) -> Variables:
        key_body, key_head = jax.random.split(key)
        return _join(body.init(key_body), head.init(key_head))

    def apply(
        variables: Variables,
        image: Array,
        *,
        train: bool = False,
        key: Key | None = None,
    ) -> tuple[Output, Variables]:
        parts = {
            name: Variables(variables.params[name], variables.stats[name])
            for name in ("body", "head")
        }
        output, after = body.apply(parts["body"], image, train=train, key=key)
        top, _ = head.apply(parts["head"], output.features[:, None, None])
        joint = Output(top.logits, output.features, output.taps)
        return joint, _join(after, parts["head"])

    name = f"{body.name}+head"
    return Network(init, apply, body.feature_dim, num_classes, name), head


def _join(body: Variables, head: Variables) -> Variables:
    return Variables(
        {"body": body.params, "head": head.params},
        {"body": body.stats, "head": head.stats},
    )


def _linear(width: int, num_classes: int, initialiser: str) -> Network:
    """One linear layer on feature vectors given as images [n,1,1,d]."""
    spec = Mlp(width=(), initialiser=initialiser)  # pyright: ignore
    return student_network(spec, (1, 1, width), num_classes)
