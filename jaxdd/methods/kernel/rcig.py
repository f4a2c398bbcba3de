"""RCIG: implicit gradients through networks that are linear in their weights.

Each step linearises a network of a pool around its weights, trains that model on the
set to near convergence, with the last layer in closed form, and differentiates its loss
on real images: directly by the set, and by the implicit function theorem through the
trained weights. Where the pool's networks differ, so do the kernels that the set learns
for.

Objective:
  dw  = argmin min_A |Y_s - J_s dw - F_s A|^2 + lam (|A|^2 + |dw|^2),  lam = ridge m
  P   = J_b dw + F_b F_s^T (F_s F_s^T + lam I)^-1 (Y_s - J_s dw)
  L(X_s, Y_s, t) = CE(exp(t) P, classes) - mean_i min(largest - second largest entry of
                   Y_s[i], 1/(2k))
with J the Jacobian of the logits by the weights and F the features, both at the drawn
weights, of m images and with `mirror` of their mirror images as well. The gradient by
the set is d L/d set - d/d set <v, d/d dw of the inner loss>, v = H^-1 d L/d dw; its
second term is shrunk to the norm of the first. Both dw and v come from 20 steps of
Adam.

Reference: N. Loo, R. Hasani, M. Lechner, D. Rus, "Dataset Distillation with Convexified
Implicit Gradients", ICML 2023, arXiv 2302.06755. Authors' code: yolky/RCIG (no licence
file).

Parts: pixels with learned labels and a learned temperature x linearised regression x
online pool x implicit, uniform batches.

Differences from the paper: none known; numbers follow the authors' code.

Differences from the authors' code: the kernel of the last layer, for which the
regression solves, is no part of dw (`last_layer="as_released"` has it there, moved by
plus its gradient, as their optimiser does). Adam starts its count of steps at 0 in each
problem, theirs at the age of the network. The average that is exported starts at the
first set, theirs is corrected for its start at zero. The Hessian's products are written
out, which is exact for a quadratic problem. For large sets they differentiate random
rows, here all rows are, a few at a time (`chunk_synthetic`).

Expected: on MNIST at one image per class and 16 pixels not below `frepo`.
"""

import dataclasses
from dataclasses import dataclass
from typing import Literal

import optax

from jaxdd import networks
from jaxdd.base import (
    Array,
    Batch,
    Distiller,
    Key,
    Method,
    Network,
    Parts,
    Pool,
    PyTree,
    Synthetic,
    Task,
    Uniform,
)
from jaxdd.composition import compose
from jaxdd.decoders import centred, pixels, with_hyper
from jaxdd.errors import InputError, check_numbers
from jaxdd.methods.kernel._rates import with_rates
from jaxdd.networks import conv
from jaxdd.objectives.implicit import ImplicitSettings, implicit_krr
from jaxdd.objectives.labelled import with_mirrors
from jaxdd.objectives.linearised import Solver
from jaxdd.pools import Life, online
from jaxdd.records import AdaBelief, Adam, ConvNet, NetworkSpec, OptimiserSpec, Softplus
from jaxdd.training import optimisers

__all__ = ["METHOD", "RcigConfig", "rcig"]


@dataclass(frozen=True)
class RcigConfig:
    """Settings of RCIG; the defaults are the authors' for CIFAR-10."""

    network: NetworkSpec = ConvNet(
        width=(128, 256, 512), norm="none", initialiser="flax", activation=Softplus()
    )
    """Networks of the pool. It needs forward mode: conv="auto" stands for "rows" on
    CPU, and "cpu" is refused."""
    pool: int = 30
    """Networks in the pool."""
    max_age: int = 100
    """A network that has trained for so many steps is replaced."""
    visit: tuple[int, int] = (1, 15)
    """Least and most steps by which a drawn network trains, after the outer step."""
    network_optimiser: OptimiserSpec = Adam(5e-5)
    """Optimiser of the pool's networks, full batch."""
    optimiser: OptimiserSpec = AdaBelief(3e-3)
    """Optimiser of images and labels."""
    temperature_rate: float = 0.03
    """Rate of AdaBelief for the logarithm of the predictions' scale."""
    ridge: float = 5e-4
    """Times the number of images (not counting mirror images)."""
    refine: int = 1
    """Refinement steps of the solves."""
    solver: Literal["adam", "cg"] = "adam"
    """Solver of the inner problem and of the system with its Hessian: the authors'
    Adam, or conjugate gradients, which need no rates."""
    linear_steps: int = 20
    """Steps in the inner problem."""
    linear_rate: float = 0.0
    """Adam's rate in the inner problem; 0 = searched for. It is adapted in any case."""
    system_steps: int = 20
    """Steps in the system with the Hessian."""
    system_rate: float = 0.0
    """Adam's rate in it; 0 = searched for."""
    last_layer: Literal["exact", "as_released"] = "exact"
    clip: bool = True
    """Shrink the implicit term of each leaf to the norm of the direct one."""
    batch: int = 1024
    """Real images a step."""
    mirror: bool = True
    """Learn with every image's mirror image beside it. Off for digits."""
    margin: float = 1.0
    """Weight of the labels' margin."""
    ema: float = 0.99
    """Decay of the average of the set that is exported; 0 = off."""
    init: Literal["real", "noise"] = "real"
    chunk_synthetic: int = 0
    """Synthetic images whose activations the outer gradient holds at a time; 0 =
    all."""
    chunk_real: int = 0
    """Real images at a time; 0 = all."""


def rcig(task: Task, config: RcigConfig = RcigConfig()) -> Distiller:
    """RCIG for a task with images per class; its state has the rates of Adam."""
    _check(config)
    spec = _any_mode(config.network)
    body = networks.build(spec, task.image_shape, task.num_classes, dtype=task.dtype)
    settings = ImplicitSettings(
        solver=Solver(config.solver, config.linear_steps, config.system_steps),
        last_layer=config.last_layer,
        clip=config.clip,
        mirror=config.mirror,
        margin=config.margin,
        refine=config.refine,
        chunk_synthetic=config.chunk_synthetic or None,
        chunk_real=config.chunk_real or None,
    )
    temperature = AdaBelief(config.temperature_rate)
    steps = task.num_steps
    distiller = compose(
        decoder=with_hyper(
            pixels(task, init=config.init, targets=centred(task)),
            {"log_temperature": 0.0},
        ),
        objective=implicit_krr(
            body, config.ridge * task.size, task.num_classes, settings
        ),
        pool=_pool(body, config),
        outer=optimisers.by_part(
            {
                "image": optimisers.build(config.optimiser, steps),
                "target": optimisers.build(config.optimiser, steps),
                "hyper": optimisers.build(temperature, steps),
            }
        ),
        feed=Uniform(config.batch),
        ema=config.ema,
    )
    if config.solver == "cg":
        return distiller
    return with_rates(distiller, (config.linear_rate, config.system_rate))


def _any_mode(spec: NetworkSpec) -> NetworkSpec:
    """The network with a convolution that has derivatives in forward mode."""
    if spec.conv == "cpu":
        raise InputError(
            "network.conv='cpu': it has no derivatives in forward mode, which rcig "
            "takes; choose 'rows' or 'stock'"
        )
    if spec.conv == "auto" and conv.choose("auto") == "cpu":
        return dataclasses.replace(spec, conv="rows")
    return spec


def _pool(body: Network, config: RcigConfig) -> Pool:
    """The networks; they train on the mirror images too."""
    # The authors' loss is half of the mean squared error, which Adam's epsilon sees.
    half = optax.scale(0.5)
    pool = online(
        body,
        Life(
            config.max_age,
            ages=(0,) * config.pool,
            visit=config.visit,
            renew="now",
        ),
        size=config.pool,
        optimiser=optax.chain(
            half, optimisers.build(config.network_optimiser, config.max_age)
        ),
    )

    def update(
        key: Key, state: PyTree, index: Array, synthetic: Synthetic, batch: Batch
    ) -> PyTree:
        return pool.update(key, state, index, with_mirrors(synthetic), batch)

    return pool._replace(update=update) if config.mirror else pool


def _check(config: RcigConfig) -> None:
    check_numbers(
        config,
        counts=("pool", "batch", "max_age", "linear_steps", "system_steps"),
        positive=("ridge", "temperature_rate"),
        not_negative=(
            *("margin", "refine", "linear_rate", "system_rate"),
            *("chunk_synthetic", "chunk_real"),
        ),
        shares=("ema",),
    )


METHOD = Method(
    build=rcig,
    config=RcigConfig,
    parts=Parts("pixels + labels", "linearised KRR", "online", "implicit", "uniform"),
)
