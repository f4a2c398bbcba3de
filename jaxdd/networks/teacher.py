"""The network of a self-supervised teacher, as trained and as used.

While it trains, a projector may stand behind the representation; afterwards only the
body is kept, and `represent` reads the representation from it in eval mode.
"""

from collections.abc import Callable
from functools import lru_cache

import flax.linen as nn
import jax

from jaxdd.base import Array, InputError, Key, Network, Output, Variables
from jaxdd.networks import build, initialisers
from jaxdd.networks.functional import from_linen
from jaxdd.networks.layers import dense
from jaxdd.networks.norm import BatchNorm
from jaxdd.records import Teacher

__all__ = ["body_variables", "represent", "training_network"]

Represent = Callable[[Variables, Array], Array]


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

    Raises:
      InputError: an unknown choice of representation, or no outputs.
    """
    if teacher.represent == "features":
        body = build(teacher.network, image_shape, 0, dtype=dtype)
        return body, _reader("features", body), body.feature_dim
    if teacher.represent != "output" or teacher.outputs < 1:
        raise InputError(
            f"teacher.represent={teacher.represent!r}, outputs={teacher.outputs}: "
            "choose 'features', or 'output' with at least one output"
        )
    body = build(teacher.network, image_shape, teacher.outputs, dtype=dtype)
    return body, _reader("logits", body), body.output_dim


@lru_cache(maxsize=32)
def training_network(
    teacher: Teacher, image_shape: tuple[int, int, int], dtype: str = "float32"
) -> Network:
    """The body with its projector, as the self-supervised loss sees it.

    The projector is an MLP of `teacher.projector` widths, batch norm and ReLU after
    all but the last. Its output are the logits, the representation the features.
    Variables are dicts with the parts `body` and `projector`.

    Args:
      teacher: its settings.
      image_shape: (h, w, c).
      dtype: precision of the body; the projector computes in float32.

    Returns:
      The network; without a projector the logits are the representation.
    """
    body, _, width = represent(teacher, image_shape, dtype)
    field = "features" if teacher.represent == "features" else "logits"
    projector = _projector(teacher, width)

    def init(key: Key) -> Variables:
        key_body, key_projector = jax.random.split(key)
        return _join(body.init(key_body), projector.init(key_projector))

    def apply(
        variables: Variables,
        image: Array,
        *,
        train: bool = False,
        key: Key | None = None,
    ) -> tuple[Output, Variables]:
        output, after = body.apply(
            _part(variables, "body"), image, train=train, key=key
        )
        features = getattr(output, field)
        top, after_top = projector.apply(
            _part(variables, "projector"), features, train=train
        )
        return Output(top.logits, features, output.taps), _join(after, after_top)

    name = f"{body.name}+projector" if teacher.projector else body.name
    return Network(init, apply, width, projector.output_dim, name)


def body_variables(variables: Variables) -> Variables:
    """What `represent` reads, out of the variables of `training_network`."""
    return _part(variables, "body")


def _reader(field: str, body: Network) -> Represent:
    def read(variables: Variables, image: Array) -> Array:
        output, _ = body.apply(variables, image)
        return getattr(output, field)

    return read


class _Projector(nn.Module):
    """Dense layers on [n,1,1,d], batch norm and ReLU after all but the last."""

    width: tuple[int, ...]
    initialiser: initialisers.Kind
    momentum: float

    @nn.compact
    def __call__(self, features: Array, train: bool = False) -> tuple[Array, Array]:
        hidden = features
        for index, units in enumerate(self.width[:-1]):
            hidden = dense(hidden, units, f"dense_{index}", kind=self.initialiser)
            hidden = BatchNorm(self.momentum, name=f"norm_{index}")(hidden, train)
            hidden = nn.relu(hidden)
        flat = hidden.reshape(hidden.shape[0], -1)
        return dense(flat, self.width[-1], "head", kind=self.initialiser), flat


def _projector(teacher: Teacher, width: int) -> Network:
    """A network on representations [n,d]; the identity where there is none."""
    if not teacher.projector:
        return Network(_no_variables, _identity, width, width, "identity")
    if min(teacher.projector) < 1:
        raise InputError(
            f"teacher.projector={teacher.projector}: every width must be at least 1; "
            "() leaves the projector out"
        )
    spec = teacher.network
    module = _Projector(teacher.projector, spec.initialiser, spec.batch_momentum)
    layers = from_linen(module, (1, 1, width), name="projector")

    def apply(
        variables: Variables, features: Array, *, train: bool = False
    ) -> tuple[Output, Variables]:
        return layers.apply(variables, features[:, None, None, :], train=train)

    return layers._replace(apply=apply)


def _no_variables(key: Key) -> Variables:
    del key
    return Variables({}, {})


def _identity(
    variables: Variables, features: Array, *, train: bool = False
) -> tuple[Output, Variables]:
    del train
    return Output(features, features), variables


def _join(body: Variables, projector: Variables) -> Variables:
    return Variables(
        {"body": body.params, "projector": projector.params},
        {"body": body.stats, "projector": projector.stats},
    )


def _part(variables: Variables, name: str) -> Variables:
    return Variables(variables.params[name], variables.stats[name])
