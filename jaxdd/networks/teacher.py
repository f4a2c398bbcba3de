"""The network of a self-supervised teacher, as trained and as used.

While it trains, a projector may stand behind the representation, and a predictor
behind that; afterwards only the body is kept, and `represent` reads the representation
from it in eval mode.
"""

from collections.abc import Callable
from functools import lru_cache

import jax.numpy as jnp

from jaxdd.base import Array, Key, Network, Output, Variables
from jaxdd.errors import InputError, one_of
from jaxdd.networks import build
from jaxdd.networks.projector import mlp, part, predicting, projecting
from jaxdd.records import Teacher

__all__ = ["body_variables", "represent", "training_network", "with_moments"]

Represent = Callable[[Variables, Array], Array]
_MOMENTS = "standardise"  # entry of the statistics that `represent` standardises by


@lru_cache(maxsize=32)
def represent(
    teacher: Teacher, image_shape: tuple[int, int, int], dtype: str = "float32"
) -> tuple[Network, Represent, int]:
    """The body of a teacher and its representation.

    Args:
      teacher: its settings.
      image_shape: (h, w, c).
      dtype: precision of the body.

    Returns:
      The body; a function (variables, image [n,h,w,c]) -> [n,d] in eval mode; and d.
      Where the teacher standardises, the body's variables hold what `with_moments`
      puts there, at first means of 0 and deviations of 1.

    Raises:
      InputError: an unknown choice of representation, or no outputs.
    """
    one_of("teacher.represent", teacher.represent, ("features", "output"))
    if teacher.represent == "features":
        body = build(teacher.network, image_shape, 0, dtype=dtype)
        return _readable(teacher, body, "features", body.feature_dim)
    if teacher.outputs < 1:
        raise InputError(
            f"teacher.outputs={teacher.outputs} with represent='output': give at least"
            " one output, or represent='features'"
        )
    body = build(teacher.network, image_shape, teacher.outputs, dtype=dtype)
    return _readable(teacher, body, "logits", body.output_dim)


@lru_cache(maxsize=32)
def training_network(
    teacher: Teacher, image_shape: tuple[int, int, int], dtype: str = "float32"
) -> Network:
    """The body with its projector, as the self-supervised loss sees it.

    The projector is an MLP of `teacher.projector` widths, batch norm (where
    `projector_norm`) and ReLU after all but the last. Its output are the logits, the
    representation the features. Variables are dicts with the parts `body` and
    `projector`. BYOL has a part `predictor`, an MLP with batch norm, too: its output
    are the logits, and what goes into it, the projection, the features.

    Args:
      teacher: its settings.
      image_shape: (h, w, c).
      dtype: precision of the body; the projector computes in float32.

    Returns:
      The network; without a projector the logits are the representation.

    Raises:
      InputError: as `represent`, or widths without meaning.
    """
    body, _, width = represent(teacher, image_shape, dtype)
    field = "features" if teacher.represent == "features" else "logits"
    spec, norm = teacher.network, teacher.projector_norm
    top = mlp(teacher.projector, width, spec, norm=norm, name="projector")
    network = projecting(body, field, top)
    if teacher.objective != "byol":
        return network
    width = network.output_dim
    if teacher.predictor[-1:] != (width,):
        raise InputError(
            f"teacher.predictor={teacher.predictor}: the last width must be that of "
            f"the projection it predicts, {width}"
        )
    top = mlp(teacher.predictor, width, spec, norm=True, name="predictor")
    return predicting(network, top)


def body_variables(variables: Variables) -> Variables:
    """What `represent` reads, out of the variables of `training_network`."""
    return part(variables, "body")


def with_moments(variables: Variables, mean: Array, deviation: Array) -> Variables:
    """A body whose representation is shifted by `mean` [d] and divided by `deviation`.

    For bodies of a teacher that standardises.
    """
    moments = {"mean": mean, "deviation": deviation}
    return Variables(variables.params, {**variables.stats, _MOMENTS: moments})


def _readable(
    teacher: Teacher, body: Network, field: str, width: int
) -> tuple[Network, Represent, int]:
    """The body as `represent` returns it."""
    if not teacher.standardise:
        return body, _reader(field, body), width
    read = _reader(field, body)

    def plain(variables: Variables) -> Variables:
        stats = {k: v for k, v in variables.stats.items() if k != _MOMENTS}
        return Variables(variables.params, stats)

    def init(key: Key) -> Variables:
        moments = jnp.zeros(width), jnp.ones(width)
        return with_moments(body.init(key), *moments)

    def apply(variables: Variables, image: Array, **how) -> tuple[Output, Variables]:
        output, after = body.apply(plain(variables), image, **how)
        return output, with_moments(after, **variables.stats[_MOMENTS])

    def standardised(variables: Variables, image: Array) -> Array:
        moments = variables.stats[_MOMENTS]
        centred = read(plain(variables), image) - moments["mean"][None]
        return centred / moments["deviation"][None]

    return body._replace(init=init, apply=apply), standardised, width


def _reader(field: str, body: Network) -> Represent:
    def read(variables: Variables, image: Array) -> Array:
        output, _ = body.apply(variables, image)
        return getattr(output, field)

    return read
