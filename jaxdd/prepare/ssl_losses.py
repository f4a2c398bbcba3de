"""What a self-supervised teacher minimises between two views of each image.

Each view is forwarded on its own in training mode: batch norm standardises it by
itself, and the running statistics see the first view, then the second.
"""

from collections.abc import Callable
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import optax

from jaxdd.base import Array, Key, Metrics, Network, PyTree, Variables
from jaxdd.errors import InputError, one_of
from jaxdd.records import Teacher
from jaxdd.training import Average, Loss, losses

__all__ = ["objective"]

Value = Callable[[Array, Array], Array]

_VALUES: dict[str, Callable[[Teacher], Value]] = {
    "barlow": lambda teacher: partial(
        losses.barlow_twins, redundancy=teacher.redundancy, scale=teacher.loss_scale
    ),
    "simclr": lambda teacher: partial(losses.nt_xent, temperature=teacher.temperature),
    "vicreg": lambda teacher: partial(
        losses.vicreg,
        invariance=teacher.invariance,
        variance=teacher.variance,
        covariance=teacher.covariance,
    ),
}


@lru_cache(maxsize=32)
def objective(teacher: Teacher) -> tuple[Loss, Average | None]:
    """The loss that `teacher.objective` names, with the average it compares with.

    Args:
      teacher: its settings.

    Returns:
      The loss, on the network of `jaxdd.networks.teacher.training_network` and images
      (first, second); and, for byol, the averaged network.

    Raises:
      InputError: an unknown objective, or a setting out of its range.
    """
    _check(teacher)
    if teacher.objective == "byol":
        return _predict, _follow(teacher.target_decay, teacher.recipe.steps)
    return _compare(_VALUES[teacher.objective](teacher)), None


def _compare(value: Value) -> Loss:
    """A loss on the projections of both views."""

    def loss(
        network: Network,
        variables: Variables,
        ema: PyTree,
        images: PyTree,
        targets: PyTree,
        key: Key,
    ) -> tuple[Array, tuple[Variables, Metrics]]:
        del ema, targets
        key_first, key_second = jax.random.split(key)
        one, after = network.apply(variables, images[0], train=True, key=key_first)
        two, after = network.apply(after, images[1], train=True, key=key_second)
        return value(one.logits, two.logits), (after, {})

    return loss


def _predict(
    network: Network,
    variables: Variables,
    ema: PyTree,
    images: PyTree,
    targets: PyTree,
    key: Key,
) -> tuple[Array, tuple[Variables, Metrics]]:
    """BYOL: each view predicts the averaged network's projection of the other.

    The averaged network, too, standardises by the batch. Running statistics of its own
    would never be read, so none are kept.
    """
    del targets
    keys = jax.random.split(key, 4)
    one, after = network.apply(variables, images[0], train=True, key=keys[0])
    two, after = network.apply(after, images[1], train=True, key=keys[1])
    averaged = Variables({**variables.params, **ema}, variables.stats)
    first, _ = network.apply(averaged, images[0], train=True, key=keys[2])
    second, _ = network.apply(averaged, images[1], train=True, key=keys[3])
    value = losses.byol(one.logits, second.features)
    return value + losses.byol(two.logits, first.features), (after, {})


@lru_cache(maxsize=32)
def _follow(start: float, steps: int) -> Average:
    """The parameters of body and projector, with a decay that rises to 1.

    decay = 1 - (1 - start) (1 + cos(pi step / steps)) / 2 (Grill et al. 2020, "BYOL",
    arXiv 2006.07733, section 3.2).
    """

    def followed(variables: Variables) -> PyTree:
        return {k: v for k, v in variables.params.items() if k != "predictor"}

    def update(average: PyTree, variables: Variables, step: Array) -> PyTree:
        share = (1 - start) * (1 + jnp.cos(jnp.pi * step / steps)) / 2
        return optax.incremental_update(followed(variables), average, share)

    return Average(followed, update)


def _check(teacher: Teacher) -> None:
    """Refuses values without meaning, naming the field."""
    one_of("teacher.objective", teacher.objective, (*_VALUES, "byol"))
    if not teacher.temperature > 0:
        raise InputError(f"teacher.temperature={teacher.temperature}: must be > 0")
    if not 0 <= teacher.target_decay <= 1:
        raise InputError(
            f"teacher.target_decay={teacher.target_decay}: must be in [0, 1]"
        )
