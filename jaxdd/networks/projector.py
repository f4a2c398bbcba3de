"""Networks behind a network: a projector on its output, a predictor on that.

The variables of such a stack are dicts with one part a network.
"""

import flax.linen as nn
import jax

from jaxdd.base import Array, Key, Network, Output, Variables
from jaxdd.errors import InputError
from jaxdd.networks import initialisers
from jaxdd.networks.functional import from_linen
from jaxdd.networks.layers import dense
from jaxdd.networks.norm import BatchNorm
from jaxdd.records import BatchNorm as BatchNormSettings
from jaxdd.records import NetworkSpec

__all__ = ["mlp", "part", "predicting", "projecting"]

_IDENTITY = "identity"
_PREDICTOR_KEY = 2  # apart from the keys of body and projector, which are a split


def projecting(body: Network, field: str, projector: Network) -> Network:
    """The projector behind a field of the body's output.

    Args:
      body: becomes the part `body`.
      field: `features` or `logits`, what is projected.
      projector: on rows [n,d]; becomes the part `projector`.

    Returns:
      The network; its logits are the projection, its features what is projected.
    """

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
        output, after = body.apply(part(variables, "body"), image, train=train, key=key)
        features = getattr(output, field)
        top, after_top = projector.apply(
            part(variables, "projector"), features, train=train
        )
        return Output(top.logits, features, output.taps), _join(after, after_top)

    width = body.feature_dim if field == "features" else body.output_dim
    name = body.name if projector.name == _IDENTITY else f"{body.name}+projector"
    return Network(init, apply, width, projector.output_dim, name)


def predicting(network: Network, predictor: Network) -> Network:
    """The predictor behind a projection.

    Args:
      network: of `projecting`; its parts are kept.
      predictor: on its logits; becomes the part `predictor`.

    Returns:
      The network; its logits are the prediction, its features the projection.
    """

    def init(key: Key) -> Variables:
        top = predictor.init(jax.random.fold_in(key, _PREDICTOR_KEY))
        return _add(network.init(key), "predictor", top)

    def apply(
        variables: Variables,
        image: Array,
        *,
        train: bool = False,
        key: Key | None = None,
    ) -> tuple[Output, Variables]:
        output, after = network.apply(variables, image, train=train, key=key)
        projection = output.logits
        top, after_top = predictor.apply(
            part(variables, "predictor"), projection, train=train
        )
        after = _add(after, "predictor", after_top)
        return Output(top.logits, projection, output.taps), after

    width, name = network.output_dim, f"{network.name}+predictor"
    return Network(init, apply, width, predictor.output_dim, name)


def mlp(
    widths: tuple[int, ...],
    inputs: int,
    spec: NetworkSpec,
    *,
    norm: bool,
    name: str,
) -> Network:
    """Dense layers on rows [n, inputs], ReLU after all but the last.

    Args:
      widths: of the layers; () is the identity.
      inputs: width of the rows.
      spec: its initialiser and the momentum of batch norm.
      norm: batch norm before each ReLU.
      name: of the setting, for errors.

    Returns:
      The network.

    Raises:
      InputError: a width below 1.
    """
    if not widths:
        return Network(_no_variables, _identity, inputs, inputs, _IDENTITY)
    if min(widths) < 1:
        raise InputError(f"teacher.{name}={widths}: every width must be at least 1")
    batch_norm = getattr(spec, "batch_norm", BatchNormSettings())
    module = _MLP(widths, spec.initialiser, batch_norm.momentum, norm)
    layers = from_linen(module, (1, 1, inputs), name=name)

    def apply(
        variables: Variables, features: Array, *, train: bool = False
    ) -> tuple[Output, Variables]:
        return layers.apply(variables, features[:, None, None, :], train=train)

    return layers._replace(apply=apply)


def part(variables: Variables, name: str) -> Variables:
    """The variables of one network of the stack."""
    return Variables(variables.params[name], variables.stats[name])


class _MLP(nn.Module):
    """Dense layers on [n,1,1,d], batch norm and ReLU after all but the last."""

    width: tuple[int, ...]
    initialiser: initialisers.Kind
    momentum: float
    norm: bool

    @nn.compact
    def __call__(self, features: Array, train: bool = False) -> tuple[Array, Array]:
        hidden = features
        for index, units in enumerate(self.width[:-1]):
            hidden = dense(hidden, units, f"dense_{index}", kind=self.initialiser)
            if self.norm:
                hidden = BatchNorm(self.momentum, name=f"norm_{index}")(hidden, train)
            hidden = nn.relu(hidden)
        flat = hidden.reshape(hidden.shape[0], -1)
        return dense(flat, self.width[-1], "head", kind=self.initialiser), flat


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


def _add(variables: Variables, name: str, top: Variables) -> Variables:
    return Variables(
        {**variables.params, name: top.params}, {**variables.stats, name: top.stats}
    )
